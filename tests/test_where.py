"""Conditions in SQL over measures and an input's columns."""

import re

import pyarrow as pa
import pytest

from curator.errors import UsageError
from curator.where import Condition

SCHEMA = pa.schema(
    [
        *(("uid", pa.string()), ("width", pa.int32()), ("format", pa.string()), ("similarity", pa.float64())),
        *(('odd "name"', pa.int8()), ("half", pa.float16()), ("vector", pa.list_(pa.float16()))),
        *(("wide", pa.decimal256(60, 3)), ("seen", pa.timestamp("s", "UTC"))),
    ]
)
ROWS = pa.RecordBatch.from_pylist(
    [
        {"uid": "a", "width": 10, "format": "jpeg", "similarity": 0.3, 'odd "name"': 1, "seen": 0},
        {"uid": "b", "width": 20, "format": "png", "similarity": None, "half": 0.5, "vector": [1.5, 2.5]},
        {"uid": "c", "width": None, "format": None, "similarity": 0.1, "wide": 10**40, "seen": 86_400},
    ],
    schema=SCHEMA,
)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        pytest.param("width > 10", "b", id="NULL does not hold"),
        pytest.param("NOT width > 10", "a", id="nor does its opposite"),
        pytest.param("width IS NULL", "c", id="unless asked for"),
        pytest.param("similarity > 0.2 AND format = 'jpeg'", "a", id="several columns"),
        pytest.param("WIDTH >= 10 AND Format <> 'x'", "ab", id="names in any case"),
        pytest.param('"odd ""name""" = 1', "a", id="a quoted name"),
        pytest.param("true", "abc", id="no column at all"),
        pytest.param("COLUMNS('w.*') IS NOT NULL", "", id="columns by a pattern"),
        pytest.param("half > 0.25 OR wide > 1e30 OR vector[2] > 2", "bc", id="types DuckDB cannot read"),
        pytest.param("seen::DATE = '1970-01-02' -- in UTC", "c", id="dates, and a comment"),
        pytest.param("current_setting('TimeZone') = 'UTC'", "abc", id="the same hours everywhere"),
        pytest.param("width IN (SELECT unnest([20, 30]))", "b", id="a subquery"),
    ],
)
def test_holds(text, holds):
    """A condition is true of exactly these rows."""
    with Condition(text, SCHEMA) as condition:
        assert "".join(ROWS["uid"].filter(pa.array(condition.holds(ROWS))).to_pylist()) == holds


def test_only_what_is_named_is_asked_for():
    """The columns of a condition are those in its text; all, where these cannot be told."""
    for text, names in [("width > 3", ["width"]), ("COLUMNS('w.*') > 3 ", SCHEMA.names), ("true", ["uid"])]:
        with Condition(text, SCHEMA) as condition:
            assert condition.schema.names == names


def test_order_is_kept():
    """Of many rows, each is told of itself."""
    many = pa.RecordBatch.from_arrays([pa.array(range(300_000))], names=["number"])
    with Condition("number % 3 = 0", many.schema) as condition:
        assert condition.holds(many).tolist() == [number % 3 == 0 for number in range(300_000)]


def test_a_column_that_is_missing_is_null():
    """A batch may lack a column or have it in another case and type."""
    batch = pa.RecordBatch.from_pydict({"Width": pa.array([5, 50], pa.int8())})
    with Condition("width > 10 AND similarity IS NULL", SCHEMA) as condition:
        assert condition.holds(batch).tolist() == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("nonsense > 3", 'column "nonsense" not found', id="no such column"),
        pytest.param("width >", "syntax error", id="not SQL"),
        pytest.param("", "without", id="empty"),
        pytest.param("width > 1) UNION SELECT (1", "syntax error", id="more than a condition"),
        pytest.param("width = 1; DROP TABLE x", "Parser Error", id="two statements"),
        pytest.param("format > 3", "explicit cast", id="incomparable"),
        pytest.param("width > avg(width)", "aggregates", id="an aggregate"),
        pytest.param("row_number() OVER () < 3", "window functions", id="a window"),
        pytest.param("(SELECT content FROM read_text('/etc/hostname')) = ''", "disabled", id="files"),
        pytest.param("(SELECT count(*) FROM ROWS) > 0", "does not exist", id="variables of the process"),
    ],
)
def test_what_is_no_condition(text, words):
    """It is refused in DuckDB's words, with the columns there are."""
    with pytest.raises(UsageError, match=r"The columns are: uid, width") as raised, Condition(text, SCHEMA):
        pass
    assert words in str(raised.value)
    assert re.search(r"[.!?] The columns are: ", str(raised.value))
    assert "LINE" not in str(raised.value)
    assert "_row" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "near"), [("simlarity > 3", "similarity"), ("Widht > 3", "width"), ("zz > 3", "")]
)
def test_a_column_of_nearly_this_name_is_proposed(text, near):
    """In whatever case it was written; none where none is near."""
    with pytest.raises(UsageError, match="The columns are") as raised, Condition(text, SCHEMA):
        pass
    assert (f"Did you mean {near}? The columns" in str(raised.value)) == bool(near)
    assert ("Did you mean" in str(raised.value)) == bool(near)


def test_what_fails_on_a_value():
    """A value that the condition cannot take is the user's to mend, too."""
    with (
        Condition("format::INT > 3", SCHEMA) as condition,
        pytest.raises(UsageError, match=r"jpeg.*columns are"),
    ):
        condition.holds(ROWS)


def test_text_that_holds_numbers_is_compared_as_numbers():
    """A column of a CSV list is text: where a condition takes it for numbers, so is it read, and the rest is NULL."""
    schema = pa.schema([("score", pa.string()), ("name", pa.string())])
    batch = pa.record_batch([["0.5", " 10", "-1e1", "none", None], ["a", "b", "c", "d", "e"]], schema=schema)
    with Condition("score > 0.28 AND name <> 'b'", schema) as where:
        assert where.holds(batch).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("text", ["random() < 0.5", "width > 100 OR UUID () = ''", "width > nextval('a')"])
def test_what_is_not_the_same_each_time_is_refused(text):
    """Decisions can be repeated."""
    with pytest.raises(UsageError, match="another value each time"):
        Condition(text, pa.schema([("width", pa.int32())]))
