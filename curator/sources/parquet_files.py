"""The images in a Parquet file: which columns hold any, which rows have one, and what its row says of it.

As img2dataset's `parquet` format has them (a column of bytes named `jpg`) and Hugging Face's datasets (a struct
of `bytes` and `path`). A column holds images when one of its first values begins like one: hashes and
embeddings are bytes, too. A row's key is its number, the one thing that is there in every file and never twice.

No image is read to list it. Which rows have none is told by the statistics of the row group, where those say
"some" by img2dataset's `status`; only where both are silent the column itself is read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator.dataset.columns import carried_type, to_values
from curator.dataset.tables import open_table
from curator.formats import HEAD_BYTES, refuse
from curator.reasons import Reason
from curator.records import Unmeasured
from curator.sources.items import Item, Listed, ShardEnd, Version, Warned, shown
from curator.sources.names import Tally
from curator.sources.sidecars import MOST_BYTES, as_json
from curator.sources.source import Place

NO_IMAGE = "rows without an image"
TOO_LONG = "rows whose other columns are too long"
KEY_DIGITS = 9

_TRIED = 16  # values of a column, to see whether it holds images
_PAGE_ROWS, _PAGE_BYTES = 10_000, 16 << 20  # of other columns, held at once
_IMAGES_AT_ONCE = 16  # where the column of images itself must be read

_Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class _Column:
    """A column of images."""

    name: str
    leaf: str  # the path of its bytes in the file


def list_parquet(file: Path, path: str, version: Version) -> Iterator[Listed]:
    """The images of the Parquet file `file`, called `path` below its source; where it has none, that it has none.

    Damage ends it with a row and a warning of its own; what came before it counts.
    """
    tally, items = Tally(), 0
    try:
        with open_table(file) as parquet:
            columns = _image_columns(parquet)
            if not columns:
                tally.add(".parquet")
            for item in _items(parquet, columns, file, path, version, tally):
                items += 1
                yield item
    except (OSError, pa.ArrowException) as error:
        words = " ".join(str(error).split())
        yield Item(path, None, version, Place(file), None, Unmeasured(Reason.UNREADABLE, words))
        yield Warned(f"{shown(str(file))}: {words}")
        yield from tally.records()
    else:
        if columns:
            yield ShardEnd(path, version, items, tally.counts())
        else:
            yield from tally.records()


def _image_columns(parquet: pq.ParquetFile) -> list[_Column]:
    found, names = [], parquet.schema_arrow.names
    for at, field in enumerate(parquet.schema_arrow):
        if names.index(field.name) < at:  # asked for by name, the first column of that name is given
            continue
        nested = pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0
        kind = field.type.field("bytes").type if nested else field.type
        column = _Column(field.name, f"{field.name}.bytes" if nested else field.name)
        if _is_bytes(kind) and _holds_images(parquet, column):
            found.append(column)
    return found


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _holds_images(parquet: pq.ParquetFile, column: _Column) -> bool:
    """Whether any of its first values begins like an image, also one that is not supported."""
    values = (value for batch in _batches(parquet, column) for value in batch if value.is_valid)
    for value in islice(values, _TRIED):
        refusal = refuse(value.as_buffer()[:HEAD_BYTES].to_pybytes())
        if refusal is None or refusal[0] is Reason.UNSUPPORTED_FORMAT:
            return True
    return False


def _batches(
    parquet: pq.ParquetFile, column: _Column, groups: Sequence[int] | None = None
) -> Iterator[pa.Array]:
    """The bytes of a column, a few rows at a time."""
    for batch in parquet.iter_batches(_IMAGES_AT_ONCE, row_groups=groups, columns=[column.leaf]):
        array = batch.column(0)
        yield array.flatten()[0] if pa.types.is_struct(array.type) else array


def _items(
    parquet: pq.ParquetFile, columns: list[_Column], file: Path, path: str, version: Version, tally: Tally
) -> Iterator[Item]:
    if not columns:
        return
    names = _other_columns(parquet, columns)
    row = 0
    for group in range(parquet.num_row_groups):
        present = [_present(parquet, group, column) for column in columns]
        tally.add(NO_IMAGE, int(np.sum(~np.any(present, axis=0))))
        for at, data in enumerate(_data(parquet, group, names, tally)):
            for number, column in enumerate(columns):
                if present[number][at]:
                    key = f"{row + at:0{KEY_DIGITS}d}" + (f".{column.name}" if number else "")
                    yield Item(path, key, version, Place(file, row=row + at, column=column.name), data)
        row += parquet.metadata.row_group(group).num_rows


def _other_columns(parquet: pq.ParquetFile, columns: list[_Column]) -> list[str]:
    """What a row says of its image: columns of a type that is carried, and bytes say nothing to select by."""
    images = {column.name for column in columns}
    return [
        field.name
        for field in parquet.schema_arrow
        if field.name not in images and not _is_bytes(field.type) and carried_type(field.type) is not None
    ]


def _present(parquet: pq.ParquetFile, group: int, column: _Column) -> _Mask:
    """Which rows of a row group have bytes in the column."""
    about = parquet.metadata.row_group(group)
    rows, nulls = about.num_rows, _nulls(about, column)
    if nulls in (0, rows):
        return np.full(rows, nulls == 0)
    status = _status(parquet, group)
    if status is not None and nulls == rows - np.count_nonzero(status):
        return status
    read = [batch.is_valid() for batch in _batches(parquet, column, [group])]
    return np.concatenate([np.asarray(part) for part in read])


def _nulls(about: pq.RowGroupMetaData, column: _Column) -> int | None:
    """How many rows have no bytes, if the file says so."""
    chunks = (about.column(at) for at in range(about.num_columns))
    chunk = next(chunk for chunk in chunks if chunk.path_in_schema == column.leaf)
    known = chunk.is_stats_set and chunk.statistics.has_null_count
    return int(chunk.statistics.null_count) if known else None


def _status(parquet: pq.ParquetFile, group: int) -> _Mask | None:
    """Which rows img2dataset says it has an image for; None where it says nothing."""
    schema = parquet.schema_arrow
    if schema.get_field_index("status") < 0 or not pa.types.is_string(schema.field("status").type):
        return None
    column = parquet.read_row_group(group, columns=["status"]).column(0)
    return np.asarray(pc.equal(column, "success").fill_null(False))


def _data(parquet: pq.ParquetFile, group: int, names: list[str], tally: Tally) -> Iterator[str | None]:
    """What each row of a row group says of its image, as a JSON object; None where it says nothing."""
    about = parquet.metadata.row_group(group)
    if not names:
        yield from repeat(None, about.num_rows)
        return
    chunks = [about.column(at) for at in range(about.num_columns)]
    size = sum(
        chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema.split(".")[0] in names
    )
    fitting = max(1, min(_PAGE_ROWS, _PAGE_BYTES * about.num_rows // max(size, 1)))
    for batch in parquet.iter_batches(fitting, row_groups=[group], columns=names):
        for row in zip(*map(_values, batch.columns), strict=True):
            named = zip(batch.schema.names, row, strict=True)
            yield _told({name: value for name, value in named if value is not None}, tally)


def _told(fields: dict[str, Any], tally: Tally) -> str | None:
    text = as_json(fields) if fields else None
    if text and len(text) > MOST_BYTES:
        tally.add(TOO_LONG)
        return None
    return text


def _values(column: pa.Array) -> list[Any]:
    """The values of a column of a carried type, ready for JSON."""
    kind = carried_type(column.type)
    try:
        return to_values(column.cast(kind))
    except UnicodeDecodeError:  # text that is none, which readers of Parquet do not check
        if not pa.types.is_string(kind):
            return [None] * len(column)
        raw = column.cast(kind).cast(pa.binary()).to_pylist()
        return [value if value is None else value.decode("utf-8", "replace") for value in raw]
