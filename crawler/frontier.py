"""The fair scheduler: which of the links in memory is fetched next, and from when on.

Each host owns a line of ready links and a `Pace`. Hosts that have a ready link, a free slot and no wait
stand in one ring; `take` serves the first and puts it back at the end, so a host with a million links
waits its turn like one with a single link. Hosts whose time has not come sleep in a heap. A host without
links rests: its pace is remembered, for the last `_REMEMBERED` hosts; one that is waited for or
given up is remembered until that is over, whatever the number. Cost: O(1) a call, O(log sleepers) for
a host that waits.

Redirects. A link that is led to another host gives its slot back and waits in that host's line, before the
links listed there (what it was led to may expire), with no clock running. Until it is done it counts against
its home in one way: the home begins no further listed link while those away and those in flight fill its
slots. So a redirector is asked as fast as its targets take what it sends, and no faster. Nobody can wait in
a circle: a link that was led on needs nothing but a slot that is in flight, and those end. What waits like
that is bounded in all, and one host's line by what the others leave of that: half of it, if it is alone.

Rule for whoever edits this: after every change a host goes through `_place`, which puts it into the ring,
to sleep, or to rest. A bound may shrink, or a wait begin, while a host stands in the ring: `take` looks again.
Nothing here awaits or reads a clock; `now` is seconds of one monotonic clock.
"""

from collections import OrderedDict, deque
from heapq import heappop, heappush

from crawler.pace import UNBOUND, Manners, Outcome, Pace
from crawler.records import Link

_SHARE = 4  # times its bound: what a host holds in memory
_REMEMBERED = 50_000  # hosts without links, of some 300 bytes each
_MOVED = 500  # links that wait where redirects have led them


class _Host:
    __slots__ = ("away", "cause", "in_flight", "links", "moved", "pace", "ready", "ringed", "wakes_at")

    def __init__(self, manners: Manners) -> None:
        self.ready: deque[Link] = deque()
        self.moved = 0  # of those, the first: redirects led them here
        self.in_flight = 0
        self.links = 0  # that were ever accepted, as long as it is remembered
        self.away = 0  # links listed here that are at other hosts now, or failed and do not count yet
        self.pace = Pace(manners)
        self.cause = ""  # why it is given up
        self.ringed = False
        self.wakes_at: float | None = None  # of its entry in the heap that counts


class Frontier:
    """Links drawn from the ledger: ready to be fetched, or in flight."""

    def __init__(
        self,
        manners: Manners,
        share: int = _SHARE,
        remembered: int = _REMEMBERED,
        moved: int = _MOVED,
        most: int = UNBOUND,
    ) -> None:
        """Bound each host as `manners` say, and to `share` times `per_host` links in memory, at most to `most`.

        At most `moved` links wait where redirects have led them.
        """
        self._manners = manners
        self._share = min(manners.bound * share, most)
        self._remembered = remembered
        self._most_moved = moved
        self._moved = 0
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
        accepted = len(host.ready) + host.in_flight + host.away < share
        if accepted:
            host.ready.append(link)
            host.links += 1
            self.ready += 1
        self._place(link.host, host, now)
        return accepted

    def follow(self, link: Link, now: float) -> bool:
        """Accept a link that a redirect led to its host, unless too many wait like that."""
        host = self._host(link.host)
        accepted = host.moved < self._most_moved - self._moved
        if accepted:
            host.ready.insert(host.moved, link)
            self._count_moved(host, 1)
            self.ready += 1
            if link.home != link.host:
                host.links += 1
                self._host(link.home).away += 1
        self._place(link.host, host, now)
        return accepted

    def drop_moved(self, now: float) -> list[Link]:
        """Let go of all links that wait where redirects have led them."""
        dropped = [host.ready.popleft() for host in self._hosts.values() for _ in range(host.moved)]
        self.ready -= len(dropped)
        for host in self._hosts.values():
            host.moved = 0
        self._moved = 0
        for link in dropped:
            self._place(link.host, self._host(link.host), now)
            self.came_home(link, now)
        return dropped

    def given_up(self, name: str, now: float) -> bool:
        """Whether nothing is asked of a host now, since it does not answer."""
        host = self._hosts.get(name)
        return host is not None and now < host.pace.down_until

    def cause(self, name: str) -> str:
        """What the attempt failed of by which a host was given up last; "" where nobody knows any more."""
        host = self._hosts.get(name)
        return host.cause if host is not None else ""

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
                if link.way is not None:
                    self._count_moved(host, -1)
                self._place(name, host, now)
                return link
            self._place(name, host, now)
        return None

    def borrow(self, name: str, now: float) -> bool:
        """Take a slot of a host for a request that is no link's; False when it has none to give now."""
        host = self._host(name)
        begun = now >= host.pace.down_until and self._begin(host, now, beside=True)
        self._place(name, host, now)
        return begun

    def ended(
        self,
        name: str,
        outcome: Outcome,
        began: float,
        now: float,
        asked: float | None = None,
        cause: str = "",
    ) -> list[Link] | None:
        """What an attempt came to, its slot held or not. When its host is given up by it, the links it had ready.

        `asked`: seconds of a Retry-After; `cause`: what it failed of, in words.
        """
        host, dropped = self._host(name), None
        if host.pace.ended(outcome, began, now, host.in_flight, asked):
            host.cause = cause
            dropped = list(host.ready)
            host.ready.clear()
            self.ready -= len(dropped)
            self._count_moved(host, -host.moved)
        self._place(name, host, now)
        for link in dropped or ():
            self.came_home(link, now)
        return dropped

    def keep_gap(self, name: str, gap: float, began: float) -> None:
        """A host asks for `gap` seconds between two requests; one began at `began`, and its slot is held."""
        self._hosts[name].pace.keep_gap(gap, began)

    def wait(self, name: str, seconds: float, now: float) -> None:
        """Begin no request at that host for so many seconds."""
        host = self._host(name)
        host.pace.free_at = max(host.pace.free_at, now + seconds)
        self._place(name, host, now)

    def hold(self, name: str) -> None:
        """A failure at that host does not count yet: until then it takes the slot of one more listed link."""
        self._host(name).away += 1

    def let_go(self, name: str, now: float) -> None:
        """It is known whether it counts."""
        host = self._hosts[name]
        host.away -= 1
        self._place(name, host, now)

    def came_home(self, link: Link, now: float) -> None:
        """A link that a redirect may have led to its host is there no more."""
        if link.home != link.host:
            self.let_go(link.home, now)

    def release(self, name: str, now: float) -> None:
        """A request to that host is over: its slot is free again."""
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

    def has_one(self, name: str) -> bool:
        """Whether no more than one link of a host has come so far: most such hosts are never asked again."""
        host = self._hosts.get(name)
        return host is not None and host.links <= 1

    def limited_by_host(self, now: float) -> tuple[str, str] | None:
        """The host with most ready links, when hosts alone keep everything ready waiting, and what holds it."""
        if self._ring or not self.ready:
            return None
        name, host = max(self._hosts.items(), key=lambda pair: len(pair[1].ready))
        pace = host.pace
        if pace.free_at > now:
            return name, f"is waited for, {pace.free_at - now:.0f} s more"
        if host.away:
            return name, f"waits for what becomes of {host.away:,} of its links"
        if pace.slots < self._manners.bound:
            return name, f"bears {pace.slots:,} at a time"
        return name, "is at its bound (--per-host)"

    def _host(self, name: str) -> _Host:
        host = self._hosts.get(name)
        if host is None:
            host = self._resting.pop(name, None) or _Host(self._manners)
            self._hosts[name] = host
        return host

    def _count_moved(self, host: _Host, more: int) -> None:
        host.moved += more
        self._moved += more

    def _is_full(self, host: _Host) -> bool:
        """Whether the first link of a host has no slot: a listed one leaves room for those that are away."""
        return host.in_flight + (0 if host.moved else host.away) >= host.pace.slots

    def _begin(self, host: _Host, now: float, *, beside: bool = False) -> bool:
        """Begin a request if its host may be asked now; `beside` the links that are away."""
        full = host.in_flight >= host.pace.slots if beside else self._is_full(host)
        if full or host.pace.free_at > now:
            return False
        host.in_flight += 1
        self.in_flight += 1
        host.pace.began(now)
        return True

    def _place(self, name: str, host: _Host, now: float) -> None:
        """Put a host where it belongs: into the ring, to sleep, or to rest."""
        if host.ringed or ((host.in_flight or host.away) and (not host.ready or self._is_full(host))):
            return  # the end of a request places it again, here or where one is away
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
