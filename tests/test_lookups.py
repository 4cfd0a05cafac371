"""How long the DNS's answers are kept: a table, and the bound."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.lookups import Answer, AnswerCache, LookupCounts
from crawler.retry import RetryPolicy, next_delay
from curator.reasons import Reason

FOUND = Answer(("192.0.2.1",), ttl=600)
MISSING = Answer(error="no such name", missing=True)
FAILED = Answer(error="no answer")


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        pytest.param(Answer(("192.0.2.1",), ttl=600), 600, id="as long as it says"),
        pytest.param(Answer(("192.0.2.1",), ttl=0), 60, id="not to be kept"),
        pytest.param(Answer(("192.0.2.1",), ttl=86_400), 3600, id="a day"),
        pytest.param(MISSING, 300, id="no such name"),
        pytest.param(FAILED, 1, id="failed"),
    ],
)
def test_an_answer_is_kept_for_its_lifetime(answer, seconds):
    """Until then it is given out, from then on it is asked for anew."""
    cache = AnswerCache(10)
    cache.put("a", answer, now=1000.0)
    assert cache.get("a", 999.9 + seconds) is answer
    assert cache.get("a", 1000.0 + seconds) is None
    assert len(cache) == 0


@given(st.integers(1, 20), st.floats(0, 0.999))
def test_each_attempt_is_a_new_question(tries, roll):
    """A failed look-up is forgotten before a link that it cost an attempt is tried again."""
    wait = next_delay(Reason.DNS, tries, None, RetryPolicy(attempts=100), roll)
    assert wait is not None
    assert wait >= FAILED.lifetime


@given(st.lists(st.sampled_from("abcdefgh"), max_size=60), st.integers(1, 5))
def test_the_cache_is_bounded_and_forgets_the_least_used(names, most):
    """Never more than so many names: those last asked for."""
    cache = AnswerCache(most)
    for name in names:
        if cache.get(name, 0.0) is None:
            cache.put(name, FOUND, 0.0)
    last_used = list(dict.fromkeys(reversed(names)))[:most]
    assert len(cache) == len(last_used)
    assert all(cache.get(name, 1.0) is FOUND for name in last_used)


def test_look_ups_are_counted_by_what_they_brought():
    """Found, missing and failed add up to those ended."""
    counts = LookupCounts()
    for answer in (FOUND, FOUND, MISSING, FAILED):
        counts.count(answer, 0.5)
    assert (counts.found, counts.missing, counts.failed, counts.ended, counts.seconds) == (2, 1, 1, 4, 2.0)
