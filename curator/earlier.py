"""An earlier decision (`--since`): whose survivors stay survivors, and what became of them."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.dataset.tables import open_table
from curator.digests import from_hex
from curator.errors import UsageError
from curator.identical import Matches, groups
from curator.reasons import BY_CODE
from curator.verdicts import Verdicts

_GONE = "gone"  # from the input: the one reason that no image has
_ROWS = 1 << 17


@dataclass(frozen=True, slots=True)
class Since:
    """What an earlier decision did not keep and this one does, and the other way round."""

    added: int  # images
    lost: int
    lost_by_reason: dict[str, int]  # why they are not kept now; "gone" where they are not there


def read(folder: Path) -> npt.NDArray[np.uint8]:
    """The uids that an earlier decision kept, shape (k, 16), each once.

    Raises UsageError where the folder holds no decision.
    """
    path = folder / "decisions.parquet"
    try:
        with open_table(path) as file:
            if b"curate" not in (file.schema_arrow.metadata or {}):
                raise ValueError("another program's table")
            batches = file.iter_batches(_ROWS, columns=["uid", "kept"])
            kept = [from_hex(batch["uid"].filter(batch["kept"]), 16) for batch in batches]
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise UsageError(
            f"--since {folder}: it does not hold what `curate` decided: {path.name} cannot be read ({error})."
        ) from error
    uids = np.concatenate([np.empty((0, 16), np.uint8), *kept])
    _, once = np.unique(groups(uids), return_index=True)
    return uids[once]


def changes(verdicts: Verdicts, found: Matches, earlier: int) -> Since:
    """Compare what is kept now with so many `earlier` uids, which were `found` among the decided images."""
    kept = verdicts.kept
    before = np.zeros(len(kept), np.bool_)
    before[found.row] = True
    now = np.zeros(earlier, np.bool_)
    now[found.wanted[kept[found.row]]] = True
    why = np.zeros(earlier, np.uint8)
    why[found.wanted[::-1]] = verdicts.reason[found.row[::-1]]  # of several rows the first
    codes = Counter(why[~now].tolist())
    reasons = {BY_CODE[code].value if code else _GONE: count for code, count in sorted(codes.items())}
    return Since(int(np.count_nonzero(kept & ~before)), int(np.count_nonzero(~now)), reasons)
