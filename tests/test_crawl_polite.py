"""Politeness as servers see it, dead hosts, and the day the network goes away: real crawls of real servers."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from rich.console import Console

from crawler.command import Terminal
from crawler.command import run_crawl as command
from crawler.failing import FailureShare
from crawler.pipeline import Crawled, crawl
from crawler.snapshot import Snapshot
from tests.crawling import LOCAL, assert_verified, ledger, run_crawl, states, write_list
from tests.names import NXDOMAIN, SERVFAIL, Names
from tests.site import Answer, Site, behaviour, image_bytes, send
from tests.site import Server as SiteServer
from tests.snapshots import a_snapshot

GOOD = [number for number in range(60_000) if not behaviour(number)]  # pages that serve their image
# an origin is asked for its robots.txt elsewhere; here every request is one of a link
PLAIN = {"opt_outs": "ignore", "dedup": "none"}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crawls in this process end without waiting for a batch to fill."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)


class Hosts(SiteServer):
    """A host on each address, of a speed of its own; every third bears a few requests at a time only."""

    slow = 1.0  # times as slow: so that the machine does not limit what many hosts see

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.began: dict[str, list[float]] = defaultdict(list)
        self.pushed: dict[str, list[float]] = defaultdict(list)  # when each 429 was sent

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        address = writer.get_extra_info("sockname")[0]
        self.began[address].append(time.monotonic())
        self.now[address] += 1
        self.most[address] = max(self.most[address], self.now[address])
        try:
            await asyncio.sleep(self.slow * speed(address))
            if self.now[address] > bears(address):
                going_on = await send(Answer(status=429, headers={"Retry-After": "2"}), writer)
                self.pushed[address].append(time.monotonic())
                return going_on
            return await super()._exchange(head, writer, connection)
        finally:
            self.now[address] -= 1


def number_of(address: str) -> int:
    """The last two parts of an address as one number."""
    return int(address.split(".")[2]) * 256 + int(address.split(".")[3])


def speed(address: str) -> float:
    """Seconds that a host takes to answer."""
    return 0.02 * (1 + number_of(address) % 10)


def bears(address: str) -> int:
    """Requests at a time that a host answers well."""
    return 6 if number_of(address) % 3 == 0 else 1000


@pytest.mark.parametrize(
    ("hosts", "links"),
    [pytest.param(40, 24, id="quick"), pytest.param(200, 60, id="full", marks=pytest.mark.slow)],
)
def test_servers_see_their_bounds_and_waits_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: int, links: int
):
    """No host sees more than --per-host at a time, nor anything while it has asked to be left alone."""
    addresses = [f"127.0.{1 + n // 200}.{1 + n % 200}" for n in range(hosts)]
    monkeypatch.setattr("tests.site.Server", Hosts)
    monkeypatch.setattr(Hosts, "slow", hosts / 40)
    with Site(addresses=addresses) as site:
        urls = [
            site.url(f"/n/{GOOD[h * links + n]}.jpg", host)
            for h, host in enumerate(addresses)
            for n in range(links)
        ]
        crawled = run_crawl(
            [write_list(tmp_path / "urls.txt", urls)],
            tmp_path / "data",
            per_host=8,
            attempts=10,
            concurrency=8 * hosts,
            **PLAIN,
        )
    server = site._server
    assert isinstance(server, Hosts)
    assert crawled.snapshot.saved == len(urls)
    pushing = [address for address in addresses if server.pushed[address]]
    assert 4 < max(server.most.values()) <= 8
    assert {bears(address) for address in pushing} == {6}
    assert pushing  # how many, beyond what they bear, depends on the machine...
    for address in pushing:  # ... but they are then left alone, but for what was on its way
        for sent in server.pushed[address]:
            assert not [began for began in server.began[address] if sent + 1.0 < began < sent + 1.95]


def test_a_delay_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With --delay the requests of a host come that far apart, those of different hosts do not."""
    monkeypatch.setattr("tests.site.Server", Hosts)
    addresses = [f"127.0.1.{n}" for n in range(1, 21)]
    with Site(addresses=addresses) as site:
        urls = [site.url(f"/n/{GOOD[n]}.jpg", addresses[n % 20]) for n in range(100)]
        run_crawl([write_list(tmp_path / "urls.txt", urls)], tmp_path / "data", delay=0.25, **PLAIN)
    server = site._server
    assert isinstance(server, Hosts)
    for began in server.began.values():
        assert len(began) == 5
        assert began[-1] - began[0] > 3 * 0.25  # four gaps; the first request may have been held up
    everyone = [began for times in server.began.values() for began in times]
    assert max(everyone) - min(everyone) < 100 * 0.25


class Silent(SiteServer):
    """Hosts on 127.0.3.x take every request and say nothing."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.unanswered: Counter[str] = Counter()

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        address = writer.get_extra_info("sockname")[0]
        if address.startswith("127.0.3."):
            self.unanswered[address] += 1
            await asyncio.Event().wait()
        return await super()._exchange(head, writer, connection)


@pytest.mark.parametrize(
    ("hosts", "links", "bound"),
    [
        pytest.param(200, 2_000, 45, id="quick"),
        pytest.param(2_000, 20_000, 200, id="full", marks=pytest.mark.slow),
    ],
)
def test_a_list_full_of_dead_hosts_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hosts: int, links: int, bound: int
):
    """One host in ten does not resolve, one refuses, one is silent: the crawl ends soon, one Reason a link."""
    monkeypatch.setattr("tests.site.Server", Silent)
    tenth = hosts // 10
    kinds: dict[str, str] = {}
    answers: dict[str, list[str] | int] = {}
    for n in range(hosts):
        name, kind = f"h{n}.example", ["unknown", "refusing", "silent", *["good"] * 7][n % 10]
        kinds[name] = kind
        place = {"refusing": 2, "silent": 3, "good": 1}.get(kind)
        if place is None:
            answers[name] = NXDOMAIN if n % 20 else SERVFAIL
        else:
            answers[name] = [f"127.0.{place}.{1 + n // 10 % 100}"]
    served = [f"127.0.{place}.{n}" for place in (1, 3) for n in range(1, 1 + min(tenth, 100))]
    with Site(addresses=served) as site, Names(answers) as names:
        urls = {
            f"http://h{n % hosts}.example:{site.port}/n/{GOOD[n]}.jpg": kinds[f"h{n % hosts}.example"]
            for n in range(links)
        }
        crawled = run_crawl(
            [write_list(tmp_path / "urls.txt", list(urls))],
            tmp_path / "data",
            **PLAIN,
            resolver=(names.address,),
            # a good host on a machine that stands still for seconds is no dead one: with waits as short as
            # here, one look-up that fails gives a host up
            connect_timeout=20.0,
            stall_timeout=3.0,
            timeout=20.0,
            per_host=8,
        )
    assert crawled.finished
    assert crawled.snapshot.seconds < bound
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for url, state in states(tmp_path / "data").items():
        found[urls[url]][state] += 1
    assert found["good"] == {"saved": links * 7 // 10}
    assert set(found["unknown"]) <= {"no_such_host", "dns", "host_down"}
    assert set(found["refusing"]) <= {"connect", "host_down"}
    # a busy machine opens 500 connections late, and waits for one within both other limits
    assert set(found["silent"]) <= {"stalled", "connect", "timeout", "host_down"}
    assert all(kind["host_down"] for name, kind in found.items() if name in ("refusing", "silent"))
    server = site._server
    assert isinstance(server, Silent)
    # trials included, which come soon here; in the full test two hosts share an address
    assert max(server.unanswered.values()) <= 20 * max(1, tenth // 100)
    assert_verified(tmp_path / "data")


@pytest.mark.parametrize("links", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_dead_host_costs_little(tmp_path: Path, links: int):
    """However many links a dead host has, a handful of requests is made: also for those not drawn yet."""
    with Site() as site:
        good = [site.url(f"/n/{number}.jpg") for number in GOOD[:50]]
        dead = [f"http://127.0.0.99:{site.port}/{n}.jpg" for n in range(links)]
        crawled = run_crawl([write_list(tmp_path / "urls.txt", dead + good)], tmp_path / "data", **PLAIN)
    assert crawled.finished
    found = Counter(states(tmp_path / "data").values())
    assert (found["saved"], found["host_down"] + found["connect"]) == (50, links)
    assert found["host_down"] >= links - 20
    ((charged,),) = ledger(tmp_path / "data", "SELECT sum(attempts) FROM frontier")
    assert charged < 50 + 500  # it is tried again now and then: more often where the machine is slow
    assert_verified(tmp_path / "data")


class Fragile(SiteServer):
    """A site whose network can go away: stopped, or silent on every connection."""

    gone = False
    mute: asyncio.Event | None = None

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        await asyncio.sleep(0.01)
        if self.mute is not None:
            await self.mute.wait()
        if self.gone:
            raise ConnectionResetError
        return await super()._exchange(head, writer, connection)

    async def go(self, how: str) -> None:
        """Be gone: nothing is answered any more."""
        self.gone = True
        if how == "dropped":
            self.mute = asyncio.Event()
            return
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()

    async def come_back(self, addresses: list[str], port: int) -> None:
        """Be there again."""
        if self.mute is not None:
            self.mute.set()
            await asyncio.sleep(0)  # what was on its way is lost
            self.mute = None
        else:
            await self.listen(addresses, port, None)
        self.gone = False


@pytest.mark.parametrize("how", ["stopped", "dropped"])
def test_an_outage_charges_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str):
    """With all traffic gone the crawl waits, says since when, and ends as if nothing had been."""
    monkeypatch.setattr("tests.site.Server", Fragile)
    addresses = [f"127.0.1.{n}" for n in range(1, 11)]
    out, taken = tmp_path / "data", Taken()

    async def crawl_through_an_outage(site: Site) -> Crawled:
        lists = [
            write_list(
                tmp_path / "urls.txt", [site.url(f"/n/{n}.jpg", addresses[n % 10]) for n in GOOD[:600]]
            )
        ]
        given = (
            LOCAL | PLAIN | {"outage": 0.5, "stall_timeout": 2.0, "connect_timeout": 2.0, "concurrency": 40}
        )
        running = asyncio.ensure_future(crawl(lists, out, view=taken.view, **given))
        server = site._server
        assert isinstance(server, Fragile)
        await until(lambda: taken.now().saved > 100, running)
        gone = time.time()
        site._do(server.go(how))
        await until(lambda: taken.now().silent_since, running)
        assert gone - 1.0 < taken.now().silent_since <= time.time()
        await until(lambda: taken.now().in_flight <= 4, running)  # all that hung has ended; probes go on
        snapshot = taken.now()
        assert set(snapshot.counts) == {"saved"}
        assert snapshot.waiting == 0
        site._do(server.come_back(addresses, site.port))
        return await running

    with Site(addresses=addresses) as site:
        crawled = asyncio.run(crawl_through_an_outage(site))
    assert crawled.finished
    assert crawled.snapshot.counts == {"saved": 600}
    assert ledger(out, "SELECT DISTINCT attempts FROM frontier") == [(1,)]
    assert_verified(out)


def test_a_crawl_can_be_stopped_in_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Ctrl-C while nothing answers: what was held is pending again, and the next start goes on."""
    monkeypatch.setattr("tests.site.Server", Fragile)
    out, taken = tmp_path / "data", Taken()

    async def stopped(site: Site) -> Crawled:
        stop = asyncio.Event()
        lists = [write_list(tmp_path / "urls.txt", [site.url(f"/n/{n}.jpg") for n in GOOD[:500]])]
        given = LOCAL | PLAIN | {"outage": 60.0, "concurrency": 20}
        running = asyncio.ensure_future(crawl(lists, out, view=taken.view, stop=stop, **given))
        await until(lambda: taken.now().saved > 50, running)
        server = site._server
        assert isinstance(server, Fragile)
        site._do(server.go("stopped"))
        then = taken.now()  # one more failure than requests are under way is enough: the host may be given up
        await until(lambda: taken.now().attempts_now > then.attempts_now + then.in_flight, running)
        stop.set()
        ended = await running
        site._do(server.come_back(["127.0.0.1"], site.port))
        return ended

    with Site() as site:
        assert not asyncio.run(stopped(site)).finished
        assert set(states(out).values()) == {"saved", "pending"}
        assert run_crawl([], out).finished
    assert ledger(out, "SELECT DISTINCT attempts FROM frontier") == [(1,)]
    assert_verified(out)


def test_a_crawl_that_goes_on_in_an_outage_charges_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Where hosts were good in an earlier run it waits for them, says until when, and goes on by itself."""
    monkeypatch.setattr("tests.site.Server", Fragile)
    out, taken = tmp_path / "data", Taken()

    async def begun_in_an_outage(site: Site) -> Crawled:
        server = site._server
        assert isinstance(server, Fragile)
        urls = [site.url(f"/n/{n}.jpg") for n in GOOD[:200]]
        await crawl([write_list(tmp_path / "first.txt", urls[:1])], out, **LOCAL | PLAIN)
        site._do(server.go("stopped"))
        lists = [write_list(tmp_path / "urls.txt", urls)]
        running = asyncio.ensure_future(crawl(lists, out, view=taken.view, **LOCAL | PLAIN | {"outage": 2.0}))
        await until(lambda: taken.now().silent_since, running)
        assert taken.now().patient_until > time.time()
        assert taken.now().counts == {"saved": 1}
        site._do(server.come_back(["127.0.0.1"], site.port))
        return await running

    with Site() as site:
        crawled = asyncio.run(begun_in_an_outage(site))
    assert crawled.snapshot.counts == {"saved": 200}
    assert ledger(out, "SELECT DISTINCT attempts FROM frontier") == [(1,)]


def test_a_list_of_nothing_but_dead_hosts_ends(tmp_path: Path):
    """Nobody has answered ever: nothing is waited for, the end is no stop, and what is given up says of what."""
    with Site() as site:
        dead = [f"http://127.0.5.{n % 100}:{site.port}/{n}" for n in range(2_000)]
    crawled = run_crawl([write_list(tmp_path / "urls.txt", dead)], tmp_path / "data", **PLAIN)
    assert (crawled.finished, crawled.gave_up) == (True, False)
    assert set(states(tmp_path / "data").values()) <= {"connect", "host_down"}
    details = ledger(
        tmp_path / "data", "SELECT DISTINCT substr(detail, 1, 9) FROM urls WHERE state = 'host_down'"
    )
    assert details == [("connect: ",)]
    assert_verified(tmp_path / "data")


NOTHING = a_snapshot(counts={}, attempts_now=0)


class Taken:
    """A view that keeps the crawl's own numbers at hand."""

    def __init__(self) -> None:
        self.take: Callable[[], Snapshot] | None = None

    @contextmanager
    def view(self, take: Callable[[], Snapshot]):
        """Entered by the crawl."""
        self.take = take
        yield

    def now(self) -> Snapshot:
        """The numbers now, those of a crawl that has done nothing before it begins."""
        return self.take() if self.take is not None else NOTHING


async def until(condition: Callable[[], object], running: asyncio.Future[Crawled]) -> None:
    """Let the crawl go on; pytest's timeout ends a wait that would not."""
    while not condition():
        assert not running.done(), running.result()
        await asyncio.sleep(0.01)


def test_a_run_that_only_fails_ends_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """After so many failures in a row it stops with exit code 3 and says why; it can be continued, and retried."""
    monkeypatch.setattr("crawler.stages.FailureShare", partial(FailureShare, window=100))
    out = tmp_path / "data"
    with Site() as site:
        broken = [site.add(f"/{n}.jpg", Answer(status=500), Answer(image_bytes(n))) for n in range(400)]
        lists = str(write_list(tmp_path / "urls.txt", broken))
        given = LOCAL | PLAIN | {"attempts": 1, "concurrency": 4}
        assert command([lists], out, None, Terminal(Console()), given) == 3
        assert "--stop-if-failing" in capsys.readouterr().out
        found = Counter(states(out).values())
        assert 100 <= found["http_5xx"] < 400
        assert found["http_5xx"] + found["pending"] == 400
        assert command([str(out)], None, None, Terminal(Console(), quiet=True), {"stop_if_failing": 0.0}) == 0
        assert set(states(out).values()) == {"http_5xx"}
        for path in [f"/{n}.jpg" for n in range(400)]:
            site.add(path, Answer(status=500))
        # a run that tries failures again expects them
        assert run_crawl([], out, attempts=1, stop_if_failing=0.98).finished
    assert_verified(out)
