"""Which digests are the same, of millions: exactly, by their first words, the rest only where these are equal."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

_Digests = npt.NDArray[np.uint8]


class Matches(NamedTuple):
    """Pairs of equal digests, each of shape (pairs,), by `wanted`, then by `row`."""

    row: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]


def groups(digests: _Digests) -> npt.NDArray[np.uint32]:
    """For each of n digests, shape (n, bytes), the number of its group: the same for equal ones, below n."""
    first = _first(digests)
    order = np.argsort(first)
    ordered = first[order]
    new = np.ones(len(order), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=new[1:])
    tied = ~new
    tied[:-1] |= ~new[1:]
    places = np.flatnonzero(tied)
    rows = order[places]
    words = np.ascontiguousarray(digests[rows]).view(np.uint64)
    resorted = np.lexsort((*words.T[:0:-1], np.cumsum(new)[places]))
    order[places], words = rows[resorted], words[resorted]
    new[places[1:]] |= (words[1:] != words[:-1]).any(axis=1)  # of two runs they differ anyway
    group = np.empty(len(order), np.uint32)
    group[order] = np.cumsum(new) - 1
    return group


class Index:
    """Where each of n digests, shape (n, bytes), stands: 16 bytes each beside the digests."""

    def __init__(self, digests: _Digests) -> None:
        """Sort them."""
        first = _first(digests)
        self._digests = digests
        self._order = np.argsort(first, kind="stable")
        self._ordered = first[self._order]

    def find(self, wanted: _Digests) -> Matches:
        """All rows of each of the wanted digests, shape (k, bytes)."""
        first = _first(wanted)
        by_first = np.argsort(first)  # neighbours are looked up one after the other
        start, end = np.empty((2, len(first)), np.int64)
        start[by_first] = self._ordered.searchsorted(first[by_first])
        end[by_first] = self._ordered.searchsorted(first[by_first], "right")
        which, within = expanded(end - start)
        rows = self._order[start[which] + within]
        same = (self._digests[rows] == wanted[which]).all(axis=1)
        return Matches(rows[same], which[same])


def expanded(counts: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """For counts (2, 0, 3): which one, (0, 0, 2, 2, 2), and the how-manieth of it, (0, 1, 0, 1, 2)."""
    which = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
    return which, within


def _first(digests: _Digests) -> npt.NDArray[np.uint64]:
    return np.ascontiguousarray(digests[:, :8]).view(np.uint64)[:, 0]
