"""The dataset that a crawl of millions of links leaves when it is killed near its end, made in minutes.

The list is read in by the writer's own code, so links and frontier lie on the disk as a crawl leaves them. What was
decided is then written in bulk, in the order in which links are drawn (by uid) and with the columns that a commit
fills: seven in ten saved, the others 404. The shards have their names on the disk but no bytes, and the samples of the
open one no rows: nobody reads them to go on.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

from crawler.settings import Settings
from curator.dataset.ingest import Ingest, Rows
from curator.dataset.ledger import PENDING
from curator.dataset.store import Store, open_store
from curator.reasons import Reason

SHARD = 10_000  # samples, the default of a crawl
SAMPLE_BYTES = 100_000
_SLICE = 5_000  # rows staged in one transaction
_PARTS = 1_000  # transactions in which links are decided
_SAVED, _LOST = Reason.SAVED.code, Reason.HTTP_404.code
# every URL is as long as this; the uid serves as chance, as its last byte does for what was saved
_DECIDE = f"""
    INSERT INTO verdicts
    SELECT uid, CASE state WHEN {_SAVED} THEN 200 ELSE 404 END, '',
           'http://127.7.0.1:65535/photos/000000000000-1024x768.jpg', NULL, NULL, ?,
           CASE state WHEN {_SAVED} THEN (? + n) / {SHARD} END, CASE state WHEN {_SAVED} THEN (? + n) % {SHARD} END
    FROM (SELECT uid, state, sum(state = {_SAVED}) OVER (ORDER BY uid) - 1 AS n FROM frontier
          WHERE uid >= ? AND uid < ?)
"""


@dataclass(frozen=True, slots=True)
class Made:
    """An interrupted dataset and the list it was made of."""

    root: Path
    urls: Path
    left: int  # links without a verdict


def urls_of(port: int, count: int) -> Iterator[str]:
    """`count` URLs of 1,000 hosts, every one of them this machine, in no order of hosts."""
    for n in range(count):
        yield f"http://127.7.{n % 10}.{n // 10 % 100 + 1}:{port}/photos/{n:012d}-1024x768.jpg"


def make(folder: Path, port: int, count: int, decided: float = 0.99) -> Made:
    """A list of `count` URLs in `folder`, and the dataset that was interrupted with a share of it decided."""
    urls, root = folder / "urls.txt", folder / "data"
    with urls.open("w") as file:
        file.writelines(f"{url}\n" for url in urls_of(port, count))
    with closing(open_store(root, {}, None)) as store:
        _read_in(store, urls)
        store.begin_run((), Settings().stored())
        done = _decide(store, decided)
    return Made(root, urls, count - done)


def _read_in(store: Store, urls: Path) -> None:
    ingest, found = Ingest(store.ledger), urls.stat()
    source = store.add_source(str(urls.resolve()), found.st_size, found.st_mtime_ns).id
    with urls.open() as file:
        row = 0
        while page := [line.rstrip("\n") for line in islice(file, _SLICE)]:
            rows = range(row, row + len(page))
            row = rows.stop
            ingest.stage(Rows(source, page, rows, [None] * len(page), [], 0, row, last=False))
            while ingest.wants_step(hurry=False):
                ingest.step()
    ingest.stage(Rows(source, [], [], [], [], 0, row, last=True))
    while ingest.wants_step(hurry=True):
        ingest.step()


def _decide(store: Store, share: float) -> int:
    """Give the links with the lowest uids their verdicts; how many."""
    saved = lost = 0
    uids = [int(share * 2**64 * part / _PARTS).to_bytes(8, "big") for part in range(_PARTS + 1)]
    for low, high in pairwise(uids):
        with store.ledger.transaction() as db:
            db.execute(
                f"UPDATE frontier SET state = CASE WHEN substr(uid, 16) < x'b3' THEN {_SAVED} ELSE {_LOST} END,"
                " run = 1, tries = 1, attempts = 1 WHERE uid >= ? AND uid < ?",
                (low, high),
            )
            db.execute(_DECIDE, (time.time(), saved, saved, low, high))
            new = dict(
                db.execute(
                    "SELECT state, count(*) FROM frontier WHERE uid >= ? AND uid < ? GROUP BY state",
                    (low, high),
                )
            )
            store.ledger.add_counts({**new, PENDING: -sum(new.values())})
        saved, lost = saved + new.get(_SAVED, 0), lost + new.get(_LOST, 0)
    _shard(store, saved)
    return saved + lost


def _shard(store: Store, saved: int) -> None:
    """The shards of so many images; the last one is open."""
    layout, whole = store.layout, saved // SHARD
    with store.ledger.transaction() as db:
        for shard in range(whole + 1):
            samples = SHARD if shard < whole else saved % SHARD
            state = "sealed" if shard < whole else "open"
            db.execute(
                "INSERT INTO shards VALUES (?, ?, ?, ?, ?, NULL)",
                (shard, state, samples * SAMPLE_BYTES, samples, time.time()),
            )
            for path in (
                (layout.tar(shard), layout.parquet(shard), layout.stats(shard)) if shard < whole else ()
            ):
                path.touch()
    with layout.part(whole).open("wb") as file:
        file.truncate(saved % SHARD * SAMPLE_BYTES)  # a hole
