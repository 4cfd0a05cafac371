"""The text of a row, in the ledger and beside its image."""

import json
import math

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from curator.dataset.records import Image
from curator.dataset.rows import Columns, Listed, sample_row, texts
from curator.records import Undecoded
from tests.pictures import measures

COLUMNS = Columns(
    pa.schema(
        [
            ("caption", pa.string()),
            ("50%s \u00e9", pa.float64()),
            ("n", pa.int64()),
            ("tags", pa.list_(pa.string())),
        ]
    )
)
COMPACT = {"separators": (",", ":")}
NULLS = {"caption": "", "50%s \u00e9": 0.0, "n": 0, "tags": [], "low_information": False}


def row_of(values, known):
    """A row with these values of the list's columns."""
    listed = Listed("http://x/%s", 7, None if values is None else json.dumps(values), ["%d \u00fc\n"])
    image = Image((b"x",), 1, known, "http://x/%s", 200, "image/\u00e9", '"e"')
    return sample_row("000000001", bytes(16), 1, listed, image, COLUMNS, 512)


VALUES = st.none() | st.tuples(
    st.none() | st.text(),
    st.none() | st.floats(),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.lists(st.text()),
)


@given(VALUES, st.sampled_from([Undecoded(1, "0" * 64), measures()]))
def test_a_row_is_written_as_json_writes_it(values, known):
    """To the byte; its sidecar the same but for nulls, and for what JSON cannot say, which is 0 there."""
    row = row_of(values, known)
    kept, sidecar = texts(row, COLUMNS)
    assert kept == json.dumps(row, **COMPACT)
    numbers = ("width", "height", "original_width", "original_height")
    measured = {"sharpness": 0.0, "brightness": 0.0, "contrast": 0.0, "entropy": 0.0}
    empty = NULLS | measured | dict.fromkeys(numbers, 0)
    said = {name: empty.get(name, "") if value is None else value for name, value in row.items()}
    said = {
        name: 0.0 if value != value or value in (math.inf, -math.inf) else value
        for name, value in said.items()
    }
    assert sidecar == json.dumps(said, **COMPACT).encode()
