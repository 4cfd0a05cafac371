"""The parts of a crawl, each alone: `python -m bench.parts kernel|network|disk PHOTOS COUNT [URLS FOLDER]`.

- kernel: the measuring kernel of a worker over bodies in memory, one process a core;
- network: a bare aiohttp loop, 500 requests at a time, bodies read and dropped;
- disk: bodies copied to a file and synced as often as the writer would.

Prints JSON: seconds of wall time, and CPU seconds of all its processes.
"""

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one thread a process, as in a worker

import aiohttp
import uvloop

from bench.reference import on_all_cores, photos
from curator.dataset.writer import BATCH_BYTES, BATCH_EVENTS
from curator.measure import MeasureSettings, measure_batch

_CONCURRENCY = 500


def kernel(bodies: Sequence[bytes]) -> None:
    """What a worker does with a batch."""
    measure_batch(bodies, lambda index: None, MeasureSettings())


async def network(urls: list[str]) -> float:
    """Seconds to fetch all `urls`."""
    left = iter(urls)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:

        async def fetch() -> None:
            for url in left:
                async with session.get(url) as response:
                    await response.read()

        started = time.perf_counter()
        await asyncio.gather(*(fetch() for _ in range(_CONCURRENCY)))
        return time.perf_counter() - started


def disk(bodies: Sequence[bytes], count: int, path: Path) -> float:
    """Seconds to write and sync `count` bodies."""
    left = islice(cycle(bodies), count)
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        batch: list[bytes] = []
        while body := next(left, b""):
            batch.append(body)
            if len(batch) == BATCH_EVENTS or sum(map(len, batch)) >= BATCH_BYTES:
                _append(file.fileno(), batch)
                batch.clear()
        _append(file.fileno(), batch)
    return time.perf_counter() - started


def _append(fd: int, batch: list[bytes]) -> None:
    if batch:
        os.writev(fd, batch)
        os.fdatasync(fd)


def main(part: str, folder: Path, count: int, urls: Path | None = None, into: Path | None = None) -> None:
    """Measure one part."""
    bodies = [path.read_bytes() for path in photos(folder)]
    if part == "kernel":
        found = on_all_cores(kernel, bodies, count)
    elif part == "network":
        assert urls is not None
        found = _with_cpu(lambda: uvloop.run(network(urls.read_text().split())))
    else:
        assert into is not None
        found = _with_cpu(lambda: disk(bodies, count, into / "copied"))
    print(json.dumps(found))


def _with_cpu(work: Callable[[], float]) -> dict[str, float]:
    before = time.process_time()
    seconds = work()
    return {"seconds": seconds, "cpu": time.process_time() - before}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("kernel", "network", "disk"))
    parser.add_argument("folder", metavar="photos", type=Path)
    parser.add_argument("count", type=int)
    parser.add_argument("urls", type=Path, nargs="?")
    parser.add_argument("into", metavar="folder", type=Path, nargs="?")
    main(**vars(parser.parse_args()))
