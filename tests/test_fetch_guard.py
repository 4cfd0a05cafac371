"""Forbidden addresses and broken names: nothing special is connected to on any way."""

from dataclasses import replace

import aiohttp
import pytest

from tests.fetching import HASTY, PICTURE, SETTINGS, fetch, reasons
from tests.names import NXDOMAIN, SERVFAIL, SILENT, Names
from tests.site import Answer, Site


@pytest.fixture
def site():
    """A site of its own for each test."""
    with Site() as running:
        yield running


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0x7f.1", "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "localhost"]
)
async def test_no_spelling_reaches_a_forbidden_address(site, host):
    """Nothing is asked of the site, and the Reason says why."""
    settings = replace(SETTINGS, allow_net=())
    assert reasons(await fetch(site.url("/a", host), settings=settings)) == ["forbidden_address"]
    assert site.requests() == []


NAMES = {
    "good.example": ["127.0.0.1"],
    "mixed.example": ["127.0.0.1", "10.0.0.1"],
    "mapped.example": ["::ffff:10.0.0.1"],
    "broken.example": SERVFAIL,
    "gone.example": NXDOMAIN,
    "silent.example": SILENT,
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("good", "saved"),
        ("mixed", "forbidden_address"),
        ("mapped", "forbidden_address"),
        ("broken", "dns"),
        ("gone", "no_such_host"),
        ("silent", "dns"),
    ],
)
async def test_names_are_judged_by_all_their_answers(site, name, reason):
    """One forbidden answer among good ones refuses a name; a missing name is not a broken DNS."""
    site.add_image("/a", PICTURE)
    with Names(NAMES) as names:
        settings = replace(HASTY, nameservers=(names.address,))
        (got,) = await fetch(site.url("/a", f"{name}.example"), settings=settings)
        assert set(names.asked) == {f"{name}.example"}
    assert reasons([got]) == [reason]
    assert [request.host for request in site.requests()] == [f"good.example:{site.port}"] * (name == "good")


async def test_a_name_is_looked_up_once(site):
    """Further connections to one host ask the DNS no more, even if its answer may not be kept."""
    site.add("/a", Answer(PICTURE, fault="closes"))
    with Names(NAMES) as names:
        settings = replace(SETTINGS, nameservers=(names.address,))
        url = site.url("/a", "good.example")
        await fetch(url, url, url, settings=settings)
        assert sorted(names.asked) == ["good.example"] * 2  # A and AAAA


async def test_the_socket_itself_is_guarded(site, monkeypatch):
    """An address that slipped past every earlier check is still not connected to."""

    class Careless(aiohttp.ThreadedResolver):
        def __init__(self, *_: object) -> None:
            super().__init__()

    monkeypatch.setattr("crawler.fetch.GuardedResolver", Careless)
    settings = replace(SETTINGS, allow_net=())
    assert reasons(await fetch(site.url("/a", "localhost"), settings=settings)) == ["forbidden_address"]
    assert site.requests() == []


async def test_nothing_of_ours_or_theirs_travels(site, monkeypatch, tmp_path):
    """Redirects and cookies change nothing in what is sent, and passwords of this machine stay here."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with Site(addresses=("127.0.0.3",)) as other:
        there = other.add("/there", Answer(PICTURE, headers={"Set-Cookie": "c=3"}))
        over = other.add("/over", Answer(b"", 302, {"Location": "/there", "Set-Cookie": "b=2; Path=/"}))
        here = site.add("/here", Answer(b"", 302, {"Location": over, "Set-Cookie": "a=1; Domain=127.0.0.3"}))
        assert reasons(await fetch(here, there, here)) == ["saved"] * 3
        sent = [*site.requests(), *other.requests()]
    assert len(sent) == 7
    assert {frozenset(one.headers) for one in sent} == {
        frozenset(("host", "user-agent", "accept", "accept-encoding"))
    }
