"""The network: one link becomes one whole body, one Reason, or the link that a redirect leads to. The only
module that opens sockets.

One TLS context, one pool of connections kept alive (`crawler.wire` asks over them). No limits, redirects, cookies,
decompression or proxies of aiohttp's: each of them would decide something that is ours to decide.

Three clocks, each of which starts when its step really starts:
- connect: DNS has one, and connecting with its TLS handshake has one of the same length;
- stall: no byte for so long, from the moment the request is out (aiohttp's `sock_read`);
- whole: the exchange with all its redirects.
Waiting for memory is our own doing, so it stops the last two, and the socket with them. So is waiting for a
turn where a redirect leads: that is somebody else's host, so `fetch` ends with each redirect, and what is left
of the clock goes with the link.

The first bytes alone tell an image from anything else, whatever Content-Type and Content-Encoding claim
(plain images labelled "gzip" exist, and bodies are never decompressed). An empty body, or a compressed
one, is `bad_response`: it may be whole the next time. For the rest see `crawler.verdict`.

A kept connection that its server has closed in between is no failure: the request goes out once more when the
connection breaks before an answer.
"""

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Self, TypeVar

import aiohttp

from crawler.address import AddressRules
from crawler.answers import Bodies, close, drain, location, refused_status
from crawler.clocks import Clocks
from crawler.exchange import Attempt, FetchSettings
from crawler.leases import Leases
from crawler.lookups import LookupCounts
from crawler.permission import NotYet, Permission
from crawler.records import Failed, Fetched, Later, Link, Moved, Way
from crawler.resolve import ForbiddenAddress, GuardedResolver
from crawler.robots import ALLOWED, MAX_BYTES, Robots, RobotsCounts, read
from crawler.robots_cache import Kept, Origin, RobotsCache
from crawler.tls import tls_context
from crawler.urls import prepare
from crawler.verdict import REDIRECTS, WITH_BODY, Refused, clean, explain, judged, translate
from crawler.wire import Answer, Wire
from curator.reasons import Reason
from curator.tasks import in_thread

T = TypeVar("T")

_KEEP_ALIVE_S = 5.0  # an idle TLS connection holds 190 KiB: with many hosts, all of so many seconds add up
_ROBOTS_HEADERS = (("Accept", "text/plain, */*;q=0.5"),)
_NOWHERE_TO_BE_HAD = frozenset({Reason.FORBIDDEN_ADDRESS, Reason.NO_SUCH_HOST})
_ROBOTS_REDIRECTS = 5  # RFC 9309 2.3.1.2
_MUCH = 32 << 10  # bytes of rules whose reading takes so long that others would wait for it


class Fetcher:
    """Fetches links, one exchange per call. An async context manager."""

    def __init__(
        self, settings: FetchSettings, leases: Leases, note: Callable[[str], None] = lambda _: None
    ) -> None:
        """`leases` must be made for bodies of `settings.max_bytes`; `note` is told of trouble with DNS."""
        self._settings, self._note = settings, note
        self._bodies = Bodies(leases, settings.max_bytes)
        self._rules = AddressRules(settings.allow_net)
        self.asked_once: Callable[[str], bool] = lambda host: False  # whether nothing more is known of a host

    async def __aenter__(self) -> Self:
        """Open the session. Raises UsageError when the CA file cannot be used."""
        chosen = self._settings
        self._resolver = GuardedResolver(self._rules, chosen.connect_timeout, chosen.nameservers, self._note)
        connector = aiohttp.TCPConnector(
            limit=0,
            ssl=tls_context(chosen.insecure, chosen.ca_file),
            resolver=self._resolver,
            use_dns_cache=False,  # the resolver has a better one
            keepalive_timeout=_KEEP_ALIVE_S,
            socket_factory=self._guarded_socket,
        )
        timeout = aiohttp.ClientTimeout(
            connect=2 * chosen.connect_timeout,  # DNS and connecting; a name's further addresses included
            sock_connect=chosen.connect_timeout,
            sock_read=chosen.stall_timeout,
        )
        usual = ("User-Agent", chosen.user_agent), ("Accept", "image/*"), ("Accept-Encoding", "identity")
        self._wire = Wire(connector, usual, timeout)
        self._clocks = Clocks()
        self._now = self._clocks.now
        self._permission = self._permissions() if chosen.opt_outs else None
        return self

    def _permissions(self) -> Permission:
        chosen = self._settings
        robots = RobotsCache(self._ask_robots, Kept(again=chosen.robots_again))
        return Permission(robots, chosen.user_agent, delay=chosen.delay, max_wait=chosen.max_wait)

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        if self._permission is not None:
            await self._permission.robots.close()
        await self._wire.close()
        await self._resolver.close()

    @property
    def lookups(self) -> LookupCounts:
        """How looking up names goes."""
        return self._resolver.counts

    @property
    def robots(self) -> RobotsCounts:
        """How asking for robots.txt goes."""
        return self._permission.robots.counts if self._permission is not None else RobotsCounts()

    async def fetch(self, link: Link) -> Fetched | Failed | Moved | Later:
        """Ask for a link once. A body comes with its lease, which is now the caller's to release.

        Raises UsageError when the system grants no more sockets: no link is to blame for that.
        """
        try:
            return await self._exchange(link, self._ask)
        except NotYet as later:
            return Later(link, later.seconds, later.gap)

    def wait_no_more(self) -> None:
        """The crawl stops: what waits for a robots.txt comes later."""
        if self._permission is not None:
            self._permission.wait_no_more()

    async def _exchange(self, link: Link, follow: Callable[[Attempt], Awaitable[T]]) -> T | Failed:
        """What `follow` comes to, within the clock of one exchange."""
        whole = self._settings.timeout
        left, patience = (whole, whole) if link.way is None else (link.way.left, link.way.patience)
        clock = self._clocks.clock(left)
        attempt = Attempt(link, clock, patience, link.asked)
        retry_after, status = None, 0
        try:
            with clock:
                return await follow(attempt)
        except Refused as refused:
            reason, detail, retry_after = refused.reason, refused.detail, refused.retry_after
            status = refused.status
        except (aiohttp.ClientError, TimeoutError) as error:
            reason, detail = translate(error, answered=attempt.status != 0)
            detail = explain(error, self._settings) or detail
        detail, status = clean(detail)[:300], status or attempt.status
        return Failed(link, reason, detail, status, retry_after, attempt.final_url, attempt.gap)

    async def probe(self, url: str) -> bool:
        """Whether the host of a URL that was fetched before answers anything now.

        Its robots.txt is asked for, which nobody forbids, and given up after its head.
        """
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                close(await self._wire.get(prepare(url)._replace(path="/robots.txt")))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False
        return True

    async def _ask(self, attempt: Attempt) -> Fetched | Moved:
        """Ask for what a link has come to, listed or led to: each is judged in the same way."""
        link = attempt.link
        target = judged(link.asked, self._rules)
        if self._permission is not None:
            began = self._now()
            attempt.gap = await self._permission.to_begin(target, attempt.clock, attempt.patience)
            attempt.patience -= self._now() - began
        listed = link.way is None or target.origin == prepare(link.url).origin
        # kept, the TLS connections of hosts that are asked once would be most of a crawl's memory
        last = target.scheme == "https" and self.asked_once(link.host)
        response = await self._wire.get(target, self._settings.headers if listed else (), last=last)
        attempt.status = response.status
        try:
            await self._may_read(attempt, response)
            if response.status in REDIRECTS:
                return await self._moved(attempt, response)
            return await self._receive(attempt, response)
        finally:
            close(response)

    async def _moved(self, attempt: Attempt, response: Answer) -> Moved:
        """The link that a redirect leads to."""
        link = attempt.link
        target = judged(location(link.asked, response), self._rules)
        hops = 1 if link.way is None else link.way.hops + 1
        if hops > self._settings.max_redirects:
            raise Refused(Reason.TOO_MANY_REDIRECTS, f"to {target.url}")
        await drain(response)
        left = attempt.clock.left
        way = Way(target.url, link.home, hops, left, attempt.patience)
        return Moved(link, link._replace(host=target.host, way=way), attempt.gap)

    async def _may_read(self, attempt: Attempt, response: Answer) -> None:
        """Heed what the headers of an answer say, on the way as at its end. Raises Refused."""
        if self._permission is None or response.status not in REDIRECTS | WITH_BODY:
            return
        try:
            self._permission.to_read(response.headers)
        except Refused:
            attempt.clock.stop()  # as in _receive
            await drain(response)
            raise

    async def _ask_robots(self, origin: Origin) -> Robots | Failed:
        """Fetch the robots.txt of an origin, through the guard, the clocks and the memory of any link."""
        scheme, host, port = origin
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/robots.txt"
        found = await self._exchange(Link(b"", 0, url, host), self._follow_robots)
        if not isinstance(found, Failed):
            return found
        if found.reason is Reason.BAD_URL or found.http_status in REDIRECTS:
            return ALLOWED  # it led nowhere: "unavailable", 2.3.1.3
        if found.final_url != url and found.reason in _NOWHERE_TO_BE_HAD:
            # the host has answered, with a redirect, so that is what its links are told
            return replace(found, reason=Reason.HTTP_OTHER, detail=found.reason, http_status=302)
        return found

    async def _follow_robots(self, attempt: Attempt) -> Robots:
        url = attempt.link.url
        for _ in range(_ROBOTS_REDIRECTS + 1):
            attempt.final_url, attempt.status = url, 0
            target = judged(url, self._rules)
            response = await self._wire.get(target, _ROBOTS_HEADERS)
            attempt.status = response.status
            try:
                if response.status not in REDIRECTS:
                    return await self._read_robots(attempt, response)
                url = location(url, response)
                await drain(response)
            finally:
                close(response)
        return ALLOWED

    async def _read_robots(self, attempt: Attempt, response: Answer) -> Robots:
        assert self._permission is not None
        body = b""
        if 200 <= response.status < 300:
            body = await self._bodies.start(attempt.clock, response, MAX_BYTES)
        else:
            await drain(response)
        reading = (response.status, body, self._permission.token)
        found = await in_thread(read, *reading) if len(body) > _MUCH else read(*reading)
        if found is None:
            raise refused_status(response)
        return found

    async def _receive(self, attempt: Attempt, response: Answer) -> Fetched:
        """Turn the answer to the last request into a body."""
        if response.status not in WITH_BODY:
            attempt.clock.stop()  # it is judged: draining cannot make it a timeout any more
            await drain(response)
            raise refused_status(response)
        length = response.content_length
        if length is not None and length > self._settings.max_bytes:
            raise Refused(Reason.TOO_MANY_BYTES, f"{length} bytes announced")
        lease = await self._bodies.lease(attempt.clock, response, length)
        try:
            body, size = await self._bodies.read(attempt.clock, response, lease)
        except BaseException:
            lease.release()
            raise
        lease.shrink(size)
        headers = response.headers
        return Fetched(
            attempt.link,
            body,
            size,
            lease,
            attempt.final_url,
            response.status,
            clean(headers.get("Content-Type", "")),
            clean(headers.get("ETag", "")),
            clean(headers.get("Last-Modified", "")),
            time.time(),
            attempt.gap,
        )

    def _guarded_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Every connection of this process is made here, so here its numeric address is judged."""
        family, kind, protocol, _, address = info
        if why := self._rules.forbidden(str(address[0])):
            raise ForbiddenAddress(why)
        return socket.socket(family, kind, protocol)
