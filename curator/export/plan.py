"""What is written where, told by the decisions and the settings alone.

A run that was killed and the one that goes on make the same plan, so shards that are whole need no second
look. Images are known by their ordinal among the kept ones; about 64 bytes each are held.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator.dataset.layout import SHARD_DIGITS
from curator.decisions import read_provenance
from curator.digests import from_hex
from curator.errors import CorruptDataset, UsageError
from curator.export.split import components, mixed, sides
from curator.identical import groups
from curator.settings import ExportSettings

_RADIUS = 4  # bits: copies on two sides of a split are a leak, however few bits the user asked for
_ORDER = ("uid", "bytes", "captions")
_COPIES = ("sha256", "phash", "phash_mirror", "low_information", "stands_for")

_U64 = npt.NDArray[np.uint64]
_I64 = npt.NDArray[np.int64]
_Groups = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Part:
    """A shard, a Parquet file, or so many files of a folder: what is written whole or not at all."""

    name: str  # "00000" or "train-00000"
    split: str  # "" where there is none
    number: int  # within its split
    start: int  # of its images in the plan's order
    stop: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The order in which n images are written, and where it is cut."""

    order: _I64  # (n,) ordinals among the kept images
    bytes: _I64  # (n,) of the images in that order, as they are now
    nth: _I64  # (n,) and which each is of the kept images of its uid, in the order of the table: mostly 0
    parts: tuple[Part, ...]
    captioned: bool  # whether any image has a caption
    groups: _I64  # (row groups + 1,) where the kept images of each of the table's row groups begin


class Table:
    """decisions.parquet, held open: it stays the one it is where `curate` puts another in its place."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises UsageError where it is no table of decisions."""
        self.path = path
        try:
            self._file = pa.OSFile(os.fsencode(path))
            self._parquet = pq.ParquetFile(self._file)
        except (OSError, pa.ArrowException) as error:
            raise UsageError(
                f"{path} cannot be read as what `curate` decided ({error}). Run curate first."
            ) from error
        self.groups: int = self._parquet.num_row_groups
        self.schema: pa.Schema = self._parquet.schema_arrow
        self.provenance = read_provenance(path, self.schema)

    def close(self) -> None:
        """Close the file."""
        self._parquet.close()
        self._file.close()

    def digest(self) -> str:
        """The SHA-256 of the file."""
        with self.damage_told():
            self._file.seek(0)
            return hashlib.file_digest(self._file, "sha256").hexdigest()

    def kept(self, group: int, columns: Sequence[str]) -> pa.Table:
        """The kept rows of one row group, as a table of `columns`. Raises CorruptDataset."""
        with self.damage_told():
            rows = self._parquet.read_row_group(group, ["kept", *columns])
            return rows.filter(rows["kept"]).select(columns)

    @contextmanager
    def damage_told(self) -> Iterator[None]:
        """Raise CorruptDataset where what is read inside makes no sense."""
        try:
            yield
        except (OSError, pa.ArrowException, ValueError) as error:
            told = " ".join(str(error).split())
            raise CorruptDataset(f"{self.path} is damaged ({told}). Run curate again.") from error


def make_plan(decisions: Table, settings: ExportSettings) -> Plan:
    """The plan for a table of decisions. Raises CorruptDataset."""
    wanted = _ORDER + (_COPIES if settings.split else ())
    counts, captioned, columns = [0], False, []
    for rows in (decisions.kept(group, wanted) for group in range(decisions.groups)):
        counts.append(counts[-1] + len(rows))
        captioned = captioned or bool(pc.any(pc.greater(pc.list_value_length(rows["captions"]), 0)).as_py())
        with decisions.damage_told():
            columns.append(_arrays(rows))
    names = list(columns[0]) if columns else []
    known = {name: np.concatenate([one.pop(name) for one in columns]) for name in names}
    if not counts[-1]:
        nothing = np.zeros(0, np.int64)
        return Plan(nothing, nothing, nothing, (), captioned, np.array(counts))
    same_uid = groups(known["uid"].view(np.uint8))
    side = _sides(known, same_uid, settings, decisions.provenance.settings)
    order = _order(known["uid"], side, settings.shuffle)
    size, nth = known["bytes"][order], _nth(same_uid)[order]
    return Plan(order, size, nth, tuple(_parts(side[order], size, settings)), captioned, np.array(counts))


def _arrays(rows: pa.Table) -> dict[str, npt.NDArray[Any]]:
    """What is held of the images."""
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    uid = _words(columns["uid"], 16)
    held: dict[str, npt.NDArray[Any]] = {"uid": uid, "bytes": columns["bytes"].to_numpy()}
    if "stands_for" not in columns:
        return held
    others = columns["stands_for"]
    lengths = pc.fill_null(pc.list_value_length(others), 0).to_numpy()
    least = uid[:, 0].copy()
    np.minimum.at(least, np.repeat(np.arange(len(rows)), lengths), _words(others.flatten(), 16)[:, 0])
    return held | {
        "least": least,
        "sha256": from_hex(columns["sha256"], 32),
        "phash": _words(columns["phash"], 8)[:, 0],
        "phash_mirror": _words(columns["phash_mirror"], 8)[:, 0],
        "says": ~columns["low_information"].to_numpy(zero_copy_only=False),
    }


def _words(column: pa.Array, width: int) -> _U64:
    """Digests in hex as numbers of shape (n, width / 8) that sort as they do."""
    return from_hex(column, width).view(">u8").astype(np.uint64)


def _nth(same: _Groups) -> _I64:
    """Of n rows with the numbers of their groups, which row of its group each is."""
    order = np.argsort(same, kind="stable")
    ordered = same[order]
    nth = np.empty(len(same), np.int64)
    nth[order] = np.arange(len(same)) - np.searchsorted(ordered, ordered)
    return nth


def _sides(
    known: dict[str, npt.NDArray[Any]], same_uid: _Groups, settings: ExportSettings, decided: dict[str, Any]
) -> npt.NDArray[np.uint8]:
    if not settings.split:
        return np.zeros(len(known["uid"]), np.uint8)
    says = np.flatnonzero(known["says"])
    hashes, owner = known["phash"][says], says
    if decided.get("mirrored"):
        hashes, owner = np.concatenate([hashes, known["phash_mirror"][says]]), np.tile(says, 2)
    radius = max(_RADIUS, int(decided.get("radius", 0)))
    # one URL in two datasets may have other bytes in each, and shows one thing
    same = [groups(known["sha256"]), same_uid]
    component = components(hashes, owner, same, radius, workers=settings.worker_count())
    return sides(component, known["least"], [part for _, part in settings.split])


def _order(uid: _U64, side: npt.NDArray[np.uint8], seed: int | None) -> _I64:
    """Ordinals by their side, then as they are decided, or by a hash of seed and uid."""
    if seed is None:
        return np.argsort(side, kind="stable")
    salt = mixed(np.array([seed % (1 << 64)], np.uint64))
    return np.lexsort((uid[:, 1], uid[:, 0], mixed(uid[:, 0] ^ salt), side))


def _parts(side: npt.NDArray[np.uint8], size: _I64, settings: ExportSettings) -> Iterator[Part]:
    names = [name for name, _ in settings.split] or [""]
    edges = np.searchsorted(side, np.arange(len(names) + 1))
    for split, (start, stop) in zip(names, pairwise(edges.tolist()), strict=True):
        for number, (first, last) in enumerate(pairwise(cuts(size[start:stop], settings))):
            digits = f"{number:0{SHARD_DIGITS}d}"
            yield Part(f"{split}-{digits}" if split else digits, split, number, start + first, start + last)


def cuts(size: _I64, settings: ExportSettings) -> Iterator[int]:
    """Where the parts of images of these sizes begin, and the end: each has as many as may be, at least one."""
    ends = np.cumsum(size)
    at, taken = 0, 0
    yield at
    while at < len(size):
        fitting = int(np.searchsorted(ends, taken + settings.shard_bytes, "right"))
        at = max(at + 1, min(at + settings.shard_size, fitting))
        taken = int(ends[at - 1])
        yield at
