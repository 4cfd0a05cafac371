"""A site of tiny pictures, one for every path that ends in `.jpg`, which notes whatever it is asked.

    python -m bench.tiny LOG [LATENCY_S]

A process of its own on all of 127.0.0.0/8, so that a list may name as many hosts as it likes. It prints its port.
Its log is that of the other servers (`bench.exchanges`), with a line for each request before it is answered. Anything
else than a picture is answered 404: robots.txt, too, so that everything is allowed.
"""

import argparse
import asyncio
import io
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

import uvloop
from PIL import Image

ROOT = Path(__file__).parents[1]
_SIDE = 32  # pixels
_NONE = b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Tiny:
    """The site that runs."""

    pids: tuple[int, ...]
    port: int
    log: Path

    def urls(self, count: int, hosts: int = 1) -> Iterator[str]:
        """`count` URLs, the hosts in turn."""
        for n in range(count):
            host = n % hosts
            address = f"127.{8 + host // 62_500}.{host // 250 % 250}.{host % 250 + 1}"
            yield f"http://{address}:{self.port}/photos/{n:09d}.jpg"

    def count(self) -> int:
        """How many requests for pictures have come so far."""
        return self.log.read_bytes().count(b".jpg\n")


@contextmanager
def tiny_site(folder: Path, latency: float = 0.0) -> Iterator[Tiny]:
    """Serve until the `with` ends; `latency` in seconds before each answer, the log in `folder`."""
    log = folder / "requests.log"
    command = [sys.executable, "-m", "bench.tiny", str(log), str(latency)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Tiny((process.pid,), int(process.stdout.readline()), log)
    finally:
        process.terminate()
        process.wait()


class _Pictures(asyncio.Protocol):
    def __init__(self, log: TextIO, latency: float) -> None:
        self._log, self._latency, self._unread = log, latency, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def data_received(self, data: bytes) -> None:
        *requests, self._unread = (self._unread + data).split(b"\r\n\r\n")
        for request in requests:
            path = request.split(b" ", 2)[1]
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._answer, path)
            else:
                self._answer(path)

    def _answer(self, path: bytes) -> None:
        found = path.endswith(b".jpg")
        line = f"{time.time():.4f} {self._latency} {200 if found else 404} {path.decode()}\n"
        self._log.write(line)
        self._transport.write(_picture(path) if found else _NONE)


def _jpeg() -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((_SIDE, _SIDE)).save(file, "JPEG")
    return file.getvalue()


_BODY = _jpeg()
_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"


def _picture(path: bytes) -> bytes:
    """The one picture with its path as a comment, so that no two have the same bytes."""
    comment = b"\xff\xfe" + struct.pack(">H", len(path) + 2) + path
    body = _BODY[:2] + comment + _BODY[2:]
    return _HEAD % len(body) + body


async def _serve(log: TextIO, latency: float) -> None:
    server = await asyncio.get_running_loop().create_server(
        lambda: _Pictures(log, latency), "0.0.0.0", 0, backlog=8192
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("log", type=Path)
    parser.add_argument("latency", type=float, nargs="?", default=0.0)
    given = parser.parse_args()
    with given.log.open("w", buffering=1) as file:
        uvloop.run(_serve(file, given.latency))
