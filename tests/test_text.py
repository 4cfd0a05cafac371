"""What comes from the web is harmless on a terminal, and numbers read well."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from curator.text import aligned, duration, harmless, json_line, rate, share, size
from curator.units import counted

HOSTILE = st.text(
    st.one_of(
        st.characters(codec=None),
        st.characters(max_codepoint=0x9F),
        st.sampled_from("\x1b\x07\x7f\x9b\n\r\t\u061c\u200e\u200f\u202a\u202e\u2028\u2066\u2069\ufeff\ud800"),
    )
)


@given(HOSTILE, st.integers(1, 60))
def test_nothing_a_terminal_acts_on_comes_out(text, limit):
    """No control, format character, surrogate or line separator survives, and the limit holds."""
    out = harmless(text, limit)
    assert len(out) <= limit
    assert not [c for c in out if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), max_size=50))
def test_ordinary_text_is_left_alone(text):
    """Letters, digits, marks and symbols of any script pass unchanged."""
    assert harmless(text) == text


def test_what_was_taken_out_can_still_be_seen():
    """An escape sequence is spelled out, not dropped: whoever sent it is found out."""
    assert harmless("a\x1b[31mb\u202ec\n") == r"a\x1b[31mb\u202ec\n"


def test_a_long_text_is_cut_where_it_shows():
    """What is cut off ends in an ellipsis; what just fits does not."""
    assert harmless("abcdef", 5) == "abcd…"
    assert harmless("abcde", 5) == "abcde"


@given(HOSTILE)
def test_json_keeps_meaning_without_control_characters(text):
    """A JSON line reads back to the same text and is printable ASCII in itself."""
    line = json_line({"url": text})
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["url"] == text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "unknown"),
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (7860, "2 h 11 min"),
        (86_400 * 3 + 3600 * 4, "3 d 4 h"),
    ],
)
def test_durations(seconds, words):
    """A duration shows its two largest units."""
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 30, "1.0 GiB"), ((1 << 30) - 1, "1.0 GiB")],
)
def test_sizes(count, words):
    """Bytes are told in the unit that keeps the number below 1,024."""
    assert size(count) == words


def test_rates_and_shares():
    """Rates keep a decimal below a hundred; a share of nothing is no number."""
    assert [rate(x) for x in (None, 0.0, 8.26, 99.94, 99.96, 1203.7)] == [
        "-",
        "0.0",
        "8.3",
        "99.9",
        "100",
        "1,204",
    ]
    assert [share(1, 8), share(0, 0)] == ["12.5 %", "-"]


def test_columns_are_as_wide_as_what_they_hold():
    """Cells stand below each other, wide characters counted as two, and nothing trails."""
    rows = [[Text("a"), Text("1"), Text("x")], [Text("絵"), Text("100"), Text("")]]
    assert [line.plain for line in aligned(rows, right=(1,))] == ["a     1  x", "絵  100"]
    assert list(aligned([])) == []


def test_numbers_of_things():
    """One is singular, all others are not."""
    assert [counted(n, "row") for n in (0, 1, 2600)] == ["0 rows", "1 row", "2,600 rows"]
