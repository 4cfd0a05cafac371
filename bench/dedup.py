"""How long does it take to find every near duplicate among millions of hashes, and in how much memory?

    python -m bench.dedup [MILLIONS ...] [--radius 4] [--workers 2] [--seed 7]

Sizes are in millions, from 0.5 to 20 unless told. A fifth of the hashes are copies of others with up to four bits
turned. Each size runs in a process of its own, which prints seconds for grouping identical hashes, for all
pairs, for the stars, and for telling what chance alone would give; the pairs found; and the most memory that
process ever held, Python, numpy and the making of the hashes included. It is checked that every copy within
the radius is among the pairs.

What 100 million need is reckoned from the two largest sizes of three or more: memory grows by the same bytes a
row; the seconds for pairs are those that the costs in `curator/neighbours.py` say, times what the largest size
took over what they say of it; all other seconds grow with n log n.

Goals on two cores at radius 4: 1 million in 1.5 s, 5.1 million in 15 s and 1 GiB, all steps but the last.

Bias: hashes are uniform, while those of photographs share a band 1.1 to 1.3 times as often. Others at the same
work: `python -m bench --only search`.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from math import comb, log2
from pathlib import Path

from curator.simd import import_numpy

import_numpy()  # as `curate` does

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402

from curator.clusters import stars  # noqa: E402
from curator.neighbours import chance, group_identical, pairs  # noqa: E402

ROOT = Path(__file__).parents[1]
MILLION = 1_000_000
SIZES = (0.5, 1.0, 2.0, 5.1, 10.0, 20.0)
FAR = 100.0  # millions, reckoned
GOALS = {1.0: (1.5, None), 5.1: (15.0, 1024)}  # seconds, MiB
FLIPS = 4

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


@contextmanager
def timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    """Note how long a step takes."""
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start


def peak() -> float:
    """The most memory this process ever held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def row(job: Job, result: Result) -> str:
    """One line of the table."""
    steps = "  ".join(f"{step} {taken:6.2f}" for step, taken in result.seconds.items())
    return f"{job.count / MILLION:5.2f} M  {result.pairs:11,} pairs  {result.memory:6.0f} MiB  {steps}"


def goal(job: Job, result: Result) -> str:
    """Whether a size that has a goal meets it."""
    most_seconds, most_memory = GOALS[job.count / MILLION]
    taken = sum(result.seconds[step] for step in ("group", "pairs", "stars"))
    met = taken <= most_seconds and (most_memory is None or result.memory <= most_memory)
    return f"         goal {'met' if met else 'MISSED'}: {taken:.2f} s of {most_seconds} s"


def modelled(rows: float, radius: int) -> float:
    """Nanoseconds for pairs on one core, as `curator/neighbours.py` reckons them to choose its bands."""

    def cost(bands: int) -> float:
        equal = bands - radius
        met = rows / 2 * (1.2 / 2 ** (63 / bands)) ** equal
        return comb(bands, equal) * (1.2 * bands + 2.8 * log2(rows) + 1.6 * (2 + met))

    return rows * min(map(cost, range(radius + 1, radius + 8)))


def reckoned(results: Sequence[tuple[Job, Result]]) -> str:
    """What a far larger size needs."""
    (less, below), (most, largest) = sorted(results, key=lambda one: one[0].count)[-2:]
    rows = FAR * MILLION
    bytes_a_row = (largest.memory - below.memory) * 2**20 / (most.count - less.count)
    memory = largest.memory / 1024 + bytes_a_row * (rows - most.count) / 2**30
    searched = largest.seconds["pairs"] * modelled(rows, most.radius) / modelled(most.count, most.radius)
    grown = rows * log2(rows) / (most.count * log2(most.count))
    others = sum(largest.seconds[step] for step in ("group", "stars")) * grown
    return (
        f"{FAR:5.0f} M  reckoned: pairs {searched:.0f} s, group and stars {others:.0f} s; {memory:.1f} GiB"
        f" ({bytes_a_row:.0f} bytes a row)"
    )


def alone(job: Job) -> Result:
    """Every step in a fresh process, so that memory is its own."""
    command = [sys.executable, "-m", "bench.dedup", "--alone", json.dumps(asdict(job))]
    return Result(**json.loads(subprocess.check_output(command, cwd=ROOT)))


def main() -> None:
    """Print the table."""
    args = arguments()
    if args.alone:
        print(json.dumps(asdict(ours(Job(**json.loads(args.alone))))))
        return
    results = []
    for size in sorted(args.millions):
        job = Job(round(size * MILLION), args.radius, args.workers, args.seed)
        result = alone(job)
        results.append((job, result))
        print(row(job, result), flush=True)
        if args.radius == 4 and size in GOALS:
            print(goal(job, result))
    if len(results) > 2:
        print(reckoned(results))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("millions", type=float, nargs="*", default=SIZES)
    parser.add_argument("--radius", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
