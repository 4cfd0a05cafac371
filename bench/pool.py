"""What the way to a worker and back costs per image, with a kernel that does nothing.

    python -m bench.pool [WORKERS] [IMAGES] [KIBIBYTES]     of a batch, of an image

Three numbers, each per image: the time the event loop's thread computes, the wall time, and for comparison
what pickling the same bodies takes, which is what an executor would do with them. Bias: bodies are the same
few objects, so the copy reads them from the cache; and nothing else wants the loop.
"""

import argparse
import asyncio
import pickle
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from curator.pool import WorkerPool

SECONDS = 3.0


def nothing(bodies: Sequence[memoryview], begin: Callable[[int], None]) -> list[int]:
    """Begin each image and measure none."""
    for index in range(len(bodies)):
        begin(index)
    return [len(body) for body in bodies]


async def feed(pool: WorkerPool[int], batch: list[list[bytes]], until: float) -> int:
    """Keep one place of the pool busy. Returns how many images went through."""
    images = 0
    while time.perf_counter() < until:
        images += len(await pool.run(batch))
    return images


def proportional(pids: Sequence[str]) -> float:
    """MiB of the processes, shared pages divided among them."""
    rollups = [Path(f"/proc/{pid}/smaps_rollup").read_text().split() for pid in pids]
    return sum(int(words[words.index("Pss:") + 1]) for words in rollups) / 1024


def below(pid: str) -> list[str]:
    """All processes below one."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return children + [grandchild for child in children for grandchild in below(child)]


async def measure(workers: int, images: int, kibibytes: int) -> None:
    """Measure and print."""
    batch = [[bytes(kibibytes << 10)] for _ in range(images)]
    began = time.perf_counter()
    async with WorkerPool(nothing, workers=workers, timeout=10, memory=1 << 30, crashed=len) as pool:
        print(f"start of {workers} workers: {(time.perf_counter() - began) * 1e3:.0f} ms")
        wall, cpu = time.perf_counter(), time.thread_time()
        feeds = [feed(pool, batch, wall + SECONDS) for _ in range(pool.free)]
        done = sum(await asyncio.gather(*feeds))
        wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
        print(f"the workers, forkserver and resource tracker hold {proportional(below('self')):.0f} MiB")
    began = time.perf_counter()
    pickle.loads(pickle.dumps(batch))
    pickled = time.perf_counter() - began
    per_batch = images / done
    print(f"loop: {cpu / done * 1e6:.1f} us per image, {cpu * per_batch * 1e6:.0f} us per batch of {images}")
    print(f"wall: {wall / done * 1e6:.1f} us per image, {wall * per_batch * 1e6:.0f} us per batch")
    print(f"pickle there and back: {pickled / images * 1e6:.1f} us per image")


def main() -> None:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name, default in (("workers", 2), ("images", 32), ("kibibytes", 48)):
        parser.add_argument(name, type=int, nargs="?", default=default)
    asyncio.run(measure(**vars(parser.parse_args())))


if __name__ == "__main__":
    main()
