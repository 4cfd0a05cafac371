"""The robots.txt of every origin that a crawl meets: asked for once, shared, kept for a day.

What is kept, and for how long (seconds of a monotonic clock)
- an answer for 24 hours (RFC 9309 2.4);
- an answer that says nothing, 429 or 5xx, for `again` or its Retry-After: the links of its origin fail with
  it at once, and are told to come back no sooner, since every attempt of theirs would otherwise be charged
  for the same answer;
- no answer at all, not: whether a host or the whole network is silent is for others to find out, and they
  find out from links. Those that wait together share one failure.
- When a day has passed and nobody answers, the old rules are good until somebody does (2.4 again).
When there is no room, the origin that came first goes first: a busy one is asked once more, and that is all.

One exchange an origin, whoever asks: it is a task of its own, so a waiting link that is cancelled leaves
the others what they wait for. It is made inside the slots of the links that wait for it, so that host never
sees more requests at a time for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from crawler.records import Failed
from crawler.robots import Robots, RobotsCounts
from curator.reasons import Reason

Origin = tuple[str, str, int]  # scheme, host, port
Ask = Callable[[Origin], Awaitable[Robots | Failed]]

_LONGEST = 600.0  # that a Retry-After is heeded here
_DAY = 86_400.0
_ROOM = 64 << 20  # bytes
_ENTRY = 500  # bytes that an origin takes beside its rules
# no connection, so nothing was sent: a link of the origin would have come to the same
UNREACHED = frozenset(
    {
        *(Reason.NO_SUCH_HOST, Reason.DNS, Reason.CONNECT, Reason.TLS, Reason.TLS_CERTIFICATE),
        Reason.FORBIDDEN_ADDRESS,
    }
)
SAYS_NOTHING = frozenset({Reason.HTTP_429, Reason.HTTP_5XX, Reason.HTTP_OTHER})  # and yet is an answer


@dataclass(slots=True)
class Known:
    """What is known of an origin's robots.txt, until when; `began`: when it was last asked for anything."""

    found: Robots | Failed
    until: float
    began: float = 0.0

    def turn(self, now: float, gap: float) -> float:
        """Seconds until another request may begin, `gap` after the last; with 0.0 it has begun."""
        wait = self.began + gap - now
        if wait > 0:
            return wait
        self.began = now
        return 0.0


class Kept:
    """What is known of each origin, in bounded memory. Pure: `now` is any clock that only goes forward."""

    def __init__(self, room: int = _ROOM, again: float = 10.0) -> None:
        """Keep about `room` bytes; take an answer that says nothing for `again` seconds."""
        self._room, self._again = room, again
        self._known: dict[Origin, Known] = {}
        self.used = 0

    def get(self, origin: Origin, now: float) -> Known | None:
        """What is known of an origin, unless it has to be asked."""
        known = self._known.get(origin)
        return known if known is not None and now < known.until else None

    def put(self, origin: Origin, found: Robots | Failed, began: float, now: float) -> Known:
        """Keep what an origin said, asked at `began`; what is known of it now."""
        old = self._known.pop(origin, None)
        if old is not None:
            self.used -= _size(old)
        if isinstance(found, Robots):
            known = Known(found, now + _DAY, began)
        elif old is not None and isinstance(old.found, Robots):
            known = Known(old.found, now + self._again, began)
        elif found.reason in SAYS_NOTHING:
            known = Known(found, now + max(self._again, min(found.retry_after or 0.0, _LONGEST)), began)
        else:
            return Known(found, now, began)
        self._known[origin] = known
        self.used += _size(known)
        while self.used > self._room and len(self._known) > 1:
            self.used -= _size(self._known.pop(next(iter(self._known))))
        return known


def _size(known: Known) -> int:
    return _ENTRY + (len(known.found.rules) if isinstance(known.found, Robots) else 0)


class RobotsCache:
    """Asks each origin once through `ask`. Lives in one event loop."""

    def __init__(self, ask: Ask, kept: Kept | None = None) -> None:
        """`ask` makes the exchange: the rules, or how it failed."""
        self._ask = ask
        self._kept = kept or Kept()
        self._now = asyncio.get_running_loop().time
        self._flying: dict[Origin, asyncio.Task[Known]] = {}
        self.counts = RobotsCounts()

    def known(self, origin: Origin) -> Known | None:
        """What is known of an origin; None: `learn` it."""
        return self._kept.get(origin, self._now())

    async def learn(self, origin: Origin) -> Known:
        """Ask an origin, or wait with whoever has asked it already."""
        flight = self._flying.get(origin)
        if flight is None:
            flight = self._flying[origin] = asyncio.create_task(self._learn(origin))
        return await asyncio.shield(flight)

    async def close(self) -> None:
        """Cancel the exchanges under way."""
        flights = list(self._flying.values())
        for flight in flights:
            flight.cancel()
        await asyncio.gather(*flights, return_exceptions=True)

    async def _learn(self, origin: Origin) -> Known:
        self.counts.asked += 1
        self.counts.under_way += 1
        began = self._now()
        try:
            found = await self._ask(origin)
        finally:
            self.counts.under_way -= 1
            del self._flying[origin]
        if isinstance(found, Failed) and found.reason in UNREACHED:
            self.counts.asked -= 1
        else:
            self.counts.failed += isinstance(found, Failed)
        return self._kept.put(origin, found, began, self._now())
