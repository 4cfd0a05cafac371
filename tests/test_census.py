"""Taking the census of sources held in memory."""

import math
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from curator.census import take
from curator.errors import CorruptDataset, UsageError
from curator.reasons import Reason
from curator.settings import Settings
from tests.censuses import Held

PLAIN = Settings()


def test_rows_of_all_sources_one_after_the_other():
    """Ours come first, in the order of the sources and of their rows, whatever their batches; then others'."""
    lengths = (5, 3, 0, 4)
    first, second, empty, third = (
        Held([{"width": 10 * number + at} for at in range(length)], batch=2)
        for number, length in enumerate(lengths)
    )
    census = take([first, second, empty], [third], PLAIN)
    assert census.starts.tolist() == [0, 5, 8, 8, 12]
    assert census.ours == 8
    assert census.width.tolist() == [0, 1, 2, 3, 4, 10, 11, 12, 30, 31, 32, 33]
    assert census.uid[:, 15].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 3]


def test_what_is_taken():
    """Digests, numbers and flags are those of the rows."""
    row = {"width": 7, "height": 8, "bytes": 2**40, "low_information": True}
    row |= {"uid": "0123456789abcdef" * 2, "sha256": "fedcba9876543210" * 4}
    row |= {"phash": "8000000000000001", "phash_mirror": "00ff00ff00ff00ff"}
    census = take([Held([row])], [], PLAIN)
    assert census.uid.tobytes().hex() == row["uid"]
    assert census.sha256.tobytes().hex() == row["sha256"]
    assert (census.phash[0], census.mirror[0]) == (0x8000000000000001, 0x00FF00FF00FF00FF)
    assert (census.width[0], census.height[0], census.bytes[0]) == (7, 8, 2**40)
    assert census.low_information[0]
    assert census.wanted[0]
    assert census.unmeasured[0] == 0
    assert census.keep is None


def test_what_could_not_be_measured():
    """Its Reason is told by its code, its measures are nothing."""
    census = take(
        [Held([{"unmeasured": "undecodable", "sha256": None}, {}, {"unmeasured": "unreadable"}])], [], PLAIN
    )
    assert census.unmeasured.tolist() == [Reason.UNDECODABLE.code, 0, Reason.UNREADABLE.code]
    assert census.width.tolist() == [0, 640, 0]
    assert not census.phash[[0, 2]].any()


def test_where():
    """A condition is asked of each row of ours; a source without the column has NULL there; others are all wanted."""
    rated = Held([{"score": 0.1}, {"score": 0.9}, {"score": None}], {"score": pa.float64()}, batch=1)
    shouting = Held([{"SCORE": 3}], {"SCORE": pa.int8()})
    census = take([rated, Held([{}]), shouting], [Held([{}])], Settings(where="score > 0.5"))
    assert census.wanted.tolist() == [False, True, False, False, True, True]


def test_only_what_is_needed_is_read():
    """Beside what always decides, a source is asked for the columns that a condition and an order name."""
    source = Held([{}], {"score": pa.float64(), "note": pa.string()})
    take([source], [], PLAIN)
    take([source], [], Settings(where="entropy > 1", keep="score"))
    always, asked = source.asked
    assert {"score", "note", "entropy", "url", "captions", "exif", "path"}.isdisjoint(always)
    assert set(asked) == {*always, "score", "entropy"}


@pytest.mark.parametrize(
    ("keep", "kind", "values", "compared"),
    [
        pytest.param("score", pa.int64(), [3, None, -1], [3, math.nan, -1], id="integers"),
        pytest.param(
            "-SCORE", pa.float32(), [0.5, None, -1], [-0.5, math.nan, 1], id="the least, in any case"
        ),
        pytest.param("score", pa.bool_(), [True, False, None], [1, 0, math.nan], id="truths"),
        pytest.param(
            "score",
            pa.timestamp("us", "UTC"),
            [datetime(1970, 1, 2, tzinfo=UTC), None],
            [8.64e10, math.nan],
            id="times",
        ),
        pytest.param("score", pa.date32(), [5], [5], id="dates"),
        pytest.param(
            "score", pa.string(), [" 3", "-1e1", "x", "", None], [3, -10, *[math.nan] * 3], id="text"
        ),
        pytest.param("-score", pa.duration("s"), [timedelta(1)], [-86400], id="durations"),
    ],
)
def test_keep(keep, kind, values, compared):
    """What is to be kept becomes a number of which more is better, NaN where there is none."""
    source = Held([{"score": value} for value in values], {"score": kind})
    census = take([source], [Held([{}])], Settings(keep=keep))
    assert census.keep.tolist() == pytest.approx([*compared, math.nan], nan_ok=True)


def test_keep_prefers_the_name_as_it_is():
    """A column whose name begins with a minus can be named."""
    source = Held([{"-score": 3, "score": 5}], {"-score": pa.int8(), "score": pa.int8()})
    assert take([source], [], Settings(keep="-score")).keep.tolist() == [3]


@pytest.mark.parametrize(
    ("keep", "words"),
    [("taste", "no such column"), ("-captions", "only numbers"), ("note", "no value .* is a number")],
)
def test_what_cannot_be_kept_by(keep, words):
    """A column that is not there or holds no numbers is refused, with those that there are."""
    with pytest.raises(UsageError, match=rf"--keep {keep}: .*{words}.*width, height"):
        take([Held([{"note": "fine"}], {"note": pa.string()})], [], Settings(keep=keep))


@pytest.mark.parametrize("digest", ["ab", "zz" * 32, None])
def test_a_damaged_digest(digest):
    """An image that was measured and has none, or what is no digest, names the source."""
    with pytest.raises(CorruptDataset, match="/pictures/held"):
        take([Held([{"sha256": digest}])], [], PLAIN)
