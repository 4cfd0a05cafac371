"""Many large bodies at once never outgrow --memory.

As a module it is the site: `python -m tests.test_crawl_bodies COUNT SIZE`. Each of COUNT connections is sent the
beginning of a body; once all have come it prints a line, and sends the rest after one on its standard input.
"""

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crawling import crawl_process, ledger
from tests.served import served
from tests.test_crawl_memory import resident

MIB = 1 << 20
SLACK = 8 * MIB  # of malloc, and of whatever else a crawl of another kind of answers needs
BEGINNING = 256 << 10  # fills the buffers of both sides
PIECE = b"\0" * (256 << 10)


class Bodies:
    """PNG signatures with zeros behind them, some with their length announced, some without."""

    def __init__(self, count: int, size: int) -> None:
        self.missing, self._size = count, size
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send one body."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1]
        if path == b"/robots.txt":
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return writer.close()
        framing = b"Content-Length: %d\r\n" % self._size if int(path.strip(b"/")) % 2 else b""
        writer.write(b"HTTP/1.1 200 OK\r\n" + framing + b"Connection: close\r\n\r\n")
        writer.write(b"\x89PNG\r\n\x1a\n".ljust(BEGINNING, b"\0"))
        self.missing -= 1
        if not self.missing:
            self.begun.set()
        await self.go.wait()
        for _ in range((self._size - BEGINNING) // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
        return writer.close()


async def serve(count: int, size: int) -> None:
    """Serve until standard input ends; the port comes first."""
    bodies = Bodies(count, size)
    server = await asyncio.start_server(bodies.serve, "0.0.0.0", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201
    try:
        await asyncio.wait_for(bodies.begun.wait(), 60)
    finally:  # the test finds out
        print("begun" if bodies.begun.is_set() else f"{bodies.missing} did not come", flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.readline)
    bodies.go.set()
    await asyncio.to_thread(sys.stdin.read)


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory"
)
@pytest.mark.parametrize(
    ("count", "size", "memory"),
    [
        pytest.param(60, 4 * MIB, 24 * MIB, id="quick"),
        pytest.param(
            500, 20 * MIB, 512 * MIB, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(1200)]
        ),
    ],
)
def test_large_bodies_at_once_stay_within_memory(tmp_path: Path, count: int, size: int, memory: int):
    """The main process grows by less than --memory over what it has with every connection open and buffered."""
    listed, out = tmp_path / "urls.txt", tmp_path / "data"
    with served("tests.test_crawl_bodies", count, size) as (site, port):
        assert site.stdout is not None
        assert site.stdin is not None
        listed.write_text(
            "".join(f"http://127.0.{n // 250}.{1 + n % 250}:{port}/{n}\n" for n in range(count))
        )
        given = {
            "memory": memory,
            "max_bytes": size,
            "concurrency": count,
            "timeout": 600.0,
            "stall_timeout": 600.0,  # bodies pause until the test says so
        }
        with crawl_process([listed], out, **given) as crawl:
            assert site.stdout.readline() == "begun\n"
            base = max(sampled(crawl, count / 150))  # until buffers have filled
            site.stdin.write("go\n")
            site.stdin.flush()
            most = max(sampled(crawl, 1200))
            assert crawl.returncode == 0, crawl.stderr.read()
    assert ledger(out, "SELECT name, n FROM counts JOIN states ON state = code WHERE n > 0") == [
        ("undecodable", count)
    ]
    assert most < base + memory + SLACK, f"{base / MIB:.0f} MiB grew by {(most - base) / MIB:.0f} MiB"


def sampled(process: subprocess.Popen[str], seconds: float) -> Iterator[int]:
    """The memory of a process, time and again until it ends."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        try:
            yield resident(process.pid)
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2])))
