"""A site of servers that do wrong: how they are made. What they do stands in `tests.fault_table`.

A behaviour is a coroutine over a `Peer`, each on addresses of its own in 127.0.0.0/8: so it may begin before
a request has been read, and none shares a host with another. One that holds a connection does so until the
client gives up.
"""

import asyncio
import re
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Self

from tests.pages import image_bytes

PICTURE = image_bytes(7)


class Peer:
    """One connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.requests = 0

    async def request(self) -> str:
        """Read one request; its path."""
        head = await self._reader.readuntil(b"\r\n\r\n")
        self.requests += 1
        return head.split(b" ")[1].decode("latin-1")

    async def send(self, *parts: bytes, pause: float = 0.0) -> None:
        """Send the parts, `pause` seconds after each."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            if pause:
                await asyncio.sleep(pause)

    async def flood(self, part: bytes, pause: float = 0.0) -> None:
        """Send the same again and again, until the client has had enough."""
        while True:
            await self.send(part, pause=pause)

    async def reset(self) -> None:
        """Break the connection: linger 0 makes close send RST instead of FIN."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def silence(self) -> None:
        """Say nothing until the client leaves."""
        while await self._reader.read(4096):
            pass


Behaviour = Callable[[Peer], Awaitable[None]]


def head(*headers: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    """The head of an answer."""
    return "".join(f"{line}\r\n" for line in (f"{version} {status}", *headers, "")).encode(
        "utf-8", "surrogateescape"
    )


def length(size: int = len(PICTURE)) -> str:
    """The header that promises so many bytes."""
    return f"Content-Length: {size}"


CHUNKED = "Transfer-Encoding: chunked"


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def says(*parts: bytes, pause: float = 0.0) -> Behaviour:
    """Read a request, send those bytes, close."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts, pause=pause)

    return play


def page(body: bytes, *headers: str, status: str = "200 OK") -> Behaviour:
    """A sound answer."""
    return says(head(length(len(body)), *headers, status=status), body)


def then(how: Callable[[Peer], Awaitable[None]], *parts: bytes) -> Behaviour:
    """Read a request, send those bytes, and go on like that."""

    async def play(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        await how(peer)

    return play


def floods(part: bytes, *first: bytes, pause: float = 0.0) -> Behaviour:
    """Read a request, send those bytes, and then the same for ever."""
    return then(lambda peer: peer.flood(part, pause), *first)


def reset_late(*parts: bytes) -> Behaviour:
    """Send, and reset only when the client has surely read it: a reset throws away what it has not."""

    async def later(peer: Peer) -> None:
        await asyncio.sleep(0.1)
        await peer.reset()

    return then(later, *parts)


async def resets_at_once(peer: Peer) -> None:
    """Break the connection before a request has come."""
    await peer.reset()


async def closes_at_once(peer: Peer) -> None:
    """Close the connection before a request has come."""


async def never_reads(peer: Peer) -> None:
    """Accept, and that was all."""
    await asyncio.sleep(60)


async def speaks_first(peer: Peer) -> None:
    """A mail server on a web server's port."""
    await peer.send(b"220 mail.example ESMTP ready\r\n")
    await peer.silence()


async def dies_between(peer: Peer) -> None:
    """Promise to keep the connection, serve one request, and break it on the second."""
    await peer.request()
    await peer.send(head(length(), "Connection: keep-alive"), PICTURE)
    await peer.request()
    await peer.reset()


async def closes_between(peer: Peer) -> None:
    """Promise to keep the connection, serve one request, and close it a little later."""
    await peer.request()
    await peer.send(head(length(), "Connection: keep-alive"), PICTURE)
    await asyncio.sleep(0.01)


def leads(*locations: str, body: bytes = b"") -> Behaviour:
    """Redirect to the locations in turn; `hop=N` in a request's query tells how far it has come."""

    async def play(peer: Peer) -> None:
        while True:
            hop = re.search(r"hop=([0-9]+)", await peer.request())
            step = int(hop[1]) if hop else 0
            if step < len(locations):
                moved = head(f"Location: {locations[step]}", length(len(body)), status="302 Found")
                await peer.send(moved, body)
            else:
                await peer.send(head(length()), PICTURE)

    return play


class FaultSite:
    """A server for each behaviour, by name, in a thread of this process."""

    def __init__(self, behaviours: Mapping[str, Behaviour]) -> None:
        self._behaviours = list(behaviours.values())
        self._names = list(behaviours)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        """Serve on every address of 127.0.0.0/8."""
        self._thread.start()
        self._server = self._do(asyncio.start_server(self._serve, "0.0.0.0", 0, backlog=1024))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, dropping every connection."""
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, name: str, copy: int = 0, path: str = "/", scheme: str = "http") -> str:
        """Where that behaviour is; each copy is on a host of its own."""
        return f"{scheme}://127.1.{copy}.{1 + self._names.index(name)}:{self.port}{path}"

    def _do(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _close(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        address = writer.get_extra_info("sockname")[0]
        behave = self._behaviours[int(address.rpartition(".")[2]) - 1]
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await behave(Peer(reader, writer))
        finally:
            writer.transport.abort() if task.cancelling() else writer.close()
            self._tasks.discard(task)
