"""Copies mirrored left to right: pairs of images that have two hashes each, their own and their mirror image's.

Two images are near if the own hash of one is near either of the other's. So the pairs of all hashes of both
kinds are searched at once, and each is told between the images that have these hashes, one of them its own.
Images of which both hashes are the same are one group.
"""

import numpy as np
import numpy.typing as npt

from curator.identical import expanded
from curator.neighbours import Pairs, group_identical, pairs

_LOW = np.uint64(0xFFFFFFFF)

_U64 = npt.NDArray[np.uint64]
_U32 = npt.NDArray[np.uint32]
_Rows = npt.NDArray[np.int64]


def mirrored_pairs(own: _U64, mirror: _U64, radius: int, *, workers: int = 1) -> tuple[_U32, Pairs]:
    """The group of each of n images, and all pairs of groups within `radius` bits, each once.

    `own` and `mirror`: shape (n,). The distance of a pair is the least of the three.
    """
    values, code = group_identical(np.concatenate([own, mirror]))
    both, group = group_identical(code[: len(own)].astype(np.uint64) << np.uint64(32) | code[len(own) :])
    having = [
        _Having(column.astype(np.int64), len(values)) for column in (both >> np.uint64(32), both & _LOW)
    ]
    found = pairs(values, radius, workers=workers)
    itself = np.arange(len(values), dtype=np.uint32)
    found = Pairs(
        np.concatenate([itself, found.first]),
        np.concatenate([itself, found.second]),
        np.concatenate([np.zeros(len(values), np.uint8), found.distance]),
    )
    owning, mirroring = having
    crossed = [(owning, owning), (owning, mirroring), (mirroring, owning)]
    parts = [_between_groups(found, one, other) for one, other in crossed]
    return group, _each_once(Pairs(*(np.concatenate(column) for column in zip(*parts, strict=True))))


class _Having:
    """Which groups have a value, for each value."""

    def __init__(self, value_of_group: _Rows, values: int) -> None:
        self.groups = np.argsort(value_of_group, kind="stable").astype(np.uint32)
        self.counts = np.bincount(value_of_group, minlength=values)
        self.starts = np.cumsum(self.counts) - self.counts


def _between_groups(found: Pairs, one: _Having, other: _Having) -> Pairs:
    """Each pair of values as pairs of groups that have them."""
    left, right = one.counts[found.first], other.counts[found.second]
    which, within = expanded(left * right)
    first = one.groups[one.starts[found.first[which]] + within // right[which]]
    second = other.groups[other.starts[found.second[which]] + within % right[which]]
    return Pairs(np.minimum(first, second), np.maximum(first, second), found.distance[which])


def _each_once(found: Pairs) -> Pairs:
    """No pair twice, each at its least distance; none of a group with itself."""
    key = found.first.astype(np.uint64) << np.uint64(32) | found.second
    order = np.lexsort((found.distance, key))
    ordered = key[order]
    new = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    kept = order[new & (ordered >> np.uint64(32) != ordered & _LOW)]
    return Pairs(*(column[kept] for column in found))
