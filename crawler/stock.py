"""Keeping the frontier stocked: links are drawn from the ledger, a page at a time, as they are needed.

What is in memory is `held`: ready, in flight, or settled and not yet committed. The ledger still calls
those pending, so a page drawn meanwhile shows them again; they are passed over. A page is a snapshot:
what was committed while it was being drawn may still look pending in it, hence `_released`.

A host that holds its share leaves further links in the ledger. One page of such links is kept in
`_backlog` and offered as its host gets room, so that a list of one host is not scanned again and again.
A page that brought little is followed by a rest, so that scanning past full hosts takes a tenth of a
thread at most. When a whole pass brought nothing, `_exhausted` keeps further drawing to a page a second.
Both end early when a backlog runs dry or rows are added. The first pass of a crawl that is continued begins
where that was interrupted; what it left before is for the passes that follow.

A host that is given up keeps nothing: its links end as they are drawn, one page ahead of the writer at most.

The end: nothing held, nothing waiting, all lists read, and one more whole pass finds nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from crawler.frontier import Frontier
from crawler.opening import Opened
from crawler.records import Link
from crawler.urls import host_of
from curator.dataset.draw import LAST, LONGEST_WAIT, MOST_ATTEMPTS, PAGE, Draw, lowest
from curator.dataset.ledger import PENDING, WAITING, Ledger
from curator.dataset.records import Drawn, Event, Postponed
from curator.dataset.writer import Totals
from curator.reasons import BY_NAME, TRANSIENT
from curator.tasks import in_thread

_GLANCE = 60.0  # seconds after which the clock is looked at again: it may have been set
_TRICKLE = 1.0  # seconds between pages when a whole pass found nothing
_WORTH = 100  # links that make a page worth its drawing...
_REST = 9  # ...else drawing rests so many times as long as it took


class Stock:
    """Draws links into `frontier`. All methods run in the event loop; drawing itself in a thread.

    `undecided`: links this run has to decide as far as known; `waiting`: of those, retries that wait.
    """

    def __init__(
        self,
        draw: Draw,
        frontier: Frontier,
        undecided: int,
        waiting: int,
        *,
        low: int,
        on_hungry: Callable[[bool], None],
    ) -> None:
        """Keep about `low` links ready; `on_hungry` is told whether the ledger has none to draw."""
        self.undecided, self.waiting = undecided, waiting
        self.reading = True  # until told otherwise
        self.ended = False
        self._draw, self._frontier, self._low = draw, frontier, low
        self._on_hungry = on_hungry
        self.on_given_up: Callable[[Link], None] = _nobody  # is handed the links of hosts that are given up
        self._held: set[bytes] = set()
        self._released: set[bytes] = set()
        self._backlog: dict[str, deque[Link]] = {}
        self._backlogged = 0
        self._after = b""
        self._found_in_pass = 0
        self._exhausted = False
        self._dry = False
        self._resume_at = 0.0  # monotonic: when to draw again
        self._next_due: float | None = 0.0  # epoch; at the start it is not known, so ask
        self._changed = asyncio.Event()

    @property
    def hungry(self) -> bool:
        """Whether the frontier is short of links that may be fetched now, and memory has room for more."""
        if len(self._held) > 2 * PAGE + 3 * self._low:
            return False  # the writer is behind: only links of hosts given up come so fast
        return self._frontier.ready < self._low or not self._frontier.open_hosts

    async def keep(self, on_stocked: Callable[[], None]) -> None:
        """Stock the frontier until every link of the run is decided. Cancelled when the crawl stops."""
        self._after = await in_thread(self._draw.start)
        while not self.ended:
            self._changed.clear()
            if self.hungry and (await self._draw_due() or await self._draw_page()):
                on_stocked()
            elif self._all_settled():
                self.ended = not await self._last_pass()
                on_stocked()
            else:
                self._on_hungry(self.hungry and self._beyond <= 0)
                await self._wait()

    def taken(self) -> None:
        """Links were taken from the frontier."""
        if self.hungry:
            self._changed.set()

    def released(self, host: str) -> None:
        """An attempt at `host` ended, and the frontier knows: its backlog may move up."""
        lines = self._backlog.get(host)
        if lines:
            now = time.monotonic()
            while lines and self._move_up(lines[0], now):
                lines.popleft()
                self._backlogged -= 1
            if not lines:
                del self._backlog[host]
                self._dry = True
        if self.hungry:
            self._changed.set()

    def returned(self, links: Sequence[Link]) -> None:
        """These attempts never were: the ledger still holds their links as they were drawn."""
        for link in links:
            self._held.discard(link.uid)
            if link.tries:
                self.waiting += 1
                self._next_due = 0.0
        self._resume_at, self._exhausted = 0.0, False
        self._changed.set()

    def committed(self, events: Sequence[Event]) -> None:
        """These events are durable: their links are no longer held."""
        for event in events:
            self._held.discard(event.uid)
            self._released.add(event.uid)
            if isinstance(event, Postponed):
                self.waiting += 1
                self._next_due = event.due if self._next_due is None else min(self._next_due, event.due)
            else:
                self.undecided -= 1
        self._changed.set()

    def added(self, new: int) -> None:
        """`new` URLs came into the ledger's frontier."""
        self.undecided += new
        self._exhausted = False
        self._resume_at = 0.0
        self._changed.set()

    def read(self) -> None:
        """All lists are read and merged."""
        self.reading = False
        self._changed.set()

    @property
    def held(self) -> int:
        """Links in memory: ready, in flight, or not yet committed."""
        return len(self._held)

    async def _draw_due(self) -> int:
        """Take up the retries whose time has come; how many were taken."""
        now = time.time()
        if self._next_due is None or 0 < self._next_due - now < LONGEST_WAIT:
            return 0
        self._next_due = None
        self._released.clear()
        links, last, next_due = await in_thread(self._read_due, now)
        taken = self._accept(links)
        self.waiting -= taken
        known = [due for due in (next_due, self._next_due) if due is not None]
        if not last or any(link.uid not in self._held for link in links):
            known.append(now if taken else now + 1.0)  # more are due, or some found no room: look again
        self._next_due = min(known, default=None)
        return taken

    async def _draw_page(self) -> bool:
        """Draw one page if it can bring anything; whether one was drawn."""
        started = time.monotonic()
        if self._beyond <= 0 or (started < self._resume_at and not self._dry):
            return False
        self._dry = False
        self._released.clear()
        links, last = await in_thread(self._read_page, self._after)
        taken = self._accept(links)
        self._found_in_pass += taken
        now = time.monotonic()
        if not last:
            self._after = links[-1].uid
        else:
            self._exhausted = self._found_in_pass == 0
            self._after, self._found_in_pass = b"", 0
        rest = _REST * (now - started) if taken < _WORTH else 0.0
        self._resume_at = now + (_TRICKLE if self._exhausted else rest)
        return True

    @property
    def _beyond(self) -> int:
        """Links to decide that are neither in memory nor waiting."""
        return self.undecided - self.waiting - len(self._held)

    async def _last_pass(self) -> bool:
        """One whole pass with nothing held; whether it found anything after all."""
        after, last = b"", False
        while not last:
            self._released.clear()
            links, last = await in_thread(self._read_page, after)
            after = links[-1].uid if links else b""
            if self._accept(links):
                return True
        return False

    def _all_settled(self) -> bool:
        return not (self._held or self.waiting or self.reading)

    async def _wait(self) -> None:
        """Until something changed or the next retry is due."""
        waits = []
        if self.hungry and self._next_due is not None:
            waits.append(min(self._next_due - time.time(), _GLANCE))
        if self.hungry and self._beyond > 0:
            waits.append(self._resume_at - time.monotonic())
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(waits)) if waits else None):
                await self._changed.wait()

    def _accept(self, links: Sequence[Link]) -> int:
        """Hold those links that are not held, in the frontier or the backlog; how many."""
        before, now = len(self._held), time.monotonic()
        for link in links:
            if link.uid in self._held or link.uid in self._released:
                continue
            if link.host not in self._backlog and self._move_up(link, now):
                self._held.add(link.uid)
            elif self._backlogged < PAGE:
                self._backlog.setdefault(link.host, deque()).append(link)
                self._backlogged += 1
                self._held.add(link.uid)
        return len(self._held) - before

    def _move_up(self, link: Link, now: float) -> bool:
        """Whether a link may leave the ledger or the backlog: into the frontier, or to its end."""
        if self._frontier.given_up(link.host, now):
            self.on_given_up(link)
            return True
        return self._frontier.offer(link, now)

    def _read_page(self, after: bytes) -> tuple[list[Link], bool]:
        drawn, last = self._draw.page(after)
        return [_link(one) for one in drawn], last

    def _read_due(self, now: float) -> tuple[list[Link], bool, float | None]:
        drawn, last = self._draw.due(now)
        return [_link(one) for one in drawn], last, self._draw.next_due(now)


@contextmanager
def open_draw(opened: Opened, totals: Totals) -> Iterator[tuple[Draw, int, int]]:
    """What the run draws from, how many links it has to decide, and how many of those wait for a retry."""
    settings, store = opened.settings, opened.store
    again = [BY_NAME[name].code for name in opened.run.retry]
    last = LAST
    if settings.limit:
        with closing(Ledger(store.layout.ledger, readonly=True)) as ledger:
            last = lowest(ledger, settings.limit)
    most = MOST_ATTEMPTS if set(opened.run.retry) == TRANSIENT else None
    draw = Draw(store.layout.ledger, opened.run.id, again, most_attempts=most, last=last)
    try:
        if again or settings.limit:
            yield draw, draw.left(), draw.waiting()
        else:
            waiting = totals.counts.get(WAITING, 0)
            yield draw, totals.counts.get(PENDING, 0) + waiting, waiting
    finally:
        draw.close()


def _nobody(link: Link) -> None:
    raise AssertionError(f"nobody takes links of hosts that are given up: {link.url}")


def _link(drawn: Drawn) -> Link:
    return Link(drawn.uid, drawn.link, drawn.url, host_of(drawn.url), drawn.attempts, drawn.tries)
