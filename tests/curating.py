"""Curations in tests: run as a program would, and their decisions read back."""

import asyncio
import gc
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
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
        self._monkeypatch.setattr("curator.flags.leave_out_pandas", lambda: None)  # other tests need them
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
    """What became of each image, by path and key."""
    return {"/".join(filter(None, (row["path"], row["key"]))): row["reason"] for row in decisions(out)}


def state(*inputs: Path) -> dict[str, tuple[int, int, str]]:
    """Mode, time of change and bytes of every file of inputs, but for what SQLite has beside a file it reads.

    Decisions in the folder of a dataset are no part of it.
    """
    files = [path for one in inputs for path in ([one] if one.is_file() else sorted(one.rglob("*")))]
    return {
        str(path): (
            path.stat().st_mode,
            path.stat().st_mtime_ns,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
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
    files |= {
        "small.jpg": jpeg(50, 40, 40),
        "cut.jpg": files["0/0.jpg"][:900],
        "page.jpg": b"<html>gone</html>",
    }
    tar = {f"{number:03}.jpg": picture(number) for number in (7, 20, 21)}
    tar |= {"020.json": b'{"url": "http://a.example/20.jpg", "score": 3}', "021.txt": b"a caption"}
    files["shard.tar"] = tar_of(dict(sorted(tar.items())))
    return files | {"notes.md": b"x", "1/1.json": b'{"url": "http://a.example/1.jpg"}'}


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


def moved(decided: Path, to: Path) -> tuple[Path, Path]:
    """A copy of the folders pics and out of `decided`, whose measures hold there, too."""
    for name in ("pics", "out"):
        shutil.copytree(decided / name, to / name)
    return to / "pics", to / "out"


def curate_in(root: Path, workers: int) -> None:
    """Curate root/pics to root/curated."""
    curated(root / "pics", out=root / "curated", workers=workers)


def export_in(root: Path, name: str, workers: int) -> None:
    """Export root/curated to root/NAME, as EXPORTS says."""
    exported(root / "curated", root / name, workers=workers, **EXPORTS[name])
