"""The fair scheduler: which of the links in memory is fetched next.

Each host owns a line of ready links and a number of slots. Hosts that have both a ready link and a free
slot stand in one ring; `take` serves the first and puts it back at the end, so a host with a million links
waits its turn like one with a single link. Cost: every call is O(1), whatever the number of hosts.

Rule for whoever edits this: a host is in the ring exactly when it has a ready link and a free slot, and is
forgotten when it has neither a ready link nor one in flight. Nothing here awaits or reads a clock.
"""

from collections import deque
from dataclasses import dataclass, field

from crawler.records import Link


@dataclass(slots=True)
class _Host:
    ready: deque[Link] = field(default_factory=deque)
    in_flight: int = 0


class Frontier:
    """Links drawn from the ledger: ready to be fetched, or in flight."""

    def __init__(self, per_host: int, share: int = 4) -> None:
        """Bound each host to `per_host` fetches at a time (0: unbounded) and `share` times that in memory."""
        self._bound = per_host
        self._share = per_host * share
        self._hosts: dict[str, _Host] = {}
        self._ring: deque[str] = deque()
        self.ready = 0
        self.in_flight = 0

    def offer(self, link: Link) -> bool:
        """Accept a drawn link, unless its host already holds its share: then it stays in the ledger."""
        host = self._hosts.get(link.host)
        if host is None:
            host = self._hosts[link.host] = _Host()
        elif self._bound and len(host.ready) + host.in_flight >= self._share:
            return False
        host.ready.append(link)
        self.ready += 1
        if len(host.ready) == 1 and self._has_slot(host):
            self._ring.append(link.host)
        return True

    def take(self) -> Link | None:
        """The next link to fetch, its host's slot now held; None when no host has both link and slot."""
        if not self._ring:
            return None
        name = self._ring.popleft()
        host = self._hosts[name]
        link = host.ready.popleft()
        host.in_flight += 1
        self.ready -= 1
        self.in_flight += 1
        if host.ready and self._has_slot(host):
            self._ring.append(name)
        return link

    def release(self, name: str) -> None:
        """An attempt at that host ended: its slot is free again."""
        host = self._hosts[name]
        was_full = not self._has_slot(host)
        host.in_flight -= 1
        self.in_flight -= 1
        if host.ready:
            if was_full:
                self._ring.append(name)
        elif not host.in_flight:
            del self._hosts[name]

    @property
    def open_hosts(self) -> int:
        """How many hosts have both a ready link and a free slot."""
        return len(self._ring)

    def held(self, name: str) -> int:
        """How many links of a host are in memory, ready or in flight."""
        host = self._hosts.get(name)
        return len(host.ready) + host.in_flight if host else 0

    @property
    def limited_by_host(self) -> str | None:
        """The host with most ready links, when per-host bounds alone keep everything ready waiting."""
        if self._ring or not self.ready:
            return None
        return max(self._hosts, key=lambda name: len(self._hosts[name].ready))

    def _has_slot(self, host: _Host) -> bool:
        return not self._bound or host.in_flight < self._bound
