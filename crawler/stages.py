"""The stages of a crawl between the frontier and the ledger: fetch, measure, judge, save.

What bounds what
- `--concurrency` exchanges are under way at most, and 2 x concurrency + one batch of links are fetched or
  being fetched and not yet committed: that many are fetched again after a kill, and no more.
- Bodies are leased against `--memory` before they are read and given back when they are committed or
  found not worth saving.
- Files that are made of images count for the lease from when they come from the worker; until then they are
  bounded by what a batch may have of images.
- Two measuring tasks a worker take what lies in `bodies`, at most a batch each: when workers are the
  slow stage, batches fill by themselves; when they are not, nothing waits for a batch to fill.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from crawler.contact import Contact, Hands
from crawler.endings import answered, host_down, postponed, saved
from crawler.failing import FailureShare
from crawler.fetch import Fetcher
from crawler.forecast import HostClock
from crawler.frontier import Frontier
from crawler.leases import Lease, Leases
from crawler.outage import Network
from crawler.records import Failed, Fetched, Later, Link
from crawler.retry import RetryPolicy, next_delay
from crawler.stock import Stock
from curator.dataset.records import Event, Verdict
from curator.dataset.writer import BATCH_EVENTS, Writer
from curator.duplicates import DuplicateIndex
from curator.encoding import Encoding
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measured, Measures, Remade, Unmeasured
from curator.rules import Rules, judge
from curator.tasks import first_error

BATCH_BYTES = 1 << 20  # of bodies for one worker at a time: some tens of milliseconds of decoding
BATCH_IMAGES = 32
_BATCH_PIXELS = 2 << 20  # of files that are made in a batch: some MB, and tens of milliseconds here, too


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages of one crawl work with."""

    frontier: Frontier
    stock: Stock
    leases: Leases
    fetcher: Fetcher
    pool: WorkerPool[Measured]
    index: DuplicateIndex
    writer: Writer


def batch_images(encoding: Encoding) -> int:
    """How many images a worker is given at a time: fewer where large files are made of them."""
    if not encoding.side:
        return BATCH_IMAGES
    return max(1, min(BATCH_IMAGES, _BATCH_PIXELS // encoding.side**2))


class Stages:
    """Moves links from the frontier through the network and the workers to the writer."""

    def __init__(
        self,
        parts: Parts,
        *,
        concurrency: int,
        rules: Rules,
        retrying: RetryPolicy,
        batch_images: int,
        outage: float = 20.0,
        most_failing: float = 0.0,
    ) -> None:
        """`outage`: seconds without any answer that make one; `most_failing`: see `crawler.failing`."""
        self.uncommitted = 0  # links being fetched, or fetched and not yet committed
        self._handed_over = 0  # of those, judged and with the writer
        self.bound = 2 * concurrency + BATCH_EVENTS
        self.bodies: asyncio.Queue[Fetched] = asyncio.Queue(self.bound)
        self.attempts = self.bytes = self.saved = self.decided = 0
        self._stopping = False
        self._concurrency, self._rules, self._retrying = concurrency, rules, retrying
        self._batch_images = batch_images
        self._frontier, self._stock, self._memory = parts.frontier, parts.stock, parts.leases
        self._fetcher, self._pool = parts.fetcher, parts.pool
        self._index, self._writer = parts.index, parts.writer
        self._leases: dict[bytes, Lease] = {}  # of images on their way to the disk
        self.worker_seconds = 0.0  # time that workers had something to do, added up over them
        self._batches, self._counted = 0, time.monotonic()
        self.hosts: HostClock | None = None  # where somebody wants to know
        self._go = asyncio.Event()
        self._idle = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None  # for the first host that waits
        self._failing = FailureShare(most_failing)
        self.gave_up = False  # since nearly all verdicts were failures
        hands = Hands(self._fetcher.probe, self._settle_failure, self._give_up, self._give_back, self._go.set)
        self.contact = Contact(self._frontier, Network(outage), hands)
        self._stock.on_given_up = self.give_up

    async def run(self, stop: asyncio.Event) -> None:
        """Until every link is decided and durable, or, once `stop` is set, until what is under way is."""
        with first_error():
            async with asyncio.TaskGroup() as stages:
                helpers = [stages.create_task(self._measure()) for _ in range(2 * self._pool.workers)]
                helpers.append(stages.create_task(self._stock.keep(self._go.set)))
                helpers.append(stages.create_task(self._heed(stop)))
                helpers.append(stages.create_task(self.contact.watch()))
                await self._dispatch(stages)
                await self._drain()
                await self.contact.close()
                for helper in helpers:
                    helper.cancel()

    async def _heed(self, stop: asyncio.Event) -> None:
        """Once `stop` is set, begin no further exchange."""
        await stop.wait()
        self._stopping = True
        self._go.set()

    def committed(self, events: Sequence[Event]) -> None:
        """These events are durable: their memory and their places are free."""
        for event in events:
            lease = self._leases.pop(event.uid, None)
            if lease is not None:
                lease.release()
            if isinstance(event, Verdict):
                self.decided += 1
                self.saved += event.reason is Reason.SAVED
        self.uncommitted -= len(events)
        self._handed_over -= len(events)
        self._go.set()
        if not self.uncommitted:
            self._idle.set()

    async def _dispatch(self, stages: asyncio.TaskGroup) -> None:
        """Begin exchanges while there is a link, a slot and room for what it will bring."""
        while not self._stopping:
            self._go.clear()
            now = time.monotonic()
            while (
                self._frontier.in_flight < self._concurrency
                and self.uncommitted < self.bound
                and not self.contact.down
            ):
                link = self._frontier.take(now)
                if link is None:
                    self._set_alarm(now)
                    break
                self.uncommitted += 1
                self.contact.began(now)
                stages.create_task(self._fetch(link))
            self._stock.taken()
            if self._stock.ended:
                return
            if not self._frontier.in_flight:
                self.contact.look()
            await self._go.wait()

    def _set_alarm(self, now: float) -> None:
        """Look again when the first host that waits may be served."""
        wakes_at = self._frontier.wakes_at
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if wakes_at is not None:
            self._alarm = asyncio.get_running_loop().call_later(wakes_at - now, self._go.set)

    async def _drain(self) -> None:
        """Wait until all that was begun is durable."""
        while self.uncommitted:
            if not self._frontier.in_flight:
                self.contact.drop()
            self._idle.clear()
            self._writer.hurry()
            if self.uncommitted:
                await self._idle.wait()

    async def _fetch(self, link: Link) -> None:
        began = time.monotonic()
        if self.hosts is not None:
            self.hosts.begin(link.host, began)
        result = await self._fetcher.fetch(link)
        now = time.monotonic()
        if self.hosts is not None:
            self.hosts.end(link.host, now)
        if isinstance(result, Later):
            self._frontier.keep_gap(link.host, result.gap, now + result.seconds - result.gap)
            self._frontier.release(link.host, now)
            self._hand_over(postponed(link, time.time() + result.seconds, charged=0))
        else:
            self.contact.ended(result, began, now)
        self._stock.released(link.host)
        self._go.set()
        if self._stopping:
            self._idle.set()  # what is held may be all that is left
        self.attempts += 1
        if isinstance(result, Fetched):
            self.bytes += result.size
            await self.bodies.put(result)

    async def _measure(self) -> None:
        while True:
            batch = await self._next_batch()
            self.count_workers(1)
            try:
                measured = await self._pool.run([fetched.body for fetched in batch])
            finally:
                self.count_workers(-1)
            for fetched, one in zip(batch, measured, strict=True):
                self._judge(fetched, one)
            del batch, fetched  # their leases may be given back: nothing is kept while waiting for the next

    def count_workers(self, change: int = 0) -> None:
        """Add up how long workers had something to do; `change` in the batches they have."""
        now = time.monotonic()
        self.worker_seconds += min(self._batches, self._pool.workers) * (now - self._counted)
        self._batches += change
        self._counted = now

    async def _next_batch(self) -> list[Fetched]:
        batch = [await self.bodies.get()]
        size = batch[0].size
        while size < BATCH_BYTES and len(batch) < self._batch_images and not self.bodies.empty():
            batch.append(self.bodies.get_nowait())
            size += batch[-1].size
        return batch

    def _judge(self, fetched: Fetched, measured: Measured) -> None:
        if isinstance(measured, Unmeasured):
            return self._drop(fetched, measured.reason, measured.detail)
        remade = measured if isinstance(measured, Remade) else None
        measures = measured.measures if isinstance(measured, Remade) else measured
        if (reason := judge(measures, self._rules)) is not None:
            return self._drop(fetched, reason, f"{measures.width}x{measures.height}")
        if (found := self._index.find(measures)) is not None:
            reason, original, distance = found
            return self._drop(fetched, reason, duplicate_of=original, distance=distance)
        return self._save(fetched, measures, remade)

    def _save(self, fetched: Fetched, measures: Measures, remade: Remade | None) -> None:
        self._index.add(fetched.link.uid, measures)
        if remade is not None:
            fetched.lease.exchange(remade.stored.bytes)
        self._leases[fetched.link.uid] = fetched.lease
        self._decide(saved(fetched, measures, remade))
        if self._memory.waiting:
            self._writer.hurry()

    def _drop(self, fetched: Fetched, reason: Reason, detail: str = "", **more: Any) -> None:
        """A body that is not to be saved: its memory is free at once."""
        fetched.lease.release()
        self._decide(answered(fetched, reason, detail=detail, **more))

    def _settle_failure(self, failed: Failed) -> None:
        """A failed attempt is tried again later, or its Reason is the verdict."""
        link = failed.link
        delay = next_delay(
            failed.reason,
            link.tries + 1,
            failed.retry_after,
            self._retrying,
            random.random(),  # noqa: S311 - spreads load
        )
        if delay is None:
            self._decide(answered(failed, failed.reason, detail=failed.detail))
        else:
            self._hand_over(postponed(link, time.time() + delay, charged=1))

    def _give_up(self, host: str, links: Sequence[Link]) -> None:
        """A host does not answer: `links` end here, and so do those that follow while it is given up."""
        for link in links:
            self.give_up(link)
        self._stock.released(host)

    def give_up(self, link: Link) -> None:
        """End a link without an attempt, since its host does not answer."""
        self.uncommitted += 1
        self._hand_over(host_down(link))

    def _give_back(self, links: Sequence[Link]) -> None:
        """Links whose attempts are as if they had never been."""
        self.uncommitted -= len(links)
        self._stock.returned(links)
        self._go.set()
        if not self.uncommitted:
            self._idle.set()

    def _decide(self, verdict: Verdict) -> None:
        if self._failing.add(verdict.reason):
            self._stopping = self.gave_up = True
            self._go.set()
        self._hand_over(verdict)

    def _hand_over(self, event: Event) -> None:
        self._handed_over += 1
        self._writer.put(event)
        if self._handed_over == self.uncommitted and not self._frontier.ready:
            self._writer.hurry()  # nothing else is under way: no batch would fill
