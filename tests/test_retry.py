"""Retries: transient only, spread, capped, and the server's own wish."""

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.retry import RetryPolicy, next_delay, parse_retry_after
from curator.reasons import TRANSIENT, Reason

POLICY = RetryPolicy(attempts=4, base=2.0, cap=30.0, max_wait=100.0)


@pytest.mark.parametrize("reason", sorted(set(Reason) - TRANSIENT))
def test_lasting_verdicts_stand(reason):
    """Nothing but a transient Reason is tried again, whatever the server says."""
    assert next_delay(reason, 1, 5.0, POLICY, 0.5) is None


@pytest.mark.parametrize("reason", sorted(TRANSIENT))
def test_transient_ones_double_their_wait(reason):
    """At the middle of the dice the waits are base, 2 x base, 4 x base; then the attempts are used up."""
    assert [next_delay(reason, tries, None, POLICY, 0.5) for tries in (1, 2, 3, 4)] == [2.0, 4.0, 8.0, None]


@pytest.mark.parametrize(
    ("tries", "retry_after", "roll", "delay"),
    [
        pytest.param(1, None, 0.0, 1.0, id="half at the least"),
        pytest.param(1, None, 0.999, 2.998, id="half more at most"),
        pytest.param(1, 20.0, 0.5, 20.0, id="the server asks for more"),
        pytest.param(3, 1.0, 0.5, 8.0, id="the server asks for less"),
        pytest.param(1, 1e9, 0.5, 100.0, id="the server asks for too much"),
        pytest.param(1, float("inf"), 0.5, 100.0, id="the server asks for ever"),
    ],
)
def test_waits(tries, retry_after, roll, delay):
    """Jitter is half either way; Retry-After only lengthens, and up to its cap."""
    assert next_delay(Reason.HTTP_429, tries, retry_after, POLICY, roll) == pytest.approx(delay)


@given(st.integers(1, 10**6), st.one_of(st.none(), st.floats(0, allow_nan=False)), st.floats(0, 1))
def test_no_wait_exceeds_its_caps(tries, retry_after, roll):
    """Whatever the numbers, a wait is positive and within the larger cap."""
    policy = RetryPolicy(attempts=10**7)
    delay = next_delay(Reason.DNS, tries, retry_after, policy, roll)
    assert delay is not None
    assert 0 < delay <= max(policy.cap, policy.max_wait)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        (formatdate(1_000_030, usegmt=True), 30.0),
        (formatdate(999_000, usegmt=True), 0.0),
        ("Mon, 12 Jan 1970 13:47:10 -0000", 30.0),
        ("9" * 5000, float("inf")),
        (None, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("\u0663", None),
        ("soon", None),
        ("Mon, 99 Jan 1970 13:47:10 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header, seconds):
    """Both forms of RFC 9110 are read, anything else says nothing."""
    assert parse_retry_after(header, now=1_000_000.0) == seconds


@given(st.one_of(st.text(), st.from_regex(r"\w{3}, \d{1,3} Jan \d{1,5} \d\d:\d\d:\d\d [+-]\d{4}")))
def test_no_header_raises(header):
    """A hostile header is no seconds at all or seconds from now on."""
    seconds = parse_retry_after(header, now=1e9)
    assert seconds is None or seconds >= 0
