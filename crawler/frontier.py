"""The fair scheduler: which of the links in memory is fetched next, and from when on.

Each host owns a line of ready links and a `Pace`. Hosts that have a ready link, a free slot and no wait
stand in one ring; `take` serves the first and puts it back at the end, so a host with a million links
waits its turn like one with a single link. Hosts whose time has not come sleep in a heap. A host without
links rests: its pace is remembered, for the last `_REMEMBERED` hosts; one that is waited for or
given up is remembered until that is over, whatever the number. Cost: O(1) a call, O(log sleepers) for
a host that waits.

Rule for whoever edits this: after every change a host goes through `_place`, which puts it into the ring,
to sleep, or to rest. A bound may shrink, or a wait begin, while a host stands in the ring: `take` looks again.
Nothing here awaits or reads a clock; `now` is seconds of one monotonic clock.
"""

from collections import OrderedDict, deque
from heapq import heappop, heappush

from crawler.pace import Manners, Outcome, Pace
from crawler.records import Link

_SHARE = 4  # times its bound: what a host holds in memory
_REMEMBERED = 50_000  # hosts without links, of some 300 bytes each


class _Host:
    __slots__ = ("in_flight", "pace", "ready", "ringed", "wakes_at")

    def __init__(self, manners: Manners) -> None:
        self.ready: deque[Link] = deque()
        self.in_flight = 0
        self.pace = Pace(manners)
        self.ringed = False
        self.wakes_at: float | None = None  # of its entry in the heap that counts


class Frontier:
    """Links drawn from the ledger: ready to be fetched, or in flight."""

    def __init__(self, manners: Manners, share: int = _SHARE, remembered: int = _REMEMBERED) -> None:
        """Bound each host as `manners` say, and to `share` times `per_host` links in memory."""
        self._manners = manners
        self._share = manners.bound * share
        self._remembered = remembered
        self._hosts: dict[str, _Host] = {}
        # the longest at rest first; a dict would look for its first among all that have left it
        self._resting: OrderedDict[str, _Host] = OrderedDict()
        self._ring: deque[str] = deque()
        self._sleeping: list[tuple[float, str]] = []
        self.ready = 0
        self.in_flight = 0

    def offer(self, link: Link, now: float) -> bool:
        """Accept a drawn link, unless its host already holds its share: then it stays in the ledger."""
        host = self._host(link.host)
        share = 1 if host.pace.down_until else self._share  # on trial: the others wait for how it ends
        accepted = len(host.ready) + host.in_flight < share
        if accepted:
            host.ready.append(link)
            self.ready += 1
        self._place(link.host, host, now)
        return accepted

    def given_up(self, name: str, now: float) -> bool:
        """Whether nothing is asked of a host now, since it does not answer."""
        host = self._hosts.get(name)
        return host is not None and now < host.pace.down_until

    def take(self, now: float) -> Link | None:
        """The next link to fetch, its host's slot now held; None when no host has both link and slot."""
        self._wake(now)
        while self._ring:
            name = self._ring.popleft()
            host = self._hosts[name]
            host.ringed = False
            if host.ready and self._begin(host, now):
                self.ready -= 1
                link = host.ready.popleft()
                self._place(name, host, now)
                return link
            self._place(name, host, now)
        return None

    def borrow(self, name: str, now: float) -> bool:
        """Take a slot of a host for a request that is no link's; False when it has none to give now."""
        host = self._host(name)
        begun = now >= host.pace.down_until and self._begin(host, now)
        self._place(name, host, now)
        return begun

    def ended(
        self, name: str, outcome: Outcome, began: float, now: float, asked: float | None = None
    ) -> list[Link] | None:
        """What an attempt came to, its slot held or not. When its host is given up by it, the links it had ready.

        `asked`: seconds of a Retry-After.
        """
        host, dropped = self._host(name), None
        if host.pace.ended(outcome, began, now, host.in_flight, asked):
            dropped = list(host.ready)
            host.ready.clear()
            self.ready -= len(dropped)
        self._place(name, host, now)
        return dropped

    def keep_gap(self, name: str, gap: float, began: float) -> None:
        """A host asks for `gap` seconds between two requests; one began at `began`, and its slot is held."""
        self._hosts[name].pace.keep_gap(gap, began)

    def release(self, name: str, now: float) -> None:
        """An attempt at that host is over: its slot is free again."""
        host = self._hosts[name]
        host.in_flight -= 1
        self.in_flight -= 1
        self._place(name, host, now)

    @property
    def open_hosts(self) -> int:
        """How many hosts stand in the ring: all that have a link, a slot and no wait, and few others."""
        return len(self._ring)

    @property
    def wakes_at(self) -> float | None:
        """When a host that waits may be served again, at the earliest; None when none waits."""
        return self._sleeping[0][0] if self._sleeping else None

    def held(self, name: str) -> int:
        """How many links of a host are in memory, ready or in flight."""
        host = self._hosts.get(name)
        return len(host.ready) + host.in_flight if host else 0

    def limited_by_host(self, now: float) -> tuple[str, str] | None:
        """The host with most ready links, when hosts alone keep everything ready waiting, and what holds it."""
        if self._ring or not self.ready:
            return None
        name, host = max(self._hosts.items(), key=lambda pair: len(pair[1].ready))
        pace = host.pace
        if pace.free_at > now:
            return name, f"is waited for, {pace.free_at - now:.0f} s more"
        if pace.slots < self._manners.bound:
            return name, f"bears {pace.slots:,} at a time"
        return name, "is at its bound (--per-host)"

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._resting.pop(name, None) or _Host(self._manners)
            self._hosts[name] = host
        return host

    def _begin(self, host: _Host, now: float) -> bool:
        """Begin a request if its host may be asked now."""
        if host.in_flight >= host.pace.slots or host.pace.free_at > now:
            return False
        host.in_flight += 1
        self.in_flight += 1
        host.pace.began(now)
        return True

    def _place(self, name: str, host: _Host, now: float) -> None:
        """Put a host where it belongs: into the ring, to sleep, or to rest."""
        if host.ringed or (host.in_flight and (not host.ready or host.in_flight >= host.pace.slots)):
            return  # the end of a request places it again
        pace = host.pace
        wakes_at = pace.free_at if host.ready else max(pace.free_at, pace.down_until)
        if wakes_at > now:
            if host.wakes_at is None or host.wakes_at > wakes_at:
                host.wakes_at = wakes_at
                heappush(self._sleeping, (wakes_at, name))
            return
        host.wakes_at = None
        if host.ready:
            host.ringed = True
            self._ring.append(name)
        else:
            self._rest(name, host)

    def _rest(self, name: str, host: _Host) -> None:
        del self._hosts[name]
        self._resting[name] = host
        if len(self._resting) > self._remembered:
            self._resting.popitem(last=False)

    def _wake(self, now: float) -> None:
        while self._sleeping and self._sleeping[0][0] <= now:
            wakes_at, name = heappop(self._sleeping)
            host = self._hosts.get(name)
            if host is not None and host.wakes_at == wakes_at:
                host.wakes_at = None
                self._place(name, host, now)
