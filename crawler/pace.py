"""How one host is treated: how many requests at a time, from when on, and whether it is given up for a while.

What is counted are rounds: requests that were under way together fail together, so that failures of
requests begun before the last bad round belong to it. Sixteen 429s at once halve a bound once.

- At a time: four to begin with. Good answers add one each, until the host first pushed back. A bad round
  (429, 503, no connection, silence) halves it; then it grows again as quickly up to what was borne before,
  and slowly beyond: a 429 names a limit, which is tried again after eight full rounds, then sixteen...; anything
  else may have been chance, and one round will do. Only a bound that is used grows.
- From when on: a Retry-After is obeyed, up to `max_wait`, and `delay`, or the gap that the host asks for if
  that is longer, lies between two starts. Where a host that fails gives no time of its own, bad rounds in a
  row wait `backoff`, twice that, four times that... One odd 503 or timeout of a host that answers otherwise
  delays nothing; a 429, or silence of a host that never answered, does from the first.
- Given up: after `_SILENT_ROUNDS` with no answer in between (a host that never gave one: two rounds and
  four requests), or `_PUSHED_ROUNDS` with nothing but "not now". From then on nothing is asked of it,
  except one request now and then; any answer to that lets it in again.

Rule: nothing here reads a clock. Times are seconds of one monotonic clock.
"""

from dataclasses import dataclass
from enum import Enum, auto

from crawler.records import Failed, Fetched, Moved
from curator.reasons import Reason

UNBOUND = 1 << 30  # requests at a time that no crawl reaches
_START = 4
_KEPT = 0.75  # of a bound after a bad round: up to here quickly...
_KEPT_BELOW_LIMIT = 0.9  # ... and where the host has named a limit, at least one below it
_CREEP, _LONGEST_CREEP = 8, 64  # full rounds of good answers until one more than that limit is tried
_SILENT_ROUNDS = 5
_NEVER_ANSWERED = 4  # requests without an answer, of a host that never gave one
_PUSHED_ROUNDS = 8
_REST = 15.0  # times `backoff`: how long a host is given up at first; twice as long each further time...
_LONGEST_REST = 20.0  # ...up to so many times that


class Outcome(Enum):
    """What the end of one request says about its host."""

    GOOD = auto()  # it answered, and well
    ODD = auto()  # it answered; nothing follows for its pace
    BUSY = auto()  # it answered that it cannot, now
    PUSHED = auto()  # it answered that we ask too much
    LOST = auto()  # no connection, or silence
    NONE = auto()  # it was not asked


_LOST = frozenset({Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.STALLED, Reason.ROBOTS_UNREACHABLE})
_ODD = frozenset(
    {
        *(Reason.HTTP_5XX, Reason.TLS, Reason.TLS_CERTIFICATE, Reason.TRUNCATED, Reason.BAD_RESPONSE),
        Reason.ROBOTS_UNREACHABLE,
    }
)
_TOO_MANY_REQUESTS = 429
_BUSY = frozenset({408, 425, 503})  # statuses


def outcome_of(result: Fetched | Moved | Failed) -> Outcome:
    """What an ended request says about the host it went to."""
    if not isinstance(result, Failed):
        return Outcome.GOOD
    if result.http_status == _TOO_MANY_REQUESTS:
        return Outcome.PUSHED
    if result.http_status in _BUSY:
        return Outcome.BUSY
    if result.reason in _LOST and not (result.http_status and result.reason is Reason.ROBOTS_UNREACHABLE):
        return Outcome.LOST
    if result.reason in _ODD:
        return Outcome.ODD
    return Outcome.GOOD if result.http_status else Outcome.NONE


@dataclass(frozen=True, slots=True)
class Manners:
    """How hosts are treated in one crawl. Times in seconds."""

    per_host: int = 32  # requests at a time; 0: as many as it bears
    delay: float = 0.0  # between two starts
    max_wait: float = 600.0  # the longest that a host's Retry-After is obeyed
    backoff: float = 2.0

    @property
    def bound(self) -> int:
        """Requests at a time that are never exceeded."""
        return self.per_host or UNBOUND


class Pace:
    """One host."""

    __slots__ = (
        "_answered",
        "_creep",
        "_gap",
        "_limit",
        "_lost",
        "_manners",
        "_rest",
        "_round_began",
        "_rounds",
        "_threshold",
        "down_until",
        "free_at",
        "slots",
    )

    def __init__(self, manners: Manners) -> None:
        self._manners = manners
        self.free_at = 0.0  # no request begins before
        self.down_until = 0.0  # given up until then, and on trial from then on; 0: neither
        self._round_began = float("-inf")
        self._rounds = self._lost = 0  # bad rounds, and requests without an answer, since the last answer
        self._answered = False  # ever
        self._gap = manners.delay
        self._rest = _REST * manners.backoff
        self._begin()

    def _begin(self) -> None:
        self._limit = float(min(_START, self._manners.bound))
        self._threshold, self._creep = float("inf"), 1
        self.slots = int(self._limit)  # requests at a time, now

    def began(self, now: float) -> None:
        """A request begins."""
        if self._gap:
            self.free_at = max(self.free_at, now + self._gap)

    def keep_gap(self, gap: float, began: float) -> None:
        """The host itself wants so many seconds between two starts, the last of which was at `began`."""
        self._gap = max(self._manners.delay, min(gap, self._manners.max_wait))
        self.free_at = max(self.free_at, began + self._gap)

    def ended(self, outcome: Outcome, began: float, now: float, in_flight: int, asked: float | None) -> bool:
        """A request that began at `began` ended; `in_flight` with it, `asked`: seconds of a Retry-After.

        True when the host is given up by this.
        """
        if outcome is Outcome.LOST:
            return self._silent(began, now)
        if outcome is Outcome.NONE:
            return False
        self._answer()
        if outcome is Outcome.PUSHED or outcome is Outcome.BUSY:
            return self._push(began, now, asked, limit=outcome is Outcome.PUSHED)
        self._rounds = 0
        if outcome is Outcome.GOOD and 2 * in_flight >= self.slots and began >= self._round_began:
            self._grow()
        return False

    def _answer(self) -> None:
        if self.down_until:
            self._rest = _REST * self._manners.backoff
            self.down_until, self._rounds = 0.0, 0
            self._begin()
        self._answered, self._lost = True, 0

    def _grow(self) -> None:
        if self._limit >= self._threshold + 2:
            self._creep = 1  # the limit is no more
        step = 1.0 if self._limit < self._threshold else 1.0 / (self._creep * self._limit)
        self._limit = min(self._limit + step, float(self._manners.bound))
        self.slots = int(self._limit)

    def _push(self, began: float, now: float, asked: float | None, *, limit: bool) -> bool:
        if asked is not None:
            self._wait(now, asked)
        if not self._bad_round(began, now, limit=limit):
            return False
        self._wait(now, self._patience(self._rounds + (limit and asked is None)))
        return self._rounds >= _PUSHED_ROUNDS and self._give_up(now)

    def _silent(self, began: float, now: float) -> bool:
        if self.down_until:  # what began before it was given up says nothing new
            return began >= self._round_began and self._give_up(now)
        self._lost += 1
        if self._bad_round(began, now):
            self._wait(now, self._patience(self._rounds + (not self._answered)))
        if self._answered:
            return self._rounds >= _SILENT_ROUNDS and self._give_up(now)
        return self._rounds >= 2 and self._lost >= _NEVER_ANSWERED and self._give_up(now)

    def _bad_round(self, began: float, now: float, *, limit: bool = False) -> bool:
        """Halve, unless this request belongs to the last bad round; whether it did not."""
        if began < self._round_began:
            return False
        self._round_began = now
        self._rounds += 1
        kept = min(self._limit * _KEPT_BELOW_LIMIT, self.slots - 1.0) if limit else self._limit * _KEPT
        self._threshold = max(1.0, kept)
        self._creep = max(_CREEP, min(2 * self._creep, _LONGEST_CREEP)) if limit else 1
        self._limit = max(1.0, self._limit / 2)
        self.slots = int(self._limit)
        return True

    def _patience(self, rounds: int) -> float:
        return float(self._manners.backoff * 2 ** min(rounds - 2, 32)) if rounds >= 2 else 0.0

    def _wait(self, now: float, seconds: float) -> None:
        self.free_at = max(self.free_at, now + min(seconds, self._manners.max_wait))

    def _give_up(self, now: float) -> bool:
        self.down_until = now + self._rest
        self._rest = min(2 * self._rest, _LONGEST_REST * _REST * self._manners.backoff)
        self._round_began, self._rounds, self._lost = now, 0, 0
        self._limit, self.slots = 1.0, 1  # one request tries it, when the time has come
        return True
