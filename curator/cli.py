"""The `curate` command: a skin over the library.

Exit codes: 0 all well, 1 our own bug or a dataset that does not verify, 2 usage.
Modules that do the work are imported inside the commands, since worker processes import this one too.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from curator.errors import CurateError
from curator.units import counted


@click.group(context_settings={"max_content_width": 110})
@click.version_option(package_name="crawl-curate")
def commands() -> None:
    """Look after datasets of images."""


@commands.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(data: Path, as_json: bool) -> None:
    """Read everything of a dataset back: every image, row and count. Exit code 0 only when all holds."""
    from curator.dataset.verify import verify as read_back

    report = read_back(data)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"ok": report.ok}))
    else:
        for problem in report.problems:
            click.echo(problem)
        if report.found > len(report.problems):
            click.echo(f"... and {counted(report.found - len(report.problems), 'problem')} more")
        click.echo(
            f"{data}: {'all holds' if report.ok else counted(report.found, 'problem')}: "
            f"{counted(report.links, 'link')}, {counted(report.samples, 'image')} read back from "
            f"{counted(report.shards, 'shard')}, {counted(report.bytes, 'byte')}"
        )
    sys.exit(0 if report.ok else 1)


def main() -> None:
    """The console script."""
    try:
        commands()
    except CurateError as error:
        click.echo(f"curate: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
