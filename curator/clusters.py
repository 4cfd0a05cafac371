"""Of images that are near duplicates, which are kept, and which stands for each that is not?

How it works
- A star: the best image that is not yet taken becomes a leader, and takes every neighbour within the radius
  that is not taken either. So every image that is left out has a kept one within the radius, its leader,
  and no two kept ones are neighbours. Chains do not grow into one group, as they would with union-find.
- Images with the same hash have the same neighbours: they are taken together, by one leader. So stars are
  made of groups, where a group is as good as its best image.
- Groups are numbered by the place of their best image. With the pairs sorted by their better group, all
  that could take a group has been seen when its own pairs begin: one pass, with one byte a group, decides.
- Nothing looks at where an image stands in the input, as long as `order` does not.

Cost: 0.2 us for each pair and 0.1 us for each image; 33 bytes for each image and 30 for each pair.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from curator.neighbours import Pairs

_CHUNK = 1 << 16  # pairs at a time as Python's numbers, which take ten times the room

_Integers = npt.NDArray[np.integer]
_Numbers = npt.NDArray[np.integer | np.floating | np.bool_]


class Stars(NamedTuple):
    """For each of n images, shape (n,): its leader's row, its own if it is kept, and the bits between them."""

    leader: npt.NDArray[np.uint32]
    distance: npt.NDArray[np.uint8]


def stars(order: _Integers, group: _Integers, near: Pairs) -> Stars:
    """Which of n images are kept, and for each of the others the best kept one within the radius.

    `order`: shape (n,), every row once, best first. `group`: shape (n,), the same number for images that are
    identical; numbers are from 0 and below n. `near`: pairs of groups that have images, each once.
    An image that is a duplicate of none has a group of its own that is in no pair.
    """
    places = np.arange(len(order), dtype=np.uint32)
    place_of_row = np.empty_like(places)
    place_of_row[order] = places
    best = np.full(len(order), len(order), np.uint32)  # the place of a group's best image
    np.minimum.at(best, group, place_of_row)

    better, worse, distance = _oriented(best, near)
    taking = _taking(better, worse, len(order))
    leader = places.copy()
    leader[worse[taking]] = better[taking]
    apart = np.zeros(len(order), np.uint8)
    apart[worse[taking]] = distance[taking]
    of_row = best[group]
    return Stars(order[leader[of_row]].astype(np.uint32), apart[of_row])


def _oriented(best: npt.NDArray[np.uint32], near: Pairs) -> Pairs:
    """The pairs as places of their better and their worse group, by the better."""
    one, other = best[near.first], best[near.second]
    better = np.minimum(one, other)
    by_better = np.argsort(better)
    return Pairs(better[by_better], np.maximum(one, other)[by_better], near.distance[by_better])


def _taking(
    better: npt.NDArray[np.uint32], worse: npt.NDArray[np.uint32], places: int
) -> npt.NDArray[np.bool_]:
    """Which pairs make the worse one follow the better; they come by the better."""
    free = bytearray(b"\1") * places
    taking = bytearray(len(better))
    for start in range(0, len(better), _CHUNK):
        block = slice(start, start + _CHUNK)
        followers = zip(better[block].tolist(), worse[block].tolist(), strict=True)
        for at, (leader, follower) in enumerate(followers, start):
            if free[leader] and free[follower]:
                free[follower] = 0
                taking[at] = 1
    return np.frombuffer(taking, np.bool_)


def best_first(
    pixels: _Integers,
    nbytes: _Integers,
    sha256: npt.NDArray[np.uint8],
    uid: npt.NDArray[np.uint8],
    keep: _Numbers | None = None,
) -> npt.NDArray[np.int64]:
    """The rows of n images, best first: more pixels, then more bytes, then the lesser sha256, then uid.

    Shapes: (n,), (n,), (n, 32), (n, 16); uids are distinct. `keep`, of shape (n,), comes before all of them:
    more is better, NaN is the worst.

    Raises TypeError when `keep` holds no numbers.
    """
    columns = [_descending(column) for column in (keep, pixels, nbytes) if column is not None]
    order = np.lexsort(columns[::-1])
    same = np.zeros(len(order), np.bool_)  # as good as the one before
    same[1:] = np.logical_and.reduce([column[order[1:]] == column[order[:-1]] for column in columns])
    tied = same.copy()
    tied[:-1] |= same[1:]
    places = np.flatnonzero(tied)  # digests are sorted for these only
    rows = order[places]
    words = np.hstack([sha256[rows], uid[rows]]).view(">u8").astype(np.uint64)
    order[places] = rows[np.lexsort([*words.T[::-1], np.cumsum(~same)[places]])]
    return order


def _descending(column: _Numbers) -> _Numbers:
    """Numbers that ascend where those of the column descend."""
    match column.dtype.kind:
        case "b" | "i" | "u":
            return np.invert(column)  # unlike minus, it has a value for each
        case "f":
            return np.where(np.isnan(column), np.inf, np.negative(column))
        case _:
            raise TypeError(f"a column of {column.dtype} has no best first")
