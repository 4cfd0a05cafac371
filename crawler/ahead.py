"""How far fetching runs ahead of the workers: far enough that they never wait, and no further.

A body that waits for a worker is memory that brings nothing, as long as the next one comes in time. Two measures
tell what "in time" takes: how many images the workers get through in a second, and how long a body is under way.
So as many bodies are wanted as the workers measure in `_SPARE` seconds and twice the time of an exchange, counting
those that wait, those in the workers' hands, and those that are expected.

An exchange is expected to bring a body while it is no older than bodies usually are when they come, and only with
the probability that exchanges lately brought one. Hosts that are slow, dead, or have nothing therefore hold nobody
back, however many of them are asked: `--concurrency` alone bounds those.

Rule: nothing here reads a clock. Times are seconds of one monotonic clock.
"""

_SPARE = 0.25  # seconds of the workers' time: covers what comes unevenly
_GUESS = 250.0  # images a second and worker, until there are measures
_GUESSED = 0.25  # seconds of a worker's time that the guess counts for
_LATELY = 2.0  # seconds of a worker's time that its pace is taken from: what was costly before is forgotten
_WEIGHT = 1 / 64  # of one exchange in what exchanges are usually like
_LATENCY = 0.05  # seconds of an exchange, until there are measures
_LONGEST = 1.0  # second of an exchange that counts: what takes longer is bounded by `--concurrency` anyway


class Ahead:
    """Whether another exchange may begin, by what workers and exchanges were lately like."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._images = _GUESS * _GUESSED  # measured lately...
        self._seconds = _GUESSED  # ... in so much time of one worker
        self._latency, self._share = _LATENCY, 1.0
        self._young: dict[bytes, float] = {}  # when exchanges began that may bring a body soon, oldest first

    def began(self, uid: bytes, now: float) -> None:
        """An exchange for the link `uid` begins."""
        self._young[uid] = now

    def ended(self, uid: bytes, seconds: float, *, body: bool) -> None:
        """It ended after so many seconds; `body`: with one."""
        self._young.pop(uid, None)
        self._share += _WEIGHT * (body - self._share)
        if body:
            self._latency += _WEIGHT * (min(seconds, _LONGEST) - self._latency)

    def measured(self, images: int, seconds: float) -> None:
        """A batch came back from the workers; `seconds` of their time, added up, since the last one did."""
        self._images += images
        self._seconds += seconds
        if self._seconds > _LATELY:
            self._images *= _LATELY / self._seconds
            self._seconds = _LATELY

    @property
    def wanted(self) -> float:
        """Bodies that workers should have before them."""
        pace = self._workers * self._images / self._seconds
        return 4 * self._workers + pace * (_SPARE + 2 * self._latency)

    def enough(self, held: int, now: float) -> bool:
        """Whether `held` bodies, and those expected by `now`, are all that is wanted."""
        self._age(now)
        return held + self._share * len(self._young) >= self.wanted

    @property
    def ages_at(self) -> float | None:
        """When the next exchange has taken longer than bodies usually do; None when none is expected."""
        return next(iter(self._young.values())) + self._latency if self._young else None

    def _age(self, now: float) -> None:
        while self._young:
            uid, began = next(iter(self._young.items()))
            if began + self._latency > now:
                return
            del self._young[uid]
