"""From the threads of a crawl back to its event loop: what was committed, what was read, what failed."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from curator.dataset.records import Event
from curator.dataset.writer import Totals


class Consumer(Protocol):
    """Who hears of it, in the event loop."""

    def committed(self, events: Sequence[Event], totals: Totals) -> None:
        """These events are durable."""

    def merged(self, new: int, complete: bool) -> None:
        """`new` URLs came into the frontier; `complete`: all lists are read and merged."""


class Bridge:
    """The writer's listener. Before `attach`, what it hears is kept."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._failure: asyncio.Future[None] = loop.create_future()
        self._consumer: Consumer | None = None
        self._new = 0
        self.complete = asyncio.Event()  # all lists are read and merged

    def attach(self, consumer: Consumer) -> None:
        """Tell `consumer` from now on, beginning with what was merged before."""
        self._consumer = consumer
        consumer.merged(self._new, self.complete.is_set())

    def committed(self, events: Sequence[Event], totals: Totals) -> None:
        """From the writer's thread."""
        self._call(self._committed, events, totals)

    def merged(self, new: int, complete: bool) -> None:
        """From the writer's thread."""
        self._call(self._merged, new, complete)

    def failed(self, error: BaseException) -> None:
        """From any thread: the crawl must end with this error."""
        self._call(self._fail, error)

    async def failure(self) -> None:
        """Wait for a failure, and raise it."""
        await asyncio.shield(self._failure)

    def raise_failure(self) -> None:
        """Raise a failure that came after everybody had stopped waiting."""
        if self._failure.done():
            self._failure.result()

    def _call(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _committed(self, events: Sequence[Event], totals: Totals) -> None:
        assert self._consumer is not None, "nothing is judged before the stages run"
        self._consumer.committed(events, totals)

    def _merged(self, new: int, complete: bool) -> None:
        if complete:
            self.complete.set()
        if self._consumer is None:
            self._new += new
        else:
            self._consumer.merged(new, complete)

    def _fail(self, error: BaseException) -> None:
        if not self._failure.done():
            self._failure.set_exception(error)
            self._failure.exception()  # it may come when nobody waits any more
