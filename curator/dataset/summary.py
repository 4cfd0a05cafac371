"""summary.json: the totals of a dataset, which always add up."""

import json
from pathlib import Path
from typing import Any

from curator.dataset.layout import Layout, replace_whole, sync_folder
from curator.dataset.ledger import PENDING, WAITING, Ledger
from curator.reasons import BY_CODE, Reason


def summary(ledger: Ledger) -> dict[str, Any]:
    """The totals, as JSON: `links` = `saved` + all of `reasons` + `pending`.

    `waiting` are those of `pending` that were tried and will be tried again; `listed_rows` counts rows
    of lists, repeats included; `bad_rows` of them are no links; `bytes` is the size of all shards.
    """
    ledger.db.execute("BEGIN")  # one snapshot, also while a crawl commits
    try:
        counts = ledger.counts()
        listed, bad = ledger.db.execute(
            "SELECT coalesce(sum(rows), 0), coalesce(sum(bad), 0) FROM sources"
        ).fetchone()
        shards, size = ledger.db.execute(
            "SELECT count(*), coalesce(sum(length), 0) FROM shards WHERE samples > 0"
        ).fetchone()
        runs, seconds = ledger.db.execute("SELECT count(*), coalesce(sum(seconds), 0) FROM runs").fetchone()
    finally:
        ledger.db.execute("ROLLBACK")
    saved = counts.pop(Reason.SAVED.code, 0)
    waiting = counts.pop(WAITING, 0)
    pending = counts.pop(PENDING, 0) + waiting
    return {
        "links": saved + pending + sum(counts.values()),
        "saved": saved,
        "reasons": {BY_CODE[code].value: counts[code] for code in sorted(counts)},
        "pending": pending,
        "waiting": waiting,
        "listed_rows": listed,
        "bad_rows": bad,
        "shards": shards,
        "bytes": size,
        "runs": runs,
        "seconds": round(seconds, 3),
    }


def first_bad_rows(ledger: Ledger, limit: int = 5) -> tuple[str, ...]:
    """The first rows of lists that could not be read: "urls.csv row 3: not UTF-8"."""
    rows = ledger.db.execute(
        "SELECT s.path, b.row, b.detail FROM bad_rows b JOIN sources s ON s.id = b.source"
        " ORDER BY b.source, b.row LIMIT ?",
        (limit,),
    )
    return tuple(f"{Path(path).name} row {row:,}: {detail}" for path, row, detail in rows)


def write_summary(layout: Layout, ledger: Ledger) -> None:
    """Write summary.json, whole or not at all. Raises OSError."""
    text = json.dumps(summary(ledger), indent=4).encode() + b"\n"
    replace_whole(layout.summary, lambda file: file.write(text))
    sync_folder(layout.root)
