"""`python -m bench.contenders NAME [--version]`: do the job on standard input, or tell the version.

Whatever the tool prints goes to standard error, the outcome alone to standard output, as a line of JSON.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict
from importlib import import_module

from bench.contending import Job


def main(name: str, version: bool) -> None:
    """Run one."""
    contender = import_module(f"bench.contenders.{name}")
    if version:
        print(contender.version())
        return
    job = Job(**json.load(sys.stdin))
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        found = contender.run(job)
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # the last word is the tool's own
    with open(answer, "w") as out:  # noqa: PTH123 - a descriptor
        print(json.dumps(asdict(found)), file=out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--version", action="store_true")
    main(**vars(parser.parse_args()))
