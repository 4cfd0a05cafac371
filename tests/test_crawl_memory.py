"""Memory does not grow with the list."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from tests.crawling import crawl_process, ledger, wait_until
from tests.served import served

MIB = 1 << 20
ADDRESSES = [f"127.0.0.{n}" for n in range(1, 17)]
ANSWER = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\ngone"


class NotFound(asyncio.Protocol):
    """A server that has nothing, and says so at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport, self._rest = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every whole request."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        self._transport.write(ANSWER * len(requests))  # type: ignore[attr-defined]


async def serve() -> None:
    """Serve until standard input ends; the port comes first."""
    port = 0
    for address in ADDRESSES:
        server = await asyncio.get_running_loop().create_server(NotFound, address, port, backlog=1024)
        port = server.sockets[0].getsockname()[1]
    print(port, flush=True)  # noqa: T201
    await asyncio.to_thread(sys.stdin.read)


def resident(pid: int) -> int:
    """Bytes of memory that the process itself has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="the system does not tell a process's memory"
)
@pytest.mark.parametrize(
    "urls",
    [
        pytest.param(20_000, id="quick"),
        pytest.param(1_000_000, id="full", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ],
)
def test_memory_does_not_grow_with_the_list(tmp_path: Path, urls: int):
    """After the first tenth of a list that is decided at once, the main process grows by less than 32 MiB."""
    out, listed = tmp_path / "data", tmp_path / "urls.txt"
    decided = "SELECT coalesce(sum(n), 0) FROM counts WHERE state > 1"
    with served("tests.test_crawl_memory") as (_, port):
        with listed.open("w") as file:
            file.writelines(f"http://{ADDRESSES[n % 16]}:{port}/{n}.jpg\n" for n in range(urls))
        with crawl_process([listed], out, concurrency=200) as crawl:

            def done(share: int) -> bool:
                return (out / "README.md").exists() and ledger(out, decided)[0][0] * share >= urls

            assert wait_until(lambda: done(10), crawl, 600)
            early = most = resident(crawl.pid)
            while crawl.poll() is None:
                most = max(most, resident(crawl.pid) if Path(f"/proc/{crawl.pid}/statm").exists() else 0)
                time.sleep(0.005 if urls < 100_000 else 0.2)
            assert crawl.returncode == 0
    assert ledger(out, "SELECT name, n FROM counts JOIN states ON state = code WHERE n > 0") == [
        ("http_404", urls)
    ]
    assert most - early < 32 * MIB, f"{early / MIB:.0f} MiB grew by {(most - early) / MIB:.0f} MiB"


if __name__ == "__main__":
    asyncio.run(serve())
