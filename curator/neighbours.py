"""Which hashes differ in at most a few bits? All pairs of millions, exactly.

How it works (Manku, Jain, Das Sarma: Detecting Near-Duplicates for Web Crawling, WWW 2007)
- The bits are cut into B bands. Two hashes that differ in at most R bits agree in at least B - R bands. So
  there is a table for each choice of B - R bands, its key: every pair that is asked for meets in a table.
- A table is the hashes with their bits moved about, the key on top, sorted. Equal keys stand side by side
  there, and a row is compared with those below it for as long as the key is the same. Nothing but the
  hashes is stored or moved: the rows of a pair are looked up again once it is known, by bisection.
- A pair may meet in several tables. It belongs to the one whose key is the first B - R bands that agree,
  which its bits alone tell: the others pass it over, so nobody remembers what was found.
- Few wide bands make few tables in which many rows meet by chance, many narrow ones the opposite. `_plan`
  takes the cheapest for this many hashes. B = R is one table with no key: everything against everything.
- Bit 63, the mean, is 1 in nearly every hash: it tells nothing and is in no band.

Cost: 15 tables of a million rows are half a second on one core at R = 4, a third of it sorting; 8 bytes a row for
each worker beside the hashes, and 9 for each pair found. Threads do work here: numpy sorts and compares without
the interpreter. `curator/simd.py` tells where numpy sorts at a quarter of its speed unless told better.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations, count, pairwise
from math import comb, lgamma, log, log2
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_BITS = 63
_BLOCK = 1 << 17  # rows at a time: a megabyte; with less, threads mostly wait for the interpreter
_STRANGERS = 8  # others within a distance of each hash, beside whom its few real copies do not count
_SPARSE = 4  # fewer than one row in so many alive: they are picked out, no longer swept over

_U64 = npt.NDArray[np.uint64]
_U32 = npt.NDArray[np.uint32]
_U8 = npt.NDArray[np.uint8]


class Pairs(NamedTuple):
    """Pairs of rows and the bits they differ in, each of shape (pairs,); `first` < `second`."""

    first: _U32
    second: _U32
    distance: _U8


class _Table(NamedTuple):
    """Where each band goes, and what in a moved pair's difference says that it belongs here."""

    moves: tuple[tuple[int, int, int], ...]  # lowest bit in a hash, lowest bit in a row, bits
    rest: np.uint64  # a row's bits below its key: rows that differ in no other have the same key
    passed: tuple[np.uint64, ...]  # bands before the key's last that are not in it: all must differ


def group_identical(hashes: _U64) -> tuple[_U64, _U32]:
    """The distinct ones of n hashes, ascending, and for each of the n which of them it is."""
    order = np.argsort(hashes)
    ordered = hashes[order]
    new = np.ones(len(hashes), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    group = np.empty(len(hashes), np.uint32)
    group[order] = np.cumsum(new, dtype=np.uint32) - np.uint32(1)
    return ordered[new], group


def pairs(hashes: _U64, radius: int, *, workers: int = 1) -> Pairs:
    """All pairs of n distinct hashes that differ in at most `radius` bits, each once.

    `hashes`: shape (n,), ascending, as `group_identical` gives them; fewer than 2^32. `workers`: threads.
    The order of the pairs depends on nothing but `hashes` and `radius`.

    Raises ValueError when they do not ascend or the radius is not one of 64 bits.
    """
    if not 0 <= radius <= 64:
        raise ValueError(f"a radius of {radius} bits in hashes of 64")
    if not np.all(hashes[1:] > hashes[:-1]):
        raise ValueError("hashes must be distinct and ascending")
    if radius == 0 or len(hashes) < 2:
        return _joined([])
    tables = _tables(*_plan(len(hashes), radius))
    with ThreadPoolExecutor(workers) as threads:
        return _joined(list(threads.map(partial(_of_table, hashes, radius), tables)))


def _plan(size: int, radius: int) -> tuple[int, int]:
    """(bands, bands in a key) that take the least time, in measured nanoseconds a row.

    Real hashes meet in a band 1.1 to 1.3 times as often as uniform ones.
    """

    def cost(bands: int) -> float:
        equal = bands - radius
        met = (size / 2) * (1.2 / 2 ** (_BITS / bands)) ** equal if equal else size / 2
        return comb(bands, equal) * (1.2 * bands + 2.8 * log2(size) + 1.6 * (2 + met))

    bands = min(range(radius, radius + 8), key=cost)
    return bands, bands - radius


def _tables(bands: int, equal: int) -> Iterator[_Table]:
    """A table for each choice of `equal` bands as its key."""
    edges = [_BITS * band // bands for band in range(bands, -1, -1)]
    cut = [(low, high - low) for high, low in pairwise(edges)]  # from the top down
    for key in combinations(range(bands), equal):
        others = [band for band in range(bands) if band not in key]
        moves, to, top = list[tuple[int, int, int]](), {}, 64
        for band in (*key, *others):
            low, width = cut[band]
            top -= width
            to[band] = top, width
            if moves and moves[-1][0] == low + width:  # what stays together moves together
                width += moves.pop()[2]
            moves.append((low, top, width))
        passed = tuple(_mask(*to[band]) for band in others if key and band < key[-1])
        bits = sum(cut[band][1] for band in key)
        yield _Table((*moves, (_BITS, 0, 1)), _mask(0, 64 - bits), passed)


def _mask(low: int, width: int) -> np.uint64:
    return np.uint64(((1 << width) - 1) << low)


def _of_table(hashes: _U64, radius: int, table: _Table) -> Pairs:
    """The pairs that belong to one table."""
    rows = np.empty_like(hashes)
    for start in range(0, len(hashes), _BLOCK):
        rows[start : start + _BLOCK] = _moved(hashes[start : start + _BLOCK], table.moves)
    rows.sort()
    back = tuple((high, low, width) for low, high, width in table.moves)
    found = []
    for left, apart in _close(rows, radius, table):
        one, other = _moved(left, back), _moved(left ^ apart, back)
        first = hashes.searchsorted(np.minimum(one, other)).astype(np.uint32)
        second = hashes.searchsorted(np.maximum(one, other)).astype(np.uint32)
        found.append(Pairs(first, second, np.bitwise_count(apart)))
    return _joined(found)


def _moved(hashes: _U64, moves: tuple[tuple[int, int, int], ...]) -> _U64:
    """The same bits in another order."""
    moved = np.zeros_like(hashes)
    for low, to, width in moves:
        moved |= (hashes >> np.uint64(low) & _mask(0, width)) << np.uint64(to)
    return moved


def _close(rows: _U64, radius: int, table: _Table) -> Iterator[tuple[_U64, _U64]]:
    """Block by block, rows of pairs that belong to this table, and what to flip in them for the other row."""
    for start in range(0, len(rows), _BLOCK):
        met = list(_met(rows, start, radius, table.rest))
        if not met:
            continue
        left, apart = (np.concatenate(column) for column in zip(*met, strict=True))
        ours = apart <= table.rest
        for band in table.passed:
            ours &= apart & band != 0
        yield left[ours], apart[ours]


def _met(rows: _U64, start: int, radius: int, rest: np.uint64) -> Iterator[tuple[_U64, _U64]]:
    """Rows of a block that are close to one below, and how they differ; all with the same key, and some more.

    Every row is compared with the one that stands `shift` below it, for as long as some have the same key:
    first all of the block at once, then those that still have.
    """
    block = rows[start : start + _BLOCK]
    for shift in count(1):
        below = rows[start + shift : start + shift + _BLOCK]
        block = block[: len(below)]
        apart = block ^ below
        close = np.flatnonzero(np.bitwise_count(apart) <= radius)
        if close.size:
            yield block[close], apart[close]
        same = apart <= rest
        if np.count_nonzero(same) * _SPARSE < len(same) or not len(same):
            break
    alive = np.flatnonzero(same) + start
    while alive.size:
        shift += 1
        alive = alive[: alive.searchsorted(len(rows) - shift)]
        apart = rows[alive] ^ rows[alive + shift]
        close = np.flatnonzero(np.bitwise_count(apart) <= radius)
        if close.size:
            yield rows[alive[close]], apart[close]
        alive = alive[apart <= rest]


def _joined(parts: list[Pairs]) -> Pairs:
    if not parts:
        return Pairs(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8))
    return Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def chance(hashes: _U64, radius: int, *, sample: int = 1 << 24, seed: int = 0) -> float:
    """How many pairs of these n distinct hashes would be within `radius` if no two pictures were related.

    The distances of `sample` random pairs are counted. What was seen is believed down to a distance D, the
    least within which a hundred pairs were seen and each hash has 8 others on average, so that its few real
    copies do not count. Below D the tail is continued as that of the number of heads in tosses of fair
    coins: as many coins, at most 64, as make it fall between D + 2 and D as it was seen to fall. So it is
    fatter than that of ideal hashes where pictures resemble each other, as photographs do.

    It tells the order of magnitude. On made-up collections it was right within a factor of three for hashes
    that have nothing in common; where they were of several kinds it was two to fifty times too low, the most
    where one small kind that the sample hardly shows made all the pairs. It is too high where one picture
    has hundreds of copies among a few thousand others.

    Hashes of one parity, as those of natural photographs are, differ in even numbers of bits only, and an
    odd radius is the even one below.
    """
    if len(hashes) < 2:
        return 0.0
    counts = _distances(hashes, sample, np.random.default_rng(seed))
    seen = np.cumsum(counts) / sample
    if not counts[1::2].any():
        radius -= radius % 2
    least = int(np.searchsorted(seen, min(0.5, max(100 / sample, _STRANGERS / len(hashes)))))
    share = float(seen[radius]) if radius >= least else _continued(seen, least, radius)
    return share * len(hashes) * (len(hashes) - 1) / 2


def _distances(hashes: _U64, sample: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """How many of so many random pairs differ in 0, 1, ... 64 bits."""
    counts = np.zeros(65, np.int64)
    for start in range(0, sample, _BLOCK):
        size = min(_BLOCK, sample - start)
        first = rng.integers(0, len(hashes), size)
        second = rng.integers(0, len(hashes) - 1, size)
        second += second >= first
        counts += np.bincount(np.bitwise_count(hashes[first] ^ hashes[second]), minlength=65)
    return counts


def _continued(seen: npt.NDArray[np.float64], least: int, radius: int) -> float:
    """The share of pairs within `radius`, where the steepness at `least` tells the number of coins."""
    above = min(least + 2, 64)
    low, high = float(above), 64.0
    while high - low > 1e-6:
        coins = (low + high) / 2
        steeper = _tail(coins, above) * seen[least] > _tail(coins, least) * seen[above]
        low, high = (low, coins) if steeper else (coins, high)
    return float(seen[least]) * _tail(high, radius) / _tail(high, least)


def _tail(tosses: float, most: int) -> float:
    """The probability that at most so many of the coins fall heads; their number need not be whole."""
    return float(sum(np.exp(_log_choose(tosses, heads) - tosses * log(2)) for heads in range(most + 1)))


def _log_choose(tosses: float, heads: int) -> float:
    return lgamma(tosses + 1) - lgamma(heads + 1) - lgamma(tosses - heads + 1)
