"""How fast lists become links: `python -m bench.ingest [ROWS]`.

Stages and merges ROWS distinct URLs (default 5 million), bare and with 200 bytes of columns, and
prints the rate of each million. Rows are made beforehand, a slice at a time, and that time is left
out: reading and parsing a list is measured elsewhere. Everything is written to a temporary folder
(on the disk of TMPDIR) with the ledger's own durability, and removed at the end.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa

from curator.dataset.ingest import Ingest, Rows
from curator.dataset.store import open_store

SLICE = 5_000
MILLION = 1_000_000
COLUMNS = pa.schema([("caption", pa.string()), ("licence", pa.string())])
DATA = '["' + "a caption of some length, as they are " * 4 + '","' + "x" * 40 + '"]'


def slices(source: int, count: int, data: str | None) -> Iterator[Rows]:
    """`count` rows of one list, sorted by host as lists often are."""
    for first in range(0, count, SLICE):
        numbers = range(first, min(first + SLICE, count))
        urls = [f"https://images{n // 10_000}.example.com/photos/{n:012d}.jpg" for n in numbers]
        yield Rows(source, urls, numbers, [data] * len(urls), (), 0, numbers.stop, last=numbers.stop == count)


def measure(count: int, data: str | None) -> list[float]:
    """Seconds for each million rows, the last one with all that was left to merge."""
    seconds, spent = [], 0.0
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(open_store(Path(folder) / "data", {}, COLUMNS if data else None)) as store,
    ):
        ingest = Ingest(store.ledger)
        for rows in slices(store.add_source("-", 0, 0).id, count, data):
            started = time.perf_counter()
            ingest.stage(rows)
            while ingest.wants_step(hurry=rows.last):
                ingest.step()
            spent += time.perf_counter() - started
            if rows.next_row % MILLION == 0 or rows.last:
                seconds.append(spent)
                spent = 0.0
        assert store.ledger.counts() == {0: count}
    return seconds


def main() -> None:
    """Measure both kinds of list."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("rows", type=int, nargs="?", default=5 * MILLION)
    count = parser.parse_args().rows
    for name, data in (("bare URLs", None), (f"with {len(DATA)} bytes of columns", DATA)):
        seconds = measure(count, data)
        print(f"{name}: {count / sum(seconds):,.0f} rows/s over {count:,} rows")
        for i, spent in enumerate(seconds):
            rows = min(MILLION, count - i * MILLION)
            print(f"  million {i + 1}: {rows / spent:,.0f} rows/s")


if __name__ == "__main__":
    main()
