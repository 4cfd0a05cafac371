"""One schema for the rows of several sources, which need not have the same columns.

Columns of the same name, in any case since readers such as DuckDB fold it, are one column under the spelling
met first. Numbers widen; whatever else differs in type becomes text, what is nested or binary as JSON.
"""

from collections.abc import Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from curator.dataset.columns import encode, to_values
from curator.sources.source import Source

_EXACT = pa.decimal128(20, 0)  # holds both what is negative and what only fits 64 bits unsigned
_A_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def schema_of(sources: Sequence[Source]) -> pa.Schema:
    """The schema that all rows of these sources fit: SOURCE_SCHEMA, then their own columns."""
    return unified([source.schema for source in sources])


def unified(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The schema that all of them fit, columns in the order they are met."""
    names: dict[str, str] = {}
    kinds: dict[str, list[pa.DataType]] = {}
    for field in (field for schema in schemas for field in schema):
        names.setdefault(field.name.casefold(), field.name)
        kinds.setdefault(field.name.casefold(), []).append(field.type)
    return pa.schema([(name, reduce(_merged, kinds[folded])) for folded, name in names.items()])


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch with the columns of `schema`, which is `unified` of its own and others, or some of these.

    A column that it lacks is null. Raises pa.ArrowException where a value does not fit, which `unified` rules out.
    """
    if batch.schema.equals(schema):
        return batch
    had = {name.casefold(): column for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    columns = [_as(had.get(field.name.casefold()), field.type, len(batch)) for field in schema]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _merged(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that values of both fit."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    if not (_is_number(one) and _is_number(other)):
        return pa.string()
    if pa.uint64() in (one, other) and any(map(pa.types.is_signed_integer, (one, other))):
        return _EXACT  # Arrow would make it int64
    if pa.types.is_decimal(one) != pa.types.is_decimal(other):  # Arrow leaves too few digits for integers
        one, other = (_EXACT if pa.types.is_integer(kind) else kind for kind in (one, other))
        one, other = (pa.float64() if pa.types.is_float16(kind) else kind for kind in (one, other))  # no cast
    schemas = [pa.schema([("", kind)]) for kind in (one, other)]
    try:
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):  # decimals of more digits together than there can be
        return pa.string()


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _as(column: pa.Array | None, kind: pa.DataType, rows: int) -> pa.Array:
    if column is None:
        return pa.nulls(rows, kind)
    if column.type == kind:
        return column
    if pa.types.is_string(column.type) and pa.types.is_floating(kind):
        return numbers(column).cast(kind)
    # to floats not every integer is exact
    return _text(column) if pa.types.is_string(kind) else column.cast(kind, safe=False)


def numbers(text: pa.Array) -> pa.Array:
    """The numbers that a column of text holds, null where it holds something else: CSV lists know only text."""
    trimmed = pc.utf8_trim_whitespace(text)
    return pc.if_else(pc.match_substring_regex(trimmed, _A_NUMBER), trimmed, None).cast(pa.float64())


def _text(column: pa.Array) -> pa.Array:
    """Any values as text: as Arrow prints them, else as JSON."""
    if not (pa.types.is_nested(column.type) or _is_bytes(column.type)):
        try:
            return column.cast(pa.string())
        except pa.ArrowException:  # a time zone that is not known here
            pass
    values = to_values(column)
    return pa.array(
        [value if value is None or isinstance(value, str) else encode([value])[1:-1] for value in values],
        pa.string(),
    )


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))
