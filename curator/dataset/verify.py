"""Reading a dataset back to see that it is whole: files against rows against ledger, and counts that add up.

Whatever is damaged becomes a line of the report, never an error of ours: each part is read on its own,
and one that cannot be read is reported and passed over. Memory does not grow with the dataset.
"""

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from curator.dataset.layout import Layout
from curator.dataset.lock import no_writer
from curator.dataset.problems import Problems
from curator.dataset.reader import open_to_read
from curator.dataset.store import read_fixed
from curator.dataset.verify_ledger import check_ledger
from curator.dataset.verify_shards import Shard, ShardChecker
from curator.errors import CorruptDataset

LISTED = 100  # problems told one by one; the others are counted


@dataclass(frozen=True, slots=True)
class Report:
    """What verifying found. `problems` are the first hundred, one line each, naming file, key or uid."""

    problems: tuple[str, ...]
    found: int  # problems in all
    links: int  # distinct URLs in the frontier
    unmerged: int  # rows read from lists and not yet in the frontier: the next run goes on with them
    shards: int  # that hold anything
    samples: int  # read back whole
    bytes: int  # of their images

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return self.found == 0


def verify(root: Path) -> Report:
    """Read everything of the dataset in folder `root` back. Nothing is changed.

    Raises UsageError where there is no dataset, or while another process writes it.
    """
    problems = Problems(LISTED)
    layout = Layout(root)
    with no_writer(layout.lock):
        try:
            with closing(open_to_read(root)) as ledger:
                fixed, columns = read_fixed(ledger)
                totals = check_ledger(ledger, problems)
                shards = [
                    Shard(*row)
                    for row in ledger.db.execute("SELECT id, state, length, samples FROM shards ORDER BY id")
                ]
                checker = ShardChecker(layout, ledger, columns, fixed, problems)
                for shard in shards:
                    checker.check(shard)
                _check_folder(layout, shards, problems)
        except (CorruptDataset, sqlite3.DatabaseError, UnicodeDecodeError) as error:
            problems.add(f"{layout.ledger.name}: {error}")
            return Report(tuple(problems.listed), problems.found, 0, 0, 0, 0, 0)
        except Exception as error:  # damage that was told already may turn any value into any other
            if not problems.found:
                raise
            problems.add(f"{layout.ledger.name}: {error!r}")
            return Report(tuple(problems.listed), problems.found, 0, 0, 0, 0, 0)
    return Report(
        tuple(problems.listed), problems.found, totals.links, totals.unmerged,
        *(sum(shard.samples > 0 for shard in shards), checker.samples, checker.bytes),
    )  # fmt: skip


def _check_folder(layout: Layout, shards: list[Shard], problems: Problems) -> None:
    """Nothing in images/ but the shards' files: readers take every archive and table they find there."""
    expected = {path.name for shard in shards for path in shard.files(layout)}
    try:
        strangers = sorted(name for name in os.listdir(layout.images) if name not in expected)  # noqa: PTH208 - names
    except OSError as error:
        problems.add(f"images/: {error.strerror}")
        return
    for name in strangers:
        if not name.startswith("."):  # a temporary name, or what a file manager left
            problems.add(f"images/{name}: belongs to no shard of this dataset")
