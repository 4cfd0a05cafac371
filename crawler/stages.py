"""The stages of a crawl between the frontier and the ledger: fetch, measure, judge, save.

What bounds what
- `--concurrency` exchanges are under way at most, and 2 x concurrency + one batch of links are fetched or
  being fetched and not yet committed: that many are fetched again after a kill, and no more.
- No exchange begins while workers have bodies enough before them (`crawler.ahead`).
- Bodies are leased against `--memory` before they are read and given back when they are committed or
  found not worth saving.
- Files that are made of images count for the lease from when they come from the worker; until then they are
  bounded by what a batch may have of images.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from crawler.clocks import Alarm
from crawler.contact import Contact, Hands
from crawler.endings import answered, host_down, postponed
from crawler.failing import FailureShare
from crawler.fetch import Fetcher
from crawler.forecast import HostClock
from crawler.frontier import Frontier
from crawler.judging import Judging
from crawler.leases import Lease, Leases
from crawler.outage import Network
from crawler.records import Failed, Fetched, Later, Link, Moved
from crawler.retry import RetryPolicy, next_delay
from crawler.stock import Stock
from crawler.urls import host_of
from curator.dataset.records import Event, Verdict
from curator.dataset.writer import BATCH_EVENTS, Writer
from curator.duplicates import DuplicateIndex
from curator.hashing import Hasher
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measured
from curator.rules import Rules
from curator.tasks import first_error

_REDIRECTS_REST = 30.0  # seconds for a host that redirects to where too many wait already


@dataclass(frozen=True, slots=True)
class Parts:
    """What the stages of one crawl work with."""

    frontier: Frontier
    stock: Stock
    leases: Leases
    fetcher: Fetcher
    pool: WorkerPool[Measured] | Hasher
    index: DuplicateIndex
    writer: Writer


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
        good: Sequence[str] = (),
        most_failing: float = 0.0,
    ) -> None:
        """`outage`: seconds without any answer that make one; `good`: URLs that brought an image before;
        `most_failing`: see `crawler.failing`."""
        self.uncommitted = 0  # links being fetched, or fetched and not yet committed
        self._handed_over = 0  # of those, judged and with the writer
        self.bound = 2 * concurrency + BATCH_EVENTS
        self.attempts = self.bytes = self.saved = self.decided = 0
        self._stopping = False
        self._concurrency, self._retrying = concurrency, retrying
        self._frontier, self._stock, self._memory = parts.frontier, parts.stock, parts.leases
        self._fetcher, self._writer = parts.fetcher, parts.writer
        self.judging = Judging(
            parts.pool, parts.index, rules, self._decide, batch_images=batch_images, bound=self.bound
        )
        self._ahead = self.judging.ahead
        self._leases: dict[bytes, Lease] = {}  # of images on their way to the disk
        self.hosts: HostClock | None = None  # where somebody wants to know
        self._go = asyncio.Event()
        self._idle = asyncio.Event()
        self._alarm = Alarm(self._go.set)  # for when something may begin that may not now
        self._failing = FailureShare(most_failing)
        self.gave_up = False  # since nearly all verdicts were failures
        hands = Hands(
            self._fetcher.probe,
            self._settle_failure,
            self._give_up,
            self._give_back,
            self._stock.released,
            self._go.set,
        )
        self.contact = Contact(self._frontier, Network(outage, ((host_of(url), url) for url in good)), hands)
        self._stock.on_given_up = self.give_up
        self._fetcher.asked_once = self._frontier.has_one

    async def run(self, stop: asyncio.Event) -> None:
        """Until every link is decided and durable, or, once `stop` is set, until what is under way is."""
        with first_error():
            async with asyncio.TaskGroup() as stages:
                helpers = [stages.create_task(one) for one in self.judging.tasks()]
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
        self._begin_nothing()

    def _begin_nothing(self) -> None:
        self._stopping = True
        self._fetcher.wait_no_more()
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
            while (link := self._take()) is not None:
                stages.create_task(self._fetch_on(link))
            self._stock.taken()
            if self._stock.ended:
                return
            if not self._frontier.in_flight:
                self.contact.look()
            await self._go.wait()

    def _take(self) -> Link | None:
        """The link whose exchange begins now, if there is one, a slot, and use for what it will bring."""
        now = time.monotonic()
        if self._stopping or self._frontier.in_flight >= self._concurrency or self.uncommitted >= self.bound:
            return None
        if self._ahead.enough(self.judging.held, now):
            self._alarm.set(self._ahead.ages_at, now)  # what is expected may not have come by then
            return None
        if not self.contact.lets_begin(now):
            return None
        link = self._frontier.take(now)
        if link is None:
            self._alarm.set(self._frontier.wakes_at, now)
            return None
        self.uncommitted += link.way is None  # else it was counted when it began
        self.contact.began(now)
        self._ahead.began(link.uid, now)
        return link

    async def _drain(self) -> None:
        """Wait until all that was begun is durable; what waits where a redirect has led it, was not."""
        self._give_back(self._frontier.drop_moved(time.monotonic()))
        while self.uncommitted:
            if not self._frontier.in_flight:
                self.contact.drop()
            self._idle.clear()
            self._writer.hurry()
            if self.uncommitted:
                await self._idle.wait()

    async def _fetch_on(self, first: Link) -> None:
        """Fetch a link, and on its end the next that may begin: a task for each would cost more."""
        link: Link | None = first
        while link is not None:
            await self._fetch(link)
            link = self._take()
            if link is None or (self._frontier.open_hosts and self._frontier.in_flight < self._concurrency):
                self._go.set()  # there is room for more than one, or for none

    async def _fetch(self, link: Link) -> None:
        began = time.monotonic()
        if self.hosts is not None:
            self.hosts.begin(link.host, began)
        result = await self._fetcher.fetch(link)
        now = time.monotonic()
        self._ahead.ended(link.uid, now - began, body=isinstance(result, Fetched))
        if self.hosts is not None:
            self.hosts.end(link.host, now)
        if isinstance(result, Later):
            self._come_later(result, now)
        else:
            self.contact.ended(result, began, now)
        if isinstance(result, Moved):
            self._follow(result.to, now)
        else:
            self.attempts += 1
        for host in {link.host, link.home}:
            self._stock.released(host)
        if self._stopping:
            self._idle.set()  # what is held may be all that is left
        if isinstance(result, Fetched):
            self.bytes += result.size
            await self.judging.bodies.put(result)

    def _come_later(self, later: Later, now: float) -> None:
        """A link whose host was not asked, since its time has not come."""
        link = later.link
        if later.gap:
            self._frontier.keep_gap(link.host, later.gap, now + later.seconds - later.gap)
        self.contact.left(link, now)
        if self._stopping:
            self._give_back([link])
        elif link.way is not None:
            self._follow(link, now)
        else:
            self._hand_over(postponed(link, time.time() + later.seconds, charged=0))

    def _follow(self, link: Link, now: float) -> None:
        """Let a link that was redirected wait for its turn where it was led to."""
        if self._stopping:
            self._give_back([link])
        elif self._frontier.given_up(link.host, now):
            self.give_up(link)
        elif not self._frontier.follow(link, now):
            self._frontier.wait(link.home, _REDIRECTS_REST, now)
            self._hand_over(postponed(link, time.time() + _REDIRECTS_REST, charged=0))

    def _settle_failure(self, failed: Failed) -> None:
        """A failed attempt is tried again later, or its Reason is the verdict."""
        link = failed.link
        dice = random.random()  # noqa: S311 - spreads load
        delay = next_delay(failed.reason, link.tries + 1, failed.retry_after, self._retrying, dice)
        if delay is None:
            self._decide(answered(failed, failed.reason, detail=failed.detail), link.host)
        else:
            self._hand_over(postponed(link, time.time() + delay, charged=1))

    def _give_up(self, host: str, links: Sequence[Link]) -> None:
        """A host does not answer: `links` end here, and so do those that follow while it is given up."""
        for link in links:
            self.give_up(link)
        for home in {host, *(link.home for link in links)}:
            self._stock.released(home)

    def give_up(self, link: Link) -> None:
        """End a link that is not under way, since its host does not answer."""
        self.uncommitted += link.way is None  # else it is counted since its listed host was asked
        self._decide(host_down(link, self._frontier.cause(link.host)), link.host)

    def _give_back(self, links: Sequence[Link]) -> None:
        """Links whose attempts are as if they had never been."""
        self.uncommitted -= len(links)
        self._stock.returned(links)
        self._go.set()
        if not self.uncommitted:
            self._idle.set()

    def _decide(self, verdict: Verdict, host: str, lease: Lease | None = None) -> None:
        """`lease`: of an image that is to be saved."""
        self._go.set()  # no worker is in want of this body any more
        if lease is not None:
            self._leases[verdict.uid] = lease
            if self._memory.waiting:
                self._writer.hurry()
        if self._failing.add(verdict.reason, host):
            self.gave_up = True
            self._begin_nothing()
        self._hand_over(verdict)

    def _hand_over(self, event: Event) -> None:
        self._handed_over += 1
        self._writer.put(event)
        if self._handed_over == self.uncommitted and not self._frontier.ready:
            self._writer.hurry()  # nothing else is under way: no batch would fill
