"""What the tests of fetching share."""

from dataclasses import replace
from ipaddress import ip_network

from crawler.exchange import FetchSettings
from crawler.fetch import Fetcher
from crawler.leases import Leases
from crawler.records import Failed, Fetched, Later, Link, Moved
from crawler.urls import host_of
from tests.site import image_bytes

LOOPBACK = (ip_network("127.0.0.0/8"),)
SETTINGS = FetchSettings(allow_net=LOOPBACK, max_bytes=1 << 20)
# for tests in which a clock has to run out
HASTY = replace(SETTINGS, connect_timeout=0.4, stall_timeout=0.3, timeout=0.9)
PICTURE = image_bytes(1)


def link(url: str) -> Link:
    """A link as it is drawn from a ledger."""
    return Link(bytes(16), 1, url, host_of(url))


async def fetch(*urls: str, settings: FetchSettings = SETTINGS) -> list[Fetched | Failed]:
    """Fetch one after the other, check that exactly the bodies are leased, and release them."""
    leases = Leases(4 * settings.max_bytes, settings.max_bytes)
    async with Fetcher(settings, leases) as fetcher:
        results = [await followed(fetcher, url) for url in urls]
    bodies = [result for result in results if isinstance(result, Fetched)]
    assert leases.used == sum(body.size for body in bodies)
    assert all(sum(map(len, body.body)) == body.size == body.lease.size for body in bodies)
    return results


async def followed(fetcher: Fetcher, url: str) -> Fetched | Failed | Later:
    """Fetch to the end of all redirects, each at once."""
    got = await fetcher.fetch(link(url))
    while isinstance(got, Moved):
        got = await fetcher.fetch(got.to)
    return got


def reasons(results: list[Fetched | Failed]) -> list[str]:
    """The Reasons, "saved" for a body."""
    return [result.reason if isinstance(result, Failed) else "saved" for result in results]
