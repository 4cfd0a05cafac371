"""Curations in tests: run as a program would, and their decisions read back; killed and gone on with.

As a module it is what kills: `python -m tests.curating ROOT KILLS LONGEST` curates ROOT/pics to ROOT/curated and
exports that, each command killed with SIGKILL so many times. A process of its own does it, because a forked test
runner would carry its threads' locks along.
"""

import asyncio
import gc
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rich.console import Console

from curator.cli import main
from curator.command import Terminal, run_export
from curator.encoding import Encoding
from curator.pipeline import Curated, curate
from curator.settings import ExportSettings
from tests.command import Ended
from tests.pictures import encoded, flat, jpeg, photo

ROOT = Path(__file__).parents[1]
SIDES = (128, 104)  # of pictures that no rule finds too small
# Exports of ROOT/curated by the folder they go to: new bytes in a new order and parts, and bytes as they are.
EXPORTS: dict[str, dict[str, Any]] = {
    "encoded": {
        "encoding": Encoding(side=64, format="webp"),
        "shuffle": 7,
        "split": (("train", 3), ("val", 1)),
        "shard_size": 4,
    },
    "files": {"form": "folder", "shard_size": 4},
}


class Here:
    """`curate` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Ended:
        """Run it to its end."""
        self._monkeypatch.setenv("COLUMNS", "200")
        self._monkeypatch.setattr(sys, "argv", ["curate", *map(str, arguments)])
        collecting = gc.get_threshold()
        with pytest.raises(SystemExit) as ended:
            main()
        gc.set_threshold(*collecting)
        out, error = self._capsys.readouterr()
        return Ended(int(ended.value.code or 0), out, error)


def command(*arguments: object, prefix: tuple[str, ...] = ()) -> Ended:
    """`curate` in a process of its own, run to its end. `prefix`: a command that starts it."""
    ended = subprocess.run(
        [*prefix, sys.executable, "-m", "curator.cli", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def curated(*paths: Path, out: Path | None = None, **settings: Any) -> Curated:
    """Curate with two workers unless said otherwise."""
    return asyncio.run(curate(paths, out, **{"workers": 2, **settings}))


def exported(curated_to: Path, out: Path, **settings: Any) -> Path:
    """Export what was decided, with two workers unless said otherwise; the folder it is in now."""
    fitting = ExportSettings(**{"workers": 2, **settings})
    assert run_export(curated_to, out, fitting, Terminal(Console(), quiet=True)) == 0
    return out


def decisions(out: Path) -> list[dict[str, Any]]:
    """The rows of decisions.parquet, sorted by uid."""
    return sorted(pq.read_table(out / "decisions.parquet").to_pylist(), key=lambda row: row["uid"])


def by_path(out: Path) -> dict[str, dict[str, Any]]:
    """The same by path."""
    return {row["path"]: row for row in decisions(out)}


def survivors(out: Path) -> set[str]:
    """The sha256 of what is kept; fails where one is kept twice."""
    kept = [row["sha256"] for row in decisions(out) if row["kept"]]
    assert len(kept) == len(set(kept))
    return set(kept)


def reasons(out: Path) -> dict[str, str]:
    """What became of each path."""
    return {path: row["reason"] for path, row in by_path(out).items()}


def contents(folder: Path, *, but: str = "") -> dict[str, str]:
    """What every file below a folder holds, as digests; without what is below `but`."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not (but and path.is_relative_to(folder / but))
    }


def state(*inputs: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time of change and bytes of every file of inputs, but for what SQLite has beside a file it reads.

    Decisions in the folder of a dataset are no part of it.
    """
    files = [path for one in inputs for path in ([one] if one.is_file() else sorted(one.rglob("*")))]
    return {
        str(path): (path.stat().st_mode, path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in files
        if path.is_file() and not path.name.endswith(("-wal", "-shm")) and "curated" not in path.parts
    }


def apart(one: str, other: str) -> int:
    """Bits in which two hashes of 16 hex digits differ."""
    return (int(one, 16) ^ int(other, 16)).bit_count()


def picture(number: int, quality: int = 90) -> bytes:
    """A small photograph as a JPEG file; the same number in another quality is a near copy."""
    return jpeg(number, *SIDES, quality=quality)


def album() -> dict[str, bytes]:
    """Files by name: photographs, near copies, equal files, flat, small and damaged ones, a tar, what is no image."""
    files = {f"{number % 3}/{number}.jpg": picture(number) for number in range(12)}
    files |= {f"copies/near{number}.jpg": picture(number, 60) for number in range(4)}
    files |= {f"copies/same{number}.jpg": files[f"{number % 3}/{number}.jpg"] for number in range(3, 6)}
    files["copies/half.png"] = encoded(photo(6, 256, 208).resize(SIDES), "PNG")
    files |= {f"flat{red}.png": encoded(flat((red, 40, 60), *SIDES), "PNG") for red in (10, 200)}
    files |= {"small.jpg": jpeg(50, 40, 40), "cut.jpg": files["0/0.jpg"][:900], "page.jpg": b"<html>gone</html>"}
    tar = {f"{number:03}.jpg": picture(number) for number in (20, 21, 7)}
    tar |= {"020.json": b'{"url": "http://a.example/20.jpg", "score": 3}', "021.txt": b"a caption"}
    return files | {"shard.tar": tar_of(tar), "notes.md": b"x", "0/1.json": b'{"url": "http://a.example/1.jpg"}'}


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, body in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return archive.getvalue()


def filled(folder: Path, files: Mapping[str, bytes]) -> Path:
    """The folder, with these files written in their order."""
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return folder


def curate_and_export(root: Path, workers: int) -> None:
    """Curate root/pics to root/curated, and export that as EXPORTS say to folders beside it."""
    curated(root / "pics", out=root / "curated", workers=workers)
    for name, settings in EXPORTS.items():
        exported(root / "curated", root / name, workers=workers, **settings)


def curate_and_export_killed(root: Path, kills: int, longest: float) -> None:
    """The same, each step killed so many times, at random moments at most `longest` seconds after it began."""
    arguments = [str(root), str(kills), str(longest)]
    subprocess.run([sys.executable, "-m", "tests.curating", *arguments], cwd=ROOT, check=True)


def _kill_and_go_on(root: Path, kills: int, longest: float) -> None:
    out = root / "curated"
    _killed(out / "measures.sqlite", kills, longest, lambda: curated(root / "pics", out=out))
    for name, settings in EXPORTS.items():
        export = partial(exported, out, root / name, **settings)
        _killed(root / name / ".exported", kills - 1, longest, export)


def _killed(begun: Path, kills: int, longest: float, work: Callable[[], object]) -> None:
    """Do `work`, killed after it has made `begun`, and at last to its end."""
    while kills:
        child = _forked(work)
        while not begun.exists() and not _has_ended(child):
            time.sleep(0.001)
        time.sleep(random.uniform(0, longest))  # noqa: S311 - any moment must do
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills -= 1
        else:  # it was faster
            assert status == 0
            longest /= 2
    assert os.waitpid(_forked(work), 0)[1] == 0


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _forked(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


if __name__ == "__main__":
    _kill_and_go_on(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
