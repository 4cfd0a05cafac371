"""Exports whose process was killed with SIGKILL right before a durable step, again and again.

`python -m tests.killed_export ROOT` exports what was decided in ROOT in each of FORMS to ROOT/FORM: in forked
processes, the first killed at its first durable step, the second, which goes on, three steps later, and so on
until one survives. It prints how many died. A process of its own does it, because a forked test runner would carry
its threads' locks along.
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from curator.flags import leave_out_pandas
from tests.exporting import Inputs

FORMS: dict[str, dict[str, Any]] = {
    "webdataset": {"shard_size": 3},
    "folder": {"form": "folder", "shard_size": 4, "split": (("train", 1), ("val", 1))},
    "parquet": {"form": "parquet", "shard_size": 4, "shuffle": 5},
}


def killed_exports(root: Path) -> dict[str, int]:
    """How many processes died over the export in each form."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.killed_export", str(root)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(zip(FORMS, map(int, result.stdout.split()), strict=True))


def _armed(call: Callable[..., Any], step: Callable[[], None]) -> Callable[..., Any]:
    def deadly(*arguments: Any, **options: Any) -> Any:
        step()
        return call(*arguments, **options)

    return deadly


def _arm(deadly: int) -> None:
    """From now on, die at the durable step of this number."""
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == deadly:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("fsync", "replace", "link", "unlink"):
        setattr(os, name, _armed(getattr(os, name), step))


def _deaths(root: Path, form: str) -> int:
    deaths = 0
    while True:
        child = os.fork()
        if child == 0:
            _arm(3 * deaths + 1)
            asyncio.run(Inputs(root, {}).export(root / form, **FORMS[form]))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return deaths
        deaths += 1


if __name__ == "__main__":
    leave_out_pandas()  # every child would import them
    for name in FORMS:
        os.write(1, f"{_deaths(Path(sys.argv[1]), name)}\n".encode())
