"""One schema for rows of several sources."""

from itertools import permutations

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curator.sources.unify import conform, schema_of, unified
from tests.censuses import Held

SAMPLES = {
    pa.null(): None,
    pa.bool_(): True,
    pa.int8(): -5,
    pa.int64(): -(2**62),
    pa.uint64(): 2**64 - 1,
    pa.float16(): 1.5,
    pa.float64(): 1e300,
    pa.decimal128(5, 2): 3,
    pa.decimal256(70, 60): 3,
    pa.string(): "word",
    pa.binary(): b"\xff",
    pa.date32(): 3,
    pa.timestamp("s"): 3,
    pa.timestamp("ns", "UTC"): 3,
    pa.timestamp("s", "Nowhere/Land"): 3,
    pa.duration("s"): 3,
    pa.list_(pa.binary()): [b"\xff", None],
    pa.list_(pa.int8()): [1, 2],
    pa.struct([("a", pa.int8())]): {"a": 1},
}


def one_column(kind, name="x", value=None):
    """A batch of one column with a value and a null."""
    value = SAMPLES.get(kind) if value is None else value
    return pa.RecordBatch.from_arrays([pa.array([value, None], kind)], names=[name])


@given(st.lists(st.sampled_from(list(SAMPLES)), min_size=1, max_size=4))
@example([pa.int64(), pa.decimal128(5, 2)])
@example([pa.float16(), pa.decimal128(5, 2)])
def test_every_type_fits(kinds):
    """Whatever types a column has, values of each of them fit the one that it gets; nulls stay null."""
    schema = unified([pa.schema([("x", kind)]) for kind in kinds])
    for kind in kinds:
        column = conform(one_column(kind), schema)["x"]
        assert column.type == schema.field("x").type
        assert column.null_count == (2 if kind == pa.null() else 1)


@pytest.mark.parametrize(
    ("one", "other", "kind", "values"),
    [
        pytest.param(pa.int8(), pa.int64(), pa.int64(), [-5, -(2**62)], id="integers widen"),
        pytest.param(pa.int8(), pa.float64(), pa.float64(), [-5.0, 1e300], id="to floats"),
        pytest.param(pa.int64(), pa.uint64(), pa.decimal128(20, 0), [-(2**62), 2**64 - 1], id="exactly"),
        pytest.param(pa.null(), pa.bool_(), pa.bool_(), [None, True], id="null is anything"),
        pytest.param(pa.int8(), pa.string(), pa.string(), ["-5", "word"], id="else text"),
        pytest.param(pa.bool_(), pa.int8(), pa.string(), ["true", "-5"], id="a truth is no number"),
        pytest.param(pa.list_(pa.int8()), pa.int8(), pa.string(), ["[1,2]", "-5"], id="JSON"),
        pytest.param(
            pa.struct([("a", pa.int8())]), pa.binary(), pa.string(), ['{"a":1}', '"/w=="'], id="bytes"
        ),
    ],
)
def test_what_two_types_become(one, other, kind, values):
    """Numbers widen, all else becomes text, in either order."""
    for kinds in permutations((one, other)):
        schema = unified([pa.schema([("x", each)]) for each in kinds])
        assert schema.field("x").type == kind
    assert [conform(one_column(each), schema)["x"][0].as_py() for each in (one, other)] == values


def test_columns_of_several_sources():
    """Ours come first, then every own column once in the spelling met first; what a source lacks is null."""
    sources = [
        Held([{"Tag": "a", "n": 1}], {"Tag": pa.string(), "n": pa.int8()}),
        Held([{"TAG": "b", "more": 0.5}], {"TAG": pa.string(), "more": pa.float64()}),
    ]
    schema = schema_of(sources)
    assert schema.names == [*Held([]).schema.names, "Tag", "n", "more"]
    rows = [conform(batch, schema).to_pylist()[0] for source in sources for batch in source.rows()]
    assert [(row["Tag"], row["n"], row["more"]) for row in rows] == [("a", 1, None), ("b", None, 0.5)]


def test_a_batch_that_fits_is_not_copied():
    """Nothing is done where nothing differs."""
    batch = one_column(pa.int8())
    assert conform(batch, batch.schema) is batch
