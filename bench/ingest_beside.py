"""How fast lists are read beside a running crawl: `python -m bench.ingest_beside [ROWS] [--columns]`.

Writes a list of ROWS distinct URLs (default 5 million), bare or with 200 bytes of columns, and crawls
it from a server on loopback that answers 404 at once, which keeps the event loop as busy as it can be.
Stops when the list is read and merged; prints rows a second, URLs decided a second meanwhile, the time to
the first request and the size of the ledger. Everything is in a temporary folder (on the disk of TMPDIR).
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from crawler.pipeline import crawl
from crawler.snapshot import Snapshot

NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
COLUMNS = f"{'a caption of some length such as they are ' * 4}|{'x' * 40}"


class Absent(asyncio.Protocol):
    """Answers 404 to whatever is asked."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way back."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """One answer a request; a request of ours always comes in one piece."""
        self._transport.write(NOT_FOUND * data.count(b"\r\n\r\n"))  # type: ignore[attr-defined]


async def serve() -> None:
    """Serve on a free port, printed first, until standard input ends."""
    server = await asyncio.get_running_loop().create_server(Absent, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


def write_list(path: Path, rows: int, port: int, *, columns: bool) -> Path:
    """The list: .txt of bare URLs, or .csv with two columns of 200 bytes together."""
    path = path / ("urls.csv" if columns else "urls.txt")
    end = "," + COLUMNS.replace("|", ",") if columns else ""
    with path.open("w") as file:
        if columns:
            file.write("url,caption,licence\n")
        for n in range(rows):
            file.write(f"http://127.0.0.1:{port}/photos/{n:012d}.jpg{end}\n")
    return path


async def measure(urls: Path, out: Path) -> tuple[Snapshot, float]:
    """Crawl until the list is read; the numbers then, and when the first request had ended."""
    stop, last, first = asyncio.Event(), [], [0.0]
    started = time.monotonic()

    @contextmanager
    def watched(take: Callable[[], Snapshot]) -> Iterator[None]:
        async def watch() -> None:
            while not stop.is_set():
                snapshot = take()
                first[0] = first[0] or (time.monotonic() - started if snapshot.attempts_now else 0.0)
                if not snapshot.reading:
                    last.append((snapshot, time.monotonic() - started))
                    stop.set()
                await asyncio.sleep(0.05)

        watching = asyncio.ensure_future(watch())
        yield
        watching.cancel()

    await crawl([urls], out, stop=stop, view=watched, allow_net=("127.0.0.0/8",), per_host=0, min_free=0)
    ((snapshot, seconds),) = last
    print(
        f"{snapshot.rows:,} rows in {seconds:.1f} s: {snapshot.rows / seconds:,.0f} rows/s beside"
        f" {snapshot.decided_now / seconds:,.0f} URLs/s; first answer after {first[0]:.2f} s;"
        f" ledger {(out / 'ledger.sqlite').stat().st_size / 2**20:,.0f} MiB"
    )
    return snapshot, seconds


def main() -> None:
    """Serve, write the list, crawl it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=int, nargs="?", default=5_000_000)
    parser.add_argument("--columns", action="store_true")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve:
        uvloop.run(serve())
        return
    command = [sys.executable, "-m", "bench.ingest_beside", "--serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server,
    ):
        assert server.stdout is not None
        port = int(server.stdout.readline())
        urls = write_list(Path(folder), chosen.rows, port, columns=chosen.columns)
        uvloop.run(measure(urls, Path(folder) / "data"))
        server.communicate()


if __name__ == "__main__":
    main()
