"""What every source of images gives to a curation, whatever it is on disk.

A source is a fixed sequence of images: `rows` gives the same rows in the same order each time it is asked,
also while somebody adds to what is on disk. Whoever decides reads a few columns of all rows into arrays,
whoever writes decisions reads all columns again, batch by batch; neither holds every row at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from curator.dataset.rows import LOOKED_AT

# The columns that a batch of any source can give, before the source's own (the input's). Where an image
# could not be measured, `unmeasured` is the Reason's name, `detail` what was said, and the measures are null.
WHERE_IT_IS = (
    ("uid", pa.string()),  # 32 hex digits
    ("path", pa.string()),  # of the file, or of the shard, below the source; never absolute
    ("key", pa.string()),  # of the sample in its shard; null where the file is the image
)
JUDGED = (
    ("unmeasured", pa.string()),
    ("detail", pa.string()),
)
MEASURES = (
    ("width", pa.int32()),  # upright
    ("height", pa.int32()),
    ("format", pa.string()),
    ("mode", pa.string()),
    ("bytes", pa.int64()),
    ("sha256", pa.string()),
    *LOOKED_AT,
    ("exif", pa.string()),
)
LISTED = (
    ("url", pa.string()),  # null where there is none
    ("captions", pa.list_(pa.string())),  # every caption known for the image, null where there is none
)
SOURCE_SCHEMA = pa.schema([*WHERE_IT_IS, *JUDGED, *MEASURES, *LISTED])


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of one image are: in a file from `offset` on, or in a cell of a Parquet file."""

    file: Path
    offset: int = 0  # bytes
    length: int = -1  # bytes; -1: to the end of the file
    row: int = -1  # of a Parquet file whose column `column` holds the image
    column: str = ""


class Source(Protocol):
    """One thing named on the command line: a dataset of ours, or a folder or file of images that was measured."""

    @property
    def label(self) -> str:
        """Its name in `decisions.parquet`: unique in a curation, and the same wherever the folder is moved."""

    @property
    def path(self) -> Path:
        """Where it is."""

    @property
    def kind(self) -> str:
        """`dataset` or `files`."""

    @property
    def schema(self) -> pa.Schema:
        """SOURCE_SCHEMA, then the source's own columns, whose names collide with none of ours in any case."""

    def __len__(self) -> int:
        """Images."""

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows, or those `columns` of them in that order. Raises CorruptDataset naming the file."""

    def locate(self, paths: Sequence[str], keys: Sequence[str | None]) -> list[Place]:
        """Where the bytes of these images are. Raises CorruptDataset, or UsageError where they are gone."""
