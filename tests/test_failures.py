"""failures.parquet, summary.json and the card: what a user finds beside the shards."""

import json
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.dataset import ledger as ledger_module
from curator.dataset import tables
from curator.dataset.columns import OWN_COLUMNS_KEY, RESERVED
from curator.dataset.failures import OWN_FIELDS, failures_schema, write_failures
from curator.dataset.store import Store
from curator.dataset.summary import summary, write_summary
from curator.hosts import host_of
from curator.reasons import Reason
from tests.datasets import (
    CAPTIONED,
    committer,
    drawn,
    ingest,
    lost,
    make,
    opened,
    picture,
    postponed,
    saved,
    url,
)


def write(root: Path) -> pa.Table:
    """Write failures.parquet anew and read it."""
    with opened(root, None) as store:
        write_failures(store.layout, store.ledger, store.columns)
        return pq.read_table(store.layout.failures)


def test_every_failure_with_what_its_list_said(tmp_path: Path) -> None:
    """One row per link that was decided and not saved, its input columns as typed as they came."""
    images = make(tmp_path / "data", samples=10, failures=3, pending=2)
    table = write(tmp_path / "data")

    assert table.schema.names == [*(name for name, _ in OWN_FIELDS), "caption", "input_WIDTH"]
    assert table.schema.field("input_WIDTH").type == pa.int64()
    assert table.num_rows == 3
    numbers = {url(n): n for n in range(15)}
    for row in table.to_pylist():
        n = numbers[row["url"]]
        assert row["url"] not in images
        assert (row["host"], row["reason"], row["http_status"]) == (f"site{n % 7}.example", "http_404", 404)
        assert (row["detail"], row["attempts"], row["duplicate_of"], row["distance"]) == (
            "gone",
            1,
            None,
            None,
        )
        assert (row["caption"], row["input_WIDTH"]) == ((f"caption {n}", n) if n % 3 else (None, None))


def test_a_duplicate_names_its_original(tmp_path: Path) -> None:
    """The uid of what it duplicates and the distance are there; no response has no status."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0), url(1)])
        store.begin_run((), {})
        first, second = drawn(store)
        writing = committer(store)
        copy = lost(second, Reason.NEAR_DUPLICATE, duplicate_of=first.uid, distance=2)
        writing.commit([saved(first, picture(0)), copy])
        writing.close()
    [row] = write(tmp_path / "data").to_pylist()
    assert (row["duplicate_of"], row["distance"], row["http_status"]) == (first.uid.hex(), 2, None)


def test_our_columns_are_marked(tmp_path: Path) -> None:
    """The metadata names the columns that are ours, so that another crawl leaves them behind."""
    make(tmp_path / "data")
    schema = write(tmp_path / "data").schema
    assert json.loads(schema.metadata[OWN_COLUMNS_KEY]) == [name for name, _ in OWN_FIELDS]
    assert {name for name, _ in OWN_FIELDS} <= RESERVED


def test_pages_and_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Written page by page in groups, every row is there once; written again, the file is replaced whole."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 5000)
    count = 12_001
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(count)])
        store.begin_run((), {})
        assert sum(_lose_a_page(store) for _ in range(3)) == count
    for _ in range(2):
        table = write(tmp_path / "data")
        assert sorted(table.column("url").to_pylist()) == sorted(url(n) for n in range(count))
    assert pq.ParquetFile(tmp_path / "data" / "failures.parquet").metadata.num_row_groups == 3
    assert not list((tmp_path / "data").glob(".*.tmp"))


def test_long_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Failures whose URLs exceed SQLite's longest value together are written all the same, page by page."""
    urls = [f"data:image/png;base64,{n:020000d}" for n in range(100)]
    with opened(tmp_path / "data") as store:
        ingest(store, urls)
        store.begin_run((), {})
        _lose_a_page(store)
        monkeypatch.setattr(ledger_module, "PAGE_BYTES", 100_000)
        monkeypatch.setattr(tables, "GROUP_BYTES", 300_000)
        store.ledger.db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 500_000)
        write_failures(store.layout, store.ledger, store.columns)
        file = pq.ParquetFile(store.layout.failures)
    assert sorted(file.read(["url"])["url"].to_pylist()) == urls
    assert file.metadata.num_row_groups >= 5


def _lose_a_page(store: Store) -> int:
    """Decide the next page of links."""
    links = drawn(store)
    writing = committer(store)
    writing.commit([lost(link) for link in links])
    writing.close()
    return len(links)


def test_no_failures_is_a_table_without_rows(tmp_path: Path) -> None:
    """The file is there with its schema, also when nothing failed."""
    make(tmp_path / "data", failures=0)
    table = write(tmp_path / "data")
    assert table.num_rows == 0
    with opened(tmp_path / "data", CAPTIONED) as store:
        assert table.schema.equals(failures_schema(store.columns))


HOSTS = [
    ("http://A.Example:8080/x", "a.example"),
    ("https://user:pw@b.example/", "b.example"),
    ("http://[::1]/x", "::1"),
    ("http://[::1/x", ""),
    ("not a url", ""),
    ("", ""),
]


@pytest.mark.parametrize(("listed", "host"), HOSTS)
def test_host_of(listed: str, host: str) -> None:
    """The name in lower case without port and user; nothing where there is none, never an error."""
    assert host_of(listed) == host


def test_the_summary_adds_up(tmp_path: Path) -> None:
    """Links are saved, every reason and pending together, waiting ones among the pending."""
    with opened(tmp_path / "data", CAPTIONED) as store:
        ingest(store, [url(n) for n in range(8)] + [url(0)])
        run = store.begin_run((), {})
        a, b, c, d, e, *_ = drawn(store)
        writing = committer(store)
        writing.commit([saved(a, picture(0)), lost(b), lost(c, Reason.TIMEOUT), lost(d), postponed(e, 5.0)])
        writing.seal()
        store.end_run(run.id, finished=False, seconds=2.5)
        write_summary(store.layout, store.ledger)
        found = json.loads(store.layout.summary.read_text())

        assert found == summary(store.ledger)
        size = store.ledger.db.execute("SELECT length FROM shards").fetchone()[0]
    assert found == {
        "links": 8,
        "saved": 1,
        "reasons": {"http_404": 2, "timeout": 1},
        "pending": 4,
        "waiting": 1,
        "listed_rows": 9,
        "bad_rows": 0,
        "shards": 1,
        "bytes": size,
        "runs": 1,
        "seconds": 2.5,
    }
