"""Opt-outs against real sites: robots.txt first, headers before bodies, on every hop."""

import asyncio
import socket
from dataclasses import replace
from itertools import pairwise

import pytest

from crawler.fetch import Fetcher
from crawler.leases import Leases
from crawler.records import Fetched, Later
from curator.reasons import Reason
from tests.fetching import HASTY, PICTURE, SETTINGS, fetch, link, reasons
from tests.names import Names
from tests.site import HTML, Answer, Site

ROBOTS = "/robots.txt"
FORBIDDEN = Answer(b"User-agent: *\nDisallow: /private/\n", headers={"Content-Type": "text/plain"})


@pytest.fixture
def site():
    """A site, stopped at the end."""
    with Site() as running:
        yield running


async def test_what_robots_txt_forbids_is_not_asked_for(site):
    """One request for robots.txt, none for what it forbids, and the rule is told."""
    site.add(ROBOTS, FORBIDDEN)
    may, may_not = site.add_image("/a.jpg", PICTURE), site.add_image("/private/a.jpg", PICTURE)
    got = await fetch(may_not, may, may_not, may)
    assert reasons(got) == ["robots_txt", "saved", "robots_txt", "saved"]
    assert (got[0].detail, got[0].http_status) == ("Disallow: /private/ (User-agent: *)", 0)
    assert [request.path for request in site.requests()] == ["/a.jpg", "/a.jpg"]
    (asked,) = site.requests(ROBOTS)
    assert asked.headers["user-agent"] == SETTINGS.user_agent
    assert asked.headers["accept"].startswith("text/plain")


async def test_ignored_means_not_asked_for(site):
    """Neither robots.txt nor a header counts."""
    site.add(ROBOTS, FORBIDDEN)
    url = site.add_image("/private/a.jpg", PICTURE, **{"X-Robots-Tag": "noai", "tdm-reservation": "1"})
    assert reasons(await fetch(url, settings=replace(SETTINGS, opt_outs=False))) == ["saved"]
    assert site.requests(ROBOTS) == []


async def test_our_name_is_the_users(site):
    """--user-agent names the crawler that rules are for."""
    site.add(ROBOTS, Answer(b"User-agent: ourbot\nDisallow: /\n\nUser-agent: *\nAllow: /"))
    url = site.add_image("/a", PICTURE)
    assert reasons(await fetch(url)) == ["saved"]
    (got,) = await fetch(url, settings=replace(SETTINGS, user_agent="OurBot/2 (x)"))
    assert (got.reason, got.detail) == (Reason.ROBOTS_TXT, "Disallow: / (User-agent: ourbot)")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(HTML, 404), "saved"),
        (Answer(HTML, 401), "saved"),
        (Answer(HTML, 403), "saved"),
        (Answer(HTML), "saved"),
        (Answer(b"User-agent: *\nDisallow: /", fault="chunked"), "robots_txt"),
        (Answer(b"User-agent: *\nDisallow: /", fault="unframed"), "robots_txt"),
        (Answer(b"User-agent: *\nDisallow: /\n" + b"#" * (600 << 10), fault="chunked"), "robots_txt"),
        (Answer(b"#" * (600 << 10) + b"\nUser-agent: *\nDisallow: /\n"), "saved"),
        (Answer(b"", 302, {"Location": "/other.txt"}), "robots_txt"),
        (Answer(b"", 302, {"Location": "/robots.txt"}), "saved"),
        (Answer(b"", 302, {"Location": "ftp://a.example/"}), "saved"),
        (Answer(b"", 302), "saved"),
        (Answer(b"", 302, {"Location": "http://10.0.0.1/robots.txt"}), "robots_unreachable"),
        (Answer(b"", 302, {"Location": "http://gone.invalid/robots.txt"}), "robots_unreachable"),
        (Answer(b"", 503), "robots_unreachable"),
        (Answer(b"", 500), "robots_unreachable"),
        (Answer(b"", 429), "robots_unreachable"),
        (Answer(b"User-agent: *\n" * 99, fault="truncated"), "robots_unreachable"),
        (Answer(b"User-agent: *\n" * 99, fault="reset_unframed"), "robots_unreachable"),
        (Answer(fault="silence"), "robots_unreachable"),
        (Answer(fault="garbage"), "robots_unreachable"),
        (Answer(b"User-agent: *\n" * 99, fault="trickle", pause=0.1), "robots_unreachable"),
    ],
)
async def test_every_answer_for_robots_txt_has_its_meaning(site, answer, reason):
    """RFC 9309: what is there is read, what is not there forbids nothing, what cannot be had may pass."""
    site.add(ROBOTS, answer)
    site.add("/other.txt", Answer(b"User-agent: *\nDisallow: /"))
    with Names({}) as names:
        settings = replace(HASTY, nameservers=(names.address,))
        (got,) = await fetch(site.add_image("/a", PICTURE), settings=settings)
    assert reasons([got]) == [reason]
    assert reason == "saved" or got.detail
    assert len(site.requests("/a")) == (reason == "saved")


@pytest.mark.parametrize(("hops", "reason"), [(5, "robots_txt"), (6, "saved")])
async def test_robots_txt_is_followed_for_five_redirects(site, hops, reason):
    """Across origins too; what lies beyond is as if it were not there."""
    with Site() as other:
        there = other.add("/0", Answer(b"User-agent: *\nDisallow: /"))
        for hop in range(1, hops):
            there = other.add(f"/{hop}", Answer(b"", 301, {"Location": there}))
        site.add(ROBOTS, Answer(b"", 301, {"Location": there}))
        assert reasons(await fetch(site.add_image("/a", PICTURE))) == [reason]


async def test_what_is_true_of_a_host_is_told_as_it_is():
    """A host that is not there is that to its links, and not a host without a robots.txt."""
    with Names({"private.example": ["10.0.0.1"]}) as names:
        settings = replace(HASTY, nameservers=(names.address,))
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            refusing = f"http://127.0.0.1:{closed.getsockname()[1]}/a"
            got = await fetch(
                "http://gone.example/a", "http://private.example/a", refusing, settings=settings
            )
    assert reasons(got) == ["no_such_host", "forbidden_address", "connect"]


async def test_an_unreachable_robots_txt_is_not_asked_for_again_at_once(site):
    """All links of its origin are told so, and when to come back: its status counts as theirs."""
    site.add(ROBOTS, Answer(b"", 503, {"Retry-After": "30"}))
    got = await fetch(site.url("/a"), site.url("/b"), site.url("/c"))
    assert reasons(got) == ["robots_unreachable"] * 3
    assert all(29 < one.retry_after <= 30 and one.http_status == 503 for one in got)
    assert got[0].detail == "robots.txt: 503 Answer"
    assert len(site.requests(ROBOTS)) == 1
    assert site.requests() == []


async def test_each_hop_asks_its_own_origin(site):
    """A redirect leads no further than the robots.txt of where it leads."""
    with Site() as other:
        other.add(ROBOTS, FORBIDDEN)
        moved = site.add("/a", Answer(b"", 302, {"Location": other.add_image("/private/a.jpg", PICTURE)}))
        fine = site.add("/b", Answer(b"", 302, {"Location": other.add_image("/b.jpg", PICTURE)}))
        got = await fetch(moved, fine, moved)
        assert reasons(got) == ["robots_txt", "saved", "robots_txt"]
        assert got[0].final_url == other.url("/private/a.jpg")
        assert [request.path for request in other.requests()] == ["/b.jpg"]
        assert len(other.requests(ROBOTS)) == 1


async def test_a_crowd_asks_once(site):
    """Links that begin together wait for one robots.txt, and a cancelled one leaves the others theirs."""
    site.add(ROBOTS, Answer(FORBIDDEN.body, fault="late", pause=0.2))
    url = site.add_image("/a", PICTURE)
    async with Fetcher(HASTY, Leases(4 << 20, 1 << 20)) as fetcher:
        first, *others = [asyncio.create_task(fetcher.fetch(link(url))) for _ in range(20)]
        while not site.requests(ROBOTS):  # noqa: ASYNC110 - the site is another thread
            await asyncio.sleep(0)
        assert fetcher.robots.under_way == 1
        first.cancel()
        got = await asyncio.gather(*others)
        assert all(isinstance(one, Fetched) for one in got)
        assert (fetcher.robots.asked, fetcher.robots.failed, fetcher.robots.under_way) == (1, 0, 0)
    assert len(site.requests(ROBOTS)) == 1


async def test_leaving_cancels_a_robots_txt_under_way(site):
    """A crawl that ends does not wait for it, and no memory stays leased."""
    site.add(ROBOTS, Answer(FORBIDDEN.body, fault="stall"))
    leases = Leases(4 << 20, 1 << 20)
    async with Fetcher(SETTINGS, leases) as fetcher:
        task = asyncio.create_task(fetcher.fetch(link(site.url("/a"))))
        while not leases.used:  # noqa: ASYNC110 - the site is another thread
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    assert leases.used == 0


async def test_waiting_for_robots_txt_stops_the_clock(site):
    """Each exchange has its own time: one that takes most of it leaves the other all of its own."""
    site.add(ROBOTS, Answer(FORBIDDEN.body * 99, fault="trickle", pause=0.04))
    url = site.add("/a", Answer(PICTURE, fault="trickle", pause=0.04))
    assert reasons(await fetch(url, settings=replace(HASTY, timeout=1.0))) == ["saved"]


async def test_the_robots_txts_of_one_way_have_one_time(site):
    """Each host of a chain answers within its time, but all of them together are not waited for longer."""
    slow = Answer(FORBIDDEN.body * 99, fault="trickle", pause=0.04)
    with Site() as second, Site() as third:
        sites = [site, second, third]
        for one, following in pairwise(sites):
            one.add(ROBOTS, slow)
            one.add("/a", Answer(b"", 302, {"Location": following.url("/a")}))
        third.add(ROBOTS, slow)
        third.add_image("/a", PICTURE)
        (got,) = await fetch(site.url("/a"), settings=replace(HASTY, timeout=1.0))
        assert len(second.requests(ROBOTS)) <= 1  # on a busy machine the first takes all of the time
        assert third.requests("/a") == []
    assert got.reason is Reason.ROBOTS_UNREACHABLE
    assert "too long" in got.detail


async def test_a_stop_ends_the_wait_for_robots_txt(site):
    """Those that wait, and those that would begin to, come later as if nothing had been."""
    site.add(ROBOTS, Answer(FORBIDDEN.body, fault="stall"))
    async with Fetcher(SETTINGS, Leases(4 << 20, 1 << 20)) as fetcher:
        waiting = asyncio.create_task(fetcher.fetch(link(site.url("/a"))))
        while not site.requests(ROBOTS):  # noqa: ASYNC110 - the site is another thread
            await asyncio.sleep(0)
        fetcher.wait_no_more()
        got = [await waiting, await fetcher.fetch(link(site.url("/b")))]
    assert [(type(one), one.seconds) for one in got] == [(Later, 0.0)] * 2


@pytest.mark.parametrize(
    ("headers", "reason", "detail"),
    [
        ({"X-Robots-Tag": "noai, noimageai"}, "x_robots_tag", "X-Robots-Tag: noai, noimageai"),
        ({"x-robots-tag": "googlebot: nofollow\r\nX-Robots-Tag: NOML"}, "x_robots_tag", "X-Robots-Tag: NOML"),
        ({"X-Robots-Tag": "caf\udce9, noai"}, "x_robots_tag", "X-Robots-Tag: caf\ufffd, noai"),
        ({"TDM-Reservation": "1"}, "tdm_reservation", "tdm-reservation: 1"),
        ({"X-Robots-Tag": "googlebot: noindex", "tdm-reservation": "0"}, "saved", ""),
    ],
)
async def test_headers_are_heeded_before_the_body(site, headers, reason, detail):
    """Whatever header spoke is told; a body that is not for us is not waited for."""
    body = Answer(PICTURE.ljust(40_000, b"\0"), headers=headers, fault="" if reason == "saved" else "stall")
    url = site.add("/a", body)
    moved = site.add("/moved", Answer(b"", 302, {"Location": "/a"}))
    gone = site.add("/gone", Answer(b"", 404, headers))
    got = await fetch(url, moved, gone, settings=HASTY)
    assert reasons(got) == [reason, reason, "http_404"]
    assert reason == "saved" or (got[0].detail, got[0].http_status) == (detail, 200)


async def test_a_redirect_may_opt_out_too(site):
    """Whoever has the listed URL may speak for it."""
    headers = {"Location": site.add_image("/a", PICTURE), "X-Robots-Tag": "noai"}
    (got,) = await fetch(site.add("/moved", Answer(b"", 302, headers)))
    assert (got.reason, got.http_status) == (Reason.X_ROBOTS_TAG, 302)
    assert site.requests("/a") == []


async def test_an_opt_out_keeps_its_connection(site):
    """What is short is read to its end: a site of which everything is refused is not reconnected to."""
    url = site.add_image("/a", PICTURE, **{"X-Robots-Tag": "noai"})
    await fetch(url, url, url)
    assert {request.connection for request in site.requests()} == {1}


async def test_a_crawl_delay_is_kept_and_told(site):
    """Requests are a gap apart, robots.txt included; who comes too early is sent away unasked."""
    site.add(ROBOTS, Answer(b"User-agent: *\nCrawl-delay: 0.3\n"))
    url = site.add_image("/a", PICTURE)
    async with Fetcher(SETTINGS, Leases(4 << 20, 1 << 20)) as fetcher:
        got = await asyncio.gather(*[fetcher.fetch(link(url)) for _ in range(3)])
    assert [one.gap for one in got] == [0.3] * 3
    times = [request.time for request in [*site.requests(ROBOTS), *site.requests()]]
    assert all(later - earlier > 0.15 for earlier, later in pairwise(times))


@pytest.mark.parametrize(("max_wait", "wait"), [(600.0, 60.0), (30.0, 30.0)])
async def test_a_long_crawl_delay_holds_no_slot(site, max_wait, wait):
    """A link that would have to wait long comes back later, however long the host wants it at most."""
    site.add(ROBOTS, Answer(b"User-agent: *\nCrawl-delay: 60\n"))
    (got,) = await fetch(site.add_image("/a", PICTURE), settings=replace(SETTINGS, max_wait=max_wait))
    assert isinstance(got, Later)
    assert got.gap == wait
    assert wait - 2 < got.seconds <= wait
    assert site.requests() == []
