"""Between the exchanges and what is pure: every end of one is told to its host's pace and to the network's
state, and comes back as a failure that counts, a link given up, or one given back.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from crawler.frontier import Frontier
from crawler.outage import Fate, Held, Network, is_answer, is_doubtful
from crawler.pace import Outcome, outcome_of
from crawler.records import Failed, Fetched, Link

_PROBES = 4  # at a time, beyond --concurrency


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does what follows. Every one of them is called in the event loop."""

    ask: Callable[[str], Awaitable[bool]]  # whether the host of a URL answers anything
    count: Callable[[Failed], None]  # this failure counts
    give_up: Callable[[str, Sequence[Link]], None]  # a host does not answer: these of its links are given up
    give_back: Callable[[Sequence[Link]], None]  # as if these had never been drawn
    go_on: Callable[[], None]  # an exchange may be possible that was not


class Contact:
    """Follows what hosts answer, and whether anybody does."""

    def __init__(self, frontier: Frontier, network: Network, hands: Hands) -> None:
        self._frontier, self._network, self._hands = frontier, network, hands
        self._probes: set[asyncio.Task[None]] = set()

    @property
    def down(self) -> bool:
        """Whether nothing answers any more: nothing is to be begun then."""
        return self._network.down

    @property
    def silent_since(self) -> float:
        """Since when nothing has answered, seconds since the epoch; 0 while something does."""
        silent = time.monotonic() - self._network.silent_since
        return time.time() - silent if self._network.down else 0.0

    def began(self, now: float) -> None:
        """An exchange was begun."""
        self._network.began(now, alone=self._frontier.in_flight == 1)

    def ended(self, result: Fetched | Failed, began: float, now: float) -> None:
        """An exchange that began at `began` ended. A failure of it is handed on once it is known to count."""
        link = result.link
        if result.gap:
            self._frontier.keep_gap(link.host, result.gap, began)
        if isinstance(result, Failed) and is_doubtful(result):
            fate = self._network.failed(result, began, now)
            if fate is Fate.STANDS:
                self._count(Held(result, began, now))
            elif fate is Fate.UNCOUNTED:
                self._hands.give_back([link])
        else:
            if isinstance(result, Fetched) or is_answer(result):
                self._answered(link.host, link.url, began, now)
            if isinstance(result, Failed):
                self._count(Held(result, began, now))
            else:
                self._tell(link.host, Outcome.GOOD, began, now)
        self._frontier.release(link.host, now)

    async def watch(self) -> None:
        """Look at the time, until cancelled."""
        while True:
            await asyncio.sleep(self._network.beat)
            self.look()

    def look(self) -> None:
        """Find out whether the network is down, where failures are held and nobody else's answer tells."""
        now = time.monotonic()
        if held := self._network.look(now):
            self._give_back(held)
        alone = self._frontier.in_flight == len(self._probes)
        if len(self._probes) < _PROBES and self._network.wants_probe(now, alone=alone):
            self._probe(now)

    def drop(self) -> None:
        """Wait for no answers any more: failures that are held are given back."""
        if held := self._network.drop():
            self._give_back(held)

    async def close(self) -> None:
        """End the probes under way."""
        for probe in self._probes:
            probe.cancel()
        await asyncio.gather(*self._probes, return_exceptions=True)

    def _answered(self, host: str, url: str, began: float, now: float) -> None:
        for held in self._network.answered(host, url, began, now):
            self._count(held)

    def _count(self, held: Held) -> None:
        failed = held.failed
        self._hands.count(failed)
        self._tell(failed.link.host, outcome_of(failed), held.began, held.ended, failed.retry_after)

    def _tell(
        self, host: str, outcome: Outcome, began: float, now: float, asked: float | None = None
    ) -> None:
        dropped = self._frontier.ended(host, outcome, began, now, asked)
        if dropped is not None:
            self._hands.give_up(host, dropped)

    def _give_back(self, held: Sequence[Held]) -> None:
        self._hands.give_back([one.failed.link for one in held])

    def _probe(self, now: float) -> None:
        for host, url in self._network.candidates():
            if self._frontier.borrow(host, now):
                self._network.probed(host, now)
                task = asyncio.ensure_future(self._ask(host, url, now))
                self._probes.add(task)
                task.add_done_callback(self._probes.discard)
                return

    async def _ask(self, host: str, url: str, began: float) -> None:
        try:
            answered = await self._hands.ask(url)
        finally:
            now = time.monotonic()
            self._frontier.release(host, now)
        if answered:
            self._answered(host, url, began, now)
            self._tell(host, Outcome.ODD, began, now)
        else:
            self._network.unanswered(began)
        self._hands.go_on()
