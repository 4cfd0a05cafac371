"""The clocks of many exchanges, looked at together, and the alarm of who waits for a time.

`asyncio.timeout` arms and cancels a timer for each, which is an eighth of what an exchange costs the event loop.
Here one timer looks at all clocks that run, each `_BEAT`: a clock may run that much longer, and costs nothing.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

_BEAT = 0.05  # seconds


class Clock:
    """Runs within its `with`, and ends it with TimeoutError when its time is over. As `asyncio.timeout` otherwise."""

    __slots__ = ("_cancelling", "_clocks", "_due", "_expired", "_task")

    def __init__(self, clocks: "Clocks", due: float) -> None:
        """Made by `Clocks.clock` alone."""
        self._clocks, self._due = clocks, due
        self._expired = False

    @property
    def left(self) -> float:
        """Seconds, infinity once it is stopped."""
        return self._due - self._clocks.now()

    def stop(self) -> None:
        """What follows may take as long as it likes."""
        self._due = float("inf")

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stand still while we wait for something of our own."""
        left = self.left
        self.stop()
        try:
            yield
        finally:
            self._due = self._clocks.now() + left

    def expire(self) -> None:
        """Its time is over."""
        self._expired = True
        self._task.cancel()

    def __enter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._clocks.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clocks.end(self)
        # as asyncio.timeout has it: a cancellation that somebody else has asked for, too, stays one
        if self._expired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


class Clocks:
    """All clocks of one event loop."""

    def __init__(self) -> None:
        """Made where the loop runs."""
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._running: dict[Clock, None] = {}
        self._timer: asyncio.TimerHandle | None = None  # while any clock runs

    def clock(self, seconds: float) -> Clock:
        """One that will end its `with` when `seconds` from now are over."""
        return Clock(self, self.now() + seconds)

    def begin(self, clock: Clock) -> None:
        """A clock runs from now on."""
        self._running[clock] = None
        if self._timer is None:
            self._timer = self._loop.call_later(_BEAT, self._look)

    def end(self, clock: Clock) -> None:
        """It runs no more."""
        self._running.pop(clock, None)

    def _look(self) -> None:
        now = self.now()
        for clock in [clock for clock in self._running if clock._due <= now]:
            del self._running[clock]
            clock.expire()
        self._timer = self._loop.call_later(_BEAT, self._look) if self._running else None


class Alarm:
    """Rings once at a time that may be set again and again: to the same one costs nothing."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """`ring` is called where the loop runs."""
        self._ring = ring
        self._at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, at: float | None, now: float) -> None:
        """Ring at `at`, None for never, instead of when it was set to."""
        if at == self._at:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at is not None:
            self._timer = asyncio.get_running_loop().call_later(at - now, self._rings)
        self._at = at

    def _rings(self) -> None:
        self._at = None
        self._ring()
