"""TLS: certificates are verified unless the user says otherwise."""

import ssl
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme
import uvloop

from crawler.exchange import FetchSettings
from crawler.fetch import Fetcher
from crawler.leases import Leases
from crawler.records import Fetched, Link, Moved
from crawler.tls import tell_of_no_handshake, tls_context
from curator.errors import UsageError
from tests.crawling import run_crawl, write_list
from tests.site import Answer, Site, image_bytes

SETTINGS = FetchSettings(allow_net=(ip_network("127.0.0.0/8"),), connect_timeout=2.0)


@pytest.fixture(scope="module")
def authority():
    """A certificate authority that nobody knows."""
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority, tmp_path_factory):
    """Its certificate, for --ca-file."""
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def site(authority):
    """A site with a certificate for 127.0.0.1 (and not for 127.0.0.2, where it listens as well)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with Site(tls=context, addresses=("127.0.0.1", "127.0.0.2")) as running:
        running.add_image("/a", image_bytes(1))
        yield running


async def outcome(url: str, settings: FetchSettings) -> str:
    """The Reason one URL ends with."""
    leases = Leases(2 * settings.max_bytes, settings.max_bytes)
    async with Fetcher(settings, leases) as fetcher:
        got = await fetcher.fetch(Link(bytes(16), 1, url, ""))
    return "saved" if isinstance(got, Fetched) else got.reason


async def test_unknown_authorities_are_refused(site):
    """A certificate that no trusted authority signed is tls_certificate."""
    assert await outcome(site.url("/a"), SETTINGS) == "tls_certificate"
    assert site.requests() == []


async def test_an_authority_can_be_trusted(site, ca_file):
    """--ca-file opens what it signed, under the name it signed it for."""
    trusting = replace(SETTINGS, ca_file=ca_file)
    assert await outcome(site.url("/a"), trusting) == "saved"
    assert await outcome(site.url("/a", "127.0.0.2"), trusting) == "tls_certificate"


async def test_insecure_takes_any_certificate(site):
    """--insecure verifies neither authority nor name."""
    insecure = replace(SETTINGS, insecure=True)
    assert await outcome(site.url("/a", "127.0.0.2"), insecure) == "saved"


@pytest.mark.parametrize(("once", "connections"), [(True, [1, 2]), (False, [1, 1])])
async def test_the_connection_of_a_host_asked_once_is_not_kept(site, once, connections):
    """Its image comes over the connection of its robots.txt, and ends it; that of another host is kept."""
    site.add_image("/b", image_bytes(2))
    leases = Leases(2 * SETTINGS.max_bytes, SETTINGS.max_bytes)
    async with Fetcher(replace(SETTINGS, insecure=True), leases) as fetcher:
        fetcher.asked_once = lambda host: once
        for path in ("/a", "/b"):
            assert isinstance(await fetcher.fetch(Link(bytes(16), 1, site.url(path), "")), Fetched)
    assert [(one.path, one.connection) for one in site.requests()] == list(
        zip(["/a", "/b"], connections, strict=True)
    )


def test_a_crawl_keeps_connections_to_hosts_of_several_links(site, tmp_path):
    """A host's only link opens a new connection when it is tried again; those of another host share one."""
    for path in ("/once", "/twice"):
        site.add(path, Answer(b"", 503), Answer(image_bytes(1)))
    listed = [site.url("/once"), site.url("/twice", "127.0.0.2"), site.url("/a", "127.0.0.2")]
    urls = write_list(tmp_path / "urls.txt", listed)
    assert run_crawl([urls], tmp_path / "out", insecure=True, no_decode=True, per_host=1).finished
    used = [(one.path, one.connection) for one in site.requests()]
    assert len({number for path, number in used if path == "/once"}) == 2
    assert len({number for path, number in used if path != "/once"}) == 1
    assert len(used) == 5


async def test_the_connection_of_a_redirect_is_kept(site):
    """A host asked for one link is asked again where that leads to itself: over the same connection."""
    site.add("/moved", Answer(b"", 302, {"Location": "/a"}))
    leases = Leases(2 * SETTINGS.max_bytes, SETTINGS.max_bytes)
    async with Fetcher(replace(SETTINGS, insecure=True), leases) as fetcher:
        fetcher.asked_once = lambda host: True
        moved = await fetcher.fetch(Link(bytes(16), 1, site.url("/moved"), ""))
        assert isinstance(moved, Moved)
        assert isinstance(await fetcher.fetch(moved.to), Fetched)
    assert {one.connection for one in site.requests()} == {1}


async def test_an_unwanted_tls_body_is_dropped_at_once(site):
    """Giving up in the middle of a long TLS body ends the exchange without reading the rest."""
    site.add("/page", Answer(b"<html>" * 500_000, fault="stall"))
    insecure = replace(SETTINGS, insecure=True, stall_timeout=60)
    assert await outcome(site.url("/page"), insecure) == "not_an_image"


async def test_no_tls_at_all_is_tls():
    """A server that speaks something else on that port."""
    with Site() as plain:
        url = plain.add("/a", Answer(image_bytes(1)))
        settings = replace(SETTINGS, connect_timeout=0.5)
        assert await outcome(url.replace("http:", "https:"), settings) in ("tls", "connect")


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_bad_ca_file_is_a_usage_error(tmp_path, content):
    """The flag and the file are named before anything is fetched."""
    path = Path(tmp_path) / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError, match="--ca-file"):
        tls_context(insecure=False, ca_file=path)


@pytest.mark.parametrize(
    ("message", "error", "told"),
    [
        (
            "Fatal error on SSL protocol",
            RuntimeError("<TCPTransport closed=True>; the handler is closed"),
            False,
        ),
        ("Fatal error on SSL protocol", RuntimeError("something else"), True),
        ("Fatal error on transport", RuntimeError("the handler is closed"), True),
    ],
)
def test_a_handshake_given_up_prints_nothing(caplog, message, error, told):
    """Whoever asked is told; a loop's other faults are printed as always."""
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(tell_of_no_handshake)
    loop.call_exception_handler({"message": message, "exception": error})
    loop.close()
    assert bool(caplog.records) == told
