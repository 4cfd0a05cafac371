"""What a person said of pairs: reading it, and what follows from it."""

import pytest

from curator.by_hand import Said, obey, read
from curator.errors import UsageError
from tests.censuses import digest

A, B, C, D = (f"{number:032x}" for number in (1, 2, 3, 4))


def file(tmp_path, *lines, header="uid_a,uid_b,verdict"):
    """A pairs.csv of these lines."""
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join([header, *lines]))
    return path


def test_pairs_are_read(tmp_path):
    """Each pair once, the lesser uid first; blank lines, spaces, a byte order mark and capitals do no harm."""
    path = file(
        tmp_path,
        f"{A},{B},a",
        "",
        f" {C}, {B} ,a",
        f"{B},{A},b",
        f"{D.upper()},{A},both",
        header="\ufeffuid_a,uid_b,verdict",
    )
    assert read(path) == [
        Said(digest(1, 16), digest(2, 16), "a", 2),
        Said(digest(2, 16), digest(3, 16), "b", 4),
        Said(digest(1, 16), digest(4, 16), "both", 6),
    ]


def test_no_pairs(tmp_path):
    """A file in which nothing is said says nothing."""
    assert read(file(tmp_path)) == []


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        pytest.param([f"{A},{B},a", f"{A},{B}"], "line 3", id="a field missing"),
        pytest.param([f"{A},{B},a,x"], "line 2", id="a field too many"),
        pytest.param([f"{A},{B},A"], "line 2", id="an unknown verdict"),
        pytest.param([f"{A},{B[:-1]},a"], "line 2", id="a short uid"),
        pytest.param([f"{A},{B[:-1]}g,a"], "line 2", id="no hex digit"),
        pytest.param([f"{A},{A},both"], "line 2", id="one image twice"),
        pytest.param([f"{A},{B},a", f"{B},{A},a"], "lines 2 and 3", id="two verdicts"),
        pytest.param(
            [f"{A},{B},a", f"{B},{C},both", f"{A},{C},neither"],
            "line 2 keeps .*line 4 drops",
            id="kept, dropped",
        ),
        pytest.param(
            [f"{A},{B},a", f"{D},{C},a", f"{B},{C},a", f"{C},{A},a"], "lines 2, 4, 5 drop each", id="a circle"
        ),
    ],
)
def test_what_is_malformed_or_contradicts_itself(tmp_path, lines, words):
    """The file and the line are named."""
    with pytest.raises(UsageError, match=rf"pairs\.csv: .*{words}"):
        read(file(tmp_path, *lines))


def test_what_is_no_csv(tmp_path):
    """A missing file, another header, other text, and a folder are the user's mistakes."""
    (tmp_path / "bytes").write_bytes(b"uid_a,uid_b,verdict\n\xff\n")
    for path in (tmp_path / "missing", file(tmp_path, header="a,b,c"), tmp_path / "bytes", tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            read(path)


def obeyed(*pairs, there="abcd", ours="abcd", several=None):
    """What follows for images named by letters, best first; the rows of each are its place, those of others last."""
    letters = [*[one for one in there if one in ours], *[one for one in there if one not in ours]]
    rows_of = {one.encode(): [row] for row, one in enumerate(letters)} | (several or {})
    place = {row: there.index(one) for row, one in enumerate(letters)}
    place |= {row: row for rows in rows_of.values() for row in rows if row not in place}
    said = [Said(one[0].encode(), one[1].encode(), one[3:], line) for line, one in enumerate(pairs, 2)]
    done = obey(said, rows_of, place, len(letters) - len(set(there) - set(ours)))
    names = dict(enumerate(letters))
    follows = {names[row]: names[leader] for row, leader in done.follows.items()}
    return [names[row] for row in done.excluded], follows, [names[x] + names[y] for x, y in done.different]


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        pytest.param(["ab neither"], (["a", "b"], {}, []), id="drop both"),
        pytest.param(["ab a"], ([], {"b": "a"}, []), id="keep the first"),
        pytest.param(["ab b"], ([], {"a": "b"}, []), id="keep the second"),
        pytest.param(["ab both"], ([], {}, ["ab"]), id="keep both"),
        pytest.param(["ab a", "bc a", "cd a"], ([], {"b": "a", "c": "a", "d": "a"}, []), id="a chain"),
        pytest.param(["bd a", "cd a"], ([], {"d": "b"}, []), id="two to follow: the better"),
        pytest.param(["ab b", "ac b", "bd b"], ([], {"a": "c", "b": "d"}, []), id="the better of two ends"),
        pytest.param(["bc neither", "ab a"], (["b", "c"], {}, []), id="who is dropped follows nobody"),
        pytest.param(["ab a", "bc both"], ([], {"b": "a"}, ["ac"]), id="as different as whom they follow"),
        pytest.param(["ab a", "ac a", "bc both"], ([], {"b": "a", "c": "a"}, []), id="both follow a third"),
    ],
)
def test_what_follows(pairs, expected):
    """From each verdict alone and from several."""
    assert obeyed(*pairs) == expected


def test_who_is_not_there_leads_nobody():
    """Who was preferred to is free where the other is gone, but a chain goes on through it."""
    assert obeyed("xb a") == ([], {}, [])
    assert obeyed("xb a", "ax a") == ([], {"b": "a"}, [])
    assert obeyed("ax both", "bx neither") == (["b"], {}, [])


def test_what_others_have_stays():
    """It is neither dropped nor made to follow; who was preferred to it is different from it; who is not follows it."""
    assert obeyed("ad a", ours="abc") == ([], {}, ["ad"])
    assert obeyed("ad b", ours="abc") == ([], {"a": "d"}, [])
    assert obeyed("ad neither", ours="abc") == (["a"], {}, [])
    assert obeyed("ad a", "bd b", ours="abc") == ([], {"b": "d"}, ["ad"])


def test_a_contradiction_in_steps():
    """Two images that are different and copies of each other by a third are refused, with the line."""
    with pytest.raises(UsageError, match="line 4"):
        obeyed("ab a", "bc a", "ac both")


def test_all_rows_of_a_uid():
    """Where several sources have an image, what is said is said of all its rows."""
    assert obeyed("ab a", there="abc", ours="abc", several={b"b": [1, 2]})[1] == {"b": "a", "c": "a"}
    in_both = obeyed("ab a", there="abc", ours="ab", several={b"b": [1, 2]})
    assert in_both == ([], {"b": "a"}, ["ac"])
