"""When nothing answers any more the network is down, not the web dead: which failures count, and when to wait.

- A failure that a dead network would give as well is held until an exchange that began after it was
  answered: the network worked then, so the failure is its host's. While all is well that takes one round trip.
- Where no such answer comes, hosts that were good are asked for one (`wants_probe`).
- After `silence` seconds with failures held and no answer at all, not even to that, there is an outage. What
  is held, and whatever fails of what began before the end of it, is given back uncounted.
- Where no host was good yet nothing tells a dead network from a dead list: failures stand.
- Hosts that brought images in earlier runs are good to begin with. They may be dead by now: until somebody has
  answered, an outage lets one exchange begin each beat, since another host may, and ends after `_PATIENCE`
  silences. From then on failures stand, until somebody answers. A name server that says that a name does not
  exist has shown as much: the network works, failures stand.

Rule: nothing here reads a clock. Times are seconds of one monotonic clock.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from crawler.records import Failed
from curator.reasons import Reason

_GOOD_HOSTS = 32  # remembered
_BEATS = 20  # probes in the time after which silence is an outage
_PATIENCE = 15  # times that time, until hosts that answered in earlier runs are taken for dead
_DOUBTFUL = frozenset(
    {
        *(Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.STALLED),
        # what a connection that is cut comes to, depending on when
        *(Reason.TRUNCATED, Reason.TLS, Reason.ROBOTS_UNREACHABLE),
    }
)
_TOLD_TO_WAIT = frozenset({408, 425})  # they count as `timeout`


class Fate(Enum):
    """What becomes of a failure."""

    STANDS = auto()
    HELD = auto()  # until it is known whether it counts
    UNCOUNTED = auto()  # given back as if it had never been tried


@dataclass(frozen=True, slots=True)
class Held:
    """A failure that is not counted yet."""

    failed: Failed
    began: float
    ended: float


def is_doubtful(failed: Failed) -> bool:
    """Whether a dead network would have given this failure."""
    if failed.http_status and (
        failed.http_status in _TOLD_TO_WAIT or failed.reason is Reason.ROBOTS_UNREACHABLE
    ):
        return False  # a server has said so
    return failed.reason in _DOUBTFUL


def is_answer(failed: Failed) -> bool:
    """Whether a failure shows that a server was reached."""
    return bool(failed.http_status) and not is_doubtful(failed)


class Network:
    """What the ends of all exchanges together say about the network on this side."""

    def __init__(self, silence: float, good: Iterable[tuple[str, str]] = ()) -> None:
        """`silence`: seconds without any answer that make an outage; `good`: hosts and a URL of each."""
        self.silent_since = 0.0  # the last answer, or when asking began
        self.down = False
        self.beat = silence / _BEATS  # seconds between probes
        self._silence = silence
        self._good = dict(good)  # host: a URL there; the one that answered last is the last
        self.answered_ever = False  # by anybody, in this run
        self._hopeless = False  # and nobody will
        self._began = float("-inf")  # the last exchange of an outage before anybody has answered
        self._held: deque[Held] = deque()  # in the order they ended
        self._proved = float("-inf")  # the latest beginning of an exchange that was answered
        self._recovered = float("-inf")  # when the last outage ended
        self._probed = float("-inf")
        self._asked_in_vain = False  # since the last answer

    @property
    def held(self) -> int:
        """Failures that wait for an answer of somebody else."""
        return len(self._held)

    def began(self, now: float, *, alone: bool) -> None:
        """An exchange begins; `alone`: no other one is under way."""
        if alone and not self._held and not self.down:
            self.silent_since = now  # nobody was asked, so silence meant nothing

    @property
    def patient_until(self) -> float:
        """When failures stand although nobody has answered yet, in an outage like that; 0.0 in none."""
        unproved = self.down and not self.answered_ever
        return self.silent_since + _PATIENCE * self._silence if unproved else 0.0

    def lets_begin(self, now: float) -> bool:
        """Whether an exchange may begin: none in an outage, or one a beat where nobody has answered yet."""
        if not self.down:
            return True
        if self.answered_ever or now - self._began < self.beat:
            return False
        self._began = now
        return True

    def answered(self, host: str, url: str, began: float, now: float) -> list[Held]:
        """A server was reached by an exchange that began at `began`. The failures that count from now on."""
        self._good.pop(host, None)
        self._good[host] = url
        if len(self._good) > _GOOD_HOSTS:
            del self._good[next(iter(self._good))]
        self.silent_since, self._asked_in_vain, self.answered_ever = now, False, True
        self._recover(now)
        self._proved = max(self._proved, began)
        counted = []
        while self._held and self._held[0].ended <= self._proved:
            counted.append(self._held.popleft())
        return counted

    def named(self, now: float) -> list[Held]:
        """A name server has said that a name does not exist. The failures that count by that."""
        if self.answered_ever:
            return []  # an answer that somebody has kept shows nothing of now
        self._hopeless = True
        self._recover(now)
        return self.drop()

    def _recover(self, now: float) -> None:
        if self.down:
            self.down, self._recovered = False, now

    def failed(self, failed: Failed, began: float, now: float) -> Fate:
        """A doubtful failure."""
        if self.down or began < self._recovered:
            return Fate.UNCOUNTED
        if not self.answered_ever and (self._hopeless or not self._good):
            return Fate.STANDS
        self._held.append(Held(failed, began, now))
        if failed.link.host in self._good:
            self.unanswered(began)  # as good as a probe, which finds no slot where links take them all
        return Fate.HELD

    def look(self, now: float) -> list[Held]:
        """Time has passed. Once that makes an outage, the failures that are given back."""
        if 0.0 < self.patient_until <= now:
            self._hopeless = True
            self._recover(now)
        silent = now - self.silent_since >= self._silence
        if self.down or not (self._held and self._asked_in_vain and silent):
            return []
        self.down = True
        return self.drop()

    def drop(self) -> list[Held]:
        """Give up waiting for answers: the failures that are held, none of them counted."""
        dropped = list(self._held)
        self._held.clear()
        return dropped

    def wants_probe(self, now: float, *, alone: bool) -> bool:
        """Whether a good host is to be asked now; `alone`: nothing else is under way that may be answered."""
        if not (self.down or self._held):
            return False
        if alone and self.silent_since > self._probed:
            return True  # the last one was answered, and the end of a crawl may wait for this one
        if now - self._probed < self.beat:
            return False
        return self.down or alone or now - self._held[0].ended >= self.beat

    def candidates(self) -> Iterator[tuple[str, str]]:
        """Hosts that were good and a URL of each, the one to ask first first."""
        yield from reversed(list(self._good.items()))

    def probed(self, host: str, now: float) -> None:
        """`host` is being asked: its turn comes again after all others."""
        self._probed = now
        url = self._good.pop(host)
        self._good = {host: url, **self._good}

    def unanswered(self, began: float) -> None:
        """A good host that was asked at `began` did not answer."""
        if began >= self.silent_since:
            self._asked_in_vain = True
