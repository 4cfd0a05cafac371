"""The moving numbers of a crawl, gathered into one snapshot whenever somebody looks."""

import time
from collections.abc import Sequence
from dataclasses import replace

from crawler.forecast import Forecast, HostClock, forecast
from crawler.settings import Settings
from crawler.snapshot import Queue, Snapshot
from crawler.stages import Parts, Stages
from curator.dataset.draw import PAGE
from curator.dataset.ledger import PENDING, WAITING
from curator.dataset.records import Event
from curator.dataset.writer import Totals
from curator.reasons import BY_CODE

_WINDOW = 2.0  # seconds over which shares of time are told


class Instruments:
    """Reads the parts of a running crawl, and tells them what the writer has done."""

    def __init__(self, parts: Parts, stages: Stages, settings: Settings, totals: Totals) -> None:
        self._settings, self._totals = settings, totals
        self._frontier, self._stock, self._leases = parts.frontier, parts.stock, parts.leases
        self._pool, self._index, self._writer, self._stages = parts.pool, parts.index, parts.writer, stages
        if settings.limit:
            stages.hosts = HostClock()
        self._lookups, self._robots = parts.fetcher.lookups, parts.fetcher.robots
        self._started = self._looked = time.monotonic()
        self._writer_busy = self._workers_busy = self._loop_busy = 0.0
        # that workers, writer and event loop were busy when last looked at
        self._seconds = (0.0, 0.0, time.thread_time())

    def committed(self, events: Sequence[Event], totals: Totals) -> None:
        """These events are durable."""
        self._totals = totals
        self._stages.committed(events)
        self._stock.committed(events)

    def merged(self, new: int, complete: bool) -> None:
        """`new` URLs came into the frontier."""
        if not self._settings.limit:  # a sample is drawn from a list that is read
            self._totals = self._totals.with_pending(new)
            self._stock.added(new)
        if complete:
            self._stock.read()

    def take(self) -> Snapshot:
        """The numbers now."""
        self._look_at_busy()
        stages, settings, gauges = self._stages, self._settings, self._writer.gauges
        states = self._totals.counts
        host, held_back = self._frontier.limited_by_host(time.monotonic()) or ("", "")
        undecided = states.get(PENDING, 0) + states.get(WAITING, 0) + gauges.unmerged
        return Snapshot(
            seconds=time.monotonic() - self._started,
            known=sum(states.values()) + gauges.unmerged,
            reading=self._stock.reading,
            rows=gauges.rows,
            bad_rows=gauges.bad_rows,
            counts={BY_CODE[code]: n for code, n in states.items() if code in BY_CODE and n},
            pending=self._stock.undecided if settings.limit else undecided,
            waiting=self._stock.waiting,
            decided_now=stages.decided,
            saved_now=stages.saved,
            attempts_now=stages.attempts,
            bytes_now=stages.bytes,
            in_flight=self._frontier.in_flight,
            concurrency=settings.concurrency,
            lookups=replace(self._lookups),
            robots=replace(self._robots),
            queues=(
                Queue("links", self._frontier.ready, PAGE + settings.concurrency),
                Queue("bodies", stages.judging.bodies.qsize(), stages.bound),
                Queue("verdicts", self._writer.queued, stages.bound),
            ),
            leased=self._leases.used,
            memory=settings.memory,
            workers=self._pool.workers,
            undecoded=settings.no_decode,
            workers_busy=self._workers_busy,
            restarts=self._pool.restarts,
            loop_busy=self._loop_busy,
            writer_busy=self._writer_busy,
            index_bytes=self._index.bytes_used if settings.dedup != "none" else 0,
            limited_by_host=host,
            held_back=held_back,
            silent_since=stages.contact.silent_since,
            patient_until=stages.contact.patient_until,
            shards=self._totals.sealed,
            stored=self._totals.stored,
        )

    def forecast(self, last: Snapshot) -> Forecast:
        """What the whole list comes to, from the sample that was crawled."""
        return forecast(
            links=last.known,
            saved=last.saved,
            decided=last.decided,
            stored_bytes=last.stored,
            received_bytes=last.bytes_now,
            seconds=last.seconds,
            hosts=self._stages.hosts.seconds if self._stages.hosts else None,
        )

    def _look_at_busy(self) -> None:
        """The shares of the last seconds that workers and writer were busy."""
        now = time.monotonic()
        span = now - self._looked
        if span < _WINDOW:
            return
        judging = self._stages.judging
        judging.count_workers()
        seconds = (judging.worker_seconds, self._writer.gauges.busy, time.thread_time())
        workers, writer, loop = (now - before for now, before in zip(seconds, self._seconds, strict=True))
        self._workers_busy = min(1.0, workers / span / self._pool.workers)
        self._writer_busy = min(1.0, writer / span)
        self._loop_busy = min(1.0, loop / span)
        self._looked, self._seconds = now, seconds
