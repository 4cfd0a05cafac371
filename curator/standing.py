"""Whom each survivor stands for: the images left out as its duplicates, their URLs and captions.

All of them are kept as Arrow arrays in the order of their survivors, so that those of a batch of survivors are
a slice. A curation of five million images that leaves out one million holds some 200 bytes for each of these.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curator.digests import to_hex
from curator.sources.copies import Copies
from curator.sources.source import Source
from curator.verdicts import Census, Verdicts

_Ends = npt.NDArray[np.int64]

TEXT = 64 << 10  # bytes of URLs, and of captions, that a survivor's row repeats
# large ones: what all survivors stand for may be more text than 2 GiB
_TOLD = pa.schema([("url", pa.large_string()), ("captions", pa.large_list(pa.large_string()))])


@dataclass(frozen=True, slots=True)
class Standing:
    """Lists of strings for the n decided rows, most of them empty."""

    uids: "Lists"
    urls: "Lists"
    captions: "Lists"

    def leads(self, rows: slice) -> npt.NDArray[np.bool_]:
        """Which of these rows stand for others."""
        ends = self.uids.ends[rows.start : rows.stop + 1]
        return ends[1:] > ends[:-1]

    def lists(self, rows: slice) -> tuple[pa.Array, pa.Array, pa.Array]:
        """Their uids, URLs and captions, a list for each of these rows."""
        return self.uids.of(rows), self.urls.of(rows), self.captions.of(rows)


@dataclass(frozen=True, slots=True)
class Lists:
    """A list of strings for each of n rows: `ends` of shape (n + 1,), row i has values[ends[i]:ends[i + 1]]."""

    ends: _Ends
    values: pa.Array | pa.ChunkedArray

    def of(self, rows: slice) -> pa.Array:
        """The lists of these rows."""
        ends = self.ends[rows.start : rows.stop + 1]
        values = self.values.slice(int(ends[0]), int(ends[-1] - ends[0]))
        flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        return pa.ListArray.from_arrays(pa.array(ends - ends[0], pa.int32()), flat.cast(pa.string()))


def stand_for(
    sources: Sequence[Source], census: Census, verdicts: Verdicts, copies: Mapping[int, Copies]
) -> Standing:
    """Read what is told of those left out as duplicates of an image that is kept.

    `copies`: what the crawl of a source, by its place among `sources`, had left out before.
    """
    leader = verdicts.leader
    follower = np.flatnonzero((leader != np.arange(len(leader))) & (leader < census.ours))
    leaders, uids = [leader[follower]], [census.uid[follower]]
    told = list(_told(sources, census, follower))
    for number, known in copies.items():
        start, end = census.starts[number : number + 2]
        found = known.of(census.uid[start:end])
        leaders.append(leader[start + found.owner])
        uids.append(found.uid)
        columns = [pa.array(found.url, _TOLD.types[0]), pa.array(found.captions, _TOLD.types[1])]
        told.append(pa.RecordBatch.from_arrays(columns, schema=_TOLD))
    return _standing(
        np.concatenate(leaders), np.concatenate(uids), pa.Table.from_batches(told, _TOLD), verdicts
    )


def _standing(
    leader: npt.NDArray[np.int64], uid: npt.NDArray[np.uint8], told: pa.Table, verdicts: Verdicts
) -> Standing:
    """The lists of survivors, of what stands under them in any order."""
    kept = verdicts.kept
    under = np.flatnonzero(leader < len(kept))
    under = under[kept[leader[under]]]
    ordered = under[np.argsort(leader[under], kind="stable")]
    ends = np.concatenate(([0], np.cumsum(np.bincount(leader[ordered], minlength=len(kept)))))
    told = told.take(pa.array(ordered))
    return Standing(
        Lists(ends, to_hex(uid[ordered])),
        _named(ends, told.column("url")),
        _flat(ends, told.column("captions")),
    )


def _told(sources: Sequence[Source], census: Census, rows: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """URL and captions of these rows, which ascend."""
    for source, start, end in zip(sources, census.starts, census.starts[1:], strict=False):
        wanted = rows[np.searchsorted(rows, start) : np.searchsorted(rows, end)] - start
        at = 0
        for batch in source.rows(_TOLD.names) if len(wanted) else ():
            first, last = np.searchsorted(wanted, (at, at + len(batch)))
            if last > first:
                yield batch.take(pa.array(wanted[first:last] - at)).cast(_TOLD)
            at += len(batch)


def _named(ends: _Ends, values: pa.ChunkedArray) -> Lists:
    """One value for each follower, without those that are null."""
    before = np.concatenate(([0], np.cumsum(values.is_valid().to_numpy().astype(np.int64))))
    return _bounded(before[ends], values.drop_null())


def _flat(ends: _Ends, values: pa.ChunkedArray) -> Lists:
    """A list for each follower, those of one row joined."""
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy().astype(np.int64)
    before = np.concatenate(([0], np.cumsum(lengths)))
    return _bounded(before[ends], pc.list_flatten(values))


def _bounded(ends: _Ends, values: pa.ChunkedArray) -> Lists:
    """The first values of each row, as many as take TEXT bytes: Arrow has no batch of more than 2 GiB of text."""
    total = np.cumsum(pc.fill_null(pc.binary_length(values), 0).to_numpy(), dtype=np.int64)
    before = np.concatenate(([0], total))[ends[:-1]]  # bytes before each row
    fits = total - np.repeat(before, np.diff(ends)) <= TEXT
    if fits.all():
        return Lists(ends, values)
    kept = np.concatenate(([0], np.cumsum(fits)))
    return Lists(kept[ends], values.filter(pa.array(fits)))
