"""How much of what the hosts allow a polite crawl uses.

    python -m bench.politeness [--hosts 40] [--seconds 30] [--per-host 8] [--json]

Starts a process with `--hosts` hosts on 127.0.0.0/8 that take 0.5 to 3 s for an answer. Every third bears only
part of `--per-host` at a time and answers 429 with `Retry-After: 1` beyond that. Each host has as many links as
it allows in `--seconds` at its bound, so a crawl that knew all bounds beforehand and used them all the time would
have begun all of them after just that long. Printed: the share of them that was begun by then, counted from the
first request and without those that were answered 429; the largest number of requests that a host saw at a
time beside its bound; and how many were answered 429.

Bias: a crawl finds bounds out by passing them, so the hosts that push back cost it most. The images are tiny,
so that the machine does not limit it; where it does, fewer hosts tell more.
"""

import argparse
import asyncio
import io
import json
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from PIL import Image

from bench.record import append

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "politeness.jsonl"
FLOOR = 0.8


def latency(host: int) -> float:
    """Seconds that a host takes for an answer."""
    return 0.5 + 0.25 * (host % 11)


def bears(host: int, per_host: int) -> int:
    """Requests at a time that a host answers."""
    return max(2, per_host * (5 + host % 4) // 10) if host % 3 == 0 else per_host


def address(host: int) -> str:
    """The address of a host."""
    return f"127.1.{host // 200}.{1 + host % 200}"


def picture(number: int) -> bytes:
    """A small JPEG of its own for each number."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (number % 256, 90, 90)).save(file, "JPEG")
    jpeg, comment = file.getvalue(), b"%d" % number
    return jpeg[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + jpeg[2:]


class Hosts:
    """The hosts, on a running event loop."""

    def __init__(self, count: int, per_host: int) -> None:
        self._count, self._per_host = count, per_host
        self._now: Counter[int] = Counter()
        self.most: Counter[int] = Counter()
        self.pushed = 0
        self.first = 0.0  # request
        self.taken: list[float] = []  # when each that was answered well came, since then

    async def listen(self) -> int:
        """Serve on every address; the port."""
        port = 0
        for host in range(self._count):

            async def serve(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: int = host
            ) -> None:
                with suppress(OSError, asyncio.IncompleteReadError):
                    while True:
                        head = await reader.readuntil(b"\r\n\r\n")
                        writer.write(await self._answer(host, head.split(b" ", 2)[1].decode()))
                writer.close()

            server = await asyncio.start_server(serve, address(host), port, backlog=1024)
            port = server.sockets[0].getsockname()[1]
        return port

    async def _answer(self, host: int, path: str) -> bytes:
        if not path.endswith(".jpg"):
            return b"HTTP/1.1 404 None\r\nContent-Length: 0\r\n\r\n"
        began = time.monotonic()
        self.first = self.first or began
        self._now[host] += 1
        self.most[host] = max(self.most[host], self._now[host])
        try:
            if self._now[host] > bears(host, self._per_host):
                self.pushed += 1
                return b"HTTP/1.1 429 Later\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
            await asyncio.sleep(latency(host))
        finally:
            self._now[host] -= 1
        self.taken.append(began - self.first)
        body = picture(int(path[1:].removesuffix(".jpg")))
        return b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b" % (
            len(body),
            body,
        )


async def serve(count: int, per_host: int, seconds: float) -> None:
    """Be the hosts: print the port, and what was seen once standard input ends."""
    hosts = Hosts(count, per_host)
    print(await hosts.listen(), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    taken = sum(after <= seconds for after in hosts.taken)
    print(json.dumps({"most": max(hosts.most.values()), "pushed": hosts.pushed, "taken": taken}))


@contextmanager
def serving(count: int, per_host: int, seconds: float) -> Iterator[tuple[int, dict[str, int]]]:
    """The port of the hosts' process, and what they have seen, filled in at the end."""
    command = [sys.executable, "-m", "bench.politeness", "--serve", "--hosts", str(count)]
    process = subprocess.Popen(
        [*command, "--per-host", str(per_host), "--seconds", str(seconds)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    seen: dict[str, int] = {}
    try:
        yield int(process.stdout.readline()), seen
    finally:
        seen.update(json.loads(process.communicate(timeout=30)[0]))


def run(hosts: int, seconds: float, per_host: int) -> dict[str, Any]:
    """One crawl of all the hosts."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        serving(hosts, per_host, seconds) as (port, seen),
    ):
        links = [
            f"http://{address(host)}:{port}/{1000 * host + n}.jpg"
            for host in range(hosts)
            for n in range(round(seconds * bears(host, per_host) / latency(host)))
        ]
        urls, out = Path(folder, "urls.txt"), Path(folder, "data")
        urls.write_text("\n".join(links) + "\n")
        command = [sys.executable, "-m", "crawler.cli", str(urls), "--out", str(out), "--quiet"]
        polite = ["--per-host", str(per_host), "--concurrency", str(hosts * per_host), "--attempts", "20"]
        rest = ["--allow-net", "127.0.0.0/8", "--dedup", "none", "--min-free", "0"]
        started = time.perf_counter()
        subprocess.run([*command, *polite, *rest], cwd=ROOT, check=True)
        took = time.perf_counter() - started
        saved = json.loads((out / "summary.json").read_text())["saved"]
    if saved != len(links):
        raise SystemExit(f"{saved} of {len(links)} images saved")
    share = seen["taken"] / len(links)
    return {
        "hosts": hosts,
        "per_host": per_host,
        "links": len(links),
        "seconds": took,
        "share": share,
        **seen,
    }


def main() -> int:
    """Measure, print, and say whether it is enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hosts", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--per-host", type=int, default=8)
    parser.add_argument(
        "--json", action="store_true", help=f"append the record to {RESULTS.relative_to(ROOT)}"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve(args.hosts, args.per_host, args.seconds))
        return 0
    record = run(args.hosts, args.seconds, args.per_host)
    print(
        f"{record['links']:,} links of {record['hosts']} hosts in {record['seconds']:.1f} s: "
        f"{record['share']:.0%} of what they allow\n"
        f"most at a time at one host: {record['most']} of {record['per_host']}; answered 429: {record['pushed']}"
    )
    if args.json:
        append(RESULTS, {"at": datetime.now(UTC).isoformat(timespec="seconds"), **record})
    if record["most"] > record["per_host"]:
        print("MISSED: a host saw more than its bound")
        return 1
    if record["share"] < FLOOR:
        print(f"MISSED: less than {FLOOR:.0%}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
