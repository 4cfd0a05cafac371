"""A crawl from its lists to a durable dataset: the whole of it on one screen.

    list -> ledger (the frontier) -> fetch -> measure (worker processes) -> judge -> save -> ledger

With `--no-decode` nothing is measured: a thread hashes the bodies instead.

Threads: `Feed` reads lists, `Writer` alone changes the dataset; everything else is the event loop.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from crawler.bridge import Bridge
from crawler.feed import Feed
from crawler.fetch import Fetcher
from crawler.forecast import Forecast
from crawler.frontier import Frontier
from crawler.instruments import Instruments
from crawler.judging import batch_images
from crawler.leases import Leases
from crawler.opening import Opened, open_crawl
from crawler.settings import Settings
from crawler.snapshot import Snapshot
from crawler.stages import Parts, Stages
from crawler.stock import Stock, open_draw
from curator.dataset.draw import PAGE, retryable, some_saved
from curator.dataset.failures import write_failures
from curator.dataset.kept import fill_index
from curator.dataset.space import full_disk_told
from curator.dataset.summary import first_bad_rows, write_summary
from curator.dataset.writer import Totals, Writer, read_totals
from curator.duplicates import DuplicateIndex
from curator.fixed import Fixed
from curator.hashing import Hasher
from curator.pool import BatchKernel, WorkerPool
from curator.reasons import Reason
from curator.records import Measured, Unmeasured
from curator.tasks import first_error, in_thread

_SWITCH_OFTEN = 0.0005  # seconds
View = Callable[[Callable[[], Snapshot]], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Crawled:
    """How a crawl ended. `finished`: every link of the run has a verdict and every list was read."""

    root: Path
    snapshot: Snapshot
    finished: bool
    broken_off: tuple[str, ...]  # lists that could not be read to their end, and where they stopped
    bad_rows: tuple[str, ...]  # the first rows of lists that could not be read, and why
    retryable: int  # failures that the next run tries again by itself
    forecast: Forecast | None  # of the whole list, from a sample of it (`limit`)
    gave_up: bool = False  # stopped, since nearly all the last verdicts were failures (`stop_if_failing`)


@dataclass(frozen=True, slots=True)
class _Ran:
    """What the stages came to."""

    snapshot: Snapshot
    decided: bool  # every link of the run
    broken_off: tuple[str, ...]
    forecast: Forecast | None
    gave_up: bool


async def crawl(
    lists: Sequence[str | Path],
    out: str | Path,
    *,
    stop: asyncio.Event | None = None,
    view: View | None = None,
    note: Callable[[str], None] = lambda _: None,
    ledger_path: Path | None = None,
    **given: Any,
) -> Crawled:
    """Crawl `lists` into the dataset at `out`, or continue it when no list is given.

    `given` are fields of `crawler.settings.Settings`. Setting `stop` drains: what is under way is
    finished and committed. `view` is entered with a function that takes a snapshot at any time; `note`
    is told what was guessed. Needs `if __name__ == "__main__"` in the caller's script.

    Raises UsageError with nothing touched, DiskFull with everything that was committed safe.
    """
    opened = open_crawl([str(one) for one in lists], Path(out), given, ledger_path=ledger_path)
    return await crawl_opened(opened, stop=stop, view=view, note=note)


async def crawl_opened(
    opened: Opened,
    *,
    stop: asyncio.Event | None = None,
    view: View | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> Crawled:
    """Crawl what `open_crawl` has opened, and close it. As `crawl` otherwise."""
    try:
        for line in _notes(opened):
            note(line)
        with full_disk_told(opened.store.layout.root):
            return await _crawl(opened, stop or asyncio.Event(), view or (lambda _: nullcontext()), note)
    finally:
        opened.store.close()


def _notes(opened: Opened) -> Iterator[str]:
    """What was guessed or may surprise."""
    if opened.described:
        yield opened.described
    if opened.run.continued:
        later = "" if opened.settings.retry == Settings().retry else "; --retry is for the run after it"
        yield f"Continuing run {opened.run.id}, which was interrupted{later}."


async def _crawl(opened: Opened, stop: asyncio.Event, view: View, note: Callable[[str], None]) -> Crawled:
    store, started = opened.store, time.monotonic()
    totals = read_totals(store.ledger)
    bridge = Bridge(asyncio.get_running_loop())
    writer = Writer(
        store,
        opened.run.id,
        store.fixed.encoding().extension,
        min_free=opened.settings.min_free,
        listener=bridge,
    )
    writer.start()
    finished = False
    try:
        with first_error():
            async with asyncio.TaskGroup() as group:
                helpers = [
                    group.create_task(bridge.failure()),
                    group.create_task(_switch_often_until(bridge.complete)),
                ]
                ran = await _run_stages(opened, totals, writer, bridge, stop, view, note)
                for helper in helpers:
                    helper.cancel()
        broken_off = (*opened.broken_off, *ran.broken_off)
        finished = ran.decided and not broken_off
    finally:
        await in_thread(partial(writer.close, seal=finished))
        store.end_run(opened.run.id, finished=False, seconds=time.monotonic() - started)
    bridge.raise_failure()
    totals = read_totals(store.ledger)
    if finished:  # only with its failures written: a kill in between writes them again
        await in_thread(write_failures, store.layout, store.ledger, store.columns)
        store.end_run(opened.run.id, finished=True, seconds=0.0)
    write_summary(store.layout, store.ledger)
    return Crawled(
        root=store.layout.root,
        snapshot=replace(ran.snapshot, shards=totals.sealed, stored=totals.stored),
        finished=finished,
        broken_off=broken_off,
        bad_rows=first_bad_rows(store.ledger),
        retryable=retryable(store.ledger),
        forecast=ran.forecast,
        gave_up=ran.gave_up,
    )


async def _switch_often_until(complete: asyncio.Event) -> None:
    """While lists are read, let the writer have the interpreter soon after it asks for it.

    It lets go of it around every step of SQLite. At Python's 5 ms until a busy event loop gives it back,
    lists are read at half the speed; but switching often costs a crawl some percent, so only as long as that.
    """
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_OFTEN)
    try:
        await complete.wait()
    finally:
        sys.setswitchinterval(usual)


async def _run_stages(
    opened: Opened,
    totals: Totals,
    writer: Writer,
    bridge: Bridge,
    stop: asyncio.Event,
    view: View,
    note: Callable[[str], None],
) -> _Ran:
    """Run every stage to its end, or until `stop`."""
    settings, fixed = opened.settings, opened.store.fixed
    feed = Feed(opened.unread, writer, on_read=writer.lists_read, on_failure=bridge.failed)
    index = DuplicateIndex(fixed.dedup, fixed.radius)  # type: ignore[arg-type] # Settings has checked it
    if fixed.dedup != "none":
        await in_thread(fill_index, index, opened.store.layout.root)
    if settings.limit:  # a uniform sample is one of the whole list
        feed.start()
        await _first_of(bridge.complete, stop)
    leases = Leases(settings.memory, settings.max_bytes)
    leases.on_wait = writer.hurry
    # with its bound lifted, too, a host leaves room in memory for the links of others (see Stock.hungry)
    frontier = Frontier(settings.manners(), most=PAGE + settings.concurrency)
    pool = Hasher() if settings.no_decode else _measuring_pool(settings, fixed)
    with open_draw(opened, totals) as (draw, undecided, waiting):
        if not settings.limit:
            feed.start()
        stock = Stock(draw, frontier, undecided, waiting, low=settings.concurrency, on_hungry=writer.hungry)
        async with pool, Fetcher(settings.fetching(), leases, note) as fetcher:
            parts = Parts(frontier, stock, leases, fetcher, pool, index, writer)
            stages = Stages(
                parts,
                concurrency=settings.concurrency,
                rules=settings.rules(),
                retrying=settings.retrying(),
                batch_images=batch_images(fixed.encoding()),
                outage=settings.outage,
                good=some_saved(opened.store.ledger),
                # a run that tries failures again may well find little else
                most_failing=0.0 if opened.run.retry else settings.stop_if_failing,
            )
            instruments = Instruments(parts, stages, settings, totals)
            bridge.attach(instruments)
            with view(instruments.take):
                await stages.run(stop)
            last = instruments.take()
            expected = instruments.forecast(last) if last.decided < last.known and settings.limit else None
            # a stop may come when nothing is left to stop
            decided = stock.ended or (bridge.complete.is_set() and last.decided >= last.known)
            return _Ran(
                last, decided, tuple(feed.broken_off), expected, gave_up=stages.gave_up and not decided
            )


def _measuring_pool(settings: Settings, fixed: Fixed) -> WorkerPool[Measured]:
    # Pillow comes with them, which a crawl that decodes nothing does without
    from curator.measure import MeasureSettings, measure_batch
    from curator.measure_encode import measure_encode_batch

    measuring, encoding = MeasureSettings(fixed.max_pixels, fixed.full_decode), fixed.encoding()
    kernel: BatchKernel[Any] = partial(measure_batch, settings=measuring)
    if encoding.asked:
        kernel = partial(measure_encode_batch, settings=measuring, rules=settings.rules(), encoding=encoding)
    return WorkerPool(
        kernel,
        workers=settings.worker_count(),
        timeout=settings.decode_timeout,
        memory=settings.worker_memory,
        crashed=partial(Unmeasured, Reason.DECODER_CRASH),
        preload=("curator.measure",),
    )


async def _first_of(*events: asyncio.Event) -> None:
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
