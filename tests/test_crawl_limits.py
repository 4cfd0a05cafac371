"""What a crawl keeps to: a host's bound, a server's wish to wait, the memory; and connects that come to nothing."""

import asyncio
import random
import socket
import statistics
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from crawler.snapshot import Snapshot
from tests.crawling import assert_verified, crawl_process, run_crawl, saved, states, write_list
from tests.pictures import encoded, photo
from tests.site import Answer, Site, SiteProcess, behaviour, image_bytes
from tests.site import Server as SiteServer

KIB = 1 << 10


class CountingServer(SiteServer):
    """Counts the requests under way, by the address they came to."""

    def __init__(self, log: Path) -> None:
        super().__init__(log)
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_in_all = 0

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        address = writer.get_extra_info("sockname")[0]
        self.now[address] += 1
        self.most[address] = max(self.most[address], self.now[address])
        self.most_in_all = max(self.most_in_all, self.now.total())
        try:
            return await super()._exchange(head, writer, connection)
        finally:
            self.now[address] -= 1


def test_no_host_sees_more_than_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """However many requests are under way, a host sees `--per-host` at a time: as many, and never more."""
    addresses = [f"127.0.0.{n}" for n in range(1, 9)]
    monkeypatch.setattr("tests.site.Server", CountingServer)
    with Site(addresses=addresses) as site:
        for n in range(25):
            site.add(f"/{n}.jpg", Answer(image_bytes(n), fault="late", pause=0.02))
        links = [site.url(f"/{n}.jpg", address) for address in addresses for n in range(25)]
        run_crawl([write_list(tmp_path / "urls.txt", links)], tmp_path / "data", per_host=3, concurrency=64)
    server = site._server
    assert isinstance(server, CountingServer)
    assert server.most == dict.fromkeys(addresses, 3)
    assert 3 < server.most_in_all <= 24
    assert len(saved(tmp_path / "data")) == len(links)


def test_a_wait_that_a_server_asks_for_holds_up_nobody(tmp_path: Path):
    """A link told to come back later holds neither slot nor memory: with one slot, all others pass it."""
    body = padded(1, 700 * KIB)
    with Site() as site:
        later = Answer(status=503, headers={"Retry-After": "1"})
        slow = [site.add(f"/slow/{n}", later, Answer(body)) for n in range(3)]
        others = [site.add(f"/other/{n}", Answer(body)) for n in range(20)]
        crawled = run_crawl(
            [write_list(tmp_path / "urls.txt", slow + others)],
            tmp_path / "data",
            concurrency=1,
            max_bytes=1024 * KIB,
            memory=2048 * KIB,
        )
        requests = site.requests()
    assert crawled.snapshot.saved == 23
    for n in range(3):
        first, again = (request for request in requests if request.path == f"/slow/{n}")
        assert again.time - first.time >= 1.0
        passed = {one.path for one in requests if one.path.startswith("/other") and one.time < again.time}
        assert len(passed) == 20


def padded(number: int, size: int) -> bytes:
    """A picture of about `size` bytes: most of them comments."""
    jpeg, left, comments = image_bytes(number), size, []
    while left > 0:
        comments.append(b"\xff\xfe" + struct.pack(">H", 60_002) + bytes(60_000))
        left -= 60_004
    return jpeg[:2] + b"".join(comments) + jpeg[2:]


@pytest.mark.parametrize("framing", ["chunked", "unframed", "mixed"])
def test_bodies_of_unknown_length_share_a_small_memory(tmp_path: Path, framing: str):
    """Many bodies that do not say how long they are all come whole through a memory that holds two of them."""
    kinds = ("chunked", "unframed", "", "trickle") if framing == "mixed" else (framing,)
    with Site() as site:
        wanted = {}
        for n in range(60):
            body = padded(n, (100 + 37 * n % 800) * KIB)
            wanted[site.add(f"/{n}.jpg", Answer(body, fault=kinds[n % len(kinds)], pause=0.005))] = body
        run_crawl(
            [write_list(tmp_path / "urls.txt", list(wanted))],
            tmp_path / "data",
            concurrency=32,
            max_bytes=1024 * KIB,
            memory=2048 * KIB,
            timeout=20.0,
            attempts=1,
        )
    assert Counter(states(tmp_path / "data").values()) == {"saved": 60}
    assert saved(tmp_path / "data") == wanted


@contextmanager
def never_accepting() -> Iterator[int]:
    """A port of all addresses whose queue of connections is full: further ones are not answered at all."""
    with ExitStack() as sockets:
        listener = sockets.enter_context(socket.socket())
        listener.bind(("0.0.0.0", 0))
        listener.listen(0)
        while True:
            caller = sockets.enter_context(socket.socket())
            caller.settimeout(0.1)
            try:
                caller.connect(("127.0.0.1", listener.getsockname()[1]))
            except TimeoutError:
                break
        yield listener.getsockname()[1]


def test_cancelled_connects_harm_no_other_connection(tmp_path: Path):
    """Thousands of connects given up among good requests: every saved body is its own URL's."""
    with SiteProcess(tmp_path / "log") as site, never_accepting() as dead:
        good = {url: image_bytes(n) for n, url in enumerate(site.links(900)) if not behaviour(n)}
        # each of a host of its own: one that is found dead is asked no more
        bad = [f"http://127.0.{1 + n // 200}.{1 + n % 200}:{dead}/{n}.jpg" for n in range(600)]
        links = [*good, *bad]
        random.Random(1).shuffle(links)
        lists = [write_list(tmp_path / "urls.txt", links)]
        given = {"connect_timeout": 0.2, "attempts": 4, "concurrency": 300}
        with crawl_process(lists, tmp_path / "data", **given) as crawl:
            _, error = crawl.communicate(timeout=100)
        assert crawl.returncode == 0, error
    found = states(tmp_path / "data")
    assert {found[url] for url in bad} == {"connect"}
    assert saved(tmp_path / "data") == good
    assert_verified(tmp_path / "data")


def test_fetching_goes_no_further_ahead_than_workers_need(tmp_path: Path):
    """Beside workers that are slower than the network, some tens of bodies wait at most times, not hundreds."""
    urls, body, waiting = 400, encoded(photo(1, 1200, 900), quality=40, progressive=True), list[int]()

    @contextmanager
    def view(take: Callable[[], Snapshot]) -> Iterator[None]:
        async def look() -> None:
            while True:
                waiting.append(take().queues[1].filled)
                await asyncio.sleep(0.005)

        looking = asyncio.ensure_future(look())
        yield
        looking.cancel()

    with Site() as site:
        links = [site.url(f"/{n}.jpg") for n in range(urls)]
        for n in range(urls):
            site.add(f"/{n}.jpg", Answer(body))
        given = {"concurrency": 100, "full_decode": True, "view": view}
        run_crawl([write_list(tmp_path / "urls.txt", links)], tmp_path / "data", **given)
    assert len(saved(tmp_path / "data")) == urls
    assert 0 < statistics.median(filter(None, waiting)) < 100
