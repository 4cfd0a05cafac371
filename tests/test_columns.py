"""Input columns: their names, and their values' way through JSON."""

import datetime as dt
import json
import math
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curator.dataset.columns import (
    SAMPLE_COLUMNS,
    carried_name,
    carried_type,
    decode,
    encode,
    to_array,
    to_values,
)


def as_carried(array: pa.Array) -> pa.Array:
    """`array` as the type as which it is carried. (Arrow 26 fails to cast lists of nulls to what they are.)"""
    kind = carried_type(array.type)
    return array if array.type == kind else array.cast(kind)


def travelled(array: pa.Array) -> pa.Array:
    """`array` as it comes back from the ledger: one JSON text a row."""
    field = pa.field("x", carried_type(array.type))
    rows = [encode((value,)) for value in to_values(as_carried(array))]
    return to_array([decode(row, pa.schema([field]))[0] for row in rows], field)


@pytest.mark.parametrize(
    ("name", "taken", "carried"),
    [
        pytest.param("similarity", (), "similarity", id="free"),
        pytest.param("WIDTH", (), "input_WIDTH", id="ours in another case"),
        pytest.param("url", (), "input_url", id="the URL itself"),
        pytest.param("nsfw", ("NSFW",), "input_nsfw", id="another input column"),
        pytest.param("width", ("input_WIDTH",), "input_input_width", id="the way out is taken too"),
        pytest.param("__KEY__", (), "input___KEY__", id="a reader's own"),
    ],
)
def test_a_name_that_collides_in_any_case_is_prefixed_until_it_is_free(name, taken, carried):
    """No carried name folds to one of ours or to one that is taken."""
    assert carried == carried_name(name, taken)


def test_every_column_of_a_sample_is_reserved():
    """An input column never hides one of a sample's."""
    assert all(carried_name(name, ()) == f"input_{name}" for name in SAMPLE_COLUMNS)


INTEGERS = [
    (kind, low, high)
    for bits in (8, 16, 32, 64)
    for kind, low, high in (
        (getattr(pa, f"int{bits}")(), -(1 << bits - 1), (1 << bits - 1) - 1),
        (getattr(pa, f"uint{bits}")(), 0, (1 << bits) - 1),
    )
]
TICKS = st.integers(-(1 << 63), (1 << 63) - 1) | st.integers(-(10**12), 10**12)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def arrays(kind, values):
    """Arrays of `kind` with nulls."""
    return st.lists(st.none() | values, max_size=5).map(lambda items: pa.array(items, kind))


def cast_from(raw, kind, values):
    """Arrays of `kind` made from their raw integers."""
    return arrays(raw, values).map(lambda array: array.cast(kind))


@st.composite
def decimals(draw):
    """Decimal columns of any precision and scale."""
    precision = draw(st.integers(1, 38))
    scale = draw(st.integers(-3, precision))
    digits = st.integers(-(10**precision) + 1, 10**precision - 1)
    values = draw(st.lists(st.none() | digits, max_size=5))
    return pa.array(
        [None if v is None else Decimal((v < 0, Decimal(abs(v)).as_tuple().digits, -scale)) for v in values],
        pa.decimal128(precision, scale),
    )


LEAVES = st.one_of(
    *(arrays(kind, st.integers(low, high)) for kind, low, high in INTEGERS),
    arrays(pa.bool_(), st.booleans()),
    arrays(pa.float64(), st.floats(allow_nan=False)),
    arrays(pa.float32(), st.floats(width=32, allow_nan=False)),
    arrays(pa.float32(), st.floats(width=16, allow_nan=False)).map(lambda array: array.cast(pa.float16())),
    arrays(pa.string(), TEXT),
    arrays(pa.large_string(), TEXT),
    arrays(pa.string_view(), TEXT),
    arrays(pa.string(), TEXT).map(lambda array: array.dictionary_encode()),
    arrays(pa.binary(), st.binary()),
    arrays(pa.large_binary(), st.binary()),
    arrays(pa.binary(3), st.binary(min_size=3, max_size=3)),
    decimals(),
    *(
        cast_from(pa.int64(), pa.timestamp(unit, zone), TICKS)
        for unit in ("s", "ms", "us", "ns")
        for zone in (None, "UTC", "Europe/Paris", "+05:30")
    ),
    cast_from(pa.int32(), pa.date32(), st.integers(-(1 << 31), (1 << 31) - 1)),
    cast_from(pa.int64(), pa.date64(), st.integers(-(10**5), 10**6).map(lambda day: day * 86_400_000)),
    cast_from(pa.int32(), pa.time32("s"), st.integers(0, 86_399)),
    cast_from(pa.int64(), pa.time64("ns"), st.integers(0, 86_400 * 10**9 - 1)),
    cast_from(pa.int64(), pa.duration("us"), TICKS),
    arrays(pa.null(), st.none()),
)


def in_lists(array: pa.Array) -> pa.Array:
    """Lists over the array's values, a null and an empty one among them."""
    return pa.ListArray.from_arrays(pa.array([0, None, 0, 0, len(array)], pa.int32()), array)


def in_structs(array: pa.Array) -> pa.Array:
    """Structs with the array's values as one of two fields."""
    return pa.StructArray.from_arrays([array, pa.array(range(len(array)))], names=["of", "at"])


NESTED = st.recursive(LEAVES, lambda inner: inner.map(in_lists) | inner.map(in_structs), max_leaves=3)


@given(NESTED)
@example(in_lists(pa.nulls(5)))
def test_what_is_carried_comes_back(array):
    """Every value of every type that can be carried survives its way through JSON, bit for bit."""
    assert as_carried(array).equals(travelled(array))


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64(), pa.list_(pa.float32())], ids=str)
def test_what_is_not_a_number_stays_so(kind):
    """NaN is neither null nor lost."""
    nan = [math.nan] if pa.types.is_list(kind) else math.nan

    back = travelled(pa.array([nan, None], kind)).to_pylist()

    assert [repr(nan), "None"] == [*map(repr, back)]


@pytest.mark.parametrize(
    ("kind", "carried"),
    [
        (pa.dictionary(pa.int32(), pa.large_string()), pa.string()),
        (pa.large_list(pa.string_view()), pa.list_(pa.string())),
        (pa.list_(pa.float32(), 4), pa.list_(pa.float32(), 4)),
        (pa.struct([("a", pa.large_binary())]), pa.struct([("a", pa.binary())])),
        (pa.map_(pa.string(), pa.int64()), None),
        (pa.list_(pa.map_(pa.string(), pa.int64())), None),
        (pa.sparse_union([pa.field("a", pa.int64())]), None),
        (pa.list_view(pa.string()), None),
        (pa.struct([("a", pa.int8()), ("a", pa.int8())]), None),
    ],
    ids=str,
)
def test_a_type_is_carried_as_the_plain_one_or_not_at_all(kind, carried):
    """Encodings are undone at any depth; what JSON text cannot bring back is refused."""
    assert carried == carried_type(kind)


def test_times_travel_as_text_that_people_can_read():
    """A sidecar or a query shows a date, not a number of microseconds."""
    moment = pa.array([dt.datetime(2024, 5, 1, 12, 30, tzinfo=dt.UTC)], pa.timestamp("ms", "UTC"))

    assert to_values(moment) == ["2024-05-01 12:30:00.000Z"]


def test_iso_text_becomes_a_timestamp():
    """Text from elsewhere (`datetime.isoformat`) is read too."""
    field = pa.field("fetched_at", pa.timestamp("ms", "UTC"))

    array = to_array(["2024-05-01T12:30:00.250+00:00", None], field)

    assert [dt.datetime(2024, 5, 1, 12, 30, 0, 250_000, dt.UTC), None] == array.to_pylist()


def test_text_stands_in_the_json_as_it_is():
    """Captions in any script cost their UTF-8 bytes, and a NUL cannot cut the text short."""
    assert encode(("पेड़\0\n", None)) == '["पेड़\\u0000\\n",null]'


def test_a_row_without_data_is_nulls():
    """A list without columns beside one with columns."""
    schema = pa.schema([("caption", pa.string()), ("n", pa.int64())])

    assert decode(None, schema) == [None, None]
    assert decode(json.dumps(["a", 1]), schema) == ["a", 1]
