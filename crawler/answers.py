"""Reading what comes back over a connection, in leased memory, and leaving the connection in good order."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import aiohttp
from aiohttp.client_proto import ResponseHandler

from crawler.clocks import Clock
from crawler.leases import Lease, Leases
from crawler.retry import parse_retry_after
from crawler.urls import BadUrl, join
from crawler.verdict import Refused, status_reason
from crawler.wire import Answer
from curator.formats import HEAD_BYTES, refuse
from curator.reasons import Reason

_GROWTH = 256 << 10  # a body of unknown length is leased in steps of this
_DRAIN_BYTES = 16 << 10  # an error page up to this is read to its end to keep the connection...
_DRAIN_S = 1.0  # ...if it comes within this


class Bodies:
    """Reads bodies. Waiting for memory stops the clock of their exchange."""

    def __init__(self, leases: Leases, max_bytes: int) -> None:
        """`leases` must be made for bodies of `max_bytes`."""
        self._leases, self._max_bytes = leases, max_bytes

    async def lease(self, clock: Clock, response: Answer, length: int | None) -> Lease:
        """The memory that a body of `length` bytes begins with; None: of unknown length."""
        size = min(_GROWTH if length is None else length, self._max_bytes)
        lease = self._leases.try_take(size)
        if lease is None:
            with stopped(clock, response):
                lease = await self._leases.take(size)
        return lease

    async def read(self, clock: Clock, response: Answer, lease: Lease) -> tuple[tuple[bytes, ...], int]:
        """Read an image to its end, in pieces. Raises Refused as soon as it is none or too long."""
        chunks: list[bytes] = []
        size = 0
        judged = False
        end = End(response)
        while chunk := await response.content.readany():
            chunks.append(chunk)
            size += len(chunk)
            if not judged and size >= HEAD_BYTES:
                judge_head(chunks, response)
                judged = True
            if size > lease.size:
                await self._grow(clock, response, lease, size)
        end.check()
        if not judged:
            judge_head(chunks, response)
        return tuple(chunks), size

    async def start(self, clock: Clock, response: Answer, most: int) -> bytes:
        """The first `most` bytes of a text, or of `max_bytes`."""
        most = min(most, self._max_bytes, response.content_length or most)
        body = bytearray()
        with await self.lease(clock, response, most):
            end = End(response)
            while len(body) < most and (chunk := await response.content.readany()):
                body += chunk
            end.check()
        return bytes(body[:most])

    async def _grow(self, clock: Clock, response: Answer, lease: Lease, size: int) -> None:
        if size > self._max_bytes:
            raise Refused(Reason.TOO_MANY_BYTES, f"more than {self._max_bytes} bytes")
        to = min(size + _GROWTH, self._max_bytes)
        if not lease.try_grow(to):
            with stopped(clock, response):
                await lease.grow(to)


class End:
    """How a body ended. aiohttp takes any end of a connection for the end of a body without a length."""

    def __init__(self, response: Answer) -> None:
        """Made before the body is read: later the connection is not the response's any more."""
        self._protocol: ResponseHandler | None = None
        framed = response.content_length is not None or "Transfer-Encoding" in response.headers
        if not framed and response.connection is not None:
            self._protocol = response.connection.protocol

    def check(self) -> None:
        """Raise the error that a connection broke off with, where its end was to be the body's."""
        if self._protocol is not None and isinstance(lost := self._protocol.exception(), OSError):
            raise lost


def judge_head(chunks: list[bytes], response: Answer) -> None:
    """Go on when the first bytes are an image's. Raises Refused."""
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


async def drain(response: Answer) -> None:
    """Read a short body that nobody wants, so that its connection can serve again."""
    left = _DRAIN_BYTES
    if (response.content_length or 0) > left:
        return
    with suppress(aiohttp.ClientError, TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while left > 0 and (chunk := await response.content.readany()):
                left -= len(chunk)


def close(response: Answer) -> None:
    """Drop the connection of a body not read to its end; one that was is back in the pool already."""
    if response.closed:
        return
    connection = response.connection
    # closing a TLS transport politely would go on reading the unwanted body for up to 30 s
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


@contextmanager
def stopped(clock: Clock, response: Answer) -> Iterator[None]:
    """Stop the clocks of an exchange, and its socket, while we wait for something of our own."""
    connection = response.connection
    protocol = connection.protocol if connection is not None else None
    with clock.paused():
        if protocol is not None and protocol.is_connected():
            protocol.pause_reading()  # aiohttp's clock of silence stops with it
        try:
            yield
        finally:
            if protocol is not None and protocol.is_connected():
                protocol.resume_reading()


def refused_status(response: Answer) -> Refused:
    """What a status that brings no image comes to, with the wait that the server asks for."""
    retry_after = parse_retry_after(response.headers.get("Retry-After"), time.time())
    return Refused(status_reason(response.status), response.reason or "", retry_after)


def location(base: str, response: Answer) -> str:
    """Where a redirect from `base` leads. Raises Refused where it leads nowhere."""
    try:
        return join(base, response.headers.get("Location"))
    except BadUrl as error:
        raise Refused(Reason.HTTP_OTHER, str(error)) from error
