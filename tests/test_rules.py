"""Which measured images are refused."""

import pytest

from curator.reasons import Reason
from curator.rules import Rules, judge
from tests.pictures import measures

KEEPS = [
    pytest.param(1, 1, Rules(), id="no rules"),
    pytest.param(64, 900, Rules(min_side=64), id="side at the limit"),
    pytest.param(300, 100, Rules(max_aspect=3.0), id="aspect at the limit"),
    pytest.param(100, 300, Rules(max_aspect=3.0), id="aspect at the limit, upright"),
    pytest.param(50, 50, Rules(max_aspect=1.0), id="square"),
    pytest.param(9000, 1, Rules(max_aspect=0.0), id="0 lifts the aspect rule"),
]
DROPS = [
    pytest.param(63, 900, Rules(min_side=64), Reason.TOO_SMALL, id="narrow"),
    pytest.param(900, 63, Rules(min_side=64), Reason.TOO_SMALL, id="low"),
    pytest.param(301, 100, Rules(max_aspect=3.0), Reason.BAD_ASPECT, id="wide"),
    pytest.param(100, 301, Rules(max_aspect=3.0), Reason.BAD_ASPECT, id="tall"),
    pytest.param(
        900, 10, Rules(min_side=11, max_aspect=3.0), Reason.TOO_SMALL, id="both: size is told first"
    ),
]


@pytest.mark.parametrize(("width", "height", "rules"), KEEPS)
def test_keeps(width, height, rules):
    """An image within every limit, the limits included, is kept."""
    assert judge(measures(width=width, height=height), rules) is None


@pytest.mark.parametrize(("width", "height", "rules", "reason"), DROPS)
def test_drops(width, height, rules, reason):
    """An image beyond a limit is dropped for that Reason."""
    assert judge(measures(width=width, height=height), rules) is reason
