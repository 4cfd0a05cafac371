"""Which image already kept is this one a copy of? Exact, in the order of arrival, for a whole crawl.

How it works
- Each kept image is one row in a few growing columns. Nothing else is kept per image but row numbers.
- If two hashes differ in at most R bits and 63 of them are cut into R + 1 bands, at least one band is
  equal in both (pigeonhole). So per band the rows are sorted by its value, and a query looks at R + 1
  runs of rows: at R = 4, a thousand of a million. Bit 63, the mean, is 1 in nearly every hash: it tells
  nothing and is in no band.
- Above R = 6 the bands are so narrow that the runs are most of everything; one pass over the column of
  hashes, a millisecond per million, is faster then.
- Identical bytes are found the same way: one band of 16 bits of the SHA-256, of which half is kept. A
  chance meeting of 128 bits takes more images than there are.
- New rows are passed over one by one until they are a sixteenth of the rest; then the runs are built
  again, by radix sort. Adding costs a few us, the building included, which comes in pauses (0.1 s
  at a million).

Bytes per image: 36 for bytes, 65 for phash at radius 4, times up to 1.25 for room to grow.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from curator.reasons import Reason
from curator.records import Measures, Undecoded

Dedup = Literal["none", "bytes", "phash"]
Found = tuple[Reason, bytes, int]

_BITS = 63
_MOST_BANDS = 7
_KEY_BITS = 16
_GROWTH = 1.25

_T = TypeVar("_T", bound=np.generic)
_U64 = npt.NDArray[np.uint64]
_U32 = npt.NDArray[np.uint32]


class DuplicateIndex:
    """The images kept so far. `find` asks for one, `add` keeps one, `extend` many at once."""

    def __init__(self, dedup: Dedup, radius: int = 4) -> None:
        """Start empty. `radius`: bits in which near duplicates may differ; only "phash" uses it."""
        self._dedup = dedup
        self._radius = radius
        self._size = 0
        self._uid = np.empty((0, 2), np.uint64)
        self._sha = np.empty((0, 2), np.uint64)
        self._phash = np.empty(0, np.uint64)
        self._low = np.empty(0, np.bool_)
        self._indexed = 0  # rows below this are in the runs
        self._sha_runs = _Runs(0, _KEY_BITS)
        self._bands = [_Runs(*band) for band in _cut(radius)] if dedup == "phash" else []

    def __len__(self) -> int:
        """Images kept; 0 when nothing is compared."""
        return self._size

    @property
    def bytes_used(self) -> int:
        """Memory held, room to grow included."""
        columns = (self._uid, self._sha, self._phash, self._low)
        return sum(column.nbytes for column in columns) + sum(runs.nbytes for runs in self._runs())

    def find(self, image: Measures | Undecoded) -> Found | None:
        """The kept image that this one duplicates: why, its uid, and the bits they differ in.

        Identical bytes first; else the nearest hash within the radius, of several the first to arrive.
        A hash that says nothing (`low_information`) is never compared, nor what has none.
        """
        if not self._size:
            return None
        row = self._same_bytes(_halves(image.sha256))
        if row is not None:
            return Reason.SAME_BYTES, self._uid[row].tobytes(), 0
        if self._dedup == "bytes" or isinstance(image, Undecoded) or image.low_information:
            return None
        return self._near(np.uint64(int(image.phash, 16)))

    def add(self, uid: bytes, image: Measures | Undecoded) -> None:
        """Keep one image under its 16-byte uid."""
        if self._dedup == "none":
            return
        self._reserve(1)
        at = self._size
        self._uid[at] = np.frombuffer(uid, np.uint64)
        self._sha[at] = _halves(image.sha256)
        if self._dedup == "phash":
            self._low[at] = isinstance(image, Undecoded) or image.low_information
            self._phash[at] = 0 if isinstance(image, Undecoded) else int(image.phash, 16)
        self._size += 1
        self._reindex()

    def extend(
        self,
        uids: npt.NDArray[np.uint8],
        sha256: npt.NDArray[np.uint8],
        phash: _U64,
        low_information: npt.NDArray[np.bool_],
    ) -> None:
        """Keep n images: uids of shape (n, 16), digests of shape (n, 32), hashes and flags of shape (n,).

        The last two are not looked at unless hashes are compared.
        """
        if self._dedup == "none" or not len(uids):
            return
        self._reserve(len(uids))
        rows = slice(self._size, self._size + len(uids))
        self._uid[rows] = np.ascontiguousarray(uids).view(np.uint64)
        self._sha[rows] = np.ascontiguousarray(sha256[:, :16]).view(np.uint64)
        if self._dedup == "phash":
            self._phash[rows] = phash
            self._low[rows] = low_information
        self._size += len(uids)
        self._reindex()

    def _same_bytes(self, halves: _U64) -> int | None:
        first, second = halves
        rows = self._sha_runs.equal(first)
        hits = rows[(self._sha[rows, 0] == first) & (self._sha[rows, 1] == second)]
        if hits.size:
            return int(hits.min())
        recent = self._sha[self._indexed : self._size]
        hits = np.flatnonzero((recent[:, 0] == first) & (recent[:, 1] == second))
        return self._indexed + int(hits[0]) if hits.size else None

    def _near(self, phash: np.uint64) -> Found | None:
        best: tuple[int, int] | None = None  # distance, then row: the least is the answer
        for rows, distances in self._compared(phash):
            if not distances.size or (least := int(distances.min())) > self._radius:
                continue
            row = int(rows[distances == least].min())
            best = (least, row) if best is None else min(best, (least, row))
        return best and (Reason.NEAR_DUPLICATE, self._uid[best[1]].tobytes(), best[0])

    def _compared(self, phash: np.uint64) -> Iterator[tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]]:
        """Rows that may be near and how far they are: those of equal bands, then all that are in no run."""
        if self._bands:
            rows = np.concatenate([band.equal(phash) for band in self._bands])
            yield rows, np.bitwise_count(self._phash[rows] ^ phash)
        start = self._indexed if self._bands else 0
        distances = np.bitwise_count(self._phash[start : self._size] ^ phash)
        distances[self._low[start : self._size]] = 255
        close = np.flatnonzero(distances <= self._radius)
        yield close + start, distances[close]

    def _reserve(self, more: int) -> None:
        need = self._size + more
        if need <= len(self._uid):
            return
        room = max(need, 1024, int(self._size * _GROWTH))
        self._uid = _grown(self._uid, self._size, room)
        self._sha = _grown(self._sha, self._size, room)
        if self._dedup == "phash":
            self._phash = _grown(self._phash, self._size, room)
            self._low = _grown(self._low, self._size, room)

    def _reindex(self) -> None:
        """Build the runs again when too many rows are in none."""
        if self._size - self._indexed <= min(max(4096, self._indexed // 16), 1 << 17):
            return
        self._sha_runs.build(self._sha[: self._size, 0], None)
        if self._bands:
            told = np.flatnonzero(~self._low[: self._size]).astype(np.uint32)
            hashes = self._phash[told]
            for band in self._bands:
                band.build(hashes, told)
        self._indexed = self._size

    def _runs(self) -> Iterator["_Runs"]:
        yield self._sha_runs
        yield from self._bands


class _Runs:
    """Row numbers sorted by some bits of a 64-bit column, in order of arrival where those are equal."""

    def __init__(self, shift: int, bits: int) -> None:
        self._shift = np.uint64(shift)
        self._mask = np.uint64((1 << bits) - 1)
        self._starts: npt.NDArray[np.int64] = np.zeros((1 << bits) + 1, np.int64)
        self._rows: _U32 = np.empty(0, np.uint32)

    @property
    def nbytes(self) -> int:
        return self._rows.nbytes + self._starts.nbytes

    def build(self, column: _U64, rows: _U32 | None) -> None:
        """Sort `rows` (all, when None) by their values in `column`."""
        keys = ((column >> self._shift) & self._mask).astype(np.uint16)  # 16 bits: numpy sorts by radix
        order = np.argsort(keys, kind="stable")
        self._rows = order.astype(np.uint32) if rows is None else rows[order]
        counts = np.bincount(keys, minlength=len(self._starts) - 1)
        np.cumsum(counts, out=self._starts[1:])

    def equal(self, value: np.uint64) -> _U32:
        """The rows that have the bits of `value`."""
        key = int((value >> self._shift) & self._mask)
        return self._rows[self._starts[key] : self._starts[key + 1]]


def _cut(radius: int) -> list[tuple[int, int]]:
    """(shift, bits) of each band; none where one pass over everything is faster."""
    bands = radius + 1
    if bands > _MOST_BANDS:
        return []
    edges = [_BITS * band // bands for band in range(bands + 1)]
    return [(low, min(high - low, _KEY_BITS)) for low, high in pairwise(edges)]


def _halves(sha256: str) -> _U64:
    return np.frombuffer(bytes.fromhex(sha256[:32]), np.uint64)


def _grown(column: npt.NDArray[_T], used: int, room: int) -> npt.NDArray[_T]:
    grown = np.empty((room, *column.shape[1:]), column.dtype)
    grown[:used] = column[:used]
    return grown
