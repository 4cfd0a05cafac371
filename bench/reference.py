"""The frozen reference: what decoding alone costs, on every core, over the bytes that a crawl would fetch.

    python -m bench.reference PHOTOS COUNT

Six lines of Pillow as people write them, under `multiprocessing`. Bodies are in the memory of every process
before the clock starts, so the reference pays neither for its start nor for moving bytes. Do not tune it:
numbers of different years are compared with it.
"""

import argparse
import io
import json
import multiprocessing
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

_CHUNK = 32
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".avif"}


def decode(body: bytes) -> None:
    """FROZEN."""
    image = Image.open(io.BytesIO(body))
    image.draft("L", (256, 256))
    image.load()


def photos(folder: Path) -> list[Path]:
    """The pictures in a folder, in a fixed order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


class _Held:
    """What a process of the reference works on: inherited when it was forked, never sent."""

    bodies: Sequence[bytes] = ()
    work: Callable[[Sequence[bytes]], object]


def _hold(bodies: Sequence[bytes], work: Callable[[Sequence[bytes]], object]) -> None:
    _Held.bodies, _Held.work = bodies, staticmethod(work)
    work(bodies[:1])


def _chunk(span: tuple[int, int]) -> None:
    _Held.work([_Held.bodies[index % len(_Held.bodies)] for index in range(*span)])


def on_all_cores(
    work: Callable[[Sequence[bytes]], object], bodies: Sequence[bytes], count: int
) -> dict[str, float]:
    """Do `work` on `count` bodies, taken in turn, with one process a core: seconds, and CPU seconds."""
    spans = [(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK)]
    cores = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("fork").Pool(cores, _hold, (bodies, work)) as pool:
        pool.map(_chunk, [(index, index + 1) for index in range(4 * cores)], chunksize=1)  # all are up
        started = time.perf_counter()
        for _ in pool.imap_unordered(_chunk, spans):
            pass
        seconds = time.perf_counter() - started
        pool.close()
        pool.join()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"seconds": seconds, "cpu": used.ru_utime + used.ru_stime}


def decode_all(bodies: Sequence[bytes]) -> None:
    """What all of it is."""
    for body in bodies:
        decode(body)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("count", type=int)
    given = parser.parse_args()
    held = [path.read_bytes() for path in photos(given.photos)]
    print(json.dumps(on_all_cores(decode_all, held, given.count)))
