"""The images a dataset holds, as the index that finds duplicates wants them."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.dataset.reader import Dataset
from curator.duplicates import DuplicateIndex


def fill_index(index: DuplicateIndex, root: Path) -> None:
    """Add every committed image of the dataset at `root`, in the order of arrival."""
    for batch in Dataset(root).row_batches(("uid", "sha256", "phash", "low_information")):
        index.extend(
            _digits(batch.column("uid"), 16),
            _digits(batch.column("sha256"), 32),
            # what was not decoded is equal to others in its bytes, and in nothing else
            _digits(batch.column("phash").fill_null("0" * 16), 8).view(">u8")[:, 0].astype(np.uint64),
            batch.column("low_information").fill_null(True).to_numpy(zero_copy_only=False),
        )


def _digits(column: pa.StringArray, width: int) -> npt.NDArray[np.uint8]:
    """Columns of hex digits as bytes of shape (n, width)."""
    raw = bytes.fromhex("".join(column.to_pylist()))
    return np.frombuffer(raw, np.uint8).reshape(-1, width)
