"""Grouping and finding digests."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.digests import from_hex
from curator.identical import Index, groups
from tests.censuses import digests

# that differ in the first eight bytes, in the last eight only, or in neither
NUMBERS = st.lists(st.sampled_from([at << shift for at in range(4) for shift in (0, 64, 120)]), max_size=30)


@given(NUMBERS, st.sampled_from([16, 32]))
def test_equal_digests_have_one_group(numbers, size):
    """Two have the same number exactly if they are equal; numbers are below how many there are."""
    group = groups(digests(numbers, size)).tolist()
    assert len(set(zip(numbers, group, strict=True))) == len(set(numbers)) == len(set(group))
    assert not group or max(group) < len(set(numbers))


@given(NUMBERS, NUMBERS)
def test_every_match_is_found(numbers, wanted):
    """Each of the wanted ones is found wherever it is, and nowhere else."""
    found = Index(digests(numbers, 16)).find(digests(wanted, 16))
    assert list(zip(found.wanted.tolist(), found.row.tolist(), strict=True)) == [
        (which, row) for which, one in enumerate(wanted) for row, other in enumerate(numbers) if one == other
    ]


@given(st.lists(st.none() | st.binary(min_size=8, max_size=8)), st.integers(0, 3))
def test_from_hex(values, start):
    """Hex digits become bytes, null becomes zeros, also in a slice of a longer column."""
    column = pa.array([None if value is None else value.hex() for value in values], pa.string())
    expected = [value or bytes(8) for value in values]
    assert [row.tobytes() for row in from_hex(column[start:], 8)] == expected[start:]


@pytest.mark.parametrize("text", ["", "0" * 15, "0" * 17, "0" * 15 + "g", "é" * 8])
def test_what_is_no_digest(text):
    """Digits that are none, too few or too many are refused."""
    with pytest.raises(ValueError, match="hex digits"):
        from_hex(pa.array(["0" * 16, text]), 8)
