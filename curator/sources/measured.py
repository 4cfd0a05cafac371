"""A folder of images, or foreign shards, as a source: what the store remembers of it, in the order of its names."""

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curator.digests import reason_names, to_hex
from curator.errors import CorruptDataset, UsageError
from curator.sources import fields
from curator.sources.items import file_of, shown, true_name
from curator.sources.measures import FACTS, damage_told, open_to_read
from curator.sources.source import SOURCE_SCHEMA, Place

ROWS = 16_384  # in a batch,
TEXT = 16 << 20  # or a few more than this many characters of EXIF and fields
_NOBODY = 0  # no source's number
_NOTHING = bytes(FACTS.itemsize)
_FACTS = frozenset(FACTS.names or ())


class Measured:
    """The images at `path` that were measured as the source `label` into the file `store`.

    Made when all of them are. Raises CorruptDataset where the file is damaged, UsageError where it is not ours
    or cannot be read; it is not written to.
    """

    kind = "files"

    def __init__(self, label: str, path: Path, store: Path) -> None:
        self.label, self.path, self._file = label, path, store
        with damage_told(store), closing(open_to_read(store)) as db:
            named = db.execute("SELECT id FROM sources WHERE label = ?", (shown(label),)).fetchone()
            self._source = named[0] if named else _NOBODY
            (self._images,) = db.execute(
                "SELECT count(*) FROM images WHERE source = ? AND NOT gone", (self._source,)
            ).fetchone()
            counts = db.execute(
                "SELECT name, kind, images FROM fields WHERE source = ?", (self._source,)
            ).fetchall()
        self._own = fields.columns({(name, kind): n for name, kind, n in counts})
        self.schema = pa.schema([*SOURCE_SCHEMA, *((name, kind) for name, (_, kind) in self._own.items())])

    def __len__(self) -> int:
        """Images."""
        return int(self._images)

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in the order of paths and keys; at most 16,384 in a batch. Raises CorruptDataset."""
        names = list(self.schema.names if columns is None else columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        stored = list(dict.fromkeys(["reason", *(stored_in(name) for name in names)]))
        with damage_told(self._file), closing(open_to_read(self._file)) as db:
            rows = db.execute(
                f"SELECT {', '.join(stored)} FROM images WHERE source = ? AND NOT gone ORDER BY path, key",  # noqa: S608
                (self._source,),
            )
            for some in _pages(rows, [at for at, name in enumerate(stored) if name in ("exif", "data")]):
                page = Page(dict(zip(stored, zip(*some, strict=True), strict=True)), self._file)
                arrays = [self._column(page, name) for name in names]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def locate(self, paths: Sequence[str], keys: Sequence[str | None]) -> list[Place]:
        """Where the bytes of these images are. Raises UsageError where one was never measured."""
        places: list[Place] = []
        files: dict[str, Path] = {}
        with damage_told(self._file), closing(open_to_read(self._file)) as db:
            for path, key in zip(paths, keys, strict=True):
                row = db.execute(
                    'SELECT "offset", "length", "row", "column" FROM images'
                    " WHERE source = ? AND path = ? AND key = ? AND NOT gone",
                    (self._source, path, key or ""),
                ).fetchone()
                if row is None:
                    raise UsageError(f"{self.path}: {path} is not there any more. Run curate again.")
                if path not in files:
                    files = {path: file_of(self.path, true_name(path))}
                places.append(Place(files[path], *row))
        return places

    def _column(self, page: "Page", name: str) -> pa.Array:
        if name not in self._own:
            return page.column(name)
        field, kind = self._own[name]
        return fields.to_array([sample.get(field) for sample in page.samples], kind)


@dataclass(frozen=True)
class Page:
    """Some rows of the store, column by column."""

    stored: Mapping[str, Sequence[Any]]
    file: Path

    def column(self, name: str) -> pa.Array:
        """One of the columns that every source has."""
        if name == "uid":
            return to_hex(np.frombuffer(b"".join(self.stored[name]), np.uint8).reshape(-1, 16))
        if name == "key":
            return pa.array([key or None for key in self.stored[name]], pa.string())
        if name == "unmeasured":
            return reason_names(self.reason)
        if name == "detail":
            return pc.if_else(pa.array(self.reason > 0), pa.array(self.stored[name], pa.string()), None)
        if name in _FACTS:
            facts, measured = self.facts[name], self.reason == 0
            return to_hex(facts, measured) if facts.ndim > 1 else pa.array(facts, mask=~measured)
        if name == "url":
            return fields.urls(self.samples)
        if name == "captions":
            return fields.captions(self.samples)
        return pa.array(self.stored[name], pa.string())

    @cached_property
    def reason(self) -> npt.NDArray[np.uint8]:
        """The codes of the Reasons why images have no measures, 0 where they have."""
        return np.array(self.stored["reason"], np.uint8)

    @cached_property
    def facts(self) -> npt.NDArray[np.void]:
        """What was measured, of the type FACTS; zeros where nothing was."""
        packed = b"".join(facts or _NOTHING for facts in self.stored["facts"])
        if len(packed) != len(self.reason) * FACTS.itemsize:
            raise CorruptDataset(f"{self.file}: damaged. Delete it, and the images are measured again.")
        return np.frombuffer(packed, FACTS)

    @cached_property
    def samples(self) -> Sequence[dict[str, Any]]:
        """The fields that each sample brought along."""
        found: list[dict[str, Any]] = json.loads(
            f"[{','.join(data or '{}' for data in self.stored['data'])}]"
        )
        return found


def stored_in(name: str) -> str:
    """The store's column that the source's column `name` is made of."""
    if name == "unmeasured":
        return "reason"
    if name in _FACTS:
        return "facts"
    return name if name in SOURCE_SCHEMA.names and name not in ("url", "captions") else "data"


def _pages(rows: sqlite3.Cursor, texts: Sequence[int]) -> Iterator[list[tuple[Any, ...]]]:
    """The rows in pages, which end early where the columns at `texts` are long."""
    page: list[tuple[Any, ...]] = []
    size, once = 0, 64 if texts else ROWS
    while some := rows.fetchmany(once):
        page += some
        size += sum(len(row[at] or "") for at in texts for row in some)
        if len(page) >= ROWS or size >= TEXT:
            yield page
            page, size = [], 0
    if page:
        yield page
