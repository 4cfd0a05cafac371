"""Opening a dataset for writing: whose it is, what is fixed, and which run goes on."""

import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from curator.dataset import place
from curator.dataset.ledger import Ledger
from curator.dataset.store import open_store
from curator.errors import CorruptDataset, UsageError
from tests.command import tree
from tests.datasets import BARE, CAPTIONED, committer, ingest, make, opened, url


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """A folder that holds strangers is not written into, and stays as it was."""
    (tmp_path / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(UsageError, match=r"holiday\.jpg"):
        open_store(tmp_path, {}, None)
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


@pytest.mark.parametrize("name", ["00000.tar", "00000.parquet", "00000_stats.json", "00000.tar.part"])
def test_shards_of_another_tool_are_refused(tmp_path: Path, name: str) -> None:
    """A folder without a ledger whose images/ holds anything is not written into, and stays as it was."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / name).write_bytes(b"precious")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="another folder with --out"):
        open_store(tmp_path, {}, None)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("seal", [True, False])
def test_an_emptied_ledger_is_told(tmp_path: Path, seal: bool) -> None:
    """A dataset whose ledger was emptied is not begun anew over its images."""
    make(tmp_path / "data", seal=seal)
    for path in (tmp_path / "data").glob("ledger.sqlite*"):
        path.write_bytes(b"")
    before = tree(tmp_path / "data" / "images")
    with pytest.raises(CorruptDataset, match=r"is empty, but images/00000\.parquet is there"):
        open_store(tmp_path / "data", {}, None)
    assert tree(tmp_path / "data" / "images") == before
    assert (tmp_path / "data" / "ledger.sqlite").stat().st_size == 0


@pytest.mark.parametrize("name", ["00002.tar", "00002_stats.json", "00003.tar.part", "00012.parquet"])
def test_files_that_the_ledger_does_not_know_are_told(tmp_path: Path, name: str) -> None:
    """A file where a next shard would be written stops the start; other names and shards of ours do not."""
    make(tmp_path / "data", samples=10, seal=False)
    images = tmp_path / "data" / "images"
    (images / "notes.txt").touch()
    opened_store = open_store(tmp_path / "data", {}, None)
    opened_store.close()
    (images / name).write_bytes(b"precious")
    before = tree(images)
    with pytest.raises(CorruptDataset, match=name):
        open_store(tmp_path / "data", {}, None)
    assert tree(images) == before


def test_what_a_start_left_before_its_first_commit_is_ours(tmp_path: Path) -> None:
    """Bytes appended to a new shard by a start that was killed before its commit are cut, not refused."""
    with opened(tmp_path / "data") as store:
        store.ledger.db.execute("INSERT INTO shards (id, state, started) VALUES (0, 'open', 0)")
        store.layout.part(0).write_bytes(b"half a sample")
    with opened(tmp_path / "data") as store:
        committer(store).close()
        assert store.layout.part(0).stat().st_size == 0


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A path that cannot be a folder is the user's to put right."""
    (tmp_path / "data").write_bytes(b"x")
    with pytest.raises(UsageError, match="cannot be written"):
        open_store(tmp_path / "data", {}, None)


def test_one_writer(tmp_path: Path) -> None:
    """A second writer in another process is refused and told who writes; after that one is killed, it may."""
    code = (
        "import sys, time; from pathlib import Path; from curator.dataset.store import open_store\n"
        "store = open_store(Path(sys.argv[1]), {}, None); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "data")], stdout=subprocess.PIPE
    ) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"open\n"
            with pytest.raises(UsageError, match=f"process {other.pid} "):
                open_store(tmp_path / "data", {}, None)
        finally:
            other.kill()
    open_store(tmp_path / "data", {}, None).close()


@pytest.mark.parametrize(
    ("name", "value"), [("shard_size", 5), ("min_side", 100), ("dedup", "phash"), ("max_bytes", 1)]
)
def test_fixed_settings_cannot_change(tmp_path: Path, name: str, value: object) -> None:
    """A rerun with another fixed setting is told which flag differs; one that names the same goes on."""
    with opened(tmp_path / "data"):
        pass
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        open_store(tmp_path / "data", {name: value}, None)
    with opened(tmp_path / "data") as again:
        assert again.fixed.shard_size == 4


def test_columns_cannot_grow(tmp_path: Path) -> None:
    """A list with a new column is refused with the flag that leaves it out; fewer columns are fine."""
    with opened(tmp_path / "data", CAPTIONED):
        pass
    with pytest.raises(UsageError, match="--drop-columns licence"):
        open_store(tmp_path / "data", {}, pa.schema([*CAPTIONED, pa.field("licence", pa.string())]))
    with opened(tmp_path / "data", BARE) as again:
        assert again.columns.schema == CAPTIONED


def test_an_interrupted_run_is_continued(tmp_path: Path) -> None:
    """Under its own id with its own retries, until it is finished; then a new one begins."""
    with opened(tmp_path / "data") as store:
        first = store.begin_run(("timeout",), {"concurrency": 5})
        assert (first.id, first.retry, first.continued) == (1, (), False)
        again = store.begin_run(("timeout",), {})
        assert (again.id, again.retry, again.continued) == (1, (), True)
        store.end_run(1, finished=False, seconds=1.0)
        assert store.begin_run((), {}).id == 1
        store.end_run(1, finished=True, seconds=2.0)
        second = store.begin_run(("timeout",), {"concurrency": 7})
        assert (second.id, second.retry, second.continued) == (2, ("timeout",), False)
        assert store.begin_run(("dns",), {"concurrency": 8}).retry == ("timeout",)
        assert store.settings() == {"concurrency": 8}
        assert store.ledger.db.execute("SELECT seconds FROM runs WHERE id = 1").fetchone() == (3.0,)


def test_the_ledger_is_private(tmp_path: Path) -> None:
    """Stored headers are nobody else's: the ledger is mode 0600 from the start."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "data").glob("ledger.sqlite*")}
    assert modes == {0o600}


def test_a_ledger_elsewhere(tmp_path: Path) -> None:
    """A ledger kept on another disk is found again without naming it, also after a start cut short."""
    elsewhere = tmp_path / "disk" / "my.sqlite"
    (tmp_path / "data").mkdir()
    elsewhere.parent.mkdir()
    (tmp_path / "data" / "ledger.sqlite").symlink_to(elsewhere)  # killed right after making the link
    open_store(tmp_path / "data", {}, BARE, elsewhere).close()
    assert elsewhere.stat().st_size > 0
    with opened(tmp_path / "data", shard_size=10_000) as store:
        assert store.ledger.path == elsewhere


def test_a_ledger_of_another_dataset_is_refused(tmp_path: Path) -> None:
    """Two datasets never share a ledger, and a dataset's ledger is not swapped under it."""
    elsewhere = tmp_path / "one.sqlite"
    open_store(tmp_path / "one", {}, None, elsewhere).close()
    with pytest.raises(UsageError, match="may be the ledger of another dataset"):
        open_store(tmp_path / "two", {}, None, elsewhere)
    assert not (tmp_path / "two" / "ledger.sqlite").is_symlink()
    with pytest.raises(UsageError, match=r"one\.sqlite"):
        open_store(tmp_path / "one", {}, None, tmp_path / "other.sqlite")
    open_store(tmp_path / "one", {}, None, elsewhere).close()


def test_a_place_that_cannot_hold_a_ledger_is_told(tmp_path: Path) -> None:
    """A folder, a path through a file and one in no folder are refused before any folder is made."""
    (tmp_path / "file").touch()
    for elsewhere in (tmp_path, *(tmp_path / name / "ledger.sqlite" for name in ("file", "none"))):
        with pytest.raises(UsageError, match=f"{elsewhere.parent}.* --ledger"):
            open_store(tmp_path / "data", {}, None, elsewhere)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_copy_does_not_share_the_ledger(tmp_path: Path) -> None:
    """A folder copied with the link to its ledger is refused and told how to get its own; one moved is not."""
    one, two, elsewhere = tmp_path / "one", tmp_path / "two", tmp_path / "l.sqlite"
    open_store(one, {}, BARE, elsewhere).close()
    shutil.copytree(one, two, symlinks=True)
    with pytest.raises(UsageError, match=f"ledger of {one}.* cp {elsewhere} {two}/ledger.sqlite"):
        open_store(two, {}, None)
    open_store(one, {}, None).close()
    shutil.rmtree(two)
    one.rename(two)
    for _ in range(2):
        open_store(two, {}, None).close()
    shutil.copytree(two, one, symlinks=True)
    with pytest.raises(UsageError, match=f"ledger of {two}"):
        open_store(one, {}, None)
    (two / "ledger.sqlite").unlink()
    elsewhere.rename(two / "ledger.sqlite")
    open_store(two, {}, None, two / "ledger.sqlite").close()


def test_a_lost_ledger_is_told(tmp_path: Path) -> None:
    """A dataset whose ledger is gone is not taken for a stranger's folder, and no new ledger is made."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(1)])
    (tmp_path / "data" / "images" / "00000.tar").write_bytes(b"")
    (tmp_path / "data" / "ledger.sqlite").unlink()
    with pytest.raises(UsageError, match="its ledger is missing"):
        open_store(tmp_path / "data", {}, None)
    assert not (tmp_path / "data" / "ledger.sqlite").exists()


def test_a_network_file_system_is_refused_with_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where WAL cannot work, the way out is named, and no ledger is left behind."""
    monkeypatch.setattr(place, "_file_system", lambda folder: "nfs4")
    with pytest.raises(UsageError, match="--ledger PATH"):
        open_store(tmp_path / "data", {}, None)
    assert not (tmp_path / "data" / "ledger.sqlite").exists()


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    """A file that is no SQLite database is corruption, with the way out in the message."""
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptDataset, match="backup"):
        Ledger(path)


def test_a_newer_ledger_is_refused(tmp_path: Path) -> None:
    """A format from the future is not touched."""
    with opened(tmp_path / "data") as store:
        store.ledger.db.execute("PRAGMA user_version = 99")
    with pytest.raises(UsageError, match="newer"):
        open_store(tmp_path / "data", {}, None)
