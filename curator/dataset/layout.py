"""Where everything of a dataset lies below its folder, and the durable file operations it is made with."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

SHARD_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Layout:
    """The names inside one dataset's folder `root`."""

    root: Path

    @property
    def ledger(self) -> Path:
        """The SQLite ledger (a symbolic link where the user keeps it on another file system)."""
        return self.root / "ledger.sqlite"

    @property
    def lock(self) -> Path:
        """The file whose `flock` makes its holder the only writer."""
        return self.root / ".lock"

    @property
    def reserve(self) -> Path:
        """Space set aside, so that a full disk still takes the last commit."""
        return self.root / ".reserve"

    @property
    def images(self) -> Path:
        """The folder of shards."""
        return self.root / "images"

    @property
    def card(self) -> Path:
        """The dataset card."""
        return self.root / "README.md"

    @property
    def summary(self) -> Path:
        """Totals of the last run."""
        return self.root / "summary.json"

    @property
    def failures(self) -> Path:
        """Every URL that was decided and not saved."""
        return self.root / "failures.parquet"

    def part(self, shard: int) -> Path:
        """The open shard: only its committed length counts."""
        return self.images / f"{shard:0{SHARD_DIGITS}d}.tar.part"

    def tar(self, shard: int) -> Path:
        """A sealed shard: whole under this name."""
        return self.images / f"{shard:0{SHARD_DIGITS}d}.tar"

    def parquet(self, shard: int) -> Path:
        """One row per sample of the shard, in its order."""
        return self.images / f"{shard:0{SHARD_DIGITS}d}.parquet"

    def stats(self, shard: int) -> Path:
        """img2dataset's counts for the shard."""
        return self.images / f"{shard:0{SHARD_DIGITS}d}_stats.json"


def key_digits(shard_size: int) -> int:
    """Decimal digits of an index inside a shard, img2dataset's `ceil(log10(number_sample_per_shard))`."""
    return len(str(shard_size - 1)) if shard_size > 1 else 0


def sample_key(shard: int, index: int, shard_size: int) -> str:
    """The sample's key: shard number, then index in the shard ("000010005" is shard 1, sample 5)."""
    digits = key_digits(shard_size)
    return f"{10**digits * shard + index:0{digits + SHARD_DIGITS}d}"


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def replace_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file under a temporary name, sync it and rename it: it appears whole or not at all.

    The caller syncs the folder (once for several files).
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
