"""Servers for tests in processes of their own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def served(module: str, *arguments: object) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A module that serves until its standard input ends, as it does with the block: its process, and its port.

    The port is the first line that it prints, once it listens.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process, int(process.stdout.readline())
    finally:
        process.communicate(timeout=30)
