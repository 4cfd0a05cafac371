"""Parquet: read in slices of a row group, one buffered page after the other, never a row group at once.

A row group that cannot be read ends the list, although those behind it could be: how far a list was read
is one number, and rows left out in front of it would never be asked for again.
"""

import json
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from crawler.lists.fit import fit_array
from crawler.lists.header import Header, Picked
from crawler.lists.rows import MAX_CHARS, MAX_ROWS, Chunk
from crawler.lists.streams import Damaged, what_failed
from curator.dataset.columns import OWN_COLUMNS_KEY, carried_type
from curator.errors import UsageError

_BUFFER = 1 << 20  # bytes of each column read ahead; without it a whole column chunk is


def header(path: str) -> Header:
    """The columns in the footer. Raises UsageError if there is none or a name stands twice."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise UsageError(f"{path}: not a readable Parquet file: {what_failed(error)}") from error
    for name in schema.names:
        if len(schema.get_all_field_indices(name)) > 1:
            raise UsageError(f"{path}: two columns are called {name!r}: rename one")
    own = json.loads((schema.metadata or {}).get(OWN_COLUMNS_KEY, b"[]"))
    return Header({field.name: carried_type(field.type) or field.type for field in schema}, frozenset(own))


def read(path: str, picked: Picked, skip: int) -> Iterator[Chunk]:
    """The rows behind the first `skip`. Row groups in front of them are not read.

    Raises OSError behind all that could be read.
    """
    names = list(dict.fromkeys([picked.url, *filter(None, picked.columns)]))
    try:
        with pq.ParquetFile(path, buffer_size=_BUFFER, pre_buffer=False) as file:
            before = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if before + rows > skip:
                    yield from _read_group(file, group, names, picked, before, skip)
                before += rows
    except (pa.ArrowException, OSError) as error:
        raise Damaged(f"the Parquet data cannot be read here ({what_failed(error)})") from error


def _read_group(
    file: pq.ParquetFile, group: int, names: list[str], picked: Picked, before: int, skip: int
) -> Iterator[Chunk]:
    about = file.metadata.row_group(group)
    size = min(MAX_ROWS, max(1, MAX_CHARS * about.num_rows // max(1, about.total_byte_size)))
    for batch in file.iter_batches(size, row_groups=[group], columns=names, use_threads=False):
        rest = batch.slice(max(0, skip - before))
        before += len(batch)
        if len(rest):
            yield _chunk(rest, picked, before)


def _chunk(batch: pa.RecordBatch, picked: Picked, end: int) -> Chunk:
    urls, _ = fit_array(batch.column(picked.url), pa.string())
    chunk = Chunk(end, range(end - len(batch) + 1, end + 1), urls)
    columns = []
    for name, field in zip(picked.columns, picked.schema, strict=True):
        array = pa.nulls(len(batch)) if name is None else batch.column(name)
        fitting, misfits = fit_array(array, field.type)
        columns.append(fitting)
        chunk.misfits += misfits
    chunk.columns = columns
    return chunk
