"""Sealing: an open shard becomes a whole tar under its final name, its Parquet and stats beside it.

The steps, each durable before the next: the ledger says `sealing` (the shard is never appended to
again); Parquet and stats are written and renamed; the archive's end is written and synced, the tar
is renamed last; the ledger says `sealed` and lets go of the rows. A start that finds `sealing` does
all of it again from whichever names exist: the rows are in the ledger until the last step.
"""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any

import pyarrow as pa

from curator.dataset.columns import to_array
from curator.dataset.layout import Layout, replace_whole, sync_folder
from curator.dataset.ledger import Ledger, Pages
from curator.dataset.rows import Columns
from curator.dataset.shards import OpenShard, sealed_size
from curator.dataset.tables import write_table
from curator.errors import CorruptDataset

_BACKUP = "Put back what was there, from a backup if need be; nothing was changed."
_PAGE = 1_000  # rows turned to Arrow at once
_PAGE_TEXT, _REMEMBERED_TEXT = 4 << 20, 32 << 20  # characters of rows
_ROWS = "SELECT row FROM samples WHERE shard = ? AND idx >= ? AND idx < ? ORDER BY idx LIMIT ?"


def begin_sealing(ledger: Ledger, shard: int) -> None:
    """Step one: from here on the shard is never appended to."""
    with ledger.transaction() as db:
        db.execute("UPDATE shards SET state = 'sealing' WHERE id = ?", (shard,))


class Remembered:
    """The rows of a shard that was filled in one go, as tables: sealing it need not read them from the ledger.

    Only while they are not large, and nothing but the committed rows, in their order.
    """

    def __init__(self, columns: Columns) -> None:
        """Of a shard that is empty."""
        self._columns = columns
        self._rows: list[dict[str, Any]] = []  # not yet in a table
        self._tables: list[pa.Table] = []
        self._text, self._all_text = 0, 0

    def add(self, rows: Sequence[dict[str, Any]], text: int) -> None:
        """These were committed; they take `text` characters."""
        self._all_text += text
        if self._all_text > _REMEMBERED_TEXT:
            self._rows, self._tables = [], []
            return
        self._rows += rows
        self._text += text
        if len(self._rows) >= _PAGE or self._text >= _PAGE_TEXT:
            self._pack()

    def tables(self, samples: int) -> Sequence[pa.Table] | None:
        """All `samples` rows of the shard, None where some are in the ledger alone."""
        if self._rows:
            self._pack()
        return self._tables if sum(map(len, self._tables)) == samples else None

    def _pack(self) -> None:
        self._tables.append(rows_to_table(self._rows, self._columns))
        self._rows, self._text = [], 0


def finish_sealing(
    ledger: Ledger, layout: Layout, columns: Columns, shard: int, remembered: Remembered | None = None
) -> None:
    """All steps after the first, from whatever a kill left of them.

    Raises CorruptDataset, with nothing changed, where the archive is not what the steps leave.
    """
    length, samples = ledger.db.execute(
        "SELECT length, samples FROM shards WHERE id = ?", (shard,)
    ).fetchone()
    whole = _is_whole(layout, shard, length)
    tables = (remembered and remembered.tables(samples)) or _tables(ledger, columns, shard, samples)
    replace_whole(layout.parquet(shard), lambda file: write_table(file, columns.samples, tables))
    stats = json.dumps(_stats(ledger, shard), indent=4).encode()
    replace_whole(layout.stats(shard), lambda file: file.write(stats))
    sync_folder(layout.images)
    if not whole:
        part = OpenShard(layout, shard, length, samples)
        part.finish()
        part.close()
        layout.part(shard).replace(layout.tar(shard))
        sync_folder(layout.images)
    with ledger.transaction() as db:
        db.execute("UPDATE shards SET state = 'sealed' WHERE id = ?", (shard,))
        db.execute("DELETE FROM samples WHERE shard = ?", (shard,))


def finish_interrupted(ledger: Ledger, layout: Layout, columns: Columns) -> None:
    """At start: finish every sealing that a kill cut short."""
    for (shard,) in ledger.db.execute("SELECT id FROM shards WHERE state = 'sealing' ORDER BY id").fetchall():
        finish_sealing(ledger, layout, columns, shard)


class LedgerRows:
    """The rows of unsealed shards, a page at a time, at most `limit` at once."""

    def __init__(self, ledger: Ledger, limit: int = _PAGE) -> None:
        self._pages = Pages(ledger, _ROWS, limit)

    def page(self, shard: int, start: int, end: int) -> list[dict[str, Any]]:
        """Rows of `shard` from `start` on, none of them `end` or beyond; none at all once it is sealed."""
        return self._pages.page(shard, start, end).rows


def _is_whole(layout: Layout, shard: int, length: int) -> bool:
    """Whether the archive has its final name already."""
    tar, part = layout.tar(shard), layout.part(shard)
    if not tar.exists():
        if not part.exists():
            raise CorruptDataset(f"{part}: missing, but {length:,} bytes of it were committed. {_BACKUP}")
        return False
    if part.exists():
        raise CorruptDataset(f"{tar} and {part.name} are both there, and one of them is not ours. {_BACKUP}")
    if (found := tar.stat().st_size) != sealed_size(length):
        raise CorruptDataset(f"{tar}: {found:,} bytes, but {sealed_size(length):,} were written. {_BACKUP}")
    return True


def _tables(ledger: Ledger, columns: Columns, shard: int, samples: int) -> Iterator[pa.Table]:
    rows, done = LedgerRows(ledger), 0
    while done < samples:
        page = rows.page(shard, done, samples)
        if not page:
            raise CorruptDataset(
                f"{ledger.path}: shard {shard} has {samples:,} samples, but {done:,} rows. {_BACKUP}"
            )
        done += len(page)
        yield rows_to_table(page, columns)


def rows_to_table(rows: list[dict[str, Any]], columns: Columns) -> pa.Table:
    """Sample rows as the ledger keeps them, as a table of the dataset's one schema."""
    schema = columns.samples
    values = zip(*map(itemgetter(*schema.names), rows), strict=True)
    arrays = [_array(column, field) for column, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    if field.name == "fetched_at":  # text cast to times would import pyarrow.compute, which takes 30 ms
        return pa.array(list(map(datetime.fromisoformat, values)), field.type)
    return to_array(values, field)


def _stats(ledger: Ledger, shard: int) -> dict[str, Any]:
    """img2dataset's `NNNNN_stats.json`; failures live in `failures.parquet`, so there are none here."""
    samples, started, ended = ledger.db.execute(
        "SELECT samples, started, coalesce(ended, ?) FROM shards WHERE id = ?", (time.time(), shard)
    ).fetchone()
    return {
        "count": samples,
        "successes": samples,
        "failed_to_download": 0,
        "failed_to_resize": 0,
        "duration": round(ended - started, 3),
        "start_time": datetime.fromtimestamp(started, UTC).isoformat(),
        "end_time": datetime.fromtimestamp(ended, UTC).isoformat(),
        "status_dict": {"success": samples},
    }
