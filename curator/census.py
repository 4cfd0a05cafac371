"""Taking the census: the columns that decide, of all images of all sources, into arrays, in one pass."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.digests import from_hex
from curator.errors import CorruptDataset, UsageError
from curator.reasons import BY_NAME
from curator.settings import Settings
from curator.sources.source import SOURCE_SCHEMA, Source
from curator.sources.unify import conform, numbers, schema_of
from curator.verdicts import Census
from curator.where import Condition, there_are

_ROWS = 1 << 16  # at a time: what is done once a batch no longer counts
_BYTES = 64 << 20
_NEEDED = pa.schema(
    SOURCE_SCHEMA.field(name)
    for name in (
        *("uid", "unmeasured", "width", "height", "bytes", "sha256"),
        *("phash", "phash_mirror", "low_information"),
    )
)
_NUMBERS = ("width", "height", "bytes", "low_information")


class Keep(NamedTuple):
    """By which column, and whether the least of it is best."""

    field: pa.Field
    least: bool


def take(ours: Sequence[Source], others: Sequence[Source], settings: Settings) -> Census:
    """Read what deciding needs of all images of `ours` and `others` (`--against`), in this order.

    Raises UsageError where `--where` or `--keep` cannot be evaluated, CorruptDataset where a source is damaged.
    """
    sources, schema = [*ours, *others], schema_of(ours)
    keep = keep_by(settings.keep, schema) if settings.keep else None
    starts = np.cumsum([0, *map(len, sources)])
    census = _empty(starts, int(starts[len(ours)]), keep)
    with Condition(settings.where, schema) if settings.where else nullcontext() as where:
        for source, start, end in zip(sources, starts, starts[1:], strict=False):
            condition = where if start < census.ours else None
            _fill(census, source, slice(int(start), int(end)), condition, keep)
    if keep and census.keep is not None and _is_text(keep.field.type) and np.isnan(census.keep).all():
        raise UsageError(f"--keep {settings.keep}: no value of this column is a number. {there_are(schema)}")
    return census


def keep_by(text: str, schema: pa.Schema) -> Keep:
    """What `--keep` names: a column of numbers (also as text), truths or times, a minus before it for the least.

    Raises UsageError where there is no such column.
    """
    fields = {field.name.casefold(): field for field in schema}
    field = fields.get(text.casefold())
    least = field is None and text.startswith("-")
    field = fields.get(text[1:].casefold()) if least else field
    if field is None:
        raise UsageError(
            f"--keep {text}: there is no such column. {there_are(schema, text.removeprefix('-'))}"
        )
    if not _is_ordered(field.type):
        raise UsageError(
            f"--keep {text}: the column holds {field.type}, and only numbers, booleans and times can be"
            f" compared. {there_are(pa.schema(one for one in schema if _is_ordered(one.type)))}"
        )
    return Keep(field, least)


def _is_ordered(kind: pa.DataType) -> bool:
    types = pa.types
    numbers = (types.is_integer, types.is_floating, types.is_decimal, types.is_boolean)
    return _is_text(kind) or any(test(kind) for test in (*numbers, types.is_temporal, types.is_null))


def _is_text(kind: pa.DataType) -> bool:
    """Columns of CSV lists are text, also those of numbers."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _empty(starts: npt.NDArray[np.int64], ours: int, keep: Keep | None) -> Census:
    rows = int(starts[-1])
    return Census(
        starts=starts,
        ours=ours,
        uid=np.zeros((rows, 16), np.uint8),
        unmeasured=np.zeros(rows, np.uint8),
        width=np.zeros(rows, np.int32),
        height=np.zeros(rows, np.int32),
        bytes=np.zeros(rows, np.int64),
        sha256=np.zeros((rows, 32), np.uint8),
        phash=np.zeros(rows, np.uint64),
        mirror=np.zeros(rows, np.uint64),
        low_information=np.zeros(rows, np.bool_),
        wanted=np.ones(rows, np.bool_),
        keep=np.full(rows, np.nan) if keep else None,
    )


def _fill(census: Census, source: Source, rows: slice, where: Condition | None, keep: Keep | None) -> None:
    """Put one source's images where they belong."""
    asked = {*_NEEDED.names, *(where.schema.names if where else ()), *([keep.field.name] if keep else ())}
    folded = {name.casefold() for name in asked}
    names = [name for name in source.schema.names if name.casefold() in folded]
    at = rows.start
    for batch in _large(source.rows(names)):
        here = slice(at, at + len(batch))
        try:
            _put(census, here, conform(batch, _NEEDED))
        except ValueError as error:
            raise CorruptDataset(f"{source.path}: a digest is {error}. Its measures are damaged.") from error
        if where:
            census.wanted[here] = where.holds(batch)
        if keep and census.keep is not None:
            census.keep[here] = _compared(batch, keep)
        at = here.stop
    assert at == rows.stop, f"{source.label} has {rows.stop - rows.start} rows and gave {at - rows.start}"


def _large(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The same rows in fewer batches."""
    some: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        some.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= _ROWS or size >= _BYTES:
            yield pa.concat_batches(some)
            some, rows, size = [], 0, 0
    if some:
        yield pa.concat_batches(some)


def _put(census: Census, rows: slice, batch: pa.RecordBatch) -> None:
    """Raises ValueError where a digest is none."""
    if batch["sha256"].null_count > len(batch) - batch["unmeasured"].null_count:
        raise ValueError("missing")  # images without one would be the same bytes
    census.uid[rows] = from_hex(batch["uid"], 16)
    census.sha256[rows] = from_hex(batch["sha256"], 32)
    census.phash[rows] = from_hex(batch["phash"], 8).view(">u8")[:, 0]
    census.mirror[rows] = from_hex(batch["phash_mirror"], 8).view(">u8")[:, 0]
    census.unmeasured[rows] = _codes(batch["unmeasured"])
    for name in _NUMBERS:
        getattr(census, name)[rows] = batch[name].fill_null(False if name == "low_information" else 0)


def _codes(reasons: pa.Array) -> npt.NDArray[np.uint8]:
    """Codes of the Reasons named, 0 where none is."""
    named = reasons.dictionary_encode()
    codes = np.array([BY_NAME[name].code for name in named.dictionary.to_pylist()] + [0], np.uint8)
    last = np.int32(len(codes) - 1)
    at: npt.NDArray[np.int32] = named.indices.fill_null(last).to_numpy()
    return codes[at]


def _compared(batch: pa.RecordBatch, keep: Keep) -> npt.NDArray[np.float64]:
    """What `--keep` compares, as numbers of which more is better; NaN where there is none."""
    column = conform(batch, pa.schema([keep.field]))[0]
    if _is_text(column.type):
        column = numbers(column)
    elif pa.types.is_temporal(column.type):
        column = column.view(pa.int32() if column.type.bit_width == 32 else pa.int64())
    values: npt.NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return -values if keep.least else values
