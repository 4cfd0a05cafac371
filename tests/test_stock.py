"""The stock: links of a real ledger come once per attempt, fairly, in bounded memory, until none is left."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from crawler.frontier import Frontier
from crawler.pace import Manners, Outcome
from crawler.records import Link
from crawler.stock import Stock
from curator.dataset.commit import Committer
from curator.dataset.draw import LONGEST_WAIT, PAGE, Draw
from curator.dataset.records import Drawn, Event, Postponed
from curator.dataset.store import Store
from curator.reasons import Reason
from tests.datasets import committer, drawn, ingest, lost, opened


@dataclass(slots=True)
class Crawl:
    """A stock with everything around it but the network: attempts end as `settle` says, in batches."""

    store: Store
    frontier: Frontier
    stock: Stock
    committer: Committer
    settle: Callable[[Link], Event | None] = lambda link: lost(link_drawn(link))
    concurrency: int = 50
    batch: int = 256
    pause: float = 0.0  # seconds a round of attempts takes
    taken: list[Link] = field(default_factory=list)
    most_held: int = 0
    pages: int = 0

    async def run(self) -> None:
        """Until the stock says that nothing is left."""
        go = asyncio.Event()
        keeping = asyncio.ensure_future(self.stock.keep(go.set))
        settled: list[Event] = []
        while not self.stock.ended:
            go.clear()
            flying = []
            while (
                len(flying) < self.concurrency and (link := self.frontier.take(time.monotonic())) is not None
            ):
                flying.append(link)
            self.stock.taken()
            self.most_held = max(self.most_held, self.stock.held)
            for link in flying:
                self.frontier.release(link.host, time.monotonic())
                self.stock.released(link.host)
                if (event := self.settle(link)) is not None:
                    settled.append(event)
            self.taken += flying
            if settled and (len(settled) >= self.batch or not flying):
                self.committer.commit(settled)
                self.stock.committed(settled)
                settled = []
            if flying:
                await asyncio.sleep(self.pause)
            elif not self.stock.ended and not keeping.done():
                await go.wait()
        await keeping


async def until(condition: Callable[[], object]) -> None:
    """Let the crawl go on; pytest's timeout ends a wait that would not."""
    while not condition():  # noqa: ASYNC110 - nobody would set an event
        await asyncio.sleep(0)


def link_drawn(link: Link) -> Drawn:
    """A link as the helpers for verdicts take it."""
    return Drawn(link.uid, link.row, link.url, link.attempts, link.tries)


@contextmanager
def crawling(
    root: Path, urls: list[str], *, per_host: int = 0, low: int = 100, again: tuple[Reason, ...] = ()
) -> Iterator[Crawl]:
    """A crawl of `urls`, all of them in the ledger."""
    with opened(root) as store:
        if urls:
            ingest(store, urls)
        run = store.begin_run(tuple(again), {})
        frontier = Frontier(Manners(per_host))
        draw = Draw(store.ledger.path, run.id, [reason.code for reason in again])
        stock = Stock(draw, frontier, draw.left(), draw.waiting(), low=low, on_hungry=lambda _: None)
        stock.read()
        made = Crawl(store, frontier, stock, committer(store, run.id))
        page = draw.page

        def counted(*arguments: object) -> object:
            made.pages += 1
            return page(*arguments)

        draw.page = counted  # type: ignore[method-assign]
        try:
            yield made
        finally:
            made.committer.close()
            draw.close()
            store.end_run(run.id, finished=True, seconds=0.0)


async def test_one_big_host_starves_nobody(tmp_path: Path):
    """Beside a host of 20,000 links, 2 at a time, the others come at once, and memory stays bounded.

    Every link comes exactly once.
    """
    big = [f"http://big.example/{n}" for n in range(20_000)]
    others = [f"http://site{n % 50}.example/{n}" for n in range(2_000)]
    left = set(others)

    def settle(link: Link) -> Event:
        left.discard(link.url)
        crawl.pause = 0.001 if left else 0.0  # the one big host alone is another test
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", big + others, per_host=2) as crawl:
        crawl.settle = settle
        await crawl.run()
    assert Counter(link.url for link in crawl.taken) == Counter(big + others)
    last_of_others = max(i for i, link in enumerate(crawl.taken) if link.host != "big.example")
    # in the order of uids, others are one in eleven; fairness gives them nearly every place
    assert last_of_others < 6 * len(others)
    assert crawl.most_held <= 2 * PAGE + 100
    # the list is not scanned again and again for what that one host leaves
    assert crawl.pages <= 60


async def test_a_list_of_one_host(tmp_path: Path):
    """A host alone, with more links than fit in memory, ends: each link once."""
    urls = [f"http://only.example/{n}" for n in range(9_000)]

    def settle(link: Link) -> Event:
        crawl.pause = 0.001 if len(crawl.taken) < 4_000 else 0.0  # as long as there are more than fit
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", urls, per_host=8) as crawl:
        crawl.settle = settle
        await crawl.run()
    assert Counter(link.url for link in crawl.taken) == Counter(urls)
    assert crawl.most_held <= 2 * PAGE
    # what is left in the ledger is not scanned again and again meanwhile
    assert crawl.pages <= 25


@pytest.mark.parametrize("per_host", [0, 2])
async def test_every_attempt_comes_once(tmp_path: Path, per_host: int):
    """A link that is postponed twice comes three times, with what was charged; then it is left alone."""
    urls = [f"http://site{n % 20}.example/{n}" for n in range(3_000)]

    def settle(link: Link) -> Event:
        if link.tries < 2:
            return Postponed(link.uid, link.row, 0.0, link.attempts + 1, link.tries + 1)
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", urls, per_host=per_host) as crawl:
        crawl.settle = settle
        await crawl.run()
    found = Counter((link.url, link.tries) for link in crawl.taken)
    assert found == Counter((url, tries) for url in urls for tries in range(3))


async def test_due_retries_come_first(tmp_path: Path):
    """A retry whose time has come is drawn before what was never tried."""
    urls = [f"http://site{n % 20}.example/{n}" for n in range(2 * PAGE)]
    first: set[bytes] = set()

    def settle(link: Link) -> Event:
        if len(first) < 100:
            first.add(link.uid)
            return Postponed(link.uid, link.row, 0.0, 1, 1)
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", urls) as crawl:
        crawl.settle = settle
        crawl.batch = 100
        await crawl.run()
    again = [i for i, link in enumerate(crawl.taken) if link.tries]
    assert len(again) == 100
    assert again[-1] <= PAGE + 2 * 100


async def test_a_retry_that_waits_holds_nothing_and_is_waited_for(tmp_path: Path):
    """While a retry waits, nothing is in memory; the crawl ends only after it."""
    due = time.time() + 0.3

    def settle(link: Link) -> Event:
        if not link.tries:
            return Postponed(link.uid, link.row, due, 1, 1)
        assert time.time() >= due
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", ["http://a.example/"]) as crawl:
        crawl.settle = settle
        running = asyncio.ensure_future(crawl.run())
        await until(lambda: crawl.stock.waiting)
        assert crawl.stock.held == 0
        await running
    assert [link.tries for link in crawl.taken] == [0, 1]


async def test_it_ends_when_nothing_was_there(tmp_path: Path):
    """An empty ledger whose lists are read is done."""
    with crawling(tmp_path / "data", []) as crawl:
        await crawl.run()
    assert crawl.taken == []


async def test_what_an_interrupted_crawl_left_behind_comes_too(tmp_path: Path):
    """Continued, a crawl begins where it stopped, and then takes up what it had left before that."""
    urls = [f"http://site{n % 20}.example/{n}" for n in range(3_000)]
    with crawling(tmp_path / "data", urls) as crawl:
        links = drawn(crawl.store)
        left = [*links[5:2_400:400], *links[2_500:]]
        done = [link for link in links if link not in left]
        crawl.committer.commit([lost(link) for link in done])
        crawl.stock.undecided = len(left)
        await crawl.run()
    assert Counter(link.uid for link in crawl.taken) == Counter(link.uid for link in left)
    assert crawl.taken[0].uid >= links[2_400].uid


async def test_it_waits_for_lists_that_are_read(tmp_path: Path):
    """With lists still being read it does not end, and takes up what they bring."""
    with crawling(tmp_path / "data", ["http://a.example/"]) as crawl:
        crawl.stock.reading = True
        running = asyncio.ensure_future(crawl.run())
        await until(lambda: crawl.taken and not crawl.stock.held)
        ingest(crawl.store, ["http://b.example/"])
        crawl.stock.added(1)
        await until(lambda: len(crawl.taken) == 2)
        assert not running.done()
        crawl.stock.read()
        await running
    assert [link.host for link in crawl.taken] == ["a.example", "b.example"]


async def test_a_later_run_takes_up_what_may_succeed_now(tmp_path: Path):
    """Verdicts of an older run that are to be tried again are drawn, those with five attempts passed over."""
    urls = [f"http://a.example/{n}" for n in range(30)]
    with crawling(tmp_path / "data", urls) as crawl:
        crawl.settle = lambda link: lost(
            link_drawn(link), Reason.TIMEOUT if link.uid[0] % 2 else Reason.HTTP_404
        )
        await crawl.run()
    timeouts = {link.url for link in crawl.taken if link.uid[0] % 2}
    for attempt in range(2, 7):
        with crawling(tmp_path / "data", [], again=(Reason.TIMEOUT,)) as crawl:
            crawl.settle = lambda link: lost(link_drawn(link), Reason.TIMEOUT)
            await crawl.run()
        assert {link.url for link in crawl.taken} == (timeouts if attempt <= 5 else set())


async def test_more_retries_than_a_page_fall_due_at_once(tmp_path: Path):
    """After a pause every retry is overdue: all are taken, however many."""
    urls = [f"http://site{n % 20}.example/{n}" for n in range(PAGE + 600)]

    def settle(link: Link) -> Event:
        if not link.tries:
            return Postponed(link.uid, link.row, 1.0, 1, 1)
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", urls) as crawl:
        crawl.settle = settle
        crawl.batch = 2 * len(urls)  # all are postponed before the first comes again
        await crawl.run()
    assert Counter((link.url, link.tries) for link in crawl.taken) == Counter(
        (url, tries) for url in urls for tries in range(2)
    )


async def test_a_clock_that_ran_ahead_stops_nothing(tmp_path: Path):
    """A retry noted for a time that no retry waits for, since the clock was wrong then, is taken now."""

    def settle(link: Link) -> Event:
        if not link.tries:
            return Postponed(link.uid, link.row, time.time() + 10 * LONGEST_WAIT, 1, 1)
        return lost(link_drawn(link))

    with crawling(tmp_path / "data", ["http://a.example/"]) as crawl:
        crawl.settle = settle
        await crawl.run()
    assert [link.tries for link in crawl.taken] == [0, 1]


async def test_what_is_given_back_comes_again_as_it_was(tmp_path: Path):
    """An attempt that does not count leaves its link as it was drawn, pending or due, with what was charged."""
    urls = [f"http://site{n % 20}.example/{n}" for n in range(400)]
    given_back: set[tuple[bytes, int]] = set()
    with crawling(tmp_path / "data", urls) as crawl:

        def settle(link: Link) -> Event | None:
            if (link.uid, link.tries) not in given_back:
                given_back.add((link.uid, link.tries))
                crawl.stock.returned([link])
                return None
            if not link.tries:
                return Postponed(link.uid, link.row, 0.0, 1, 1)
            return lost(link_drawn(link))

        crawl.settle = settle
        await crawl.run()
        assert (crawl.stock.held, crawl.stock.waiting, crawl.stock.undecided) == (0, 0, 0)
    assert Counter((link.url, link.tries) for link in crawl.taken) == Counter(
        {(url, tries): 2 for url in urls for tries in range(2)}
    )


async def test_a_host_that_is_given_up_keeps_nothing(tmp_path: Path):
    """All its links end as they are drawn, those of a retry too, while memory stays bounded."""
    urls = [f"http://dead.example/{n}" for n in range(4 * PAGE)]
    with crawling(tmp_path / "data", urls, per_host=8) as crawl:
        ended: list[Event] = []

        def given_up(link: Link) -> None:
            ended.append(lost(link_drawn(link), Reason.HOST_DOWN))

        now = time.monotonic()
        for began in (now - 4.0, now - 3.0, now - 2.0, now - 1.0):
            crawl.frontier.ended("dead.example", Outcome.LOST, began, began + 1.0)
        crawl.stock.on_given_up = given_up
        keeping = asyncio.ensure_future(crawl.stock.keep(lambda: None))
        total = 0
        while not keeping.done():
            await asyncio.sleep(0.001)
            crawl.most_held = max(crawl.most_held, crawl.stock.held)
            if batch := ended[:256]:
                del ended[:256]
                crawl.committer.commit(batch)
                crawl.stock.committed(batch)
                total += len(batch)
    assert (total, crawl.taken) == (len(urls), [])
    assert crawl.most_held <= 3 * PAGE + 300
