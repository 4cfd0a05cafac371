"""How long does it take to find every near duplicate among millions of hashes, and in how much memory?

    python -m bench.dedup [MILLIONS ...] [--radius 4] [--workers 2] [--seed 7]

Sizes are in millions, 1 and 5.1 unless told. A fifth of the hashes are copies of others with up to four bits
turned. Each size runs in a process of its own, which prints seconds for grouping identical hashes, for all
pairs, for the stars, and for telling what chance alone would give; the pairs found; and the most memory that
process ever held, Python, numpy and the making of the hashes included. It is checked that every copy within
the radius is among the pairs. Beside it, where faiss is installed, its IndexBinaryMultiHash with as many
threads, asked for the same pairs: as exact (as many bits are flipped as needed), so the counts must agree.

Goals on two cores at radius 4: 1 million in 1.5 s, 5.1 million in 15 s and 1 GiB, all steps but the last.

Bias: hashes are uniform, while those of photographs share a band 1.1 to 1.3 times as often. faiss looks for
the neighbours of each hash, so it finds each pair twice; it is built to be asked one by one.
"""

import argparse
import importlib.util
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.clusters import stars
from curator.neighbours import chance, group_identical, pairs

MILLION = 1_000_000
GOALS = {1.0: (1.5, None), 5.1: (15.0, 1024)}  # seconds, MiB
FLIPS = 4
FAISS_BITS = 20  # of a key: about one hash in a bucket

U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Job:
    """What one process is asked."""

    count: int
    radius: int
    workers: int
    seed: int


@dataclass(frozen=True, slots=True)
class Result:
    """What it found, how long each step took, and its peak memory in MiB."""

    pairs: int
    seconds: dict[str, float]
    memory: float


def planted(job: Job) -> tuple[U64, U64]:
    """Hashes of which the last fifth are near copies of the first, and the originals of those copies."""
    rng = np.random.default_rng(job.seed)
    hashes = rng.integers(0, 1 << 63, job.count, dtype=np.uint64)
    hashes |= np.uint64(1 << 63)
    originals = hashes[: job.count // 5].copy()
    copies = hashes[job.count - len(originals) :]
    copies[:] = originals
    for _ in range(FLIPS):
        copies ^= np.uint64(1) << rng.integers(0, 63, len(copies), dtype=np.uint64)
    return hashes, originals


def ours(job: Job) -> Result:
    """Every step of a curation by hash, from hashes to leaders."""
    hashes, originals = planted(job)
    seconds: dict[str, float] = {}
    with timed(seconds, "group"):
        distinct, group = group_identical(hashes)
    with timed(seconds, "pairs"):
        near = pairs(distinct, job.radius, workers=job.workers)
    with timed(seconds, "stars"):
        leader, _ = stars(np.arange(len(hashes), dtype=np.uint32), group, near)
    memory = peak()
    with timed(seconds, "chance"):
        chance(distinct, job.radius)

    copies = hashes[len(hashes) - len(originals) :]
    close = np.bitwise_count(originals ^ copies) <= job.radius
    ends = np.sort([distinct.searchsorted(side[close]) for side in (originals, copies)], axis=0)
    known = np.sort(near.first.astype(np.uint64) << np.uint64(32) | near.second)
    wanted = (ends[0].astype(np.uint64) << np.uint64(32) | ends[1].astype(np.uint64))[ends[0] != ends[1]]
    assert np.isin(wanted, known, kind="sort").all(), "a planted copy was missed"
    assert np.all(np.bitwise_count(hashes ^ hashes[leader]) <= job.radius), "a leader is too far"
    return Result(len(near.first), seconds, memory)


def faiss_multihash(job: Job) -> Result:
    """The same pairs, by faiss."""
    import faiss

    faiss.omp_set_num_threads(job.workers)
    distinct, _ = group_identical(planted(job)[0])
    codes = distinct.view(np.uint8).reshape(-1, 8)
    tables = 64 // FAISS_BITS
    index = faiss.IndexBinaryMultiHash(64, tables, FAISS_BITS)
    index.nflip = job.radius // tables
    seconds: dict[str, float] = {}
    with timed(seconds, "build"):
        index.add(codes)
    with timed(seconds, "pairs"):
        limits, _, _ = index.range_search(codes, job.radius + 1)  # faiss means less than
    return Result((int(limits[-1]) - len(codes)) // 2, seconds, peak())


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a step takes."""
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def peak() -> float:
    """The most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(name: str, job: Job, result: Result) -> str:
    """One line of the table."""
    steps = "  ".join(f"{step} {taken:6.2f}" for step, taken in result.seconds.items())
    return (
        f"{job.count / MILLION:5.2f} M  {name:6} {result.pairs:11,} pairs  {result.memory:6.0f} MiB  {steps}"
    )


def goal(job: Job, result: Result) -> str:
    """Whether a size that has a goal meets it."""
    most_seconds, most_memory = GOALS[job.count / MILLION]
    taken = sum(result.seconds[step] for step in ("group", "pairs", "stars"))
    met = taken <= most_seconds and (most_memory is None or result.memory <= most_memory)
    return f"         goal {'met' if met else 'MISSED'}: {taken:.2f} s of {most_seconds} s"


def alone(work: Callable[[Job], Result], job: Job) -> Result:
    """Run in a fresh process, so that memory is its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(work, job).result()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("millions", type=float, nargs="*", default=[1.0, 5.1])
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()

    for size in args.millions:
        job = Job(round(size * MILLION), args.radius, args.workers, args.seed)
        result = alone(ours, job)
        print(row("ours", job, result), flush=True)
        if args.radius == 4 and job.count / MILLION in GOALS:
            print(goal(job, result))
        if importlib.util.find_spec("faiss") is None:
            print("         faiss skipped: it is not installed (pip install faiss-cpu)")
            continue
        theirs = alone(faiss_multihash, job)
        print(row("faiss", job, theirs), flush=True)
        assert theirs.pairs == result.pairs, "faiss found other pairs"


if __name__ == "__main__":
    main()
