"""One host's pace: what it bears is found out, asked for waits are kept, and the dead are given up soon."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.pace import Manners, Outcome, Pace, outcome_of
from crawler.records import Failed, Link, Moved
from curator.reasons import Reason

GOOD, ODD, BUSY, PUSHED, LOST, NONE = Outcome
MANNERS = Manners(per_host=32, max_wait=100.0, backoff=2.0)


def paced(*outcomes: Outcome, manners: Manners = MANNERS, asked: float | None = None) -> Pace:
    """A host after these, one second each, with its slots in use; each begins when the last has ended."""
    pace = Pace(manners)
    for second, outcome in enumerate(outcomes):
        pace.ended(outcome, second, second + 1, pace.slots, asked)
    return pace


def test_a_host_begins_small_and_grows_to_its_bound():
    """Four at a time first, one more for each good answer, and never more than --per-host."""
    assert [paced(*[GOOD] * n).slots for n in (0, 1, 2, 28, 29, 500)] == [4, 5, 6, 32, 32, 32]
    assert paced(manners=Manners(per_host=3)).slots == 3
    assert paced(*[GOOD] * 1000, manners=Manners(per_host=0)).slots == 1004


def test_a_bound_that_is_not_used_does_not_grow():
    """Good answers one at a time show nothing of what a host bears at once."""
    pace = Pace(MANNERS)
    for second in range(100):
        pace.ended(GOOD, second, second + 1, 1, None)
    assert pace.slots == 4


@pytest.mark.parametrize("bad", [PUSHED, BUSY, LOST])
def test_failures_of_one_round_halve_once(bad):
    """What was under way together counts once; what is begun later halves again."""
    pace = paced(*[GOOD] * 28)
    for _ in range(16):
        pace.ended(bad, 27.5, 28.0, 32, None)
    assert pace.slots == 16
    pace.ended(bad, 28.0, 29.0, 16, None)
    assert pace.slots == 8


def test_it_grows_again_quickly_to_what_was_borne_and_slowly_beyond():
    """After a halving from 32: one each up to 24, then one for each full round."""
    pace = paced(*[GOOD] * 28, BUSY)
    assert pace.slots == 16
    for _ in range(8):
        pace.ended(GOOD, 30, 31, pace.slots, None)
    assert pace.slots == 24
    for _ in range(24):
        pace.ended(GOOD, 30, 31, pace.slots, None)
    assert pace.slots == 24
    pace.ended(GOOD, 30, 31, pace.slots, None)
    pace.ended(GOOD, 30, 31, pace.slots, None)
    assert pace.slots == 25


def test_a_limit_that_was_named_is_tried_again_rarely():
    """After a 429 at 10: quickly back to 9, for eight full rounds no more, and after another for sixteen."""
    pace = paced(*[GOOD] * 6, PUSHED)
    assert pace.slots == 5
    for _ in range(4):
        pace.ended(GOOD, 30, 31, pace.slots, None)
    assert pace.slots == 9
    answers = []
    for _ in range(2):
        answers.append(0)
        while pace.slots < 10:
            pace.ended(GOOD, 50, 51, pace.slots, None)
            answers[-1] += 1
        pace.ended(PUSHED, 50, 50, pace.slots, None)
        while pace.slots < 9:
            pace.ended(GOOD, 50, 51, pace.slots, None)
    assert 8 * 9 <= answers[0] <= 8 * 10
    assert 16 * 9 <= answers[1] <= 16 * 10


@pytest.mark.parametrize(("asked", "waited"), [(7.0, 7.0), (0.0, 0.0), (1e9, 100.0), (float("inf"), 100.0)])
def test_a_wait_that_is_asked_for_is_kept(asked, waited):
    """Retry-After moves the whole line, up to `max_wait`; one of a straggler counts, too."""
    pace = paced(GOOD, PUSHED, asked=asked)
    assert pace.free_at == 2.0 + waited
    pace.ended(PUSHED, 0.0, 3.0, 1, asked)
    assert pace.free_at == max(2.0 + waited, 3.0 + waited)


@pytest.mark.parametrize(
    ("outcomes", "waits"),
    [
        pytest.param((GOOD, LOST), [0, 0], id="one odd silence delays nothing"),
        pytest.param(
            (GOOD, LOST, LOST, LOST, LOST), [0, 0, 2, 4, 8], id="silence in a row, of one that answered"
        ),
        pytest.param((GOOD, LOST, LOST, ODD, LOST), [0, 0, 2, 0, 0], id="any answer ends the row"),
        pytest.param((LOST, LOST), [2, 4], id="silence of one that never answered"),
        pytest.param((GOOD, PUSHED, PUSHED), [0, 2, 4], id="too much, without saying until when"),
        pytest.param((GOOD, BUSY, BUSY, BUSY), [0, 0, 2, 4], id="one odd 503 delays nothing"),
    ],
)
def test_own_waits(outcomes, waits):
    """Where a host says no time, bad rounds in a row wait ever longer."""
    pace, found = Pace(MANNERS), []
    for second, outcome in enumerate(outcomes):
        now = second * 1000.0 + 1
        pace.ended(outcome, now - 1, now, 1, None)
        found.append(max(0.0, pace.free_at - now))
    assert found == waits


def test_a_delay_lies_between_starts():
    """--delay, or what the host asks for if that is longer, moves the line with every start."""
    pace = Pace(Manners(delay=3.0, max_wait=100.0))
    pace.began(10.0)
    assert pace.free_at == 13.0
    pace.keep_gap(20.0, 10.0)
    assert pace.free_at == 30.0
    pace.began(31.0)
    assert pace.free_at == 51.0
    pace.keep_gap(1e9, 31.0)
    assert pace.free_at == 131.0
    pace.keep_gap(1.0, 131.0)
    pace.began(131.0)
    assert pace.free_at == 134.0


@pytest.mark.parametrize(
    ("outcomes", "down"),
    [
        pytest.param([LOST] * 3, False, id="three requests"),
        pytest.param([LOST] * 4, True, id="four, and never an answer"),
        pytest.param([ODD] + [LOST] * 4, False, id="it has answered before: four rounds"),
        pytest.param([ODD] + [LOST] * 5, True, id="five rounds"),
        pytest.param([ODD] + [LOST, LOST, LOST, LOST, ODD] * 9, False, id="an answer in between"),
        pytest.param([PUSHED] * 7, False, id="seven rounds of not now"),
        pytest.param([PUSHED] * 8, True, id="eight"),
        pytest.param([NONE] * 99, False, id="never asked"),
    ],
)
def test_when_a_host_is_given_up(outcomes, down):
    """After repeated silence with no answer in between; one that never answered sooner."""
    assert bool(paced(*outcomes).down_until) == down


def test_one_hiccup_gives_up_nobody():
    """However many requests are lost together, they are one round, also of a host that is new."""
    new = Pace(MANNERS)
    assert not any(new.ended(LOST, 0.0, 5.0, 4, None) for _ in range(4))
    assert new.ended(LOST, 7.0, 12.0, 2, None)
    known = paced(*[GOOD] * 28)
    assert not any(known.ended(LOST, 27.5, 28.0, 32, None) for _ in range(32))


def test_a_trial_now_and_then():
    """A host given up for 30 s gets one request then; silence doubles the time, any answer ends it."""
    pace = paced(*[LOST] * 4)
    assert pace.down_until == 4 + 30
    assert not pace.ended(LOST, 3.0, 5.0, 2, None)  # begun before
    assert pace.down_until == 4 + 30
    assert pace.slots == 1
    assert pace.ended(LOST, 40.0, 50.0, 1, None)
    assert pace.down_until == 50 + 60
    pace.ended(GOOD, 120.0, 121.0, 1, None)
    assert pace.down_until == 0.0
    assert pace.slots >= 4


@given(
    st.lists(st.tuples(st.sampled_from(Outcome), st.floats(0, 50), st.floats(0, 50), st.floats(0, 1e12))),
    st.integers(1, 40),
)
def test_bounds_hold_whatever_comes(ends, per_host):
    """Slots stay between one and --per-host, and no wait is longer than `max_wait`."""
    pace, now = Pace(Manners(per_host=per_host, max_wait=100.0)), 0.0
    for outcome, began, later, asked in ends:
        now += later
        pace.ended(outcome, max(0.0, now - began), now, pace.slots, asked)
        assert 1 <= pace.slots <= per_host
        assert pace.free_at <= now + 100.0


@pytest.mark.parametrize(
    ("reason", "status", "outcome"),
    [
        (Reason.HTTP_404, 404, GOOD),
        (Reason.NOT_AN_IMAGE, 200, GOOD),
        (Reason.HTTP_5XX, 500, ODD),
        (Reason.HTTP_5XX, 503, BUSY),
        (Reason.HTTP_429, 429, PUSHED),
        (Reason.TIMEOUT, 408, BUSY),
        (Reason.TIMEOUT, 0, LOST),
        (Reason.STALLED, 200, LOST),
        (Reason.CONNECT, 0, LOST),
        (Reason.DNS, 0, LOST),
        (Reason.TRUNCATED, 200, ODD),
        (Reason.BAD_URL, 0, NONE),
        (Reason.NO_SUCH_HOST, 0, NONE),
        (Reason.FORBIDDEN_ADDRESS, 0, NONE),
    ],
)
def test_what_an_end_says_of_its_host(reason, status, outcome):
    """Every failure is an answer, a push, silence, or nothing at all."""
    assert outcome_of(Failed(Link(b"", 1, "", ""), reason, http_status=status)) is outcome


def test_a_redirect_is_a_good_answer():
    """Whatever becomes of it elsewhere, which is told of that host."""
    link = Link(b"", 1, "http://a.example/1", "a.example")
    assert outcome_of(Moved(link, link)) is GOOD
