"""Whether a site lets us: its robots.txt before a request goes out, its headers before a body is read.

An exchange waits for a robots.txt with its own clock stopped, since the wait is not its doing. All these
waits of one exchange, one at each of its redirects, have a bound together, its `patience`; a crawl that
stops ends them at once, and their links are as if they had not been asked for.
"""

import asyncio

from multidict import CIMultiDictProxy

from crawler.clocks import Clock
from crawler.opt_outs import RESERVATION, TAG, opted_out
from crawler.records import Failed
from crawler.robots import Matchers, product
from crawler.robots_cache import SAYS_NOTHING, UNREACHED, Known, RobotsCache
from crawler.urls import Target
from crawler.verdict import Refused
from curator.reasons import Reason

_SHORT_S = 2.0  # a wait that is not worth giving the slot up


class NotYet(Exception):
    """It is too early to ask: come back in `seconds`, since the host wants a `gap` between requests if any."""

    def __init__(self, seconds: float, gap: float) -> None:
        super().__init__(seconds, gap)
        self.seconds, self.gap = seconds, gap


class Permission:
    """Asks for leave and remembers it. Lives in one event loop."""

    def __init__(self, robots: RobotsCache, user_agent: str, *, delay: float, max_wait: float) -> None:
        """`delay`: seconds between two requests to any origin; `max_wait`: the longest Crawl-delay obeyed."""
        self.robots, self.token = robots, product(user_agent)
        self._matchers = Matchers()
        self._delay, self._max_wait = delay, max_wait
        self._now = asyncio.get_running_loop().time
        self._waits: set[asyncio.Timeout] = set()
        self._hurried = False  # nobody waits any more

    async def to_begin(self, target: Target, clock: Clock, patience: float) -> float:
        """Go on once robots.txt allows a request; the gap in seconds that its host asks for, 0.0 if none.

        `clock` stands still meanwhile; a robots.txt is waited for `patience` seconds at most. Raises Refused,
        or NotYet.
        """
        known = self.robots.known(target.origin)
        if known is None:
            with clock.paused():
                known = await self._learn(target, patience)
        if isinstance(known.found, Failed):
            raise _unreachable(known.found, known.until - self._now())
        if known.found.rules and (rule := self._matchers.refusal(known.found, target.url)):
            raise Refused(Reason.ROBOTS_TXT, rule)
        gap = min(known.found.gap, self._max_wait)
        if least := max(gap, self._delay):
            await self._turn(known, least, clock)
        return gap

    def wait_no_more(self) -> None:
        """End the waits for robots.txt, those under way and those to come, with NotYet."""
        self._hurried = True
        for wait in self._waits:
            wait.reschedule(self._now())

    async def _learn(self, target: Target, patience: float) -> Known:
        wait = asyncio.timeout(0.0 if self._hurried else patience)
        self._waits.add(wait)
        try:
            async with wait:
                return await self.robots.learn(target.origin)
        except TimeoutError:
            if self._hurried:
                raise NotYet(0.0, 0.0) from None
            detail = f"robots.txt: {target.host} and the hosts before it took too long with theirs"
            raise Refused(Reason.ROBOTS_UNREACHABLE, detail) from None
        finally:
            self._waits.discard(wait)

    def to_read(self, headers: CIMultiDictProxy[str]) -> None:
        """Go on when the headers of an answer let us have it. Raises Refused."""
        if TAG in headers or RESERVATION in headers:
            refusal = opted_out(headers.getall(TAG, ()), headers.getall(RESERVATION, ()), self.token)
            if refusal is not None:
                raise Refused(*refusal)

    async def _turn(self, known: Known, gap: float, clock: Clock) -> None:
        while wait := known.turn(self._now(), gap):
            if wait > _SHORT_S:
                raise NotYet(wait, gap)
            with clock.paused():
                await asyncio.sleep(wait)


def _unreachable(failed: Failed, again: float) -> Refused:
    """What a link comes to when its origin's robots.txt cannot be had, for another `again` seconds."""
    elsewhere = failed.final_url if failed.final_url != failed.link.url else ""
    if failed.reason in UNREACHED and not elsewhere:
        return Refused(failed.reason, failed.detail)
    status = failed.http_status if failed.reason in SAYS_NOTHING else 0  # else it is of what broke off
    what = " ".join(filter(None, (elsewhere, str(status or failed.reason), failed.detail)))
    return Refused(
        Reason.ROBOTS_UNREACHABLE,
        f"robots.txt: {what}",
        max(again, failed.retry_after or 0.0) or None,
        status,
    )
