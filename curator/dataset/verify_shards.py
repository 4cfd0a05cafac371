"""What must hold for one shard: archive, rows and ledger say the same of every sample.

Why a flipped byte is always found
- Archive: a header must be the one that would be written; an image has its `stored_sha256`; a sidecar
  must be in the one form that is written and say what the row says; what is between is zeros.
- Rows: each is compared with its sidecar, column by column.
- Ledger: each sample's verdict must name its place. Places differ, so when there are as many saved
  links as samples, each saved link has its own sample.
"""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from curator.dataset.columns import to_array
from curator.dataset.layout import Layout, sample_key
from curator.dataset.ledger import Ledger
from curator.dataset.problems import Problems
from curator.dataset.reader import shard_rows
from curator.dataset.rows import Columns, finite, sidecar
from curator.dataset.shards import BLOCK
from curator.dataset.tables import open_table
from curator.dataset.tars import StoredSample, open_shard, read_end, read_sample
from curator.errors import CorruptDataset
from curator.fixed import Fixed
from curator.reasons import Reason
from curator.units import counted

# What reading a damaged file or row may raise, foreign libraries' own errors included.
_DAMAGE = (
    *(OSError, sqlite3.DatabaseError, pa.ArrowException, CorruptDataset),
    *(ValueError, TypeError, KeyError, OverflowError),  # the last: a moment beyond Python's calendar
)


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as the ledger knows it."""

    id: int
    state: str  # "open", "sealing" or "sealed"
    length: int  # committed bytes, without the end of the archive
    samples: int

    def files(self, layout: Layout) -> list[Path]:
        """What may be in images/ of it."""
        beside = [layout.parquet(self.id), layout.stats(self.id)]
        if self.state == "open":
            return [layout.part(self.id)]
        return [layout.tar(self.id), *beside, *([layout.part(self.id)] if self.state == "sealing" else [])]


class ShardChecker:
    """Reads shards back one after another; `samples` and `bytes` are what was found whole."""

    def __init__(
        self, layout: Layout, ledger: Ledger, columns: Columns, fixed: Fixed, problems: Problems
    ) -> None:
        self._layout, self._ledger, self._columns, self._problems = layout, ledger, columns, problems
        self._shard_size, self._extension = fixed.shard_size, fixed.encoding().extension
        self.samples = self.bytes = 0

    def check(self, shard: Shard) -> None:
        """Check one shard, adding to the problems what is wrong with it."""
        if shard.samples == 0:
            return  # just made: its file may not exist yet
        where = (self._layout.tar if shard.state == "sealed" else self._layout.part)(shard.id).name
        try:
            if not (self._check_beside(shard) if shard.state == "sealed" else self._has_rows(shard)):
                return
            with open_shard(self._layout, shard.id) as file:
                where = Path(file.name).name
                self._check_samples(shard, file)
                if shard.state == "sealed":
                    read_end(file)
        except FileNotFoundError:
            self._problems.add(f"images/{where}: missing")
        except _DAMAGE as error:
            self._problems.add(f"images/{where}: {error}")

    def _has_rows(self, shard: Shard) -> bool:
        """Whether the ledger holds the rows of an unsealed shard: no gap, none too many."""
        found = self._ledger.db.execute(
            "SELECT count(*), min(idx), max(idx) FROM samples WHERE shard = ?", (shard.id,)
        ).fetchone()
        if found == (shard.samples, 0, shard.samples - 1):
            return True
        self._problems.add(
            f"ledger.sqlite: shard {shard.id} has {shard.samples:,} samples, but {found[0]:,} rows"
        )
        return False

    def _check_beside(self, shard: Shard) -> bool:
        """Stats and Parquet of a sealed shard; whether there are rows to hold the archive against."""
        stats, rows = self._layout.stats(shard.id), self._layout.parquet(shard.id)
        try:
            counted = json.loads(stats.read_bytes())
            if (counted["count"], counted["successes"]) != (shard.samples, shard.samples):
                self._problems.add(f"images/{stats.name}: does not count {shard.samples:,} samples")
        except _DAMAGE as error:
            self._problems.add(f"images/{stats.name}: cannot be read ({error})")
        try:
            with open_table(rows) as file:
                schema, found = file.schema_arrow, file.metadata.num_rows
        except _DAMAGE as error:
            self._problems.add(f"images/{rows.name}: cannot be read ({error})")
            return False
        if found != shard.samples:
            self._problems.add(f"images/{rows.name}: {found:,} rows for {shard.samples:,} samples")
        if not schema.equals(self._columns.samples):
            self._problems.add(f"images/{rows.name}: its columns are not those of the dataset")
            return False
        return True

    def _check_samples(self, shard: Shard, file: BinaryIO) -> None:
        """Every sample up to the committed length; ValueError where the archive cannot be followed."""
        index, name = 0, Path(file.name).name
        names = self._columns.samples.names
        for batch in shard_rows(self._layout, self._ledger, self._columns, shard.id, shard.samples, names):
            keys = [sample_key(shard.id, index + i, self._shard_size) for i in range(len(batch))]
            self._check_keys(batch, keys, name)
            self._check_verdicts(batch, keys, shard.id, index)
            self._check_members(batch, keys, file, shard.samples - index)
            index += len(batch)
        if file.tell() != shard.length:
            raise ValueError(f"samples end at byte {file.tell():,}, but {shard.length:,} were committed")

    def _check_keys(self, batch: pa.RecordBatch, keys: Sequence[str], name: str) -> None:
        for key, found in zip(keys, batch.column("key").to_pylist(), strict=True):
            if key != found:
                self._problems.add(f"images/{name}: the row of sample {key} has the key {found}")

    def _check_verdicts(self, batch: pa.RecordBatch, keys: Sequence[str], shard: int, start: int) -> None:
        """Each sample's link is saved, as this sample, from this URL."""
        uids: list[str] = batch.column("uid").to_pylist()
        known = self._verdicts(uids)
        for i, (uid, url) in enumerate(zip(uids, batch.column("url").to_pylist(), strict=True)):
            if known.get(uid) != (Reason.SAVED.code, shard, start + i, url):
                self._problems.add(
                    f"sample {keys[i]}: the ledger does not say that uid {uid} was saved there, from {url}"
                )

    def _verdicts(self, uids: Sequence[str]) -> dict[str, tuple[int, int, int, str]]:
        """State, shard, index and URL of the links that have a verdict."""
        found = self._ledger.db.execute(
            "SELECT lower(hex(f.uid)), f.state, v.shard, v.idx, l.url FROM frontier f"
            " JOIN verdicts v ON v.uid = f.uid JOIN links l ON l.id = f.link"
            f" WHERE f.uid IN ({','.join('?' * len(uids))})",
            [bytes.fromhex(uid) for uid in uids],
        )
        return {uid: (state, shard, index, url) for uid, state, shard, index, url in found}

    def _check_members(self, batch: pa.RecordBatch, keys: Sequence[str], file: BinaryIO, left: int) -> None:
        """Images against their digests, sidecars and captions against their rows; `left` samples with these.

        ValueError where the archive cannot be followed, naming the sample.
        """
        stored: list[StoredSample] = []
        told = (batch.column(name).to_pylist() for name in ("stored_sha256", "url", "tar_offset"))
        digests, urls, offsets = told
        try:
            for i, key in enumerate(keys):
                if offsets[i] != file.tell() + BLOCK:
                    name = Path(file.name).name
                    self._problems.add(f"images/{name}: sample {key}: its image is not at its tar_offset")
                try:
                    stored.append(self._member(key, digests[i], urls[i], file))
                except (OSError, ValueError) as error:
                    unread = f"{counted(left - i, 'sample')} from there on could not be read"
                    raise ValueError(f"sample {key}: {error}, from {urls[i]}; {unread}") from error
        finally:  # what could be read is checked, also when the rest could not
            self._check_texts(batch.slice(0, len(stored)), keys, stored, Path(file.name).name)

    def _member(self, key: str, digest: str, url: str, file: BinaryIO) -> StoredSample:
        stored = read_sample(file, key, has_caption=self._columns.has_caption)
        if stored.extension != self._extension:
            self._problems.add(
                f"images/{Path(file.name).name}: sample {key}: its image is a .{stored.extension},"
                f" not a .{self._extension}"
            )
        if sha256(stored.image).hexdigest() == digest:
            self.samples += 1
            self.bytes += len(stored.image)
        else:
            self._problems.add(
                f"images/{Path(file.name).name}: sample {key}: its image is not the one that was stored"
                f" (stored_sha256), from {url}"
            )
        return replace(stored, image=b"")  # a page of samples is kept, not of images

    def _check_texts(
        self, batch: pa.RecordBatch, keys: Sequence[str], stored: Sequence[StoredSample], name: str
    ) -> None:
        if self._columns.has_caption:
            for key, sample, caption in zip(keys, stored, batch.column("caption").to_pylist(), strict=False):
                if sample.caption != (caption or "").encode("utf-8", "replace"):
                    self._problems.add(
                        f"images/{name}: sample {key}: {key}.txt is not the caption in its row"
                    )
        told = [
            (i, row)
            for i, sample in enumerate(stored)
            if (row := self._sidecar(keys[i], sample, name)) is not None
        ]
        rows = batch.take(pa.array([i for i, _ in told], pa.int32()))
        for field, array in zip(rows.schema, rows.columns, strict=True):
            values = [row[field.name] for _, row in told]
            for i in differing(array, values, field, self._columns.empty[field.name]):
                self._problems.add(
                    f"images/{name}: sample {keys[told[i][0]]}: {field.name} differs between its JSON and its row"
                )

    def _sidecar(self, key: str, stored: StoredSample, name: str) -> dict[str, Any] | None:
        """The sidecar's values, if it is in the one form in which it is written."""
        try:
            row = json.loads(stored.sidecar)
            right = list(row) == self._columns.samples.names and sidecar(row, self._columns) == stored.sidecar
        except (ValueError, TypeError, AttributeError):
            right = False
        if not right:
            self._problems.add(f"images/{name}: sample {key}: {key}.json is damaged")
        return row if right else None


def differing(array: pa.Array, values: Sequence[object], field: pa.Field, empty: object) -> list[int]:
    """Where `values`, as a sidecar holds them, are not what `array` holds. There null is `empty`, NaN is 0."""
    if array.null_count:
        nulls = array.is_null().to_pylist()
        values = [
            None if null and value == empty else value for null, value in zip(nulls, values, strict=True)
        ]
    try:
        found = to_array(values, field)
    except (pa.ArrowException, ValueError, TypeError):
        if len(values) == 1:
            return [0]
        return [i for i in range(len(values)) if differing(array.slice(i, 1), [values[i]], field, empty)]
    if found.equals(array):
        return []
    pairs = zip(array.to_pylist(), found.to_pylist(), strict=True)
    return [i for i, (told, given) in enumerate(pairs) if finite(told) != given]
