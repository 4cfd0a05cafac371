"""What a form of export has to be able to do, and what several of them share."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from curator.dataset.tables import GROUP_BYTES, GROUP_ROWS
from curator.export.plan import Part
from curator.export.records import NewFile
from curator.export.target import Sizes


class Writer(Protocol):
    """Writes one part, which is there when `finish` returns, and not before."""

    def add(
        self, indexes: Sequence[int], stems: Sequence[str], rows: pa.Table, files: Sequence[NewFile]
    ) -> None:
        """Write images: their places in the part as planned, names, rows of decisions and files."""

    def finish(self) -> Sizes:
        """Make what was added durable under its final name; where nothing was, there is no part."""

    def close(self) -> None:
        """Let go of what is open, finished or not."""


class Form(Protocol):
    """A form of export, which knows its folder."""

    def begin(self, part: Part) -> Writer:
        """Write a part from its beginning, whatever an earlier run left of it."""

    def complete(self, parts: Sequence[tuple[Part, int]]) -> Sizes:
        """Write what tells of the whole: `parts` are those that have images, each with their number."""


class TableFile:
    """A Parquet file that rows are added to: the name is there when it is whole."""

    def __init__(self, path: Path, schema: pa.Schema, rows: int = GROUP_ROWS) -> None:
        """Begin the file. `rows`: of a row group, at most about so many."""
        self._path, self._rows = path, rows
        self._temporary = path.with_name(f".{path.name}.tmp")
        self._file: BinaryIO = self._temporary.open("wb")
        self._writer = pq.ParquetWriter(self._file, schema, compression="zstd")
        self._group: list[pa.Table] = []

    def add(self, table: pa.Table) -> None:
        """Add rows."""
        self._group.append(table)
        if sum(map(len, self._group)) >= self._rows or sum(one.nbytes for one in self._group) >= GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """Sync and rename; the caller syncs the folder."""
        self._flush()
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self.close()
        self._temporary.replace(self._path)

    def close(self) -> None:
        """Close the file, whole or not."""
        for one in (self._writer, self._file):
            with suppress(OSError):  # of a full disk, which has been told
                one.close()

    def discard(self) -> None:
        """Leave nothing behind."""
        self.close()
        self._temporary.unlink()

    def _flush(self) -> None:
        if self._group:
            self._writer.write_table(pa.concat_tables(self._group))
            self._group = []
