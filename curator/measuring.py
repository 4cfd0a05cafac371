"""Measuring what lies in folders and foreign shards: listed, read, measured, remembered, all at once.

    listing (a thread) -> what is new or changed -> read (threads) -> measure (processes) -> store (a thread)

What bounds what
- Of the images that are being read, measured or about to be, there are at most 128 a worker, and 64 MiB;
  one that is larger waits until it is alone.
- Listing runs ahead by some hundred images, and is asked for a few at a time, so that it can be ended.
- What is measured is remembered every second, and when it ends for whatever cause.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from curator.measure import MeasureSettings, measure_batch
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from curator.settings import Settings
from curator.sources.items import Item, Known, Listed, PassedOver, ShardEnd, Warned
from curator.sources.measures import MeasureStore
from curator.sources.reading import BATCH_BYTES, BATCH_IMAGES, UNKNOWN, Reader
from curator.sources.visit import Limits, Looked, Visit
from curator.tasks import first_error, in_thread

_IMAGES = 128  # a worker
_BYTES = 64 << 20
_CHUNK = 256  # records of a listing at once,
_PATIENCE = 0.05  # or what came in so many seconds
_COMMIT_SECONDS = 1.0
_COMMIT_ROWS = 4_096
_WARNINGS = 1_000


@dataclass(frozen=True, slots=True)
class Listing:
    """What is to be measured: the label of a source, what lists it, and whether it is only compared with."""

    label: str
    entries: Callable[[Known], Iterator[Listed]]
    against: bool = False


@dataclass(slots=True)
class Progress:
    """How far measuring is. Whoever shows it reads it at any time."""

    listed: int = 0  # images met
    known: int = 0  # of those, remembered from an earlier run
    measured: int = 0  # of those that were not: done, whatever came of it
    bytes: int = 0  # read
    complete: bool = False  # everything is listed
    seconds: float = 0.0
    passed_over: Counter[str] = field(
        default_factory=Counter
    )  # what is no image, by extension; not `against`
    warnings: list[str] = field(default_factory=list)  # the first thousand
    more_warnings: int = 0


@dataclass(frozen=True, slots=True)
class _Todo:
    visit: Visit
    item: Item

    @property
    def size(self) -> int:
        """Bytes it will take in memory, as far as that is known."""
        place = self.item.place
        if self.item.unmeasured is not None:
            return 0
        if place.row >= 0:
            return UNKNOWN
        return place.length if place.length >= 0 else self.item.version[0]


async def measure_sources(
    listings: Sequence[Listing], store: MeasureStore, settings: Settings, progress: Progress
) -> None:
    """Measure what the store does not know of these sources; then it has all that was listed, and no more.

    Cancelled or failed, it leaves in the store what was measured until then. Raises CorruptDataset where the
    store is damaged, sqlite3.OperationalError where its disk is full, WorkersFailed.
    """
    started = time.monotonic()
    limits = Limits(MeasureSettings(settings.max_pixels, settings.full_decode), settings.max_bytes)
    visits = [Visit(store, listing.label, limits) for listing in listings]
    stages = _Stages(settings, progress)
    try:
        with first_error():
            await stages.run(list(zip(visits, listings, strict=True)))
    finally:
        stages.save_rest()
        progress.seconds = time.monotonic() - started


class _Stages:
    """The stages, and what lies between them."""

    def __init__(self, settings: Settings, progress: Progress) -> None:
        self._settings, self._progress = settings, progress
        self._todo: asyncio.Queue[_Todo | None] = asyncio.Queue(2 * _CHUNK)  # None: no more
        self._room = _Room(_BYTES, _IMAGES * settings.worker_count())
        self._looked: asyncio.Queue[list[tuple[Visit, Looked]] | None] = asyncio.Queue(_COMMIT_ROWS)
        self._unsaved: list[tuple[Visit, Looked]] = []

    async def run(self, sources: Sequence[tuple[Visit, Listing]]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._list(sources))
            group.create_task(self._save())
            await self._measure()
            await self._looked.put(None)

    def save_rest(self) -> None:
        """Remember what was measured and is not saved, at the end of all tasks."""
        while not self._looked.empty():
            self._unsaved += self._looked.get_nowait() or ()
        self._save_now()

    async def _list(self, sources: Sequence[tuple[Visit, Listing]]) -> None:
        for visit, listing in sources:
            entries = listing.entries(visit.known)
            passed_over = Counter[str]() if listing.against else self._progress.passed_over
            more = True
            while more:
                items, more = await in_thread(self._chunk, visit, entries, passed_over)
                for item in items:
                    await self._todo.put(_Todo(visit, item))
            await in_thread(visit.end)
        self._progress.complete = True
        await self._todo.put(None)

    def _chunk(
        self, visit: Visit, entries: Iterator[Listed], passed_over: Counter[str]
    ) -> tuple[list[Item], bool]:
        """Some of a listing: what of it is to be measured, and whether there may be more."""
        items, until, more = list[Item](), time.monotonic() + _PATIENCE, False
        for count, entry in enumerate(entries, 1):
            if isinstance(entry, Item):
                items.append(entry)
            else:
                self._note(visit, entry, passed_over)
            if count == _CHUNK or time.monotonic() > until:
                more = True
                break
        wanted = visit.to_measure(items)
        passed, visit.passed = visit.passed, 0
        self._progress.listed += len(items) + passed
        self._progress.known += len(items) - len(wanted) + passed
        return wanted, more

    def _note(self, visit: Visit, entry: ShardEnd | Warned | PassedOver, passed_over: Counter[str]) -> None:
        progress = self._progress
        match entry:
            case ShardEnd():
                passed_over.update(visit.ended(entry))
            case PassedOver():
                passed_over[entry.what] += entry.count
            case Warned() if len(progress.warnings) < _WARNINGS:
                progress.warnings.append(entry.text)
            case Warned():
                progress.more_warnings += 1

    async def _measure(self) -> None:
        """Batch after batch, each in a task of its own; workers start with the first."""
        batches = self._batches()
        if (first := await anext(batches, None)) is None:
            return
        async with (
            self._pool() as pool,
            Reader(self._settings.max_bytes) as reader,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._measure_batch(first, reader, pool))
            async for batch in batches:
                group.create_task(self._measure_batch(batch, reader, pool))

    async def _batches(self) -> AsyncIterator[list[_Todo]]:
        """What is to be measured, in batches for which there is room. None waits to be filled."""
        ended = False
        while not ended and (todo := await self._todo.get()) is not None:
            batch, size = [todo], todo.size
            while size < BATCH_BYTES and len(batch) < BATCH_IMAGES and not self._todo.empty():
                if (more := self._todo.get_nowait()) is None:
                    ended = True
                    break
                batch.append(more)
                size += more.size
            await self._room.take(size, len(batch))
            yield batch

    async def _measure_batch(
        self, batch: Sequence[_Todo], reader: Reader, pool: WorkerPool[Measures | Unmeasured]
    ) -> None:
        readable = [todo.item.place for todo in batch if todo.item.unmeasured is None]
        read = iter(await reader.read(readable) if readable else ())
        bodies = [todo.item.unmeasured or next(read) for todo in batch]
        whole = [body for body in bodies if isinstance(body, bytes)]
        measured = iter(await pool.run([(body,) for body in whole]))
        self._progress.bytes += sum(map(len, whole))
        self._progress.measured += len(batch)
        found = [next(measured) if isinstance(body, bytes) else body for body in bodies]
        self._room.give(sum(todo.size for todo in batch), len(batch))
        looked = [(todo.visit, Looked(todo.item, one)) for todo, one in zip(batch, found, strict=True)]
        await self._looked.put(looked)

    async def _save(self) -> None:
        """Remember what was measured, every second or some thousand images."""
        while (looked := await self._looked.get()) is not None:
            self._unsaved += looked
            with suppress(TimeoutError):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    while looked is not None and len(self._unsaved) < _COMMIT_ROWS:
                        looked = await self._looked.get()
                        self._unsaved += looked or ()
            await in_thread(self._save_now)
            if looked is None:
                return

    def _save_now(self) -> None:
        by_visit: dict[Visit, list[Looked]] = {}
        for visit, looked in self._unsaved:
            by_visit.setdefault(visit, []).append(looked)
        for visit, several in by_visit.items():
            visit.save(several)
        self._unsaved.clear()

    def _pool(self) -> WorkerPool[Measures | Unmeasured]:
        settings = self._settings
        return WorkerPool(
            partial(measure_batch, settings=MeasureSettings(settings.max_pixels, settings.full_decode)),
            workers=settings.worker_count(),
            timeout=settings.decode_timeout,
            memory=settings.worker_memory,
            crashed=partial(Unmeasured, Reason.DECODER_CRASH),
            preload=("curator.measure",),
        )


class _Room:
    """So many bytes and images at most; asked for by one task. What is larger than all of it goes alone."""

    def __init__(self, size: int, images: int) -> None:
        self._bytes, self._images = size, images
        self._used_bytes = self._used_images = 0
        self._given = asyncio.Event()

    async def take(self, size: int, images: int) -> None:
        """Wait until there is room."""
        while self._used_images and (
            self._used_bytes + size > self._bytes or self._used_images + images > self._images
        ):
            self._given.clear()
            await self._given.wait()
        self._used_bytes += size
        self._used_images += images

    def give(self, size: int, images: int) -> None:
        """Give back what was taken."""
        self._used_bytes -= size
        self._used_images -= images
        self._given.set()
