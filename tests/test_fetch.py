"""Fetching from a real site: every outcome is one Reason, every byte is leased, nothing leaks."""

import asyncio
import gc
import gzip
import os
import resource
import socket
import struct
from dataclasses import replace
from io import BytesIO

import aiohttp
import pytest
import uvloop
from PIL import Image

from crawler.fetch import Fetcher
from crawler.leases import Leases
from crawler.records import Failed
from crawler.verdict import translate
from curator.errors import UsageError
from curator.reasons import TRANSIENT, Reason
from tests.fetching import HASTY, PICTURE, SETTINGS, fetch, link, reasons
from tests.site import HTML, Answer, Site, SiteProcess, behaviour, image_bytes, outcome


@pytest.fixture
def site():
    """A site of its own for each test."""
    with Site() as running:
        yield running


async def test_a_body_arrives_whole_with_what_its_headers_say(site):
    """Bytes, final URL, status and provenance; header bytes that are no UTF-8 become valid text."""
    headers = {"ETag": '"caf\udce9"', "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT"}
    url = site.add("/a.jpg", Answer(PICTURE, headers=headers))
    (got,) = await fetch(url)
    assert b"".join(got.body) == PICTURE
    assert (got.final_url, got.http_status, got.content_type) == (url, 200, "image/jpeg")
    assert (got.etag, got.last_modified) == ('"caf\ufffd"', "Thu, 01 Jan 1970 00:00:00 GMT")
    assert got.fetched_at > 1.7e9


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("silence", "stalled"),
        ("reset", "connect"),
        ("reset_head", "connect"),
        ("reset_body", "truncated"),
        ("truncated", "truncated"),
        ("stall", "stalled"),
        ("trickle", "saved"),
        ("late", "saved"),
        ("chunked", "saved"),
        ("chunked_truncated", "truncated"),
        ("unframed", "saved"),
        ("reset_unframed", "truncated"),
        ("garbage", "bad_response"),
        ("huge_header", "bad_response"),
        ("closes", "saved"),
    ],
)
async def test_every_fault_has_its_reason(site, fault, reason):
    """Wherever an exchange breaks off, the Reason says where, and no lease is left."""
    url = site.add("/a", Answer(PICTURE, fault=fault, pause=0.01))
    (got,) = await fetch(url, settings=HASTY)
    assert reasons([got]) == [reason]
    assert reason == "saved" or got.detail


async def test_framing_that_breaks_late_is_transient(site):
    """Garbage behind a sound chunk costs no more than the whole clock, and may be tried again."""
    (got,) = await fetch(site.add("/a", Answer(PICTURE, fault="chunked_garbage")), settings=HASTY)
    assert got.reason in TRANSIENT


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (203, "saved"), (204, "http_other"), (206, "http_other"), (300, "http_other"), (304, "http_other"),
        (400, "http_other"), (401, "http_403"), (403, "http_403"), (404, "http_404"), (408, "timeout"),
        (410, "http_410"), (416, "http_other"), (418, "http_other"), (425, "timeout"), (429, "http_429"),
        (451, "http_403"), (500, "http_5xx"), (503, "http_5xx"), (599, "http_5xx"), (999, "http_other"),
    ],
)  # fmt: skip
async def test_every_status_has_its_reason(site, status, reason):
    """Only 200 and 203 carry an image; the status itself is kept."""
    (got,) = await fetch(site.add("/a", Answer(b"" if status in (204, 304) else PICTURE, status)))
    assert reasons([got]) == [reason]
    assert got.http_status == status


async def test_retry_after_is_handed_on(site):
    """What the server asks for reaches whoever schedules the next attempt."""
    (got,) = await fetch(site.add("/a", Answer(b"", 503, {"Retry-After": "7"})))
    assert got.retry_after == 7.0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(HTML), "not_an_image", id="a page with status 200"),
        pytest.param(Answer(b"GIF89"), "not_an_image", id="a few bytes"),
        pytest.param(Answer(b""), "bad_response", id="nothing"),
        pytest.param(
            Answer(gzip.compress(PICTURE), headers={"Content-Encoding": "gzip"}),
            "bad_response",
            id="compressed though identity was asked for",
        ),
        pytest.param(
            Answer(PICTURE, headers={"Content-Encoding": "gzip", "Content-Type": "text/html"}),
            "saved",
            id="an image whose headers lie",
        ),
        pytest.param(Answer(HTML * 99, fault="stall"), "not_an_image", id="a page that never ends"),
        pytest.param(Answer(b"\0\0\0\x18ftypheic" + b"\0" * 99), "unsupported_format", id="heic"),
    ],
)
async def test_the_first_bytes_decide(site, answer, reason):
    """Not the headers; and what is no image is given up without waiting for the rest."""
    assert reasons(await fetch(site.add("/a", answer), settings=replace(HASTY, stall_timeout=60))) == [reason]


@pytest.mark.parametrize("fault", ["", "chunked", "unframed"])
async def test_bodies_may_be_max_bytes_long_and_no_longer(site, fault):
    """Announced or grown, one byte more than --max-bytes is too many."""
    full = site.add("/full", Answer(PICTURE.ljust(1 << 20, b"\0"), fault=fault))
    over = site.add("/over", Answer(PICTURE.ljust((1 << 20) + 1, b"\0"), fault=fault))
    assert reasons(await fetch(full, over)) == ["saved", "too_many_bytes"]


async def test_redirects_are_followed_up_to_ten(site):
    """Relative and absolute ones; the eleventh is too many, and so is a loop."""
    for step in range(1, 12):
        to = f"/{step - 1}" if step % 2 else site.url(f"/{step - 1}")
        site.add(f"/{step}", Answer(b"", (301, 302, 303, 307, 308)[step % 5], {"Location": to}))
    site.add_image("/0", PICTURE)
    site.add("/loop", Answer(b"", 302, {"Location": "loop"}))
    results = await fetch(site.url("/10"), site.url("/11"), site.url("/loop"))
    assert reasons(results) == ["saved", "too_many_redirects", "too_many_redirects"]
    assert results[0].final_url == site.url("/0")


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("ftp://example.com/a", "bad_url"),
        ("http://user:secret@127.0.0.1/a", "bad_url"),
        ("http://127.0.0.1:22/", "bad_url"),
        ("http://10.0.0.1/", "forbidden_address"),
        ("http://169.254.169.254/latest/meta-data/", "forbidden_address"),
        ("http://2852039166/", "forbidden_address"),
        ("http://[::ffff:a9fe:a9fe]/", "forbidden_address"),
        ("", "http_other"),
    ],
)
async def test_each_redirect_is_judged_like_a_first_url(site, location, reason):
    """A public URL does not lead anywhere that could not have been listed."""
    (got,) = await fetch(site.add("/a", Answer(b"", 302, {"Location": location})))
    assert reasons([got]) == [reason]


async def test_a_url_is_sent_as_it_is_listed(site):
    """The request line holds the very characters of the list."""
    path = "/a%2Fb/../c.jpg?sig=%2b+/=&x={|}"
    await fetch(site.add(path, Answer(PICTURE)))
    assert [request.path for request in site.requests()] == [path]


async def test_a_request_says_who_we_are_and_nothing_else(site):
    """Exactly these headers: no cookies, no Referer, no compression asked for."""
    url = site.add("/a", Answer(PICTURE, headers={"Set-Cookie": "id=1"}))
    await fetch(url, url, settings=replace(SETTINGS, user_agent="us/1"))
    wanted = {
        "host": f"127.0.0.1:{site.port}",
        "user-agent": "us/1",
        "accept": "image/*",
        "accept-encoding": "identity",
    }
    assert [request.headers for request in site.requests()] == [wanted, wanted]


async def test_own_headers_take_the_place_of_the_usual_ones(site):
    """Whatever their case, the Host among them; several of one name are all sent."""
    own = (("accept", "*/*"), ("HOST", "elsewhere"), ("X-A", "1"), ("x-a", "2"))
    await fetch(site.add("/a", Answer(PICTURE)), settings=replace(SETTINGS, headers=own))
    ((request),) = site.requests()
    usual = {"user-agent": SETTINGS.user_agent, "accept-encoding": "identity"}
    assert request.headers.items() >= (usual | {"accept": "*/*", "host": "elsewhere"}).items()
    assert request.headers["x-a"] in {"2", "1, 2", "1,2"}


async def test_own_headers_stay_with_the_listed_origin(site):
    """--header goes along redirects of the same origin, and never to another."""
    settings = replace(SETTINGS, headers=(("Authorization", "Bearer secret"),))
    with Site() as other:
        there = other.add_image("/there", PICTURE)
        site.add("/far", Answer(b"", 302, {"Location": there}))
        near = site.add("/near", Answer(b"", 302, {"Location": "/far"}))
        assert reasons(await fetch(near, settings=settings)) == ["saved"]
        sent = [one.headers.get("authorization") for one in [*site.requests(), *other.requests()]]
    assert sent == ["Bearer secret", "Bearer secret", None]


async def test_proxies_of_the_environment_are_ignored(site, monkeypatch):
    """A proxy would connect where our guard cannot see."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert reasons(await fetch(site.add_image("/a", PICTURE))) == ["saved"]


async def test_connections_are_kept_and_replaced(site):
    """One connection serves images, errors and redirects; one closed in between costs no attempt."""
    image = site.add_image("/a", PICTURE)
    error = site.add("/error", Answer(HTML, 404, fault="late"))
    moved = site.add("/moved", Answer(HTML, 302, {"Location": "/a"}, fault="late"))
    closing = site.add("/closing", Answer(PICTURE, fault="closes"))
    got = await fetch(image, error, moved, closing, image)
    assert reasons(got) == ["saved", "http_404", "saved", "saved", "saved"]
    assert [request.connection for request in site.requests()] == [1, 1, 1, 1, 1, 2]


async def test_a_surplus_answer_is_nobodys(site):
    """What a server sends behind a body is not taken for the answer to the next request."""
    surplus = b"HTTP/1.1 404 Surplus\r\nContent-Length: 0\r\n\r\n"
    length = {"Content-Length": str(len(PICTURE))}
    first = site.add("/a", Answer(PICTURE + surplus, headers=length, fault="late", pause=0.05))
    assert reasons(await fetch(first, site.add_image("/b", PICTURE))) == ["saved", "saved"]


async def test_a_refused_connection_is_connect():
    """Nobody listens there."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        (got,) = await fetch(f"http://127.0.0.1:{closed.getsockname()[1]}/")
    assert reasons([got]) == ["connect"]


@pytest.fixture
def black_hole():
    """The URL of a port that never completes a connection: its queue is full."""
    with socket.socket() as full, socket.socket() as one, socket.socket() as two:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for client in (one, two):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}/"


async def test_a_connection_that_never_comes_is_connect(black_hole):
    """The connect clock ends it, long before the whole one."""
    (got,) = await fetch(black_hole, settings=replace(SETTINGS, connect_timeout=0.2))
    assert (got.reason, got.detail) == (Reason.CONNECT, "no connection in 0.2 s")


async def test_a_trickle_ends_with_the_whole_clock(site):
    """Bytes that never cease do not hold a slot for ever."""
    url = site.add("/a", Answer(PICTURE, fault="trickle", pause=0.1))
    (got,) = await fetch(url, settings=replace(SETTINGS, timeout=0.9))
    assert (got.reason, got.detail) == (Reason.TIMEOUT, "not whole after 0.9 s")


@pytest.mark.parametrize(("fault", "size"), [("late", 5_000), ("chunked", 700_000)])
async def test_waiting_for_memory_stops_the_clocks(site, fault, size):
    """An exchange that waits for its lease longer than any clock allows ends well, whatever the site does."""
    url = site.add("/a", Answer(PICTURE.ljust(size, b"\0"), fault=fault, pause=0.6))
    leases = Leases(2 << 20, 1 << 20)
    held = await leases.take(1 << 20)
    async with Fetcher(HASTY, leases) as fetcher:
        task = asyncio.create_task(fetcher.fetch(link(url)))
        # the clocks would have run out by then
        await asyncio.wait([task], timeout=HASTY.timeout + HASTY.stall_timeout)
        assert leases.waiting == 1
        held.release()
        got = await task
    assert reasons([got]) == ["saved"]
    assert got.size == leases.used == size


@pytest.mark.parametrize("fault", ["silence", "stall", "chunked_truncated"])
async def test_a_cancelled_fetch_leaves_nothing(site, fault):
    """Cancelled before or in its body, an exchange gives its lease back."""
    url = site.add("/a", Answer(PICTURE, fault=fault))
    leases = Leases(2 << 20, 1 << 20)
    async with Fetcher(SETTINGS, leases) as fetcher:
        task = asyncio.create_task(fetcher.fetch(link(url)))
        while not site.requests() or (fault == "stall" and not leases.used):  # noqa: ASYNC110
            await asyncio.sleep(0)  # the site is another thread: it cannot set an event of this loop
        task.cancel()
        await asyncio.wait([task])
    assert leases.used == 0


async def test_running_out_of_sockets_is_the_users_to_mend(site):
    """No link is judged for a limit of this machine; the message names the way out."""
    url = site.add_image("/a", PICTURE)
    leases = Leases(2 << 20, 1 << 20)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with Fetcher(SETTINGS, leases) as fetcher:
        gc.collect()  # or what an earlier test left may close, and make room, below
        first_free = os.dup(0)
        os.close(first_free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, limits[1]))
        try:
            with pytest.raises(UsageError, match="ulimit"):
                await fetcher.fetch(link(url))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_an_unknown_exception_is_our_bug():
    """What the table does not know propagates as it is."""
    with pytest.raises(aiohttp.InvalidURL):
        translate(aiohttp.InvalidURL("x"), answered=False)


def test_cancelled_connects_do_not_mix_up_bodies(black_hole):
    """Under uvloop, connections that time out never close or cross the ones beside them."""

    async def crowd(good: list[str]) -> None:
        leases = Leases(8 << 20, 1 << 20)
        hasty = replace(SETTINGS, connect_timeout=0.05)
        async with Fetcher(hasty, leases) as giving_up, Fetcher(SETTINGS, leases) as fetcher:
            for number, url in enumerate(good):
                lost = [asyncio.create_task(giving_up.fetch(link(black_hole))) for _ in range(20)]
                found = [asyncio.create_task(fetcher.fetch(link(url))) for _ in range(5)]
                assert reasons(await asyncio.gather(*lost)) == ["connect"] * 20
                for got in await asyncio.gather(*found):
                    assert b"".join(got.body) == image_bytes(number)
                    got.lease.release()

    def page(number: int) -> str:
        return site.add(f"/{number}", Answer(image_bytes(number), fault="trickle", pause=0.01))

    with Site() as site, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(crowd([page(number) for number in range(5)]))


async def test_numbered_pages_do_what_they_are_said_to(tmp_path):
    """A site in its own process: three attempts end as `outcome` tells, and the log has every request."""
    with SiteProcess(tmp_path / "log", addresses=("127.0.0.1", "127.0.0.2")) as site:
        numbers = [number for number in range(100) if behaviour(number) or number < 10]
        urls = [site.links(1, number)[0] for number in numbers]
        tries = await fetch(*urls, *urls, *urls)
        for number, last in zip(numbers, tries[-len(urls) :], strict=True):
            assert (number, *reasons([last])) == (number, outcome(number))
            assert isinstance(last, Failed) or b"".join(last.body) == image_bytes(number)
        first = dict(zip(numbers, reasons(tries), strict=False))
        assert {number for number in numbers if first[number] != outcome(number)} == {53, 63, 73, 93}
        assert len(site.requests("/n/1.jpg")) == 3
        assert {request.host.partition(":")[0] for request in site.requests()} == {"127.0.0.1", "127.0.0.2"}


def test_numbered_pictures_differ_and_decode():
    """Each number has bytes of its own, the same ones always."""
    pictures = {image_bytes(number) for number in range(200)}
    assert len(pictures) == 200
    assert pictures == {image_bytes(number) for number in range(200)}
    for number in range(70):
        with Image.open(BytesIO(image_bytes(number))) as picture:
            picture.load()
            assert picture.format == "JPEG"
            assert min(picture.size) >= 96
    assert struct.unpack(">H", PICTURE[:2]) == (0xFFD8,)
