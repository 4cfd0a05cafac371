"""The ledger as a file and a connection: pages bounded in bytes, nested steps, and what cannot be read or written."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.dataset import ledger as module
from curator.dataset.ledger import Ledger, Pages
from curator.errors import CorruptDataset, UsageError
from tests.datasets import make

QUERY = "SELECT json_quote(b.detail) AS row FROM bad_rows b WHERE b.row > ? ORDER BY b.source, b.row LIMIT ?"
BYTES = 1_000


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new ledger."""
    with closing(Ledger(tmp_path / "ledger.sqlite")) as made:
        made.create()
        yield made


def fill(ledger: Ledger, lengths: list[int]) -> list[str]:
    """Rows of these lengths, none like another."""
    rows = [str(i).ljust(length, "x") for i, length in enumerate(lengths)]
    ledger.db.execute("DELETE FROM bad_rows")
    ledger.insert_many("INSERT INTO bad_rows", "", [(1, i, row) for i, row in enumerate(rows)])
    return rows


def pages_of(ledger: Ledger, limit: int) -> Iterator[list[str]]:
    """All pages; each goes on after the one before."""
    pages, done, last = Pages(ledger, QUERY, limit), 0, False
    while not last:
        rows, last = pages.page(done - 1)
        done += len(rows)
        yield rows


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([0, 1, 30, 400, 1_500, 20_000]), max_size=40), st.integers(1, 12))
def test_pages_are_bounded_in_rows_and_bytes(ledger: Ledger, lengths: list[int], limit: int) -> None:
    """Every row comes once, in order; a page ends at its limit or with the row that fills it."""
    rows = fill(ledger, lengths)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "PAGE_BYTES", BYTES)
        found = list(pages_of(ledger, limit))
    assert [row for page in found for row in page] == rows
    assert all(page for page in found[:-1])
    assert all(len(page) <= limit for page in found)
    assert all(sum(len(row) + 2 for row in page[:-1]) < BYTES for page in found)


def test_pages_grow_again_after_long_rows(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long rows make for short pages, and short rows after them soon for full ones."""
    monkeypatch.setattr(module, "PAGE_BYTES", BYTES)
    fill(ledger, [900] * 6 + [10] * 400)
    sizes = [len(page) for page in pages_of(ledger, 50)]
    assert max(sizes[:3]) <= 2
    assert sizes[-4:-1] == [50, 50, 50]


def test_more_than_one_value_can_hold(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that together exceed SQLite's longest value are read all the same."""
    monkeypatch.setattr(module, "PAGE_BYTES", 100_000)
    rows = fill(ledger, [10_000] * 60)
    ledger.db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 300_000)
    with pytest.raises(sqlite3.DataError, match="too big"):
        ledger.rows(QUERY, -1, 60)
    assert [row for page in pages_of(ledger, 60) for row in page] == rows


def test_a_step_inside_another_is_part_of_it(ledger: Ledger) -> None:
    """What an inner step did is there only when the outer one ends well."""
    with suppress(KeyError), ledger.transaction():
        with ledger.transaction():
            ledger.set_meta("inner", 1)
        raise KeyError
    assert ledger.meta("inner") is None
    with ledger.transaction(), ledger.transaction():
        ledger.set_meta("inner", 2)
    assert not ledger.db.in_transaction
    assert ledger.meta("inner") == 2


READ = """
import sys; from pathlib import Path
from curator.dataset import Dataset
from curator.dataset.verify import verify
from curator.errors import UsageError
try:
    print(len(list(Dataset(sys.argv[1]))), verify(Path(sys.argv[1])).problems)
except UsageError as error:
    print("UsageError", error)
"""


def read_where_nothing_is_written(root: Path) -> str:
    """What a process says that reads the dataset on a disk mounted read-only (for root), or in a closed folder."""
    read = (sys.executable, "-c", READ, str(root))
    if os.getuid() == 0:
        mount = f'mount --bind "{root}" "{root}" && mount -o remount,ro,bind "{root}" && exec "$@"'
        read = ("unshare", "-m", "sh", "-c", mount, "sh", *read)
        if subprocess.run([*read[:6], "true"], capture_output=True).returncode:
            pytest.skip("root may write everywhere, and this system mounts nothing")
    else:
        root.chmod(0o500)
    try:
        return subprocess.run(read, cwd=Path(__file__).parents[1], capture_output=True, text=True).stdout
    finally:
        root.chmod(0o700)


def test_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """A dataset on a read-only disk is read and verified, without the files SQLite makes beside a ledger."""
    make(tmp_path / "data", samples=5)
    for path in (tmp_path / "data").glob("ledger.sqlite-*"):
        path.unlink()
    assert read_where_nothing_is_written(tmp_path / "data") == "5 ()\n"


def test_a_log_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Commits that lie in a log are never passed over: it is said where the dataset can be read."""
    make(tmp_path / "data", samples=5)
    with closing(sqlite3.connect(tmp_path / "data" / "ledger.sqlite")) as db:
        db.execute("UPDATE runs SET seconds = 7")
        db.commit()
        shutil.copytree(tmp_path / "data", tmp_path / "copy")
    (tmp_path / "copy" / "ledger.sqlite-shm").unlink()
    said = read_where_nothing_is_written(tmp_path / "copy")
    assert said.startswith("UsageError")
    assert "Copy the dataset" in said


def test_a_folder_is_no_ledger(tmp_path: Path) -> None:
    """A folder under the ledger's name is the user's to put right, not damage."""
    with pytest.raises(UsageError, match="is a folder"):
        Ledger(tmp_path)


def test_a_damaged_value_is_corruption(ledger: Ledger) -> None:
    """A value that is not JSON is told by its name."""
    ledger.db.execute("INSERT INTO meta VALUES ('settings', '{')")
    with pytest.raises(CorruptDataset, match="'settings' in meta is damaged"):
        ledger.meta("settings")
