"""failures.parquet: every URL that was decided and not saved, with all that its list said of it.

The columns that are ours are named in the schema's metadata, so that the file is a list for another
crawl: that one carries the input columns on and leaves ours behind.
"""

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from curator.dataset.columns import OWN_COLUMNS_KEY, decode, to_array
from curator.dataset.layout import Layout, replace_whole, sync_folder
from curator.dataset.ledger import WAITING, Ledger, Pages
from curator.dataset.rows import Columns
from curator.dataset.tables import write_table
from curator.hosts import host_of
from curator.reasons import BY_CODE, Reason

PAGE = 5_000

OWN_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("uid", pa.string()),
    ("url", pa.string()),
    ("host", pa.string()),
    ("reason", pa.string()),
    ("http_status", pa.int32()),
    ("detail", pa.string()),
    ("attempts", pa.int32()),
    ("final_url", pa.string()),
    ("duplicate_of", pa.string()),
    ("distance", pa.int32()),
)
_PAGE_QUERY = f"""
    SELECT json_array(lower(hex(f.uid)), f.state, coalesce(f.attempts, 0), l.url, l.data, v.http_status,
                      v.detail, v.final_url, lower(hex(v.duplicate_of)), v.distance) AS row
    FROM frontier f JOIN links l ON l.id = f.link JOIN verdicts v ON v.uid = f.uid
    WHERE f.uid > ? AND f.state > {WAITING} AND f.state <> {Reason.SAVED.code} ORDER BY f.uid LIMIT ?
"""


def failures_schema(columns: Columns) -> pa.Schema:
    """Ours first, then every input column with its type."""
    own = json.dumps([name for name, _ in OWN_FIELDS]).encode()
    fields = [pa.field(name, kind) for name, kind in OWN_FIELDS]
    return pa.schema([*fields, *columns.schema], metadata={OWN_COLUMNS_KEY: own})


def write_failures(layout: Layout, ledger: Ledger, columns: Columns) -> None:
    """Write failures.parquet in uid order, whole or not at all, in constant memory. Raises OSError."""
    replace_whole(layout.failures, lambda file: _write(file, ledger, columns))
    sync_folder(layout.root)


def _write(file: BinaryIO, ledger: Ledger, columns: Columns) -> None:
    schema = failures_schema(columns)
    write_table(file, schema, (_table(rows, columns, schema) for rows in _pages(ledger)))


def _pages(ledger: Ledger) -> Iterator[list[list[Any]]]:
    pages, after, last = Pages(ledger, _PAGE_QUERY, PAGE), b"", False
    while not last:
        rows, last = pages.page(after)
        if rows:
            after = bytes.fromhex(rows[-1][0])
            yield rows


def _table(rows: list[list[Any]], columns: Columns, schema: pa.Schema) -> pa.Table:
    own: list[list[object]] = []
    listed: list[list[object]] = []
    for uid, state, attempts, url, data, status, detail, final_url, original, distance in rows:
        reason = BY_CODE[state].value
        own.append(
            # lower(hex(NULL)) is "" in SQLite, and a status of 0 says that there was no response
            [
                uid,
                url,
                host_of(url),
                reason,
                status or None,
                detail,
                attempts,
                final_url,
                original or None,
                distance,
            ]
        )
        if columns.schema:
            listed.append(decode(data, columns.schema))
    arrays = [
        pa.array(values, kind) for values, (_, kind) in zip(zip(*own, strict=True), OWN_FIELDS, strict=True)
    ]
    arrays += [to_array([row[i] for row in listed], field) for i, field in enumerate(columns.schema)]
    return pa.Table.from_arrays(arrays, schema=schema)
