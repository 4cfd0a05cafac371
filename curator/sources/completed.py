"""A dataset of ours of which some images were stored without decoding: the store has the measures of those.

They are listed as the images of a foreign shard are. Their version is not that of a file, which changes while a
crawl goes on and whenever a shard is sealed, but the bytes themselves: their number and a part of their digest.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from curator.errors import CorruptDataset
from curator.sources.items import Item, Known, Version, shown
from curator.sources.measured import Page, stored_in
from curator.sources.measures import damage_told, open_to_read
from curator.sources.recorded import Recorded
from curator.sources.source import MEASURES

_LISTED = ("path", "key", "bytes", "sha256", "hash_kind")
_ROWS = 1_024  # filled at once: each may bring along all of its EXIF
# what a crawl says of an image as it came, beside what it says of the file it made: here they are one
_SAME = {"original_width": "width", "original_height": "height"}
_FILLED = {"unmeasured", "detail", *_SAME, *(name for name, _ in MEASURES)} - {"bytes", "sha256"}


class Completed(Recorded):
    """The dataset at `path`, with measures from the file `store` for what was stored without."""

    def __init__(self, label: str, path: Path, store: Path) -> None:
        """Raises as `Recorded` does. `rows` wants all of `unmeasured` to be in the store."""
        super().__init__(label, path)
        self._store = store

    @cached_property
    def whole(self) -> bool:
        """Whether the crawl has measured everything, and the store is not needed. Raises CorruptDataset."""
        return all(not batch["hash_kind"].null_count for batch in super().rows(["hash_kind"]))

    def unmeasured(self, known: Known) -> Iterator[Item]:
        """What is to be measured, in order. Raises CorruptDataset."""
        for batch in super().rows(_LISTED):
            rows = batch.filter(pc.is_null(batch["hash_kind"])).to_pylist()
            places = self.locate([row["path"] for row in rows], [row["key"] for row in rows])
            for row, place in zip(rows, places, strict=True):
                yield Item(row["path"], row["key"], _version(row["bytes"], row["sha256"]), place)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in the order they were committed, each with its measures. Raises CorruptDataset."""
        names = list(self.schema.names if columns is None else columns)
        if self.whole:
            yield from super().rows(names)
            return
        asked = list(dict.fromkeys([*names, "path", "key", "hash_kind"]))
        with damage_told(self._store), closing(open_to_read(self._store)) as db:
            for batch in super().rows(asked):
                for start in range(0, len(batch), _ROWS):
                    yield self._filled(batch.slice(start, _ROWS), db).select(names)

    def _filled(self, batch: pa.RecordBatch, db: sqlite3.Connection) -> pa.RecordBatch:
        missing = pc.is_null(batch["hash_kind"])
        if not pc.any(missing).as_py():
            return batch
        wanted = [name for name in batch.schema.names if name in _FILLED]
        page = self._page(batch.filter(missing), wanted, db)
        for name in wanted:
            at, found = batch.schema.get_field_index(name), page.column(_SAME.get(name, name))
            filled = pc.replace_with_mask(batch[name], missing, found)
            batch = batch.set_column(at, batch.schema.field(at), filled)
        return batch

    def _page(self, rows: pa.RecordBatch, wanted: Sequence[str], db: sqlite3.Connection) -> Page:
        """What the store has of these rows of one shard."""
        path, keys = rows["path"][0].as_py(), rows["key"].to_pylist()
        columns = list(dict.fromkeys(["key", "reason", *(stored_in(_SAME.get(one, one)) for one in wanted)]))
        found = db.execute(
            f"SELECT {', '.join(f'i.{name}' for name in columns)} FROM images i"  # noqa: S608
            " JOIN sources s ON s.id = i.source"
            " WHERE s.label = ? AND path = ? AND key BETWEEN ? AND ? AND NOT gone ORDER BY key",
            (shown(self.label), shown(path), keys[0], keys[-1]),
        ).fetchall()
        page = Page(dict(zip(columns, zip(*found, strict=True), strict=bool(found))), self._store)
        if list(page.stored.get("key", ())) != keys:
            raise CorruptDataset(f"{self._store} changed while it was read. Run curate again.")
        return page


def _version(size: int, sha256: str) -> Version:
    return size, int(sha256[:15], 16)
