"""Sealing: whole under the final name or not there, from whatever a kill left."""

import json
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator.dataset import Dataset, sealing, tables
from curator.dataset import ledger as ledger_module
from curator.dataset.layout import Layout
from curator.dataset.sealing import begin_sealing, finish_sealing, rows_to_table
from curator.dataset.store import Store
from curator.dataset.verify import verify
from curator.errors import CorruptDataset
from tests.command import tree
from tests.datasets import BARE, CAPTIONED, committer, drawn, ingest, make, opened, picture, saved, url
from tests.killed import Killed, killed_at_each_step


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    """What is left by kills before each step."""
    return killed_at_each_step("seal", tmp_path_factory.mktemp("seal"))


def test_the_tar_is_whole_before_it_has_its_name(left: list[Killed]) -> None:
    """Parquet and stats are durable before the archive's end, that before its name, that before `sealed`."""
    steps = [killed.step for killed in left]

    assert steps[6:] == [
        "sync .00000.parquet.tmp",
        "rename 00000.parquet",
        "sync .00000_stats.json.tmp",
        "rename 00000_stats.json",
        "sync images",
        "write",
        "sync 00000.tar.part",
        "rename 00000.tar",
        "sync images",
        "commit",
        "survived",
    ]


def test_killed_at_each_step(left: list[Killed]) -> None:
    """Killed before any step of sealing, the dataset is whole; reopening finishes what was begun."""
    begun = [killed.step for killed in left].index("sync .00000.parquet.tmp")

    for at, killed in enumerate(left):
        before = [sample.image for sample in Dataset(killed.root)]
        assert verify(killed.root).problems == (), killed
        with opened(killed.root, CAPTIONED) as store:
            states = [state for (state,) in store.ledger.db.execute("SELECT state FROM shards")]
            assert store.ledger.db.execute("SELECT count(*) FROM samples").fetchone()[0] == (
                0 if "sealed" in states else len(before)
            )
        assert states == (["sealed"] if at >= begun else ["open"] if at > 0 else []), killed
        assert verify(killed.root).problems == (), killed
        assert [sample.image for sample in Dataset(killed.root)] == before, killed


def test_a_sealed_shard_is_plain_tar_parquet_and_json(tmp_path: Path) -> None:
    """The standard library reads the archive, its Parquet has a row per sample in the same order."""
    make(tmp_path / "data", samples=3, failures=0, pending=0)
    images = tmp_path / "data" / "images"

    with tarfile.open(images / "00000.tar") as archive:
        names = archive.getnames()
        sidecars = [
            json.load(archive.extractfile(f"{name[:-4]}.json")) for name in names if name.endswith(".jpg")
        ]
    rows = pq.read_table(images / "00000.parquet").to_pylist()
    stats = json.loads((images / "00000_stats.json").read_text())

    assert names == [
        f"{key}.{end}" for key in ("000000", "000001", "000002") for end in ("jpg", "json", "txt")
    ]
    assert [row["uid"] for row in rows] == [sidecar["uid"] for sidecar in sidecars]
    assert not any(None in sidecar.values() for sidecar in sidecars)
    assert any(row["caption"] is None for row in rows)
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (3, 3, {"success": 3})


def test_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    """Archives are deterministic."""
    for name in ("a", "b"):
        make(tmp_path / name)
    a, b = ((tmp_path / name / "images" / "00000.tar").read_bytes() for name in ("a", "b"))
    assert a == b


def test_nothing_saved_seals_nothing(tmp_path: Path) -> None:
    """A dataset without a sample has no shard, and is whole."""
    make(tmp_path / "data", samples=0)
    assert not list((tmp_path / "data" / "images").glob("*.tar"))
    assert verify(tmp_path / "data").problems == ()
    with opened(tmp_path / "empty", BARE):
        pass
    assert verify(tmp_path / "empty").problems == ()
    assert Dataset(tmp_path / "empty").rows().num_rows == 0


def with_long_captions(store: Store, count: int, length: int) -> None:
    """Save `count` images whose captions are `length` characters, all in the open shard."""
    ingest(store, [url(n) for n in range(count)], [f'["{n:0{length}d}",{n}]' for n in range(count)])
    run = store.begin_run((), {})
    with closing(committer(store, run.id)) as writing:
        for i, link in enumerate(drawn(store)):
            writing.commit([saved(link, picture(i % 4))])


def test_rows_beyond_one_value_are_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard whose rows exceed SQLite's longest value is sealed page by page, in row groups, and reads back."""
    monkeypatch.setattr(ledger_module, "PAGE_BYTES", 200_000)
    monkeypatch.setattr(tables, "GROUP_BYTES", 400_000)
    root = tmp_path / "data"
    with opened(root, CAPTIONED, shard_size=100) as store:
        with_long_captions(store, 60, 20_000)
        store.ledger.db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        begin_sealing(store.ledger, 0)
        finish_sealing(store.ledger, store.layout, store.columns, 0)

    groups = pq.ParquetFile(root / "images" / "00000.parquet").metadata
    rows = [groups.row_group(i).num_rows for i in range(groups.num_row_groups)]
    assert (sum(rows), max(rows) < 20) == (60, True)
    assert verify(root).problems == ()
    assert [len(sample.caption or "") for sample in Dataset(root)] == [20_000] * 60


@pytest.mark.parametrize(
    ("page", "remembered", "again"),
    [
        pytest.param(1_000, 1 << 20, False, id="remembered, one table"),
        pytest.param(2, 1 << 20, False, id="remembered, many tables"),
        pytest.param(2, 5_000, False, id="too large to be remembered"),
        pytest.param(2, 1 << 20, True, id="found open"),
    ],
)
def test_a_shard_is_sealed_from_memory_or_from_the_ledger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: int, remembered: int, again: bool
) -> None:
    """Its Parquet says what the ledger said, row by row."""
    monkeypatch.setattr(sealing, "_PAGE", page)
    monkeypatch.setattr(sealing, "_REMEMBERED_TEXT", remembered)
    with opened(tmp_path / "data", CAPTIONED, shard_size=100) as store:
        ingest(store, [url(n) for n in range(9)], [f'["{n}",{n}]' if n % 3 else None for n in range(9)])
        run = store.begin_run((), {})
        events = [saved(link, picture(i)) for i, link in enumerate(drawn(store, run.id))]
        writing = committer(store, run.id)
        for some in (events[:4], events[4:]):
            if again:
                writing.close()
                writing = committer(store, run.id)
            writing.commit(some)
        expected = rows_to_table(sealing.LedgerRows(store.ledger).page(0, 0, 9), store.columns)
        writing.seal()
        assert pq.read_table(store.layout.parquet(0)) == expected


def both(layout: Layout) -> None:
    """Somebody's archive under the final name."""
    layout.tar(0).write_bytes(b"precious")


def neither(layout: Layout) -> None:
    """The archive is gone."""
    layout.part(0).unlink()


def shorter(layout: Layout) -> None:
    """Another archive in place of ours."""
    layout.part(0).rename(layout.tar(0))


@pytest.mark.parametrize(
    ("damage", "told"), [(both, "both there"), (neither, "missing"), (shorter, "were written")]
)
def test_another_archive_is_not_taken_for_ours(
    tmp_path: Path, damage: Callable[[Layout], None], told: str
) -> None:
    """Sealing that finds an archive it cannot have left stops, with nothing changed."""
    root = tmp_path / "data"
    make(root, samples=3, failures=0, pending=0, seal=False)
    with opened(root, CAPTIONED) as store:
        begin_sealing(store.ledger, 0)
        damage(store.layout)
        before = tree(root / "images")
        with pytest.raises(CorruptDataset, match=told):
            finish_sealing(store.ledger, store.layout, store.columns, 0)
        assert tree(root / "images") == before
        assert store.ledger.db.execute("SELECT state FROM shards").fetchall() == [("sealing",)]
