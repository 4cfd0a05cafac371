"""Lists that come again, shuffled, cut, grown, sorted, slowly, or never to their end."""

import gzip
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path

import pytest

from crawler.opening import open_crawl
from curator.dataset.ingest import Ingest
from curator.dataset.reader import Dataset
from tests.command import FLAGS, command
from tests.crawling import (
    LOCAL,
    ROOT,
    assert_verified,
    crawl_process,
    ledger,
    run_crawl,
    saved,
    states,
    wait_until,
    write_list,
)
from tests.datasets import rows
from tests.site import Site, SiteProcess, behaviour, image_bytes


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crawls in this process end without waiting for a batch to fill."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)


def images(links: Sequence[str]) -> dict[str, bytes]:
    """Those numbered links that are images, with their bytes."""
    numbers = {url: int(url.rsplit("/", 1)[1].removesuffix(".jpg")) for url in links}
    return {url: image_bytes(number) for url, number in numbers.items() if not behaviour(number)}


def test_a_list_shuffled_cut_and_grown_goes_on_in_the_same_folder(tmp_path: Path):
    """The same URLs in another order, file or format are known; only new ones are asked for."""
    out = tmp_path / "data"
    with Site() as site:
        wanted = images(site.links(260))
        links = list(wanted)
        run_crawl([write_list(tmp_path / "first.txt", links[:120])], out)
        again = [*links[:60], *links[120:]]
        random.Random(1).shuffle(again)
        (tmp_path / "second.txt.gz").write_bytes(gzip.compress("\n".join(again).encode()))
        run_crawl([tmp_path / "second.txt.gz"], out)
        (tmp_path / "third.csv").write_text("url\n" + "\n".join(f'"{url}"' for url in reversed(links)))
        run_crawl([tmp_path / "third.csv"], out)
        asked = Counter(request.path for request in site.requests())
    assert set(asked.values()) == {1}
    assert len(asked) == len(links)
    assert_verified(out)
    assert saved(out) == wanted


def test_a_url_listed_again_adds_its_caption(tmp_path: Path):
    """The first listing wins; another caption, also of a later run, is in `captions`, and once only."""
    out = tmp_path / "data"
    with Site() as site:
        a, b, c = images(site.links(3))
        first, second = tmp_path / "first.csv", tmp_path / "second.csv"
        first.write_text(f"url,caption\n{a},one\n{b},only\n{a},two\n{c},\n{a},one\n")
        second.write_text(f"url,caption\n{a},three\n{a},two\n{b},only\n{c},late\n")
        run_crawl([first], out)
        run_crawl([second], out)
        assert len(site.requests()) == 3
    found = {sample.fields["url"]: (sample.caption, sample.fields["captions"]) for sample in Dataset(out)}
    assert found == {a: ("one", ["one", "two", "three"]), b: ("only", ["only"]), c: ("", ["late"])}
    assert_verified(out)


def hosts_per_500(site: Site, out: Path) -> tuple[list[int], int]:
    """How many hosts each 500 requests went to, and the longest row of requests to one host."""
    hosts = [request.host for request in site.requests()]
    windows = [len(set(hosts[start : start + 500])) for start in range(0, len(hosts) - 499, 500)]
    return windows, max(len(list(same)) for _, same in groupby(hosts))


def test_a_list_sorted_by_host_interleaves_like_a_shuffled_one(tmp_path: Path):
    """Once it is read, a list sorted by host asks as many hosts per 500 requests as the list shuffled."""
    addresses = [f"127.0.{n // 100}.{n % 100 + 1}" for n in range(250)]
    found = {}
    for order in ("sorted", "shuffled"):
        with Site(addresses=addresses) as site:
            links = [site.url(f"/missing/{n}", address) for address in addresses for n in range(8)]
            if order == "shuffled":
                random.Random(1).shuffle(links)
            lists, out = [write_list(tmp_path / f"{order}.txt", links)], tmp_path / order
            run_crawl(lists, out, limit=1)  # reads all of it
            run_crawl([], out, concurrency=100)
            assert len(site.requests()) == len(links)
            found[order] = hosts_per_500(site, out)
    windows, in_a_row = found["sorted"]
    assert min(windows) >= 0.9 * max(found["shuffled"][0])
    assert in_a_row <= 5


@contextmanager
def reading_standard_input(out: Path) -> Iterator[subprocess.Popen[str]]:
    """The command, reading its list from a pipe that the test holds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "crawler.cli", "-", "--out", str(out), *FLAGS, "--quiet"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def send(process: subprocess.Popen[str], urls: Sequence[str]) -> None:
    """Write rows into the pipe now."""
    assert process.stdin is not None
    process.stdin.write("".join(f"{url}\n" for url in urls))
    process.stdin.flush()


def test_rows_from_a_slow_pipe_are_crawled_as_they_come(tmp_path: Path):
    """What a pipe has given so far is crawled before the rest of it arrives."""
    with SiteProcess(tmp_path / "log") as site, reading_standard_input(tmp_path / "data") as crawl:
        wanted = images(site.links(21))
        links = list(wanted)
        for part in (links[:10], links[10:]):
            before = len(site.requests())
            send(crawl, part)
            assert wait_until(lambda: len(site.requests()) == before + len(part), crawl)  # noqa: B023 - called here
        _, error = crawl.communicate(timeout=60)
    assert (crawl.returncode, error) == (0, "")
    assert saved(tmp_path / "data") == wanted


def test_a_pipe_that_broke_off_is_named_and_can_be_piped_in_again(tmp_path: Path):
    """Killed while standard input is read: what is known is crawled, exit 130 names the row to go on from."""
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        wanted = images(site.links(60))
        links = list(wanted)
        with reading_standard_input(out) as crawl:
            send(crawl, links[:30])
            assert wait_until(lambda: len(site.requests()) == 30, crawl)
            crawl.send_signal(signal.SIGKILL)
            crawl.wait()
        for _ in range(2):  # it is no better the next time
            ended = command(out, "--quiet")
            assert ended.code == 130
            assert "standard input: stopped at row 30" in ended.error
            assert_verified(out)
            assert saved(out) == images(links[:30])
        ended = command("-", "--out", out, "--quiet", stdin="\n".join(links))
        assert (ended.code, ended.error) == (0, "")
    assert_verified(out)
    assert saved(out) == wanted


def half_read(listed: Path, out: Path, urls: Sequence[str]) -> None:
    """Leave a dataset that was killed when it had read `urls`, the beginning of a list."""
    opened = open_crawl([str(listed)], out, LOCAL)
    source = opened.unread[0].source
    half = rows(source, urls, first=1)
    Ingest(opened.store.ledger).stage(
        type(half)(source, urls, half.rows, half.data, [], 0, len(urls), last=False)
    )
    opened.store.close()


def test_a_list_that_was_half_read_is_read_on(tmp_path: Path):
    """A list that is still the same is read on from where it was, without being named."""
    with Site() as site:
        wanted = images(site.links(40))
        lists = write_list(tmp_path / "urls.txt", list(wanted))
        half_read(lists, tmp_path / "data", list(wanted)[:15])
        assert run_crawl([], tmp_path / "data").finished
    assert saved(tmp_path / "data") == wanted
    assert ledger(tmp_path / "data", "SELECT rows, done FROM sources") == [(len(wanted), 1)]


def test_a_half_read_list_that_is_gone_or_changed_is_named(tmp_path: Path):
    """What is known of it is crawled, where it stopped is said, and the run is not finished."""
    with Site() as site:
        wanted = images(site.links(40))
        links = list(wanted)
        for change in ("gone", "changed"):
            lists, out = write_list(tmp_path / f"{change}.txt", links), tmp_path / change
            half_read(lists, out, links[:15])
            if change == "gone":
                lists.unlink()
            else:
                write_list(lists, links[20:])
            crawled = run_crawl([], out)
            assert not crawled.finished
            (said,) = crawled.broken_off
            assert f"{lists}: stopped at row 15" in said
            assert_verified(out)
            assert saved(out) == images(links[:15])
        assert run_crawl([lists], out).finished
    assert saved(out) == images([*links[:15], *links[20:]])


def test_a_long_list_is_crawled_while_it_is_read(tmp_path: Path):
    """The first requests are made before a long list is read; killed there, it is whole."""
    out = tmp_path / "data"
    with SiteProcess(tmp_path / "log") as site:
        lists = [write_list(tmp_path / "urls.txt", site.links(300_000))]
        with crawl_process(lists, out, concurrency=20) as crawl:
            assert wait_until(lambda: len(site.requests()) > 0, crawl)
            (done,) = ledger(out, "SELECT done FROM sources")[0]
    assert not done
    assert_verified(out)
    assert set(states(out).values()) <= {"pending", "waiting", "saved", "http_404", "http_403", "http_410"}


def test_a_list_that_breaks_off_is_crawled_and_told(tmp_path: Path):
    """A cut .gz: its whole rows are crawled, the row it stopped at is named, and the crawl is not finished."""
    out = tmp_path / "data"
    with Site() as site:
        links = [url for url in site.links(200) if not behaviour(int(url.split("/")[-1][:-4]))]
        whole = gzip.compress("".join(f"{url}\n" for url in links).encode(), mtime=0)
        (tmp_path / "urls.txt.gz").write_bytes(whole[: len(whole) * 2 // 3])
        after = write_list(tmp_path / "zz.txt", links[-1:])
        crawled = run_crawl([tmp_path / "urls.txt.gz", after], out)
        assert not crawled.finished
        assert [("urls.txt.gz" in line, "stopped at row" in line) for line in crawled.broken_off] == [
            (True, True)
        ]
        found = saved(out)
        assert 0 < len(found) < len(links)
        assert links[-1] in found  # the list behind it was read all the same
        (tmp_path / "urls.txt.gz").write_bytes(whole)
        assert run_crawl([tmp_path / "urls.txt.gz"], out).finished
    assert set(saved(out)) == set(links)
    assert_verified(out)


def test_a_pipe_that_stays_silent_can_be_interrupted(tmp_path: Path):
    """Ctrl-C while a pipe says nothing ends the crawl with 130, before its first row and after."""
    with Site() as site:
        for rows_first, out in ((0, tmp_path / "a"), (5, tmp_path / "b")):
            with subprocess.Popen(
                [sys.executable, "-m", "crawler.cli", "-", "--out", str(out), *map(str, FLAGS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=ROOT,
            ) as process:
                assert process.stdin is not None
                for url in site.links(rows_first):
                    process.stdin.write(f"{url}\n".encode())
                process.stdin.flush()
                if rows_first:
                    assert wait_until(lambda: len(site.requests()) >= 4, process)
                else:
                    assert wait_until(lambda: has_imported("uvloop", process.pid), process)
                process.send_signal(signal.SIGINT)
                assert process.wait(60) == 130
    assert_verified(tmp_path / "b")


def has_imported(library: str, pid: int) -> bool:
    """Whether a process has loaded a compiled library: our command is under way then."""
    return library in Path(f"/proc/{pid}/maps").read_text()
