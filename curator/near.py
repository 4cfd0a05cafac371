"""Which images are the same picture, and which leader does each of them follow?

Everywhere here images are given best first: their rows are their order.

How it works
- Images are put into groups: those of one group are the same to whoever compares, at a distance of 0. The same
  bytes are one group always, the same hash is where hashes are compared. Pairs of groups are near.
- Bytes have one hash, that of their best image. It matters where a file was measured twice in different ways:
  otherwise A and B could share bytes, B and C a hash, and A would follow C, which is not like it.
- Hashes that say nothing are in no pair, and their images are grouped by their bytes.
- Images that a person holds to be different leave their groups: each is a group of its own, near to what its
  old one was near to and to that one itself, but not to the other.
- What another dataset has (`--against`) is kept already: whatever is near to it follows the nearest of it, and
  stars are made of the rest.
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curator.clusters import Stars, stars
from curator.identical import groups
from curator.mirrored import mirrored_pairs
from curator.neighbours import Pairs, group_identical, pairs

_NOWHERE = np.iinfo(np.int64).max
_LOW = 0xFFFFFFFF

_U64 = npt.NDArray[np.uint64]
_U32 = npt.NDArray[np.uint32]
_Rows = npt.NDArray[np.integer]
_Mask = npt.NDArray[np.bool_]


class Pictures(NamedTuple):
    """What of n images is compared: `sha256` of shape (n, 32), the others (n,)."""

    sha256: npt.NDArray[np.uint8]
    phash: _U64
    mirror: _U64
    low_information: _Mask


class Alike(NamedTuple):
    """What is alike among n images: `group`, of shape (n,) and below n, and `near`, pairs of groups."""

    group: _U32
    near: Pairs


def alike(pictures: Pictures, dedup: str, radius: int, *, mirrored: bool = False, workers: int = 1) -> Alike:
    """Compare n images as `dedup` says: "none" (each is alone), "bytes", or "phash" within `radius` bits."""
    alone = np.arange(len(pictures.phash), dtype=np.uint32)
    if dedup == "none":
        return Alike(alone, _no_pairs())
    same = groups(pictures.sha256)
    if dedup == "bytes":
        return Alike(same, _no_pairs())
    best = np.zeros_like(same)
    best[same[::-1]] = alone[::-1]  # the first one is written last
    measured = best[same]
    telling = ~pictures.low_information[measured]
    hashes = pictures.phash[measured[telling]]
    if mirrored:
        of_telling, near = mirrored_pairs(hashes, pictures.mirror[measured[telling]], radius, workers=workers)
    else:
        distinct, of_telling = group_identical(hashes)
        near = pairs(distinct, radius, workers=workers)
    group = same + np.uint32(int(of_telling.max(initial=0)) + 1)
    group[telling] = of_telling
    return Alike(*_renumbered(group, near))


def same_bytes(pictures: Pictures, one: _Rows, other: _Rows) -> _Mask:
    """Whether each of these rows has the bytes of each of those."""
    same: _Mask = (pictures.sha256[one] == pictures.sha256[other]).all(axis=1)
    return same


def bits_apart(pictures: Pictures, one: _Rows, other: _Rows, *, mirrored: bool) -> npt.NDArray[np.uint8]:
    """The bits between the hashes of each of these rows and of each of those."""
    apart: npt.NDArray[np.uint8] = np.bitwise_count(pictures.phash[one] ^ pictures.phash[other])
    if mirrored:
        for left, right in ((one, other), (other, one)):
            np.minimum(apart, np.bitwise_count(pictures.phash[left] ^ pictures.mirror[right]), out=apart)
    return apart


def parted(found: Alike, different: npt.NDArray[np.int64]) -> Alike:
    """The same, but the two rows of each of these pairs, shape (some thousands, 2), are not alike."""
    rows = np.unique(different)
    first_new = int(found.group.max()) + 1
    old = found.group[rows].tolist()
    group = found.group.copy()
    group[rows] = np.arange(first_new, first_new + len(rows))
    parts = defaultdict(list)  # of a group: what is left of it, and those that left
    for new, before in enumerate(old, first_new):
        parts[before].append(new)
    for before, those in parts.items():
        those.append(before)

    touched = np.zeros(first_new, np.bool_)
    touched[old] = True
    torn = touched[found.near.first] | touched[found.near.second]
    links = [
        *zip(*(column[torn].tolist() for column in found.near), strict=True),
        *((one, one, 0) for one in parts),
    ]
    forbidden = {frozenset(couple) for couple in group[different].tolist()}
    near = [
        (*pair, apart)
        for first, second, apart in links
        for pair in _between(parts.get(first, [first]), parts.get(second, [second]))
        if frozenset(pair) not in forbidden
    ]
    first, second, apart = np.array(near, np.int64).reshape(-1, 3).T
    whole = Pairs(
        np.concatenate([found.near.first[~torn], first.astype(np.uint32)]),
        np.concatenate([found.near.second[~torn], second.astype(np.uint32)]),
        np.concatenate([found.near.distance[~torn], apart.astype(np.uint8)]),
    )
    return Alike(*_renumbered(group, whole))


def follow_others(found: Alike, theirs: _Mask) -> Stars:
    """For each row the nearest of `theirs` within the radius, of several the best; its own where there is none."""
    rows = np.flatnonzero(theirs)[::-1]
    best = np.full(len(theirs), _NOWHERE)  # of theirs in each group: distance << 32 | row
    best[found.group[rows]] = rows  # the first one is written last
    nearest = best.copy()
    for one, other in ((found.near.first, found.near.second), (found.near.second, found.near.first)):
        has = best[other] != _NOWHERE
        np.minimum.at(nearest, one[has], found.near.distance[has].astype(np.int64) << 32 | best[other[has]])
    key = nearest[found.group]
    key = np.where(key == _NOWHERE, np.arange(len(key)), key)
    return Stars((key & _LOW).astype(np.uint32), (key >> 32).astype(np.uint8))


def follow_best(found: Alike, among: _Mask) -> Stars:
    """Stars of the rows `among`; any other row follows itself."""
    rows = np.flatnonzero(among).astype(np.uint32)
    group, near = _renumbered(found.group[rows], found.near)
    made = stars(np.arange(len(rows)), group, near)
    leader, distance = np.arange(len(among), dtype=np.uint32), np.zeros(len(among), np.uint8)
    leader[rows], distance[rows] = rows[made.leader], made.distance
    return Stars(leader, distance)


def _renumbered(group: _U32, near: Pairs) -> tuple[_U32, Pairs]:
    """Groups numbered without gaps, and the pairs of those that have images."""
    top = max(int(numbers.max(initial=0)) for numbers in (group, near.first, near.second))
    used = np.zeros(top + 1, np.bool_)
    used[group] = True
    number = (np.cumsum(used) - 1).astype(np.uint32)
    have = used[near.first] & used[near.second]
    return number[group], Pairs(number[near.first[have]], number[near.second[have]], near.distance[have])


def _between(some: list[int], others: list[int]) -> Iterator[tuple[int, int]]:
    """All pairs of one of these and one of those, each once."""
    return (pair for pair in product(some, others) if some is not others or pair[0] < pair[1])


def _no_pairs() -> Pairs:
    return Pairs(np.empty(0, np.uint32), np.empty(0, np.uint32), np.empty(0, np.uint8))
