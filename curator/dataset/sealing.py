"""Sealing: an open shard becomes a whole tar under its final name, its Parquet and stats beside it.

The steps, each durable before the next: the ledger says `sealing` (the shard is never appended to
again); Parquet and stats are written and renamed; the archive's end is written and synced, the tar
is renamed last; the ledger says `sealed` and lets go of the rows. A start that finds `sealing` does
all of it again from whichever names exist: the rows are in the ledger until the last step.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.dataset.columns import to_array
from curator.dataset.layout import Layout, replace_whole, sync_folder
from curator.dataset.ledger import Ledger
from curator.dataset.rows import Columns
from curator.dataset.shards import OpenShard

_PAGE = 1_000  # rows turned from JSON to Arrow at once


def begin_sealing(ledger: Ledger, shard: int) -> None:
    """Step one: from here on the shard is never appended to."""
    with ledger.transaction() as db:
        db.execute("UPDATE shards SET state = 'sealing' WHERE id = ?", (shard,))


def finish_sealing(ledger: Ledger, layout: Layout, columns: Columns, shard: int) -> None:
    """All steps after the first, from whatever a kill left of them."""
    length, samples = ledger.db.execute(
        "SELECT length, samples FROM shards WHERE id = ?", (shard,)
    ).fetchone()
    pages = (ledger_rows(ledger, shard, start, start + _PAGE) for start in range(0, samples, _PAGE))
    table = pa.concat_tables([rows_to_table(page, columns) for page in pages])
    replace_whole(layout.parquet(shard), lambda file: pq.write_table(table, file, compression="zstd"))
    stats = json.dumps(_stats(ledger, shard), indent=4).encode()
    replace_whole(layout.stats(shard), lambda file: file.write(stats))
    sync_folder(layout.images)
    if not layout.tar(shard).exists():
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


def ledger_rows(ledger: Ledger, shard: int, start: int, end: int) -> list[dict[str, Any]]:
    """The rows `start` to `end` of an unsealed shard; none once it is sealed.

    Fetched in one step (see ledger.py), as text: SQLite's JSON has no NaN.
    """
    texts = ledger.db.execute(
        "SELECT json_group_array(row) FROM"
        " (SELECT row FROM samples WHERE shard = ? AND idx >= ? AND idx < ? ORDER BY idx)",
        (shard, start, end),
    ).fetchone()[0]
    return [json.loads(text) for text in json.loads(texts)]


def rows_to_table(rows: list[dict[str, Any]], columns: Columns) -> pa.Table:
    """Sample rows as the ledger keeps them, as a table of the dataset's one schema."""
    schema = columns.samples
    arrays = [to_array([row[field.name] for row in rows], field) for field in schema]
    return pa.Table.from_arrays(arrays, schema=schema)


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
