"""Whether a site lets us: its robots.txt before a request goes out, its headers before a body is read."""

import asyncio

from multidict import CIMultiDictProxy

from crawler.opt_outs import RESERVATION, TAG, opted_out
from crawler.records import Failed
from crawler.robots import Matchers, product
from crawler.robots_cache import SAYS_NOTHING, Known, RobotsCache
from crawler.urls import Target
from crawler.verdict import Refused
from curator.reasons import Reason
from curator.tasks import paused

_SHORT_S = 2.0  # a wait that is not worth giving the slot up
# these are of a whole origin: a link of it would have come to the same
_OF_THE_ORIGIN = frozenset(
    {
        *(Reason.NO_SUCH_HOST, Reason.DNS, Reason.CONNECT, Reason.TLS, Reason.TLS_CERTIFICATE),
        Reason.FORBIDDEN_ADDRESS,
    }
)


class NotYet(Exception):
    """The host wants a gap between requests, and the last one was just now: come back in `seconds`."""

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

    async def to_begin(self, target: Target, clock: asyncio.Timeout, *, listed: bool) -> float:
        """Go on once robots.txt allows a request; the gap in seconds that its host asks for, 0.0 if none.

        `clock` stands still meanwhile. Only a `listed` target waits for its gap: a host that others
        redirect to is paced by theirs. Raises Refused, or NotYet.
        """
        known = self.robots.known(target.origin)
        if known is None:
            with paused(clock):
                known = await self.robots.learn(target.origin)
        if isinstance(known.found, Failed):
            raise _unreachable(known.found, known.until - self._now())
        if known.found.rules and (rule := self._matchers.refusal(known.found, str(target.url))):
            raise Refused(Reason.ROBOTS_TXT, rule)
        gap = min(known.found.gap, self._max_wait)
        if listed and (least := max(gap, self._delay)):
            await self._turn(known, least, clock)
        return gap

    def to_read(self, headers: CIMultiDictProxy[str]) -> None:
        """Go on when the headers of an answer let us have it. Raises Refused."""
        if TAG in headers or RESERVATION in headers:
            refusal = opted_out(headers.getall(TAG, ()), headers.getall(RESERVATION, ()), self.token)
            if refusal is not None:
                raise Refused(*refusal)

    async def _turn(self, known: Known, gap: float, clock: asyncio.Timeout) -> None:
        while wait := known.turn(self._now(), gap):
            if wait > _SHORT_S:
                raise NotYet(wait, gap)
            with paused(clock):
                await asyncio.sleep(wait)


def _unreachable(failed: Failed, again: float) -> Refused:
    """What a link comes to when its origin's robots.txt cannot be had, for another `again` seconds."""
    elsewhere = failed.final_url if failed.final_url != failed.link.url else ""
    if failed.reason in _OF_THE_ORIGIN and not elsewhere:
        return Refused(failed.reason, failed.detail)
    status = failed.http_status if failed.reason in SAYS_NOTHING else 0  # else it is of what broke off
    what = " ".join(filter(None, (elsewhere, str(status or failed.reason), failed.detail)))
    return Refused(
        Reason.ROBOTS_UNREACHABLE,
        f"robots.txt: {what}",
        max(again, failed.retry_after or 0.0) or None,
        status,
    )
