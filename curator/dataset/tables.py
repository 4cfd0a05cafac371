"""Parquet files of any name read; and written in bounded memory: pages are joined to row groups."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 25_000  # rows per row group: small ones make a poor Parquet file, large ones take memory
GROUP_BYTES = 64 << 20  # of Arrow data, for rows that are long


# columns of which no two rows are the same: a dictionary of them would be as large as they are
_DISTINCT = frozenset(
    {"uid", "key", "url", "final_url", "sha256", "stored_sha256", "phash", "phash_mirror", "etag"}
)


@contextmanager
def open_table(path: Path, buffer_size: int = 0) -> Iterator[pq.ParquetFile]:
    """A Parquet file to be read. Raises OSError, pa.ArrowException."""
    # opened here, since given a path that is no UTF-8 pyarrow raises UnicodeEncodeError
    with pa.OSFile(os.fsencode(path)) as file, pq.ParquetFile(file, buffer_size=buffer_size) as parquet:
        yield parquet


def write_table(file: BinaryIO, schema: pa.Schema, pages: Iterable[pa.Table]) -> None:
    """Write `pages`, all of `schema`, as one Parquet file."""
    group: list[pa.Table] = []
    repeating = [name for name in schema.names if name not in _DISTINCT]
    with pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=repeating) as writer:
        for page in pages:
            group.append(page)
            if sum(map(len, group)) >= GROUP_ROWS or sum(part.nbytes for part in group) >= GROUP_BYTES:
                writer.write_table(pa.concat_tables(group))
                group = []
        if group:
            writer.write_table(pa.concat_tables(group))
