"""Redirects to other hosts: these are treated like listed ones, nobody waits in a circle, a stop waits for nobody."""

import asyncio
import signal
import time
from collections import Counter
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest

from crawler.frontier import Frontier
from tests.crawling import (
    assert_verified,
    crawl_process,
    ledger,
    run_crawl,
    states,
    wait_until,
    write_list,
)
from tests.site import Answer, Site, image_bytes
from tests.site import Server as SiteServer

HOME, TARGET = "127.0.0.1", "127.0.0.2"
PLAIN = {"opt_outs": "ignore", "dedup": "none"}


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crawls in this process end without waiting for a batch to fill."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)


class Counting(SiteServer):
    """Notes what each address has under way; answers take a moment."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        address = writer.get_extra_info("sockname")[0]
        self.now[address] += 1
        self.most[address] = max(self.most[address], self.now[address])
        try:
            await asyncio.sleep(0.02)
            return await super()._exchange(head, writer, connection)
        finally:
            self.now[address] -= 1


def moved(site: Site, number: int, to: str = TARGET, home: str = HOME) -> str:
    """A URL at `home` that leads to a picture at `to`."""
    there = site.url(f"/picture/{number}", to)
    site.add_image(f"/picture/{number}", image_bytes(number))
    site.add(f"/moved/{home}/{number}", Answer(b"", 302, {"Location": there}))
    return site.url(f"/moved/{home}/{number}", home)


def times(site: Site, host: str) -> list[float]:
    """When that host was asked for anything."""
    return sorted(one.time for one in site.requests() if one.host.startswith(f"{host}:"))


def test_where_many_redirect_to_is_asked_like_a_listed_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Forty hosts lead to one: that sees no more than --per-host at a time, and each image is saved at once."""
    monkeypatch.setattr("tests.site.Server", Counting)
    homes = [f"127.0.2.{n}" for n in range(1, 41)]
    with Site(addresses=[*homes, TARGET]) as site:
        urls = [moved(site, n, home=homes[n % 40]) for n in range(160)]
        lists = [write_list(tmp_path / "urls.txt", urls)]
        crawled = run_crawl(lists, tmp_path / "data", per_host=3, **PLAIN)
    server = site._server
    assert isinstance(server, Counting)
    assert crawled.snapshot.saved == 160
    assert server.most[TARGET] == 3
    assert ledger(tmp_path / "data", "SELECT DISTINCT attempts FROM frontier") == [(1,)]
    assert_verified(tmp_path / "data")


def test_a_gap_holds_for_every_request(tmp_path: Path):
    """With --delay the requests to a host come that far apart, also those that redirects lead to, its own or not."""
    with Site(addresses=[HOME, TARGET]) as site:
        urls = [moved(site, n) for n in range(3)] + [moved(site, n, to=HOME) for n in range(3, 5)]
        run_crawl(
            [write_list(tmp_path / "urls.txt", urls)], tmp_path / "data", delay=0.3, timeout=1.0, **PLAIN
        )
        for host, asked in ((HOME, 7), (TARGET, 3)):
            seen = times(site, host)
            assert len(seen) == asked
            assert all(later - earlier > 0.15 for earlier, later in pairwise(seen))
    assert set(states(tmp_path / "data").values()) == {"saved"}  # no clock ran while they waited


def test_what_a_host_asks_for_is_kept_for_those_led_there(tmp_path: Path):
    """After a 429 with Retry-After nobody asks the target, listed or led there, until its time has come."""
    with Site(addresses=[HOME, TARGET]) as site:
        urls = [moved(site, n) for n in range(3)]
        for n in range(3):
            busy = Answer(b"", 429, {"Retry-After": "2"}) if n == 0 else Answer(image_bytes(n))
            site.add(f"/picture/{n}", busy, Answer(image_bytes(n)))
        run_crawl([write_list(tmp_path / "urls.txt", urls)], tmp_path / "data", per_host=1, **PLAIN)
        pushed = site.requests("/picture/0")[0].time
        seen = times(site, TARGET)
    assert len(seen) == 4
    assert not [asked for asked in seen if pushed < asked < pushed + 1.9]
    assert set(states(tmp_path / "data").values()) == {"saved"}


def test_hosts_that_lead_to_each_other_do_not_wait_for_each_other(tmp_path: Path):
    """With one slot each and every link crossing over, each goes its way."""
    with Site(addresses=[HOME, TARGET]) as site:
        urls = [moved(site, n, *((TARGET, HOME) if n % 2 else (HOME, TARGET))) for n in range(60)]
        lists = [write_list(tmp_path / "urls.txt", urls)]
        assert run_crawl(lists, tmp_path / "data", per_host=1, **PLAIN).snapshot.saved == 60


def test_a_dead_target_is_given_up(tmp_path: Path):
    """Links that lead to a dead host end as its own would; the verdict tells where, and its home goes on."""
    with Site() as site:
        dead = f"http://127.0.0.99:{site.port}/a"
        lost = [site.add(f"/{n}", Answer(b"", 302, {"Location": dead})) for n in range(300)]
        good = [site.add_image(f"/good/{n}", image_bytes(n)) for n in range(20)]
        crawled = run_crawl([write_list(tmp_path / "urls.txt", lost + good)], tmp_path / "data", **PLAIN)
    found = Counter(states(tmp_path / "data").values())
    assert crawled.finished
    assert found["saved"] == 20
    assert found["host_down"] + found["connect"] == 300
    query = "SELECT DISTINCT final_url, attempts > 0 FROM urls WHERE state = 'host_down'"
    assert ledger(tmp_path / "data", query) == [(dead, 1)]


def test_too_many_for_one_target_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What finds the target's line full is charged nothing, and its home is left alone for a while."""
    monkeypatch.setattr("crawler.pipeline.Frontier", partial(Frontier, moved=2))
    monkeypatch.setattr("crawler.stages._REDIRECTS_REST", 0.2)
    with Site(addresses=[HOME, TARGET]) as site:
        urls = [moved(site, n) for n in range(12)]
        lists = [write_list(tmp_path / "urls.txt", urls)]
        crawled = run_crawl(lists, tmp_path / "data", delay=0.1, **PLAIN)
    assert crawled.snapshot.saved == 12
    assert ledger(tmp_path / "data", "SELECT DISTINCT attempts FROM frontier") == [(1,)]


def test_a_stop_does_not_wait_for_those_that_wait(tmp_path: Path):
    """Ctrl-C while redirects wait for a turn that is far away: they are pending again, uncharged."""
    out = tmp_path / "data"
    with Site(addresses=[HOME, TARGET]) as site:
        site.add("/robots.txt", Answer(b"", 404))
        urls = [moved(site, n) for n in range(20)]
        lists = [write_list(tmp_path / "urls.txt", urls)]
        with crawl_process(lists, out, delay=60.0, **PLAIN) as crawling:
            assert wait_until(lambda: len(times(site, HOME)) > 0, crawling)
            assert wait_until(lambda: len(times(site, TARGET)) > 0, crawling)
            stopped = time.monotonic()
            crawling.send_signal(signal.SIGINT)
            assert crawling.wait(30) == 130
            assert time.monotonic() - stopped < 30
    assert Counter(states(out).values())["pending"] >= 19
    assert_verified(out)
