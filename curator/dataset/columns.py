"""Input columns: what they are called in a dataset, and how their values travel as JSON text.

How a value travels
- A list's columns go through the ledger as one JSON array per row, and come back as Arrow columns
  when a shard is sealed. Both directions are here, so that what `encode` accepts `to_array` gives back.
- JSON has fewer types than Arrow. Decimals, timestamps and dates travel as the text Arrow prints;
  times and durations as integers in their unit; bytes as base64. Floats that are not finite travel as
  NaN and Infinity, which Python's json reads and writes.
- Arrow prints dates it cannot read back (beyond the year 9999, before the year 0). A column that
  holds one travels as integers instead: `to_array` takes both forms, also mixed.
- Types that say the same in another encoding are carried as the plain one: dictionary as its values,
  large_string and string_view as string, large_list as list.
"""

import base64
import json
from collections.abc import Callable, Collection, Sequence

import pyarrow as pa

# The columns of a sample, in order: img2dataset's first, then ours.
SAMPLE_COLUMNS = (
    *("key", "caption", "url", "status", "error_message", "width", "height"),
    *("original_width", "original_height", "exif", "sha256"),
    *("uid", "format", "mode", "bytes", "stored_sha256", "tar_offset", "phash", "phash_mirror", "hash_kind"),
    *("low_information", "sharpness", "brightness", "contrast", "entropy"),
    *("final_url", "http_status", "content_type", "etag", "last_modified", "fetched_at", "attempts"),
    *("list_row", "captions"),
)

# Names that an input column cannot have beside ours, in any case: readers such as DuckDB fold case.
# The second line are names of other tables, of other tools' columns and of members of a sample.
RESERVED = frozenset(SAMPLE_COLUMNS) | {
    *("md5", "sha512", "jpg", "json", "txt", "__key__", "__url__", "source"),
    *("kept", "reason", "duplicate_of", "distance", "cluster", "host", "detail"),
}

# In the metadata of an Arrow schema: a JSON list of the columns that are ours. Such a table is a valid
# list for another crawl, which carries only the others.
OWN_COLUMNS_KEY = b"crawl_curate.own_columns"

_JSON = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), default=lambda value: base64.b64encode(value).decode("ascii")
)


def carried_name(name: str, taken: Collection[str]) -> str:
    """The name under which the input column `name` is carried: itself, or `input_NAME` if that collides.

    `taken` holds the names already carried; like ours, they collide in any case.
    """
    used = RESERVED | {other.casefold() for other in taken}
    while name.casefold() in used:
        name = f"input_{name}"
    return name


def carried_type(kind: pa.DataType) -> pa.DataType | None:
    """The Arrow type as which a column of type `kind` is carried, or None if it cannot be."""
    if pa.types.is_dictionary(kind):
        return carried_type(kind.value_type)
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return pa.string()
    if pa.types.is_large_binary(kind) or kind == pa.binary_view():
        return pa.binary()
    if _is_nested(kind):
        return _carried_nested(kind)
    return kind if any(test(kind) for test in _CARRIED) else None


def encode(values: Sequence[object]) -> str:
    """A row's values, as `to_values` gives them column by column, as the text of a JSON array."""
    return _JSON.encode(values)


def decode(data: str | None, schema: pa.Schema) -> list[object]:
    """The values of a row in the order of `schema`; nulls for a row that has no data."""
    values: list[object] = [None] * len(schema) if data is None else json.loads(data)
    return values


def to_values(array: pa.Array) -> list[object]:
    """A column of a carried type as values for `encode`."""
    text, numbers = _travelling(array.type, dates=pa.string()), _travelling(array.type, dates=None)
    if text == numbers:
        # Arrow 26 fails to cast lists of nulls to what they are
        return list((array if array.type == text else array.cast(text)).to_pylist())
    try:
        printed = array.cast(text)
        readable = printed.cast(array.type).equals(array)
    except pa.ArrowException:  # a date that cannot be printed or read back, an unknown time zone
        readable = False
    return list((printed if readable else array.cast(numbers)).to_pylist())


def to_array(values: Sequence[object], field: pa.Field) -> pa.Array:
    """Values that travelled as JSON as an Arrow array of the field's type."""
    kind = field.type
    if pa.types.is_string(kind):  # most columns are
        return pa.array(values, kind)
    if _has_bytes(kind):
        values = [_unpacked(value, kind) for value in values]
    text, numbers = _travelling(kind, dates=pa.string()), _travelling(kind, dates=None)
    if text == kind:
        return pa.array(values, kind)
    try:
        return pa.array(values, text).cast(kind)
    except pa.ArrowException:
        if text == numbers:
            raise
    return pa.concat_arrays([pa.array([], kind), *(_one(value, kind, text, numbers) for value in values)])


def _one(value: object, kind: pa.DataType, text: pa.DataType, numbers: pa.DataType) -> pa.Array:
    try:
        return pa.array([value], text).cast(kind)
    except pa.ArrowException:
        return pa.array([value], numbers).cast(kind)


_CARRIED: tuple[Callable[[pa.DataType], bool], ...] = (
    pa.types.is_null,
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_fixed_size_binary,
    pa.types.is_decimal,
    pa.types.is_timestamp,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_duration,
)


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_nested(kind: pa.DataType) -> bool:
    return _is_list(kind) or bool(pa.types.is_struct(kind))


def _carried_nested(kind: pa.DataType) -> pa.DataType | None:
    if pa.types.is_struct(kind) and len({field.name for field in kind}) < kind.num_fields:
        return None
    children = [kind.field(i) for i in range(kind.num_fields)]
    kinds = [carried_type(child.type) for child in children]
    return None if None in kinds else _rebuilt(kind, kinds)


def _rebuilt(kind: pa.DataType, inner: list[pa.DataType]) -> pa.DataType:
    """The nested type `kind` over other types."""
    if pa.types.is_struct(kind):
        return pa.struct(list(zip((field.name for field in kind), inner, strict=True)))
    return pa.list_(inner[0], kind.list_size) if pa.types.is_fixed_size_list(kind) else pa.list_(inner[0])


def _travelling(kind: pa.DataType, dates: pa.DataType | None) -> pa.DataType:
    """The JSON-able type a carried type travels as, timestamps and dates as `dates` (None: integers)."""
    if _is_nested(kind):
        return _rebuilt(kind, [_travelling(kind.field(i).type, dates) for i in range(kind.num_fields)])
    if pa.types.is_decimal(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return dates or (pa.int32() if pa.types.is_date32(kind) else pa.int64())
    if pa.types.is_time(kind) or pa.types.is_duration(kind):
        return pa.int32() if pa.types.is_time32(kind) else pa.int64()
    return pa.float32() if pa.types.is_float16(kind) else kind


def _has_bytes(kind: pa.DataType) -> bool:
    if _is_nested(kind):
        return any(_has_bytes(kind.field(i).type) for i in range(kind.num_fields))
    return bool(pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind))


def _unpacked(value: object, kind: pa.DataType) -> object:
    """`value` with the bytes in it read back from base64."""
    if isinstance(value, list) and _is_list(kind):
        return [_unpacked(item, kind.value_type) for item in value]
    if isinstance(value, dict) and pa.types.is_struct(kind):
        return {field.name: _unpacked(value.get(field.name), field.type) for field in kind}
    return base64.b64decode(value) if isinstance(value, str) and _has_bytes(kind) else value
