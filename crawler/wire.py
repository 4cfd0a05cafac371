"""GET requests over aiohttp's connections and parser, without its session.

A session settles anew for every request what is the same here for all of an origin, or off: cookies, proxies,
authentication, redirects, traces, a dozen default settings. That is a quarter of what an exchange costs the event
loop. So the head of a request is made once an origin and differs by its first line; the pool, TLS, the clocks of
connecting and of silence, and the parser are aiohttp's.
"""

from functools import cached_property, lru_cache

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError, RawResponseMessage
from multidict import CIMultiDict
from yarl import URL

from crawler.urls import Target

Headers = tuple[tuple[str, str], ...]

_BUFFER = 64 << 10  # aiohttp pauses a socket at twice this; the part of a body that no lease covers
_HEADER_BYTES = 32 << 10  # of one header line; some CDNs exceed aiohttp's default of 8 KiB
_ORIGINS = 4_096  # remembered, of some 3 KB each
_HEADERS = 8  # sets of them: there are three


class Answer:
    """The head of an answer, and its body as it comes. Whoever has one closes it."""

    __slots__ = ("closed", "connection", "content", "headers", "last", "reason", "status")

    def __init__(
        self, connection: Connection, message: RawResponseMessage, body: aiohttp.StreamReader, last: bool
    ) -> None:
        """`last`: its connection is closed with it."""
        self.status, self.reason, self.headers = message.code, message.reason, message.headers
        self.connection: Connection | None = connection  # None once it is back in the pool, or closed
        self.content = body
        self.last = last
        self.closed = False  # its end was read, or nobody reads on
        body.on_eof(self._ended)

    @property
    def content_length(self) -> int | None:
        """Bytes that the body is said to have, None if nothing is said."""
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    def close(self) -> None:
        """Read no further: a connection that is not at its end is of no use any more."""
        self.closed = True
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _ended(self) -> None:
        """The connection may serve again, unless it speaks another protocol from now on."""
        protocol = self.connection.protocol if self.connection is not None else None
        if protocol is not None and not protocol.upgraded:
            assert self.connection is not None
            self.closed = True
            if self.last:
                protocol.abort()
                self.connection.close()
            else:
                self.connection.release()
            self.connection = None


class Wire:
    """Asks for URLs over the connections of one pool, which it closes."""

    def __init__(
        self, connector: aiohttp.BaseConnector, headers: Headers, timeout: aiohttp.ClientTimeout
    ) -> None:
        """`headers`: of every request; `timeout`: of it `connect`, `sock_connect` and `sock_read` count."""
        self._connector, self._usual, self._timeout = connector, headers, timeout
        self._origin = lru_cache(_ORIGINS)(_request)
        self._headers = lru_cache(_HEADERS)(self._merged)

    async def get(self, target: Target, headers: Headers = (), *, last: bool = False) -> Answer:
        """The answer to a request, with `headers` beside the usual ones or in their place; its body is not read yet.

        When the connection breaks before an answer the request goes out once more: a server may have closed a
        kept one in between. `last`: the connection is not kept, unless the answer leads on. Raises ClientError, or
        TimeoutError where connecting took too long.
        """
        request, host = self._origin(target.scheme, target.netloc)
        others, with_host = self._headers(headers)
        written = f"GET {target.path} HTTP/1.1\r\n{'' if with_host else host}{others}\r\n".encode()
        try:
            return await self._ask(request, written, last)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError):
            pass
        return await self._ask(request, written, last)

    async def close(self) -> None:
        """Close every connection."""
        await self._connector.close()

    async def _ask(self, request: aiohttp.ClientRequest, written: bytes, last: bool) -> Answer:
        connection = await self._connect(request)
        protocol = connection.protocol
        assert protocol is not None
        try:
            if protocol.transport is None:  # closed by the server since it was opened
                raise aiohttp.ServerDisconnectedError
            protocol.set_response_params(
                read_until_eof=True,
                auto_decompress=False,
                read_timeout=self._timeout.sock_read,
                read_bufsize=_BUFFER,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )
            protocol.start_timeout()
            protocol.transport.write(written)
            message, body = await protocol.read()
            while 100 <= message.code < 200 and message.code != 101:  # what a server says before its answer
                message, body = await protocol.read()
            return Answer(connection, message, body, last and not 300 <= message.code < 400)
        except HttpProcessingError as error:
            connection.close()
            raise aiohttp.ClientResponseError(
                request.request_info, (), status=error.code, message=error.message
            ) from error
        except BaseException:
            connection.close()
            raise

    async def _connect(self, request: aiohttp.ClientRequest) -> Connection:
        """A connection on which nothing waits: a surplus answer would be taken for that to the next request."""
        while True:
            try:
                connection = await self._connector.connect(request, [], self._timeout)
            except TimeoutError as error:
                raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {request.url}") from error
            assert connection.protocol is not None
            if not len(connection.protocol):
                return connection
            connection.close()

    def _merged(self, headers: Headers) -> tuple[str, bool]:
        """The lines of all headers, and whether `Host` is among them."""
        merged = CIMultiDict(self._usual)
        for name in {name for name, _ in headers}:
            merged.popall(name, None)
        merged.extend(headers)
        return "".join(f"{name}: {value}\r\n" for name, value in merged.items()), "Host" in merged


class _Request(aiohttp.ClientRequest):
    """What aiohttp goes by when it connects to an origin: never changed, and never sent itself."""

    @cached_property
    def connection_key(self) -> ConnectionKey:  # else made for every request
        """Which connections may serve it."""
        return super().connection_key


def _request(scheme: str, netloc: str) -> tuple[aiohttp.ClientRequest, str]:
    """A request to an origin, and the line that names its host."""
    request = _Request("GET", URL(f"{scheme}://{netloc}/", encoded=True))
    return request, f"Host: {request.headers['Host']}\r\n"
