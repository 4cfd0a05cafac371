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
from crawler.records import Failed, Fetched, Link, Moved
from curator.reasons import Reason

_CAUSE = 200  # characters
_PROBES = 4  # at a time, beyond --concurrency


@dataclass(frozen=True, slots=True)
class Hands:
    """Who does what follows. Every one of them is called in the event loop."""

    ask: Callable[[str], Awaitable[bool]]  # whether the host of a URL answers anything
    count: Callable[[Failed], None]  # this failure counts
    give_up: Callable[[str, Sequence[Link]], None]  # a host does not answer: these of its links are given up
    give_back: Callable[[Sequence[Link]], None]  # as if these had never been drawn
    released: Callable[[str], None]  # a host may have room for more links
    go_on: Callable[[], None]  # an exchange may be possible that was not


class Contact:
    """Follows what hosts answer, and whether anybody does."""

    def __init__(self, frontier: Frontier, network: Network, hands: Hands) -> None:
        self._frontier, self._network, self._hands = frontier, network, hands
        self._probes: set[asyncio.Task[None]] = set()

    def lets_begin(self, now: float) -> bool:
        """Whether an exchange may begin now. Asked once for each that would."""
        return self._network.lets_begin(now)

    @property
    def silent_since(self) -> float:
        """Since when nothing has answered, seconds since the epoch; 0 while something does."""
        return _epoch(self._network.silent_since) if self._network.down else 0.0

    @property
    def patient_until(self) -> float:
        """Where nothing has answered yet: until when that is taken for an outage, as above; else 0."""
        until = self._network.patient_until
        return _epoch(until) if until else 0.0

    def began(self, now: float) -> None:
        """An exchange was begun."""
        self._network.began(now, alone=self._frontier.in_flight == 1)

    def ended(self, result: Fetched | Moved | Failed, began: float, now: float) -> None:
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
                self._frontier.hold(link.host)
        else:
            if not isinstance(result, Failed) or is_answer(result):
                self._answered(link.host, link.asked, began, now)
            elif result.reason is Reason.NO_SUCH_HOST:
                self._count_all(self._network.named(now))
            if isinstance(result, Failed):
                self._count(Held(result, began, now))
            else:
                self._tell(link.host, Outcome.GOOD, began, now)
        self.left(link, now)

    def left(self, link: Link, now: float) -> None:
        """A request for a link is over: nobody holds its slot any more."""
        self._frontier.release(link.host, now)
        self._frontier.came_home(link, now)

    async def watch(self) -> None:
        """Look at the time, until cancelled."""
        while True:
            await asyncio.sleep(self._network.beat)
            self.look()
            if not self._network.answered_ever:
                self._hands.go_on()

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
        self._count_all(self._network.answered(host, url, began, now))

    def _count_all(self, counted: Sequence[Held]) -> None:
        self._let_go(counted)
        for held in counted:
            self._count(held)
            self._hands.released(held.failed.link.host)

    def _let_go(self, held: Sequence[Held]) -> None:
        now = time.monotonic()
        for one in held:
            self._frontier.let_go(one.failed.link.host, now)

    def _count(self, held: Held) -> None:
        failed = held.failed
        self._hands.count(failed)
        cause = f"{failed.reason}: {failed.detail}"[:_CAUSE]
        self._tell(failed.link.host, outcome_of(failed), held.began, held.ended, failed.retry_after, cause)

    def _tell(
        self,
        host: str,
        outcome: Outcome,
        began: float,
        now: float,
        asked: float | None = None,
        cause: str = "",
    ) -> None:
        dropped = self._frontier.ended(host, outcome, began, now, asked, cause)
        if dropped is not None:
            self._hands.give_up(host, dropped)

    def _give_back(self, held: Sequence[Held]) -> None:
        self._let_go(held)
        self._hands.give_back([one.failed.link for one in held])
        for host in {one.failed.link.host for one in held}:
            self._hands.released(host)

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


def _epoch(monotonic: float) -> float:
    return time.time() - time.monotonic() + monotonic
