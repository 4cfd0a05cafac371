"""What servers really do, all of it in one crawl: each behaviour ends with its Reason, within its limit."""

import time

import pytest

from crawler.fetch import Fetcher
from tests.crawling import assert_verified, run_crawl, states, write_list
from tests.fault_table import FAULTS, TLS_FAULTS
from tests.faults import FaultSite

SLACK = 10.0  # seconds that a busy machine may add to a limit
AGAIN = ("dies between two requests", "closes between two requests")


def links(site: FaultSite, copies: int) -> dict[str, tuple[str, str]]:
    """Every URL, its behaviour, and the Reason it must end with."""
    wanted = {}
    for copy in range(copies):
        wanted |= {site.url(name, copy): (name, reason) for name, (reason, _) in FAULTS.items()}
        wanted |= {
            site.url(name, copy, scheme="https"): (name, reason) for name, reason in TLS_FAULTS.items()
        }
        wanted |= {site.url(name, copy, "/again"): (name, "saved") for name in AGAIN}
    return wanted


# what ends by a clock, with that clock; no other runs out meanwhile, however busy the machine
CLOCKS = {"stalled": {"stall_timeout": 0.7}, "timeout": {"timeout": 2.0}, "connect": {"connect_timeout": 1.4}}
PATIENCE = dict.fromkeys(("connect_timeout", "stall_timeout", "timeout"), 60.0)
ALL = {"stall_timeout": 8.0, "timeout": 20.0, "connect_timeout": 16.0}


def clock_of(reason: str) -> str:
    """The first of CLOCKS among the Reasons that a behaviour may end with; "" where it ends by itself."""
    return next((one for one in CLOCKS if one in reason.split(" or ")), "")


@pytest.mark.parametrize(
    ("copies", "ending", "clocks"),
    [
        *(pytest.param(1, {reason}, clocks, id=reason) for reason, clocks in CLOCKS.items()),
        pytest.param(1, {""}, {}, id="by themselves"),
        pytest.param(20, {"", *CLOCKS}, ALL, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_every_fault_ends_with_its_reason_within_its_limit(tmp_path, monkeypatch, copies, ending, clocks):
    """A crawl at --concurrency 200 of every behaviour that ends so goes to its end, and tells the truth of each."""
    took = {}
    fetch = Fetcher.fetch

    async def timed(self, link):
        began = time.monotonic()
        result = await fetch(self, link)
        took[link.url] = took.get(link.url, 0.0) + time.monotonic() - began
        return result

    monkeypatch.setattr(Fetcher, "fetch", timed)
    with FaultSite({name: behave for name, (_, behave) in FAULTS.items()}) as site:
        wanted = {url: one for url, one in links(site, copies).items() if clock_of(one[1]) in ending}
        run_crawl(
            [write_list(tmp_path / "urls.txt", list(wanted))],
            tmp_path / "data",
            concurrency=200,
            attempts=1,
            opt_outs="ignore",  # or every fault would befall robots.txt
            dedup="none",
            max_bytes=1 << 20,
            **PATIENCE | clocks,
        )
    found = states(tmp_path / "data")
    wrong = [
        f"{name}: {found[url]}, not {reason}"
        for url, (name, reason) in wanted.items()
        if found[url] not in reason.split(" or ")
    ]
    assert not wrong, "\n".join(sorted(wrong))
    limit = max(clocks.values(), default=0.0)
    late = {wanted[url][0]: seconds for url, seconds in took.items() if seconds > limit + SLACK}
    assert not late
    assert len(took) == len(wanted)
    assert_verified(tmp_path / "data")
