"""The `crawl` command for tests: in a process of its own, or in this one where a table of flags is long."""

import gc
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from crawler.cli import main
from tests.crawling import LOCAL, ROOT


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    error: str


# what every crawl of the test server needs, as flags
FLAGS = (
    "--allow-net",
    "127.0.0.0/8",
    "--per-host",
    "0",
    "--workers",
    str(LOCAL["workers"]),
    "--min-free",
    "0",
)


def command(*arguments: object, stdin: str = "", prefix: tuple[str, ...] = ()) -> Ended:
    """`crawl` in a process of its own, run to its end. `prefix`: a command that starts it."""
    process = subprocess.run(
        [*prefix, sys.executable, "-m", "crawler.cli", *map(str, arguments)],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Ended(process.returncode, process.stdout, process.stderr)


class Here:
    """`crawl` in this process, for arguments that end before any work begins."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Ended:
        """Run it to its end."""
        self._monkeypatch.setattr(sys, "argv", ["crawl", *map(str, arguments)])
        self._monkeypatch.setattr("curator.flags.leave_out_pandas", lambda: None)  # other tests need them
        collecting = gc.get_threshold()  # the command sets it for its process
        with pytest.raises(SystemExit) as ended:
            main()
        gc.set_threshold(*collecting)
        gc.unfreeze()
        out, error = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, error)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    """Everything below a folder: size and time of change by name."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
    }


def refused(program: str, ended: Ended, *words: str) -> None:
    """Assert exit 2 and one line of `program` that holds `words`, on stderr only."""
    assert ended.code == 2, ended
    assert ended.out == ""
    assert ended.error.startswith(f"{program}: ")
    assert ended.error.count("\n") == 1, ended.error
    for word in words:
        assert word in ended.error
