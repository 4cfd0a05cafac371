"""The tour of `crawl demo`: the site is crawled as any other, then what was planted is held against what came.

The list stays beside the dataset, since its URLs hold the site's port: the same folder again means the same
URLs, and the second crawl goes on like any other, fetching only what it does not have.
"""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crawler.command import Terminal, run_crawl
from crawler.demo import ALLOW_NET, start_site
from crawler.demo.plan import LOTS, MIN_SIDE, Lot
from crawler.settings import MIB
from curator.dataset.layout import Layout
from curator.dataset.reader import Dataset
from curator.dataset.store import is_dataset
from curator.dataset.verify import Report, verify
from curator.errors import UsageError
from curator.reasons import BY_NAME, Kind, Reason

# waits are short, since the site is near; a small disk and little memory will do
SETTINGS: Mapping[str, Any] = {
    "allow_net": (ALLOW_NET,),
    "min_side": MIN_SIDE,
    "dedup": "phash",
    "concurrency": 50,
    "memory": 128 * MIB,
    "min_free": 64 * MIB,
    "backoff": 0.2,
}
_PAIRS = ("picture", "copy", "near")  # of two that are alike the first to arrive is kept, whichever it is

_WHAT_NOW = """\
Look around in {data}:
  README.md         what is in the dataset, and how to read it
  images/           the pictures as they were sent, in tar shards, with a table of each shard
  failures.parquet  every URL that was not saved, and why
  summary.json      the totals

Then try
  crawl status {data} --by host
  curate verify {data}
  python -c "import duckdb; print(duckdb.sql(\\"SELECT reason, count(*) FROM '{data}/failures.parquet' GROUP BY ALL\\"))"
  crawl demo --out {data}   (once more: nothing it has is fetched again)
or a list of your own
  crawl urls.txt --out data/
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of link the site was sown with (or several that belong together), and what became of it."""

    what: str  # for people
    planted: int
    planned: Counter[Reason]
    found: Counter[Reason]

    @property
    def as_planned(self) -> bool:
        """Whether every link of it came to what it was planted for."""
        return self.planned == self.found


def run_demo(out: Path) -> int:
    """Crawl the site into the dataset at `out` and explain what happened; the exit code, 0 when all is well.

    Raises UsageError where `out` is something else, or the site cannot be what it was.
    """
    console = Console(highlight=False)
    again = is_dataset(out)
    with start_site_of(out, again=again) as listed:
        console.print(_opening(out, listed, again=again), soft_wrap=True)
        ended = run_crawl([str(listed)], out, None, Terminal(console), dict(SETTINGS))
    if ended:
        return ended
    lines, report = tuple(compare(outcomes(out))), verify(out)
    _explain(console, lines, report)
    console.print(_WHAT_NOW.format(data=out), soft_wrap=True, markup=False)
    return 0 if report.ok and all(line.as_planned for line in lines) else 1
