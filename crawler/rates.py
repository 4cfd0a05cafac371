"""What a series of snapshots tells: rates over the last seconds, when it will end, what holds it back.

Pure: the clock is `Snapshot.seconds`.
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from crawler.snapshot import Queue, Snapshot
from curator.text import harmless, size

WINDOW = 30.0  # seconds: long enough to be steady, short enough to follow a change
BASIS = 5.0  # seconds: from less than this no rate is told
FULL = 0.95
BUSY = 0.9
HALF = 0.5


@dataclass(frozen=True, slots=True)
class Rates:
    """Per second over the window; None while there is too little to tell."""

    urls: float | None = None  # decided
    images: float | None = None  # saved
    requests: float | None = None
    bytes: float | None = None
    eta: float | None = None  # seconds until what is known now is decided


class Gauge:
    """Remembers the last `window` seconds of snapshots."""

    def __init__(self, window: float = WINDOW) -> None:
        self._window = window
        self._seen: deque[Snapshot] = deque()

    def add(self, snapshot: Snapshot) -> None:
        """Note one more moment, later than those before."""
        self._seen.append(snapshot)
        while len(self._seen) > 2 and self._seen[1].seconds <= snapshot.seconds - self._window:
            self._seen.popleft()

    def rates(self) -> Rates:
        """What went on per second between the oldest moment of the window and the latest."""
        if not self._seen:
            return Rates()
        first, last = self._seen[0], self._seen[-1]
        span = last.seconds - first.seconds
        if span < BASIS:
            return Rates()
        urls = (last.decided_now - first.decided_now) / span
        moving = urls > 0 and last.pending > last.waiting  # retries come when they are due, not at our pace
        return Rates(
            urls=urls,
            images=(last.saved_now - first.saved_now) / span,
            requests=(last.attempts_now - first.attempts_now) / span,
            bytes=(last.bytes_now - first.bytes_now) / span,
            eta=last.pending / urls if moving else None,
        )

    def bottleneck(self) -> str:
        """What holds the crawl back, in words."""
        if not self._seen:
            return "starting"
        now = self._seen[-1]
        before = (one for one in reversed(self._seen) if one.seconds <= now.seconds - BASIS)
        return bottleneck(next(before, self._seen[0]), now)


def bottleneck(previous: Snapshot, current: Snapshot) -> str:
    """Name the stage that holds a crawl back, and the flag that helps, if one does.

    Asked from the end of the pipeline to its beginning: a full stage fills all that lie before it, so the
    last one that is full is the cause. What may be full for a moment has to be so at both moments.
    """
    if current.patient_until:
        return (
            f"network: nothing has answered yet, since {_clock(current.silent_since)}; "
            f"asking on until {_clock(current.patient_until)}, then its hosts are given up"
        )
    if current.silent_since:
        return f"network: down, nothing answers since {_clock(current.silent_since)}; going on when something does"
    if current.writer_busy >= BUSY:
        return f"disk: the writer is {current.writer_busy:.0%} busy"
    if current.workers_busy >= BUSY:
        what = "hashing: the thread is" if current.undecoded else f"decoding: {_workers(current)}"
        return f"{what} {current.workers_busy:.0%} busy"
    if min(_memory(previous), _memory(current)) >= BUSY:
        return f"memory: bodies wait for --memory ({size(current.leased)} of {size(current.memory)} in use)"
    if current.loop_busy >= BUSY:
        return f"requests: moving them keeps one core {current.loop_busy:.0%} busy"
    if min(_looking_up(previous), _looking_up(current)) >= HALF:
        return f"names: {current.lookups.waiting:,} requests wait for name servers (--resolver)"
    if current.limited_by_host and not _all_in_flight(current):
        return f"host {harmless(current.limited_by_host, 60)} {current.held_back}"
    if _all_in_flight(previous) and _all_in_flight(current):
        return f"network: all {current.concurrency:,} requests are in flight, raise --concurrency"
    return _starved(previous, current) or "nothing: every stage has room"


def _starved(previous: Snapshot, current: Snapshot) -> str:
    """Why a crawl with free requests does not use them, "" when that cannot be told."""
    silent = current.seconds - previous.seconds if current.attempts_now == previous.attempts_now else 0.0
    if current.in_flight and silent >= BASIS:
        return f"network: no answer for {silent:.0f} s"
    if not current.in_flight and current.pending and current.waiting == current.pending:
        return f"retries: all {current.waiting:,} links left wait for their time"
    if current.reading and _little_left(previous) and _little_left(current):
        return "list: reading is slower than fetching"
    # the first queue is full whenever all is well
    full = [queue.name for queue in current.queues[1:] if _share(queue) >= FULL]
    return f"the stage after {full[-1]}: its queue is full" if full else ""


def _clock(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).astimezone().strftime("%H:%M:%S")


def _workers(snapshot: Snapshot) -> str:
    return "the worker is" if snapshot.workers == 1 else f"{snapshot.workers} workers are"


def _memory(snapshot: Snapshot) -> float:
    return snapshot.leased / snapshot.memory if snapshot.memory else 0.0


def _looking_up(snapshot: Snapshot) -> float:
    return snapshot.lookups.waiting / snapshot.concurrency if snapshot.concurrency else 0.0


def _all_in_flight(snapshot: Snapshot) -> bool:
    return 0 < FULL * snapshot.concurrency <= snapshot.in_flight


def _little_left(snapshot: Snapshot) -> bool:
    return snapshot.pending <= 2 * snapshot.concurrency


def _share(queue: Queue) -> float:
    return queue.filled / queue.bound if queue.bound else 0.0
