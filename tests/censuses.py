"""Made-up images for those who decide, and sources that hold them in memory."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from curator.reasons import BY_NAME
from curator.sources.source import SOURCE_SCHEMA
from curator.verdicts import Census


@dataclass(frozen=True)
class Image:
    """One image as a census sees it; digests are made of numbers."""

    uid: int
    sha: int = 0
    phash: int = 0
    mirror: int = 0
    low: bool = False
    width: int = 200
    height: int = 200
    bytes: int = 1000
    unmeasured: str = ""
    wanted: bool = True
    keep: float = 0.0


def digest(number, size):
    """A number as the bytes of a digest, which differs from others in its last bytes only."""
    return int(number).to_bytes(size, "big")


def census(images, theirs=(), *, sources=None, keep=False):
    """The census of `images`, from one source or as many as `sources` has lengths, and of what others have."""
    rows = [*images, *theirs]
    lengths = [*(sources or [len(images)]), *([len(theirs)] if theirs else [])]
    return Census(
        starts=np.cumsum([0, *lengths]),
        ours=len(images),
        uid=digests([row.uid for row in rows], 16),
        unmeasured=column([BY_NAME[row.unmeasured].code if row.unmeasured else 0 for row in rows], np.uint8),
        width=column([row.width for row in rows], np.int32),
        height=column([row.height for row in rows], np.int32),
        bytes=column([row.bytes for row in rows], np.int64),
        sha256=digests([row.sha for row in rows], 32),
        phash=column([row.phash for row in rows], np.uint64),
        mirror=column([row.mirror for row in rows], np.uint64),
        low_information=column([row.low for row in rows], np.bool_),
        wanted=column([row.wanted for row in rows], np.bool_),
        keep=column([row.keep for row in rows], np.float64) if keep else None,
    )


def column(values, kind):
    """An array, also of nothing."""
    return np.array(values, kind)


def digests(numbers, size):
    """Numbers as an array of digests, shape (n, size)."""
    return np.frombuffer(b"".join(digest(number, size) for number in numbers), np.uint8).reshape(-1, size)


MEASURED = {
    "path": "a.jpg",
    "width": 640,
    "height": 480,
    "format": "jpeg",
    "bytes": 5000,
    "phash": "00000000000000ff",
    "phash_mirror": "ff00000000000000",
    "low_information": False,
    "sharpness": 1.0,
}


@dataclass
class Held:
    """A source whose rows are in memory: dicts, what they lack is as in MEASURED, uid and sha256 are numbered."""

    images: list
    own: dict = field(default_factory=dict)  # columns of the input and their types
    label: str = "held"
    batch: int = 1000
    kind: str = "files"
    asked: list = field(default_factory=list)  # the columns of each reading

    @property
    def path(self):
        """Where it would be."""
        return Path("/pictures") / self.label

    @property
    def schema(self):
        """Ours and the input's columns."""
        return pa.schema([*SOURCE_SCHEMA, *self.own.items()])

    def __len__(self):
        """Images."""
        return len(self.images)

    def rows(self, columns=None):
        """In batches of `batch`."""
        names = self.schema.names if columns is None else list(columns)
        self.asked.append(names)
        schema = pa.schema([self.schema.field(name) for name in names])
        for start in range(0, len(self.images), self.batch):
            rows = [self._row(at) for at in range(start, min(start + self.batch, len(self.images)))]
            yield pa.RecordBatch.from_pylist(rows, schema=schema)

    def _row(self, at):
        numbered = {"uid": f"{at:032x}", "sha256": f"{at:064x}"}
        row = self.images[at]
        return numbered | ({} if row.get("unmeasured") else MEASURED) | row
