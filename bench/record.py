"""What the programs of the bench write down: where they ran, a line of results, and what they miss."""

import json
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PACKAGES = ("aiohttp", "uvloop", "pillow", "numpy", "pyarrow")


def append(results: Path, record: Mapping[str, Any]) -> None:
    """Add a line of JSON to a file of results."""
    results.parent.mkdir(exist_ok=True)
    with results.open("a") as file:
        file.write(json.dumps(record) + "\n")


def say_missed(missed: Iterable[str]) -> int:
    """Print what is missed; the exit code."""
    lines = list(missed)
    for one in lines:
        print(f"MISSED: {one}")
    return 1 if lines else 0


def cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0))


def commit() -> str:
    """The one that is measured; what was measured before, and written down, makes it no other."""
    here = _git("rev-parse", "--short", "HEAD")
    return here + "-dirty" * bool(
        _git("status", "--porcelain", "--untracked=no", "--", ".", ":!bench/results")
    )


def environment(server: str) -> dict[str, Any]:
    """Where and with what it was measured."""
    models = [
        line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")
    ]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": models[0].partition(": ")[2] if models else platform.machine(),
        "cores": cores(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "server": server,
        **{name: version(name) for name in PACKAGES},
    }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()
