"""A real web site on loopback, with every fault that the web has, and a log of what it was asked.

Two ways to run it:

    with Site() as site:                            # a thread of this process
        site.add("/cat.jpg", Answer(image_bytes(1)))
        site.add("/flaky", Answer(status=503), Answer(image_bytes(2)))   # first this, from then on that
        ... fetch site.url("/cat.jpg") ...
        site.requests("/cat.jpg")

    with SiteProcess(tmp_path / "log") as site:     # a process of its own: python -m tests.site --log LOG
        ... crawl site.links(5000), kill the crawler, crawl again ...
        site.requests()

Both serve numbered pages at `/n/<number>.jpg` without being told: `image_bytes(number)`, except that
`behaviour(number)` makes a fixed share of them fail, some of them only at first. The log is JSON lines on
disk, written before an answer begins, so it tells the truth about a crawler that was killed.
"""

import argparse
import asyncio
import json
import math
import socket
import ssl
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from tests.pages import FAULTS, HTML, Answer, behaviour, image_bytes, numbered, outcome
from tests.served import served

__all__ = [
    "FAULTS",
    "HTML",
    "Answer",
    "Log",
    "Request",
    "Site",
    "SiteProcess",
    "behaviour",
    "image_bytes",
    "outcome",
]


@dataclass(frozen=True, slots=True)
class Request:
    """One line of the log."""

    path: str  # with its query, as it was on the wire
    host: str  # the Host header
    connection: int  # which connection it came on
    time: float  # seconds since the epoch
    headers: dict[str, str]  # names in lower case


class Log:
    """JSON lines of what was asked; read back by whoever has the path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def requests(self, path: str | None = None) -> list[Request]:
        """Everything asked so far but for robots.txt, or what was asked of one path."""
        # what follows the last line end is being written just now
        lines = self.path.read_text().split("\n")[:-1] if self.path.exists() else []
        asked = [Request(**json.loads(line)) for line in lines]
        if path is None:
            return [request for request in asked if request.path != "/robots.txt"]
        return [request for request in asked if request.path == path]


class Server:
    """The site itself, on a running event loop."""

    def __init__(self, log: Path) -> None:
        self.pages: dict[str, tuple[Answer, ...]] = {}
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self._places: dict[str, int] = {}  # of the numbered pages, in the order they were first asked for
        self._answered = math.inf
        self._more = asyncio.Event()
        self._log = log.open("a", buffering=1)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, addresses: Sequence[str], port: int, tls: ssl.SSLContext | None) -> int:
        """Serve on all `addresses`, on one port; 0 finds a free one."""
        for address in addresses:
            server = await asyncio.start_server(self._serve, address, port, ssl=tls, backlog=1024)
            self._servers.append(server)
            port = server.sockets[0].getsockname()[1]
        return port

    def answer(self, most: float) -> None:
        """Answer for so many numbered pages; requests for others wait, logged, for a higher number."""
        self._answered = most
        self._more.set()
        self._more = asyncio.Event()

    async def close(self) -> None:
        """Stop listening and drop every connection."""
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._log.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                while await self._exchange(await reader.readuntil(b"\r\n\r\n"), writer, number):
                    pass
        finally:
            writer.transport.abort() if task.cancelling() else writer.close()
            self._tasks.discard(task)

    async def _exchange(self, head: bytes, writer: asyncio.StreamWriter, connection: int) -> bool:
        """Answer one request; False when the connection ends with it."""
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        path = first.split(" ")[1]
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        asked = Request(path, headers.get("host", ""), connection, time.time(), headers)
        self._log.write(json.dumps({name: getattr(asked, name) for name in Request.__slots__}) + "\n")
        self.asked[path] += 1
        if path.startswith("/n/"):
            place = self._places.setdefault(path, len(self._places) + 1)
            while place > self._answered:
                await self._more.wait()
        return await send(self._answer(path), writer)

    def _answer(self, path: str) -> Answer:
        times = self.asked[path]
        if script := self.pages.get(path):
            return script[min(times, len(script)) - 1]
        folder, _, name = path[1:].partition("/")
        number = name.removesuffix(".jpg")
        if not number.isdigit() or folder not in ("n", "moved"):
            return Answer(HTML, 404)
        return numbered(int(number), times) if folder == "n" else Answer(image_bytes(int(number)))


async def send(answer: Answer, writer: asyncio.StreamWriter) -> bool:
    """Send an answer with its fault; False when the connection must end now."""
    fault, body = answer.fault, answer.body
    if fault == "garbage":
        writer.write(b"220 smtp.example.com ESMTP\r\n" * 8)
        return False
    head = _head(answer)
    if fault in ("silence", "reset", "reset_head"):
        writer.write(head[: len(head) // 2] if fault == "reset_head" else b"")
        return await _break(writer, fault)
    if fault in ("reset_body", "reset_unframed", "truncated", "stall", "chunked_truncated"):
        half = body[: len(body) // 2]
        writer.write(head + (b"%x\r\n%b" % (len(body), half) if fault == "chunked_truncated" else half))
        return await _break(writer, fault)
    writer.write(head)
    for piece in _pieces(answer):
        writer.write(piece)
        await writer.drain()
        if fault in ("trickle", "late", "chunked_garbage"):
            await asyncio.sleep(answer.pause)
    return fault not in ("closes", "unframed")


def _head(answer: Answer) -> bytes:
    framing = {"Content-Length": str(len(answer.body))}
    if answer.fault.startswith("chunked"):
        framing = {"Transfer-Encoding": "chunked"}
    elif answer.fault in ("unframed", "reset_unframed") or answer.status in (204, 304):
        framing = {}
    headers = {"Content-Type": "image/jpeg"} | framing | answer.headers
    if answer.fault == "huge_header":
        headers["X-Huge"] = "x" * 200_000
    lines = [f"HTTP/1.1 {answer.status} Answer", *(f"{name}: {value}" for name, value in headers.items())]
    return "".join(line + "\r\n" for line in [*lines, ""]).encode("utf-8", "surrogateescape")


def _pieces(answer: Answer) -> Iterator[bytes]:
    body, parts = answer.body, {"trickle": 16, "late": 2}.get(answer.fault, 8)
    step = max(1, -(-len(body) // parts))
    if answer.fault == "chunked_garbage":
        yield b"%x\r\n%b\r\n" % (len(body), body)
        yield b"no number\r\n"
    elif answer.fault == "chunked":
        for start in range(0, len(body), step):
            piece = body[start : start + step]
            yield b"%x\r\n%b\r\n" % (len(piece), piece)
        yield b"0\r\n\r\n"
    elif answer.fault in ("trickle", "late"):
        yield from (body[start : start + step] for start in range(0, len(body), step))
    else:
        yield body


async def _break(writer: asyncio.StreamWriter, fault: str) -> bool:
    """End a connection the way the fault says."""
    await writer.drain()
    if fault in ("silence", "stall"):
        await asyncio.Event().wait()
    if fault.startswith("reset"):
        if fault == "reset_unframed":
            await asyncio.sleep(0.05)  # a reset throws away what the client has not read yet
        # linger 0: close sends RST instead of FIN
        raw = writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


class Site(Log):
    """The site in a thread of this process. `tls`: a server's context; `addresses`: of 127.0.0.0/8."""

    def __init__(
        self,
        log: Path | None = None,
        *,
        addresses: Sequence[str] = ("127.0.0.1",),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._folder = TemporaryDirectory()
        super().__init__(log or Path(self._folder.name) / "log")
        self._addresses = addresses
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._server = Server(self.path)
        self.port = 0

    def __enter__(self) -> Self:
        """Start serving; the port is known from here on."""
        self._thread.start()
        self.port = self._do(self._server.listen(self._addresses, self.port, self._tls))
        return self

    def __exit__(self, *_: object) -> None:
        """Stop, dropping every connection."""
        self._do(self._server.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._folder.cleanup()

    def _do(self, work):  # type: ignore[no-untyped-def]
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def url(self, path: str, host: str | None = None) -> str:
        """The URL of a path, on the first address unless `host` says otherwise."""
        return f"{'https' if self._tls else 'http'}://{host or self._addresses[0]}:{self.port}{path}"

    def add(self, path: str, *answers: Answer) -> str:
        """Serve `answers` at a path in turn, the last one from then on. Returns the URL."""
        self._server.pages[path] = answers
        return self.url(path)

    def add_image(self, path: str, body: bytes, **headers: str) -> str:
        """Serve an image at a path. Returns the URL."""
        return self.add(path, Answer(body, headers=headers))

    def links(self, count: int, start: int = 0) -> list[str]:
        """URLs of `count` numbered pages, spread over the site's addresses."""
        return numbered_links(count, self.port, self._addresses, start)


def numbered_links(count: int, port: int, addresses: Sequence[str], start: int = 0) -> list[str]:
    """URLs of numbered pages, each number on one address."""
    chosen = (addresses[number % len(addresses)] for number in range(start, start + count))
    return [f"http://{address}:{port}/n/{number}.jpg" for number, address in enumerate(chosen, start)]


class SiteProcess(Log):
    """The numbered pages, served by a process of their own that ends with the one that started it."""

    def __init__(self, log: Path, *, addresses: Sequence[str] = ("127.0.0.1",)) -> None:
        super().__init__(log)
        self._addresses = addresses
        self.port = 0

    def __enter__(self) -> Self:
        """Start it; the port is known from here on."""
        arguments = ["--log", self.path, "--addresses", *self._addresses]
        self._served = served("tests.site", *arguments)
        self._process, self.port = self._served.__enter__()
        return self

    def answer(self, most: float = math.inf) -> None:
        """Answer for so many of the pages: a crawl that needs others, too, cannot end before the next call."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{most}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()  # it is so from here on

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._served.__exit__(None, None, None)

    def links(self, count: int, start: int = 0) -> list[str]:
        """URLs of `count` numbered pages, spread over the site's addresses."""
        return numbered_links(count, self.port, self._addresses, start)


async def main(log: Path, addresses: Sequence[str], port: int) -> None:
    """Serve until standard input ends, printing the port first; a line of it is for `Server.answer`."""
    server = Server(log)
    print(await server.listen(addresses, port, None), flush=True)  # noqa: T201
    while line := await asyncio.to_thread(sys.stdin.readline):
        server.answer(float(line))
        print(flush=True)  # noqa: T201
    await server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="serve the numbered pages until standard input ends")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--addresses", nargs="+", default=["127.0.0.1"])
    parser.add_argument("--port", type=int, default=0)
    chosen = parser.parse_args()
    asyncio.run(main(chosen.log, chosen.addresses, chosen.port))
