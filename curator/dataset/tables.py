"""Parquet files written in bounded memory: tables come a page at a time and are joined to row groups."""

from collections.abc import Iterable
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

GROUP_ROWS = 25_000  # rows per row group: small ones make a poor Parquet file, large ones take memory
GROUP_BYTES = 64 << 20  # of Arrow data, for rows that are long


# columns of which no two rows are the same: a dictionary of them would be as large as they are
_DISTINCT = frozenset(
    {"uid", "key", "url", "final_url", "sha256", "stored_sha256", "phash", "phash_mirror", "etag"}
)


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
