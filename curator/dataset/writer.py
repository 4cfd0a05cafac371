"""The writer thread: the one place where a dataset changes while a crawl runs.

It takes two kinds of work and does verdicts first: judged events, committed in batches (at most one
second, 256 verdicts or 16 MiB old, whichever comes first), and rows of lists, a slice at a time.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from curator.dataset.commit import Committer, ShardLimits
from curator.dataset.ingest import Ingest, Rows
from curator.dataset.ledger import PENDING, Ledger
from curator.dataset.records import Event, Verdict
from curator.dataset.space import free_bytes, full_disk_told, is_full
from curator.dataset.store import Store
from curator.errors import DiskFull

BATCH_EVENTS = 256
BATCH_BYTES = 16 << 20
BATCH_SECONDS = 1.0
RESERVE_BYTES = 16 << 20
_ROWS_AHEAD = 4  # slices of lists read and not yet staged


@dataclass(slots=True)
class WriterGauges:
    """Where the writer's time goes, and how far lists are read; read by the live view at any time."""

    busy: float = 0.0  # seconds in commits
    rows: int = 0  # rows of lists staged
    bad_rows: int = 0  # of those, the ones that are no links
    unmerged: int = 0  # of those, not yet in the frontier


@dataclass(frozen=True, slots=True)
class Totals:
    """What the ledger holds after a commit."""

    counts: Mapping[int, int]  # links by state
    stored: int  # bytes of shards
    sealed: int  # shards

    def with_pending(self, new: int) -> "Totals":
        """The same with `new` more links without a verdict."""
        return replace(self, counts={**self.counts, PENDING: self.counts.get(PENDING, 0) + new})


class Listener(Protocol):
    """Who is told what the writer has done. Every method is called from the writer's thread."""

    def committed(self, events: Sequence[Event], totals: Totals) -> None:
        """These events are durable."""

    def merged(self, new: int, complete: bool) -> None:
        """`new` URLs came into the frontier; `complete`: all lists are read and merged."""

    def failed(self, error: BaseException) -> None:
        """Nothing is taken any more; what was committed is safe."""


class Writer(threading.Thread):
    """Commits events and stages rows, and tells its listener."""

    def __init__(
        self,
        store: Store,
        run: int,
        extension: str,
        *,
        min_free: int,
        listener: Listener,
    ) -> None:
        super().__init__(name="writer", daemon=True)
        limits = ShardLimits(store.fixed.shard_size, store.fixed.shard_bytes)
        self._store = store
        self._committer = Committer(store.ledger, store.layout, limits, store.columns, extension, run)
        self._ingest = Ingest(store.ledger)
        self._min_free = min_free
        self._listener = listener
        self._wake = threading.Condition()
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._oldest = 0.0  # when the oldest waiting event came, monotonic
        self._rows: deque[Rows] = deque()
        self._hurry = False  # somebody waits for memory: commit without filling the batch
        self._hungry = False  # the frontier has nothing to draw: merge what is staged
        self._all_read = False  # no more rows will come
        self._told_complete = False
        self._closing: bool | None = None  # True: seal, False: leave the shard open
        self._dead = False
        self.gauges = WriterGauges(unmerged=self._ingest.unmerged)
        self._make_reserve()

    @property
    def queued(self) -> int:
        """Events handed over and not yet in a batch."""
        return len(self._events)

    def put(self, event: Event) -> None:
        """Hand over a judged event; never blocks (the caller bounds what is uncommitted)."""
        with self._wake:
            if not self._events:
                self._oldest = time.monotonic()
            self._events.append(event)
            self._bytes += _size(event)
            if self._due() or len(self._events) == 1:
                self._wake.notify_all()

    def feed(self, rows: Rows) -> bool:
        """Hand over a slice of a list, waiting while enough are waiting; False when the writer has ended."""
        with self._wake:
            self._wake.wait_for(
                lambda: len(self._rows) < _ROWS_AHEAD or self._dead or self._closing is not None
            )
            if self._dead or self._closing is not None:
                return False
            self._rows.append(rows)
            self._wake.notify_all()
        return True

    def hurry(self) -> None:
        """Commit what there is now."""
        with self._wake:
            self._hurry = True
            self._wake.notify_all()

    def hungry(self, hungry: bool) -> None:
        """Say whether the frontier is short of links: staged rows are then merged in smaller runs."""
        with self._wake:
            if self._hungry != hungry:
                self._hungry = hungry
                self._wake.notify_all()

    def lists_read(self) -> None:
        """No more rows will come: merge what is staged and say when that is done."""
        with self._wake:
            self._all_read = True
            self._wake.notify_all()

    def close(self, *, seal: bool) -> None:
        """Commit everything handed over, seal the open shard if asked, and end the thread."""
        with self._wake:
            self._closing = seal
            self._wake.notify_all()
        self.join()
        self._store.layout.reserve.unlink(missing_ok=True)

    def run(self) -> None:
        """The thread: until closed, or until something fails."""
        try:
            with full_disk_told(self._store.layout.root):
                self._check_space()
                while self._step():
                    pass
                if self._closing:
                    self._committer.seal()
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: handed to the crawl, which raises it
            self._fail(error)
        finally:
            self._committer.close()

    def _step(self) -> bool:
        """One commit or one slice; False when closed and done."""
        with self._wake:
            while not self._has_work():
                self._wake.wait(self._patience())
            closing = self._closing is not None
            batch = self._take_batch() if self._due() or closing else []
            if not batch and closing:
                return False
            merge = self._wants_merge()
            rows = self._rows.popleft() if self._rows and not batch and not merge else None
            if rows:
                self._wake.notify_all()
        if batch:
            self._commit(batch)
        elif merge or rows:
            self._take_rows(rows)
        elif self._is_complete():
            self._told_complete = True
            self._listener.merged(0, complete=True)
        return True

    def _has_work(self) -> bool:
        return bool(
            self._closing is not None
            or self._rows
            or self._due()
            or self._wants_merge()
            or self._is_complete()
        )

    def _wants_merge(self) -> bool:
        return self._ingest.wants_step(hurry=self._hungry or (self._all_read and not self._rows))

    def _is_complete(self) -> bool:
        """All lists are read and merged, and nobody was told yet."""
        return self._all_read and not self._told_complete and not self._rows and not self._ingest.unmerged

    def _patience(self) -> float | None:
        return max(0.0, self._oldest + BATCH_SECONDS - time.monotonic()) if self._events else None

    def _due(self) -> bool:
        return bool(self._events) and (
            self._hurry
            or len(self._events) >= BATCH_EVENTS
            or self._bytes >= BATCH_BYTES
            or time.monotonic() - self._oldest >= BATCH_SECONDS
        )

    def _take_batch(self) -> list[Event]:
        batch = [self._events.popleft() for _ in range(min(BATCH_EVENTS, len(self._events)))]
        self._bytes -= sum(map(_size, batch))
        self._oldest = time.monotonic()
        if not self._events:
            self._hurry = False
        return batch

    def _commit(self, batch: list[Event]) -> None:
        started = time.monotonic()
        try:
            self._committer.commit(batch)
        except (OSError, sqlite3.Error) as error:
            if not is_full(error, self._store.ledger.path.parent):
                raise
            self._last_commit(batch, error)
        self.gauges.busy += time.monotonic() - started
        self._tell(batch)
        self._check_space()

    def _last_commit(self, batch: list[Event], error: Exception) -> None:
        """The disk is full: the reserve makes room for this batch, and then the crawl stops."""
        self._store.layout.reserve.unlink(missing_ok=True)
        self._committer.commit(batch[self._committer.done :])
        self._tell(batch)
        raise error

    def _tell(self, batch: Sequence[Event]) -> None:
        self._listener.committed(batch, read_totals(self._store.ledger))

    def _take_rows(self, rows: Rows | None) -> None:
        if rows is None:
            new = self._ingest.step()
            self._listener.merged(new, complete=False)
        else:
            self._ingest.stage(rows)
            self.gauges.rows += len(rows.urls) + len(rows.bad)
            self.gauges.bad_rows += len(rows.bad)
        self.gauges.unmerged = self._ingest.unmerged
        self._check_space()

    def _check_space(self) -> None:
        for place in {self._store.layout.root, self._store.ledger.path.parent}:
            free = free_bytes(place)
            if free < self._min_free:
                raise DiskFull(
                    f"{place} has {free / 2**30:.2f} GiB free, less than --min-free asks for. Everything so far is "
                    "committed. Free some space or lower --min-free, then run the same command again."
                )

    def _make_reserve(self) -> None:
        fd = os.open(self._store.layout.reserve, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(fd, 0, RESERVE_BYTES)
        except OSError:
            self._store.layout.reserve.unlink()  # what could be had of it would fill the disk
            raise
        finally:
            os.close(fd)

    def _fail(self, error: BaseException) -> None:
        with self._wake:
            self._dead = True
            self._events.clear()
            self._rows.clear()
            self._wake.notify_all()
        self._listener.failed(error)


def read_totals(ledger: Ledger) -> Totals:
    """The totals as the last commit left them."""
    stored, sealed = ledger.db.execute(
        "SELECT coalesce(sum(length), 0), coalesce(sum(state = 'sealed'), 0) FROM shards"
    ).fetchone()
    return Totals(ledger.counts(), stored, sealed)


def _size(event: Event) -> int:
    return event.image.size if isinstance(event, Verdict) and event.image is not None else 0
