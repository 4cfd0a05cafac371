"""Killed at any instant, a crawl loses nothing and repeats little."""

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from curator.dataset.store import is_dataset
from curator.dataset.writer import BATCH_EVENTS
from tests.crawling import (
    assert_verified,
    crawl_process,
    kill_group,
    ledger,
    saved,
    states,
    wait_until,
    write_list,
)
from tests.site import SiteProcess, behaviour, image_bytes, outcome

CONCURRENCY = 20
UNDECIDED = ("pending", "waiting")
# Of the attempts the ledger has committed: by path, how many.
_CHARGED = "SELECT url, coalesce(attempts, 0) FROM urls"


def numbers(url: str) -> int:
    return int(urlsplit(url).path.split("/")[-1].removesuffix(".jpg"))


def asked(site: SiteProcess) -> Counter[str]:
    """How often each numbered page was asked for; aiohttp's own second try after a reset is one attempt."""
    counts = Counter(request.path for request in site.requests() if request.path.startswith("/n/"))
    for path in counts:
        if behaviour(numbers(path)) == "reset once":
            counts[path] -= 1
    return counts


def lost_attempts(site: SiteProcess, out: Path) -> int:
    """Requests the site has seen that the ledger does not know of."""
    charged = {urlsplit(url).path: attempts for url, attempts in ledger(out, _CHARGED)}
    return sum(max(0, n - charged.get(path, 0)) for path, n in asked(site).items())


@pytest.mark.parametrize(
    ("urls", "kills", "no_decode"),
    [
        pytest.param(1000, 5, False, id="quick"),
        pytest.param(400, 2, True, id="not decoded"),
        pytest.param(5000, 20, False, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_kill_9_loses_nothing_and_repeats_little(tmp_path: Path, urls: int, kills: int, no_decode: bool):
    """Killed -9 at random moments and continued, a crawl ends as if nothing had been.

    Verify is clean, every image is its own URL's, one verdict per URL, no URL with a lasting verdict is
    asked for again, and no kill costs more repeats than 2 x concurrency + one batch.
    """
    dice = random.Random(1)
    moments = sorted(dice.sample(range(1, urls), kills))
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        links = site.links(urls)
        lists = [write_list(tmp_path / "urls.txt", links)]
        settled: list[tuple[int, set[str]]] = []  # at each kill: requests seen, paths with a verdict
        for kill, moment in enumerate(moments, 1):
            site.answer(min(moment + 100, urls - 1))  # so that it cannot end before the kill
            settings = {"concurrency": CONCURRENCY, "shard_size": 150, "no_decode": no_decode}
            with crawl_process(lists, out, **settings) as crawl:
                assert wait_until(lambda moment=moment: len(asked(site)) >= moment, crawl)
                kill_group(crawl)
                crawl.wait()
            if is_dataset(out) and ledger(out, "SELECT 1 FROM sqlite_master"):
                # in all: the site may read a request after the kill of the crawl that had sent it
                assert lost_attempts(site, out) <= kill * (2 * CONCURRENCY + BATCH_EVENTS)
                decided = {urlsplit(url).path for url, state in states(out).items() if state not in UNDECIDED}
                settled.append((len(site.requests()), decided))
        site.answer()
        with crawl_process(lists, out, concurrency=CONCURRENCY) as crawl:
            assert crawl.wait(120) == 0, crawl.stderr and crawl.stderr.read()
        requests = site.requests()

    assert_verified(out)
    assert states(out) == {url: outcome(numbers(url)) for url in links}
    assert saved(out) == {url: image_bytes(numbers(url)) for url in links if outcome(numbers(url)) == "saved"}
    for seen, decided in settled:
        assert decided.isdisjoint(request.path for request in requests[seen:])


def test_interrupted_drains_and_the_next_run_fetches_only_the_rest(tmp_path: Path):
    """SIGINT once: what was begun is committed, exit code 130; the next run asks for nothing twice."""
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        links = [url for url in site.links(600) if not behaviour(numbers(url))]
        lists = [write_list(tmp_path / "urls.txt", links)]
        site.answer(200)
        with crawl_process(lists, out, concurrency=CONCURRENCY, stall_timeout=60.0, timeout=60.0) as crawl:
            assert wait_until(lambda: len(site.requests()) > 200, crawl)
            crawl.send_signal(signal.SIGINT)
            site.answer()
            assert crawl.wait(60) == 130
        assert 0 < len(saved(out)) == len(site.requests()) < len(links)
        with crawl_process([], out) as crawl:
            assert crawl.wait(60) == 0
        asked_for = [request.path for request in site.requests()]

    assert len(asked_for) == len(set(asked_for)) == len(links)
    assert_verified(out)
    assert saved(out) == {url: image_bytes(numbers(url)) for url in links}


def test_second_crawl_on_the_same_folder_is_refused(tmp_path: Path):
    """While one crawl writes a dataset, another exits 2 and names the process."""
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        lists = [write_list(tmp_path / "urls.txt", site.links(2000))]
        with crawl_process(lists, out, concurrency=2) as first:
            site.answer(0)
            assert wait_until(lambda: len(site.requests()) > 0, first)
            with crawl_process(lists, out) as second:
                _, error = second.communicate(timeout=60)
    assert second.returncode == 2
    assert f"process {first.pid}" in error


def test_killed_worker_costs_exactly_its_image(tmp_path: Path):
    """A worker process killed -9 in a crawl loses at most the image it held, as decoder_crash."""
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        links = [url for url in site.links(900) if not behaviour(numbers(url))]
        lists = [write_list(tmp_path / "urls.txt", links)]
        with crawl_process(lists, out, concurrency=CONCURRENCY) as crawl:
            for moment in (100, 300, 500):
                site.answer(moment + 2 * CONCURRENCY)  # it is not over yet
                assert wait_until(lambda moment=moment: len(site.requests()) >= moment, crawl)
                os.kill(max(workers_of(crawl.pid)), signal.SIGKILL)
            site.answer()
            assert crawl.wait(60) == 0
    found = Counter(states(out).values())
    assert found["saved"] + found["decoder_crash"] == len(links)
    assert found["decoder_crash"] <= 3
    assert_verified(out)


def workers_of(pid: int) -> list[int]:
    """The worker processes of a crawl: its forkserver's children."""
    return [grandchild for child in children_of(pid) for grandchild in children_of(child)]


def children_of(pid: int) -> list[int]:
    children: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread ends while we look
            children += map(int, path.read_text().split())
    return children
