"""Whom survivors stand for: long lists are bounded, everything else is told."""

import numpy as np
import pyarrow as pa

from curator.census import take
from curator.reasons import Reason
from curator.settings import Settings
from curator.standing import TEXT, stand_for
from curator.verdicts import Verdicts
from tests.censuses import Held


def stood(captions, leader):
    """What each row stands for: the numbers of uids, and the captions."""
    source = Held([{"captions": own} for own in captions])
    census = take([source], [], Settings())
    rows = np.arange(len(captions))
    kept = np.array(leader) == rows
    reason = np.where(kept, Reason.SAVED.code, Reason.NEAR_DUPLICATE.code).astype(np.uint8)
    verdicts = Verdicts(
        reason, np.array(leader), np.zeros(len(rows), np.int16), np.zeros(len(rows), np.bool_)
    )
    uids, _, told = stand_for([source], census, verdicts, {}).lists(slice(0, len(rows)))
    return [len(one) for one in uids.to_pylist()], told.to_pylist()


def test_captions_of_all_that_a_survivor_stands_for():
    """In the order of the rows, those without any left away; who stands for nobody has an empty list."""
    counts, told = stood([["own"], ["a", "b"], None, ["c"], ["d"]], [0, 0, 0, 3, 0])
    assert counts == [3, 0, 0, 0, 0]
    assert told == [["a", "b", "d"], [], [], [], []]


def test_captions_without_end_are_bounded():
    """Of more text than a row should repeat the first captions are told, and every uid."""
    long = "x" * (TEXT // 2)
    counts, told = stood([None, [long], [long], ["too much"], None, ["short"]], [0, 0, 0, 0, 4, 4])
    assert counts == [3, 0, 0, 0, 1, 0]
    assert told == [[long, long], [], [], [], ["short"], []]
    assert pa.array(told).type == pa.list_(pa.string())
