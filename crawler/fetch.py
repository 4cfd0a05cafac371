"""The network: one link becomes one whole body or one Reason. The only module that opens sockets.

One session, one TLS context, one pool of connections kept alive. aiohttp's own limits, redirects, cookies,
decompression and proxies are off: each of them would decide something that is ours to decide.

Three clocks, each of which starts when its step really starts:
- connect: DNS has one, and connecting with its TLS handshake has one of the same length;
- stall: no byte for so long, from the moment the request is out (aiohttp's `sock_read`);
- whole: the exchange with all its redirects.
Waiting for memory is our own doing, so it stops the last two, and the socket with them.

The first bytes alone tell an image from anything else, whatever Content-Type and Content-Encoding claim
(plain images labelled "gzip" exist, and bodies are never decompressed). An empty body, or a compressed
one, is `bad_response`: it may be whole the next time. For the rest see `crawler.verdict`.

A kept connection that its server has closed in between is no failure: aiohttp sends an idempotent request
once more when the connection breaks before an answer.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
from aiohttp.client_proto import ResponseHandler

from crawler.address import AddressRules, Network
from crawler.leases import Lease, Leases
from crawler.lookups import LookupCounts
from crawler.records import Failed, Fetched, Link
from crawler.resolve import ForbiddenAddress, GuardedResolver
from crawler.retry import parse_retry_after
from crawler.tls import tls_context
from crawler.urls import BadUrl, Target, join, prepare
from crawler.verdict import REDIRECTS, WITH_BODY, Refused, clean, status_reason, translate
from curator.formats import HEAD_BYTES, refuse
from curator.reasons import Reason

_GROWTH = 256 << 10  # a body of unknown length is leased in steps of this
_BUFFER = 64 << 10  # aiohttp pauses a socket at twice this; the part of a body that no lease covers
_KEEP_ALIVE_S = 15.0
_DRAIN_BYTES = 16 << 10  # an error page up to this is read to its end to keep the connection...
_DRAIN_S = 1.0  # ...if it comes within this
_HEADER_BYTES = 32 << 10  # of one header line; some CDNs exceed aiohttp's default of 8 KiB


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How to fetch. Times in seconds, sizes in bytes."""

    concurrency: int = 500  # exchanges at a time; whoever calls `fetch` keeps to it
    connect_timeout: float = 5.0
    stall_timeout: float = 10.0
    timeout: float = 30.0
    max_bytes: int = 20 << 20
    user_agent: str = "crawl-curate/0.1 (image dataset crawler)"
    headers: tuple[tuple[str, str], ...] = ()  # sent to the origin of the listed URL only
    insecure: bool = False  # take any TLS certificate
    ca_file: Path | None = None  # trusted on top of the system's
    allow_net: tuple[Network, ...] = ()
    max_redirects: int = 10
    nameservers: tuple[str, ...] = ()  # instead of the system's


@dataclass(slots=True)
class _Attempt:
    """What is known so far of one exchange, for the record that it will end in."""

    link: Link
    clock: asyncio.Timeout
    status: int = 0
    final_url: str = ""


class Fetcher:
    """Fetches links, one exchange per call. An async context manager."""

    def __init__(
        self, settings: FetchSettings, leases: Leases, note: Callable[[str], None] = lambda _: None
    ) -> None:
        """`leases` must be made for bodies of `settings.max_bytes`; `note` is told of trouble with DNS."""
        self._settings, self._leases, self._note = settings, leases, note
        self._rules = AddressRules(settings.allow_net)
        self._own_headers = settings.headers or None

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
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": chosen.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(
                connect=2 * chosen.connect_timeout,  # DNS and connecting; a name's further addresses included
                sock_connect=chosen.connect_timeout,
                sock_read=chosen.stall_timeout,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            requote_redirect_url=False,
            trust_env=False,
            read_bufsize=_BUFFER,
            max_line_size=_HEADER_BYTES,
            max_field_size=_HEADER_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close every connection."""
        await self._session.close()
        await self._resolver.close()

    @property
    def lookups(self) -> LookupCounts:
        """How looking up names goes."""
        return self._resolver.counts

    async def fetch(self, link: Link) -> Fetched | Failed:
        """Fetch a link once. A body comes with its lease, which is now the caller's to release.

        Raises UsageError when the system grants no more sockets: no link is to blame for that.
        """
        clock = asyncio.timeout(self._settings.timeout)
        attempt = _Attempt(link, clock, final_url=link.url)
        retry_after = None
        try:
            async with clock:
                return await self._follow(attempt)
        except Refused as refused:
            reason, detail, retry_after = refused.reason, refused.detail, refused.retry_after
        except (aiohttp.ClientError, TimeoutError) as error:
            reason, detail = translate(error, answered=attempt.status != 0)
            detail = self._explain(error) or detail
        return Failed(link, reason, clean(detail)[:300], attempt.status, retry_after, attempt.final_url)

    async def _follow(self, attempt: _Attempt) -> Fetched:
        """Go where the redirects lead, judging each like a first URL."""
        url = attempt.link.url
        listed = target = self._judged(url)
        for _ in range(self._settings.max_redirects + 1):
            response = await self._session.get(
                target.url,
                allow_redirects=False,
                headers=self._own_headers if target.origin == listed.origin else None,
            )
            attempt.status = response.status
            try:
                if response.status not in REDIRECTS:
                    return await self._receive(attempt, response)
                url = _location(url, response)
                await _drain(response)
            finally:
                _close(response)
            target = self._judged(url)
            attempt.final_url, attempt.status = str(target.url), 0
        raise Refused(Reason.TOO_MANY_REDIRECTS)

    def _judged(self, url: str) -> Target:
        try:
            target = prepare(url)
        except BadUrl as error:
            raise Refused(Reason.BAD_URL, str(error)) from error
        if target.address is not None and (why := self._rules.forbidden(target.host)):
            raise Refused(Reason.FORBIDDEN_ADDRESS, why)
        return target

    async def _receive(self, attempt: _Attempt, response: aiohttp.ClientResponse) -> Fetched:
        """Turn the answer to the last request into a body."""
        if response.status not in WITH_BODY:
            attempt.clock.reschedule(None)  # it is judged: draining cannot make it a timeout any more
            await _drain(response)
            raise _refused_status(response)
        length = response.content_length
        if length is not None and length > self._settings.max_bytes:
            raise Refused(Reason.TOO_MANY_BYTES, f"{length} bytes announced")
        lease = await self._lease(attempt, response, _GROWTH if length is None else length)
        try:
            body, size = await self._body(attempt, response, lease)
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
        )

    async def _lease(self, attempt: _Attempt, response: aiohttp.ClientResponse, size: int) -> Lease:
        size = min(size, self._settings.max_bytes)
        lease = self._leases.try_take(size)
        if lease is None:
            with _stopped(attempt.clock, response):
                lease = await self._leases.take(size)
        return lease

    async def _body(
        self, attempt: _Attempt, response: aiohttp.ClientResponse, lease: Lease
    ) -> tuple[tuple[bytes, ...], int]:
        """Read to the end, giving up as soon as it is no image or too long."""
        chunks: list[bytes] = []
        size = 0
        judged = False
        unframed = _unframed(response)
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if not judged and size >= HEAD_BYTES:
                _judge_head(chunks, response)
                judged = True
            if size > lease.size:
                await self._grow(attempt, response, lease, size)
        if unframed is not None and isinstance(lost := unframed.exception(), OSError):
            raise lost
        if not judged:
            _judge_head(chunks, response)
        return tuple(chunks), size

    async def _grow(
        self, attempt: _Attempt, response: aiohttp.ClientResponse, lease: Lease, size: int
    ) -> None:
        if size > self._settings.max_bytes:
            raise Refused(Reason.TOO_MANY_BYTES, f"more than {self._settings.max_bytes} bytes")
        to = min(size + _GROWTH, self._settings.max_bytes)
        if not lease.try_grow(to):
            with _stopped(attempt.clock, response):
                await lease.grow(to)

    def _guarded_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Every connection of this process is made here, so here its numeric address is judged."""
        family, kind, protocol, _, address = info
        if why := self._rules.forbidden(str(address[0])):
            raise ForbiddenAddress(why)
        return socket.socket(family, kind, protocol)

    def _explain(self, error: Exception) -> str:
        """What ran out, for those clocks whose error says nothing."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return f"no connection in {self._settings.connect_timeout:g} s"
        if isinstance(error, aiohttp.SocketTimeoutError):
            return f"no byte for {self._settings.stall_timeout:g} s"
        return f"not whole after {self._settings.timeout:g} s" if isinstance(error, TimeoutError) else ""


def _refused_status(response: aiohttp.ClientResponse) -> Refused:
    retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
    return Refused(status_reason(response.status), response.reason or "", retry_after)


def _location(base: str, response: aiohttp.ClientResponse) -> str:
    try:
        return join(base, response.headers.get("Location"))
    except BadUrl as error:
        raise Refused(Reason.HTTP_OTHER, str(error)) from error


def _unframed(response: aiohttp.ClientResponse) -> ResponseHandler | None:
    """The connection whose end is to be the end of the body.

    aiohttp takes any end for a good one there; only this still knows one that broke off.
    """
    if response.content_length is not None or "Transfer-Encoding" in response.headers:
        return None
    return response.connection.protocol if response.connection is not None else None


def _judge_head(chunks: list[bytes], response: aiohttp.ClientResponse) -> None:
    head = b"".join(chunk[:HEAD_BYTES] for chunk in chunks)[:HEAD_BYTES]
    if not head:
        raise Refused(Reason.BAD_RESPONSE, "empty body")
    refusal = refuse(head)
    if refusal is None:
        return
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise Refused(Reason.BAD_RESPONSE, f"Content-Encoding {encoding}, not asked for")
    raise Refused(*refusal)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short body that nobody wants, so that its connection can serve again."""
    left = _DRAIN_BYTES
    if (response.content_length or 0) > left:
        return
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while left > 0 and (chunk := await response.content.readany()):
                left -= len(chunk)


def _close(response: aiohttp.ClientResponse) -> None:
    """Drop the connection of a body not read to its end; one that was is back in the pool already."""
    if response.closed:
        return
    connection = response.connection
    # closing a TLS transport politely would go on reading the unwanted body for up to 30 s
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


@contextmanager
def _stopped(clock: asyncio.Timeout, response: aiohttp.ClientResponse) -> Iterator[None]:
    """Stop the clocks of an exchange, and its socket, while we wait for something of our own."""
    now = asyncio.get_running_loop().time
    left = (clock.when() or now()) - now()
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    clock.reschedule(None)
    if protocol is not None and protocol.is_connected():
        protocol.pause_reading()  # aiohttp's clock of silence stops with it
    try:
        yield
    finally:
        clock.reschedule(now() + left)
        if protocol is not None and protocol.is_connected():
            protocol.resume_reading()
