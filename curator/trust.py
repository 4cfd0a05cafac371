"""How far a radius can be trusted: what chance alone makes of it, and how it agrees with a person."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.by_hand import Said
from curator.near import Pictures, bits_apart, same_bytes
from curator.neighbours import chance, group_identical

_SAMPLE = 256  # random pairs for each hash: more of them tell no more of chance
_MOST = 1 << 24

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chance:
    """How many pairs of different pictures are within the radius by chance, estimated from the hashes."""

    pairs: float
    images: int  # decided on whose hashes were compared
    radius: int  # bits

    @property
    def per_10000(self) -> float:
        """Pairs for each 10,000 images."""
        return 10_000 * self.pairs / self.images if self.images else 0.0


@dataclass(frozen=True, slots=True)
class Score:
    """How the radius agrees with a person. Duplicates are positive; `neither` is not counted."""

    pairs: int  # said
    unknown: int  # of them, about an image that is not there
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def precision(self) -> float | None:
        """The share of duplicates among what is within the radius; None where nothing is."""
        return _share(self.true_positive, self.false_positive)

    @property
    def recall(self) -> float | None:
        """The share of what is within the radius among duplicates; None where there are none."""
        return _share(self.true_positive, self.false_negative)


def by_chance(pictures: Pictures, theirs: _Mask, radius: int, *, mirrored: bool) -> Chance | None:
    """Estimate it for n images, of which those in `theirs`, shape (n,), are not compared with each other.

    None where that leaves nothing to compare.
    """
    telling = ~pictures.low_information
    distinct, _ = group_identical(pictures.phash[telling])
    images, others = int(np.count_nonzero(telling & ~theirs)), int(np.count_nonzero(telling & theirs))
    if not images or images + others < 2:
        return None
    expected = chance(distinct, radius, sample=min(_MOST, _SAMPLE * len(distinct)))
    compared = 1 - (others / (images + others)) ** 2
    ways = 2 if mirrored else 1  # as they are, and one of them mirrored
    return Chance(expected * compared * ways, images, radius)


def score(
    said: Sequence[Said],
    rows_of: Mapping[bytes, Sequence[int]],
    pictures: Pictures,
    measured: _Mask,
    radius: int,
    *,
    mirrored: bool,
) -> Score:
    """Compare n images' hashes with what was said of pairs. `rows_of`: each uid's rows; `measured`: shape (n,)."""
    known = [one for one in said if rows_of.get(one.a) and rows_of.get(one.b)]
    judged = [one for one in known if one.verdict != "neither"]
    first = np.array([rows_of[one.a][0] for one in judged], np.int64)
    second = np.array([rows_of[one.b][0] for one in judged], np.int64)
    telling = ~(pictures.low_information[first] | pictures.low_information[second])
    near = telling & (bits_apart(pictures, first, second, mirrored=mirrored) <= radius)
    near |= same_bytes(pictures, first, second)
    near &= measured[first] & measured[second]
    copies = np.array([one.verdict != "both" for one in judged], np.bool_)
    return Score(
        pairs=len(said),
        unknown=len(said) - len(known),
        true_positive=int(np.count_nonzero(near & copies)),
        false_positive=int(np.count_nonzero(near & ~copies)),
        false_negative=int(np.count_nonzero(~near & copies)),
        true_negative=int(np.count_nonzero(~near & ~copies)),
    )


def _share(of: int, others: int) -> float | None:
    return of / (of + others) if of + others else None
