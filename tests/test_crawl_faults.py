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


@pytest.mark.parametrize(
    ("copies", "stall", "timeout"),
    [
        pytest.param(1, 0.7, 2.0, id="quick"),
        pytest.param(20, 8.0, 20.0, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_every_fault_ends_with_its_reason_within_its_limit(tmp_path, monkeypatch, copies, stall, timeout):
    """One crawl of every behaviour at --concurrency 200 goes to its end, and tells the truth about each."""
    took = {}
    fetch = Fetcher.fetch

    async def timed(self, link):
        began = time.monotonic()
        result = await fetch(self, link)
        took[link.url] = took.get(link.url, 0.0) + time.monotonic() - began
        return result

    monkeypatch.setattr(Fetcher, "fetch", timed)
    with FaultSite({name: behave for name, (_, behave) in FAULTS.items()}) as site:
        wanted = links(site, copies)
        run_crawl(
            [write_list(tmp_path / "urls.txt", list(wanted))],
            tmp_path / "data",
            concurrency=200,
            attempts=1,
            opt_outs="ignore",  # or every fault would befall robots.txt
            connect_timeout=2 * stall,  # a busy machine accepts 200 at once late
            stall_timeout=stall,
            timeout=timeout,
            dedup="none",
            max_bytes=1 << 20,
        )
    found = states(tmp_path / "data")
    wrong = [
        f"{name}: {found[url]}, not {reason}"
        for url, (name, reason) in wanted.items()
        if found[url] not in reason.split(" or ")
    ]
    assert not wrong, "\n".join(sorted(wrong))
    late = {wanted[url][0]: seconds for url, seconds in took.items() if seconds > timeout + SLACK}
    assert not late
    assert len(took) == len(wanted)
    assert_verified(tmp_path / "data")
