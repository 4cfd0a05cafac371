"""Every way to a forbidden address that we know of, against sockets that listen there: nobody connects.

The first hop, 127.0.0.1, is opened with --allow-net; the canaries listen on 127.0.0.2 and ::1, on the very
port of the site, and a kernel completes connections to a listening socket whether or not it accepts them.
"""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp.abc import ResolveResult

from crawler import resolve
from tests.crawling import run_crawl, states, write_list
from tests.fetching import PICTURE, SETTINGS, fetch, reasons
from tests.names import Names
from tests.site import Answer, Site

GUARDED = ("127.0.0.2", "::1")
FETCHING = replace(SETTINGS, allow_net=(ip_network("127.0.0.1/32"),))

# host spellings of the canaries; what is no address at all by our rules is "bad_url"
ADDRESSES = [
    "127.0.0.2", "2130706434", "0x7f000002", "0X7F000002", "017700000002", "0000017700000002", "127.2",
    "127.0.2", "127.0x0.2", "0x7f.2", "0x7f.0x0.0x0.0x2", "0177.0.0.2", "0177.0.0.02", "0177.0.0x0.2",
    "00177.000.000.002", "127.0.0.2.", "0x7f.0.0.2.", "2130706434.", "127.00000000002", "0x7f.0.2",
    "１２７.０.０.２", "①②⑦.⓪.⓪.②", "127。0。0。2", "127．0．0．2", "127｡0｡0｡2", "¹²⁷.⁰.⁰.²", "𝟏𝟐𝟕.𝟎.𝟎.𝟐",
    "𝟙𝟚𝟟.𝟘.𝟘.𝟚", "１２７。２", "0ｘ7f.2", "127.0.0.2。", "0x7f.0.0.0x",
    "[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0.0.0.1]", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]",
    "[::FFFF:127.0.0.2]", "[0:0:0:0:0:ffff:7f00:2]", "[::127.0.0.2]", "[::7f00:2]", "[64:ff9b::127.0.0.2]",
    "[64:ff9b::7f00:2]", "[64:ff9b:1::7f00:2]", "[2002:7f00:2::]", "[2002:7f00:2::1]",
    "[2001:0:7f00:2::]", "[2001:0:808:808:0:0:80ff:fffd]", "[::ffff:0:127.0.0.2]", "[::1%lo]", "[::1%25lo]",
    "[fe80::1%25lo]", "[::]", "0", "0.0.0.0", "[fc00::1]", "169.254.169.254", "[fd00:ec2::254]",
]  # fmt: skip
BAD_HOSTS = [
    "127.0.0.2.0", "127.0.0.256", "127..2", ".127.0.0.2", "%31%32%37.0.0.2", "127.0.0.%32",
    "[127.0.0.2]", "[::1", "::1", "[v1.::1]", "[::1]x", "user@127.0.0.2", "u:p@127.0.0.2", "@127.0.0.2",
    "127.0.0.1:{port}@127.0.0.2", "127.0.0.1%40127.0.0.2", "127.0.0.1\\@127.0.0.2", "127.0.0.2 ",
    "127.0.0.2\\.a.example", "127.0.0.1 @127.0.0.2", "127.0.0.1:{port}:80", "127.0.0.2,a",
]  # fmt: skip
# whole URLs
BAD_URLS = [
    "http:/127.0.0.2:{port}/", "http:127.0.0.2:{port}/", "http:///127.0.0.2:{port}/", "http:\\\\127.0.0.2:{port}\\",
    "//127.0.0.2:{port}/", "127.0.0.2:{port}/", "ftp://127.0.0.2:{port}/", "gopher://127.0.0.2:{port}/_GET",
    "file://127.0.0.2/etc/passwd", "ws://127.0.0.2:{port}/", "unix://127.0.0.2:{port}/", "dict://127.0.0.2:{port}/",
    "http+unix://127.0.0.2:{port}/", "jar:http://127.0.0.2:{port}/!/", "http://127.0.0.2:{port}0000/",
    "http://127.0.0.2:+{port}/", "http://127.0.0.2:22/", "http://127.0.0.2:25/", "http://127.0.0.2:0/",
    "http://127.0.0.2:1023/", "http://127.0.0.2:{port}\x7f/", "http://127.0.0.2:-1/", "http://127.0.0.2:0x50/",
]  # fmt: skip
NAMES = {
    "plain.example": ["127.0.0.2"],
    "six.example": ["::1"],
    "mixed.example": ["127.0.0.1", "127.0.0.2"],
    "last.example": ["127.0.0.1"] * 9 + ["127.0.0.2"],
    "other-family.example": ["127.0.0.1", "::1"],
    "mapped.example": ["::ffff:127.0.0.2"],
    "compatible.example": ["::127.0.0.2"],
    "nat64.example": ["64:ff9b::127.0.0.2"],
    "sixtofour.example": ["2002:7f00:2::"],
    "alias.example": "plain.example",
    "alias-of-mixed.example": "mixed.example",
    "127.0.0.2.nip.example": ["127.0.0.2"],
    "zero.example": ["0.0.0.0"],
    "unspecified.example": ["::"],
    "metadata.example": ["169.254.169.254"],
    "xn--bcher-kva.example": ["127.0.0.2"],
    "under_score.example": ["127.0.0.2"],
}
HOSTS = [*NAMES, "PLAIN.example.", "ｐｌａｉｎ。example", "bücher.example", "localhost", "LOCALHOST."]


@pytest.fixture
def site():
    """A site on 127.0.0.1, on a port that the canaries have on their addresses."""
    with Site() as running:
        yield running


@pytest.fixture
def canaries(site):
    """Listening sockets; each call tells how many connections there have been since the last."""
    with ExitStack() as stack:
        listening = [
            stack.enter_context(socket.create_server((address, site.port), family=family, backlog=512))
            for address, family in zip(GUARDED, (socket.AF_INET, socket.AF_INET6), strict=True)
        ]
        for one in listening:
            one.setblocking(False)

        def connections() -> int:
            return sum(accepted(one) for one in listening)

        yield connections
        for address in GUARDED:  # they were not deaf
            stack.enter_context(socket.create_connection((address, site.port)))
        assert connections() == len(GUARDED)


def accepted(listening: socket.socket) -> int:
    """How many connections wait to be accepted; they are closed."""
    count = 0
    while True:
        try:
            listening.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def urls(port: int) -> dict[str, str]:
    """Every URL and the Reason it must end with."""
    wanted = {f"http://{host}:{port}/": "forbidden_address" for host in (*ADDRESSES, *HOSTS)}
    wanted |= {f"{scheme}://127.0.0.2:{port}/x": "forbidden_address" for scheme in ("https", "HTTP", "hTTpS")}
    wanted |= {
        f"http://127.0.0.2:{port}{rest}": "forbidden_address" for rest in ("", "?a", "#a", "/\\", "//")
    }
    wanted |= {f"http://{host.format(port=port)}:{port}/": "bad_url" for host in BAD_HOSTS}
    return wanted | {url.format(port=port): "bad_url" for url in BAD_URLS}


def test_no_listed_url_leads_there(site, canaries, tmp_path):
    """Some hundred spellings and names, each with its Reason; the canaries see not one connection."""
    wanted = urls(site.port)
    assert len(wanted) >= 80
    crawl(wanted, tmp_path)
    assert canaries() == 0
    assert states(tmp_path / "data") == {url.strip(): reason for url, reason in wanted.items()}


def test_no_redirect_leads_there(site, canaries, tmp_path):
    """The same behind redirects of every kind, two hops away, absolute or not."""
    port, listed = site.port, {}
    wanted = urls(port) | {
        f"//127.0.0.2:{port}/": "forbidden_address",
        f" \t//127.0.0.2:{port}/": "forbidden_address",
        f"127.0.0.2:{port}/": "http_404",  # a path, by the book: the site has no such page
        f"/\\127.0.0.2:{port}/": "http_404",
        f"http://127.0.0.2:{port}\x7f/": "http_other",  # no sensible Location
    }
    for number, (location, reason) in enumerate(wanted.items()):
        status = (301, 302, 303, 307, 308)[number % 5]
        site.add(f"/hop/{number}", Answer(b"", status, {"Location": location, "Set-Cookie": "a=1"}))
        listed[site.add(f"/{number}", Answer(b"", status, {"Location": f"/hop/{number}"}))] = reason
    crawl(listed, tmp_path)
    assert canaries() == 0
    assert states(tmp_path / "data") == listed


async def test_an_answer_that_changes_is_judged_anew(site, canaries, monkeypatch):
    """A name that turns to a forbidden address once its first answer has run out is refused from then on."""
    monkeypatch.setattr("crawler.lookups._SHORTEST", 0.0)
    site.add("/a", Answer(PICTURE, fault="closes"))
    with Names({"rebind.example": lambda times: ["127.0.0.1"] if times == 1 else ["127.0.0.2"]}) as names:
        settings = replace(FETCHING, nameservers=(names.address,))
        got = await fetch(*[site.url("/a", "rebind.example")] * 3, settings=settings)
    assert reasons(got) == ["saved", "forbidden_address", "forbidden_address"]
    assert canaries() == 0


@pytest.mark.parametrize("swapped", GUARDED)
async def test_an_answer_that_changes_on_the_way_is_refused_at_the_socket(
    site, canaries, monkeypatch, swapped
):
    """Whatever the resolver judged: the address really connected to is judged once more."""

    def other(host: str, port: int, _: str) -> ResolveResult:
        return judged(host, port, swapped)

    judged = resolve._result
    monkeypatch.setattr(resolve, "_result", other)
    with Names({"good.example": ["127.0.0.1"]}) as names:
        settings = replace(FETCHING, nameservers=(names.address,))
        got = await fetch(site.url("/a", "good.example"), settings=settings)
    assert reasons(got) == ["forbidden_address"]
    assert canaries() == 0


def crawl(listed: Iterable[str], folder: Path) -> None:
    """Crawl those URLs with the first hop opened and the names known."""
    with Names(NAMES) as names:
        run_crawl(
            [write_list(folder / "urls.txt", list(listed))],
            folder / "data",
            allow_net=("127.0.0.1/32",),
            resolver=(names.address,),
            attempts=1,
        )
