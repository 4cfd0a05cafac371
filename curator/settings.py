"""Every setting of a curation, its default and its range, in one frozen record.

Light to import: the command line takes its defaults from here, and worker processes import the command line.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

from curator.encoding import Encoding
from curator.errors import UsageError
from curator.ranges import ANY, check_ranges, cores

MIB = 1 << 20
_NAME = re.compile(r"\w{1,50}", re.ASCII)
_SHARE = re.compile("[1-9][0-9]{0,6}")
_SIDES = 100  # more would not fit the numbers that sides are told by, nor be of use
_HOW = "Write it like train=98,val=2."


@dataclass(frozen=True, slots=True)
class Settings:
    """What to keep, and how to measure. Sides in pixels, sizes in bytes, times in seconds; 0 lifts a rule.

    Raises UsageError where a value is out of range.
    """

    min_side: int = 100
    max_aspect: float = 0.0  # longer side over shorter side
    where: str = ""  # a DuckDB condition
    dedup: str = "phash"
    radius: int = 4  # bits
    mirrored: bool = False
    keep: str = ""  # a column: more is better; with a minus: less is
    placeholder_from: int = 20  # URLs of one host with the same bytes
    against: tuple[Path, ...] = ()
    since: Path | None = None  # an earlier decision
    pairs: tuple[Path, ...] = ()  # what a person said
    # measuring
    workers: int = 0  # 0: one a core
    decode_timeout: float = 10.0
    worker_memory: int = 1024 * MIB
    max_pixels: int = 100_000_000
    max_bytes: int = 256 * MIB  # a file on one's own disk may be larger than one from the web
    full_decode: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the flag."""
        check_ranges(self, _RANGES)
        if 0 < self.max_aspect < 1:
            raise UsageError(
                f"--max-aspect must be 0 (any) or at least 1, not {self.max_aspect}: nothing could pass."
            )
        if self.dedup not in ("none", "bytes", "phash"):
            raise UsageError(f"--dedup is one of none, bytes, phash, not {self.dedup!r}.")
        if self.against and self.dedup == "none":
            raise UsageError("--against drops copies, so it needs --dedup bytes or --dedup phash.")

    def worker_count(self) -> int:
        """How many processes measure and encode."""
        return self.workers or cores()


@dataclass(frozen=True, slots=True)
class ExportSettings:
    """How the kept images are written out. Raises UsageError where a value is out of range."""

    form: str = "webdataset"  # or folder, parquet
    encoding: Encoding = field(default_factory=Encoding)
    shuffle: int | None = None  # seed
    split: tuple[tuple[str, int], ...] = ()  # (("train", 98), ("val", 2)): names and their parts of the sum
    shard_size: int = 10_000  # images
    shard_bytes: int = 1 << 30
    workers: int = 0
    decode_timeout: float = 10.0
    worker_memory: int = 1024 * MIB
    max_pixels: int = 100_000_000

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the flag."""
        if self.form not in ("webdataset", "folder", "parquet"):
            raise UsageError(f"--as is one of webdataset, folder, parquet, not {self.form!r}.")
        check_ranges(self, _RANGES)

    def worker_count(self) -> int:
        """How many processes encode."""
        return self.workers or cores()


def as_flags(settings: Settings) -> Iterator[str]:
    """What to type for these settings, without those that are as by default."""
    for one_of in fields(settings):
        value, default = getattr(settings, one_of.name), one_of.default
        flag = f"--{one_of.name.replace('_', '-')}"
        if isinstance(value, tuple):
            for one in value:
                yield from (flag, str(one))
        elif value is True:
            yield flag
        elif value != default:
            yield from (flag, str(value))


def parse_split(text: str) -> tuple[tuple[str, int], ...]:
    """The sides in "train=98,val=2" and their parts of the sum; () for "". Raises UsageError."""
    sides = []
    for part in filter(None, text.split(",")):
        name, _, share = (piece.strip() for piece in part.partition("="))
        if not _NAME.fullmatch(name) or not _SHARE.fullmatch(share):
            raise UsageError(f"--split: {part.strip()!r} is not a name and a whole number above 0. {_HOW}")
        sides.append((name, int(share)))
    if len(sides) == 1 or len(sides) > _SIDES:
        raise UsageError(f"--split: {text!r} does not name 2 to {_SIDES} sides. {_HOW}")
    if len({name.casefold() for name, _ in sides}) < len(sides):
        raise UsageError(f"--split: {text!r} names a side twice. {_HOW}")
    return tuple(sides)


_RANGES: dict[str, tuple[float, float]] = {
    "min_side": (0, ANY),
    "max_aspect": (0, ANY),
    "radius": (0, 16),
    "placeholder_from": (0, ANY),
    "workers": (0, 1024),
    "decode_timeout": (0.05, 3600),
    "worker_memory": (64 * MIB, ANY),
    "max_pixels": (1, 1 << 32),
    "max_bytes": (1024, 1 << 40),
    "shard_size": (1, 1_000_000),
    "shard_bytes": (1, 1 << 40),
}
