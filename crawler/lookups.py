"""What the DNS said, for as long as it may be kept. Pure: the clock is an argument.

How long (seconds)
- addresses as long as their own time to live says, but at least a minute: CDNs hand out 20 s, and no crawl
  gains by asking a thousand times an hour where they are. At most an hour.
- that a name does not exist (NXDOMAIN): five minutes.
- that a look-up failed: one second, so that the links of a host that wait together fail together, and yet
  each attempt at one of them is a new question. Longer than the shortest wait of `crawler.retry` would
  charge a link several attempts for one look-up.
"""

from dataclasses import dataclass

_SHORTEST, _LONGEST = 60.0, 3600.0
_MISSING = 300.0
_FAILED = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the DNS said of one name: its addresses, or why there are none."""

    addresses: tuple[str, ...] = ()
    ttl: float = 0.0  # seconds, of the addresses
    error: str = ""  # "" when there are addresses
    missing: bool = False  # the error is that no such name exists

    @property
    def lifetime(self) -> float:
        """Seconds for which it is kept."""
        if self.addresses:
            return min(max(self.ttl, _SHORTEST), _LONGEST)
        return _MISSING if self.missing else _FAILED


@dataclass(slots=True)
class LookupCounts:
    """Look-ups of this process. Every question is one, whatever number of links waited for it."""

    found: int = 0
    missing: int = 0
    failed: int = 0
    under_way: int = 0
    waiting: int = 0  # requests that wait for those
    seconds: float = 0.0  # that the ended ones took, added up

    @property
    def ended(self) -> int:
        """Look-ups that have ended, well or not."""
        return self.found + self.missing + self.failed

    def count(self, answer: Answer, seconds: float) -> None:
        """One more has ended."""
        self.found += bool(answer.addresses)
        self.missing += answer.missing
        self.failed += not (answer.addresses or answer.missing)
        self.seconds += seconds


class AnswerCache:
    """At most `most` answers; the one unused for longest makes room."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[str, tuple[Answer, float]] = {}  # the last used one last

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, name: str, now: float) -> Answer | None:
        """The answer for a name, if one is kept that is still good at `now` (seconds, any clock)."""
        found = self._kept.pop(name, None)
        if found is None or found[1] <= now:
            return None
        self._kept[name] = found
        return found[0]

    def put(self, name: str, answer: Answer, now: float) -> None:
        """Keep an answer that came at `now`."""
        self._kept.pop(name, None)
        self._kept[name] = answer, now + answer.lifetime
        if len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
