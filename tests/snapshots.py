"""A Snapshot for tests: an even, healthy crawl, of which a test changes what it is about."""

from typing import Any

from crawler.lookups import LookupCounts
from crawler.robots import RobotsCounts
from crawler.snapshot import Queue, Snapshot
from curator.reasons import Reason


def a_snapshot(**changes: Any) -> Snapshot:
    """A crawl of 1,000 links after ten seconds with nothing at its limit."""
    settings: dict[str, Any] = {
        "seconds": 10.0,
        "known": 1000,
        "reading": False,
        "rows": 1000,
        "bad_rows": 0,
        "counts": {Reason.SAVED: 300, Reason.HTTP_404: 80, Reason.TIMEOUT: 20},
        "pending": 600,
        "waiting": 0,
        "decided_now": 400,
        "saved_now": 300,
        "attempts_now": 420,
        "bytes_now": 40_000_000,
        "in_flight": 50,
        "concurrency": 500,
        "lookups": LookupCounts(),
        "robots": RobotsCounts(),
        "queues": (Queue("links", 10, 100), Queue("bodies", 5, 100), Queue("verdicts", 0, 100)),
        "leased": 1 << 20,
        "memory": 1 << 30,
        "workers": 2,
        "undecoded": False,
        "workers_busy": 0.4,
        "restarts": 0,
        "loop_busy": 0.3,
        "writer_busy": 0.1,
        "index_bytes": 0,
        "limited_by_host": "",
        "shards": 0,
        "stored": 30_000_000,
    }
    return Snapshot(**{**settings, **changes})
