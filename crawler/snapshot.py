"""The numbers of a crawl at one moment: what the live view and the last report are made of."""

from collections.abc import Mapping
from dataclasses import dataclass

from crawler.lookups import LookupCounts
from crawler.robots import RobotsCounts
from curator.reasons import Reason


@dataclass(frozen=True, slots=True)
class Queue:
    """One arrow of the pipeline: how much of its bound is in use."""

    name: str  # what waits in it, e.g. "links", "bodies", "verdicts"
    filled: int
    bound: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A crawl at one moment. "now" counts this process only, everything else the dataset as a whole."""

    seconds: float  # since this process began the crawl
    known: int  # distinct URLs in the frontier or read and about to be
    reading: bool  # whether lists are still being read
    rows: int  # rows of lists read now
    bad_rows: int  # of those, the ones that are no links
    counts: Mapping[Reason, int]  # verdicts, in all
    pending: int  # links without a verdict, waiting retries included; of the sample, when there is one
    waiting: int  # of those, retries that wait for their time
    decided_now: int
    saved_now: int
    attempts_now: int  # requests ended, retries and redirects' first hops counted once
    bytes_now: int  # of bodies received
    in_flight: int  # requests under way
    concurrency: int
    lookups: LookupCounts  # of host names, by this process
    robots: RobotsCounts  # requests for robots.txt, by this process
    queues: tuple[Queue, ...]  # in the order of the pipeline
    leased: int  # bytes of --memory in use
    memory: int
    workers: int
    undecoded: bool  # images are stored without decoding: one thread hashes them
    workers_busy: float  # share of the workers that are measuring, 0 to 1, lately
    restarts: int  # workers that died and were replaced
    loop_busy: float  # share of the time the event loop was using its core, 0 to 1, lately
    writer_busy: float  # share of the time the writer was committing, 0 to 1, lately
    index_bytes: int  # of the index that finds duplicates, 0 without one
    limited_by_host: str  # the host that is what limits the run, "" when none is
    shards: int  # sealed
    stored: int  # bytes of images saved, in all
    held_back: str = "is at its bound (--per-host)"  # how `limited_by_host` limits it, for people
    silent_since: float = 0.0  # the network is down: since when nothing answers, epoch seconds; else 0
    patient_until: float = 0.0  # and nothing has answered yet: until when that is waited for; else 0

    @property
    def saved(self) -> int:
        """Images saved, in all."""
        return self.counts.get(Reason.SAVED, 0)

    @property
    def decided(self) -> int:
        """URLs with a verdict, in all."""
        return sum(self.counts.values())
