"""The arrays a curation decides on and with: one row an image, the rows of all sources one after the other."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.reasons import Reason


@dataclass(frozen=True, slots=True)
class Census:
    """What deciding needs of n images: about 120 bytes each. First come `ours`, then those of `--against`."""

    starts: npt.NDArray[np.int64]  # (sources + 1,): where the rows of each source begin; the last is n
    ours: int  # how many rows are decided on; the others are only compared with
    uid: npt.NDArray[np.uint8]  # (n, 16)
    unmeasured: npt.NDArray[np.uint8]  # (n,) code of the Reason why it has no measures, 0 where it has
    width: npt.NDArray[np.int32]  # (n,) pixels
    height: npt.NDArray[np.int32]
    bytes: npt.NDArray[np.int64]
    sha256: npt.NDArray[np.uint8]  # (n, 32)
    phash: npt.NDArray[np.uint64]  # (n,) 0 where not measured
    mirror: npt.NDArray[np.uint64]  # (n,) of the picture mirrored left to right
    low_information: npt.NDArray[np.bool_]
    wanted: npt.NDArray[np.bool_]  # (n,) `--where` holds; all True without it
    keep: npt.NDArray[np.float64] | None  # (n,) `--keep`: more is better, NaN worst


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What became of the `ours` rows of a census."""

    reason: npt.NDArray[np.uint8]  # (ours,) codes; Reason.SAVED is kept
    leader: npt.NDArray[
        np.int64
    ]  # (ours,) the kept row, or the row of `--against`, that stands for it; its own
    distance: npt.NDArray[
        np.int16
    ]  # (ours,) bits between the hashes of a duplicate and its leader; -1: not one
    by_hand: npt.NDArray[np.bool_]  # (ours,) a person said so

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        """Which rows are kept."""
        kept: npt.NDArray[np.bool_] = self.reason == Reason.SAVED.code
        return kept
