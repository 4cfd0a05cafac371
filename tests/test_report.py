"""The last report: every reason, the rates, what to type next, and a forecast with an honest margin."""

import io
import json
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from crawler.forecast import forecast, wilson
from crawler.report import Ending, next_steps, render_report, report_as_dict
from crawler.text import json_line
from curator.reasons import Kind, Reason
from tests.snapshots import a_snapshot


def printed(snapshot, ending, width=120):
    """The report as plain text."""
    console = Console(file=io.StringIO(), width=width)
    render_report(snapshot, ending, console)
    return console.file.getvalue()


def test_every_reason_is_reported_with_count_and_share():
    """No reason is left out of the report, whatever its family, and zero counts are."""
    counts = {reason: reason.code for reason in Reason} | {Reason.BLOCKED: 0}
    text = printed(a_snapshot(counts=counts), Ending("data/", finished=True))
    for reason in Reason:
        assert (f" {reason.value} " in text) == (reason is not Reason.BLOCKED)
    assert "opted out" in text
    assert f"{100 * 10 / sum(counts.values()):.1f} %" in text


def test_the_report_says_how_much_how_fast_and_where():
    """The end of a run tells links, images, rates, bytes and the folder."""
    text = printed(a_snapshot(), Ending("data/", finished=True))
    for words in ("finished after 10 s", "400 of 1,000 links", "300 images saved", "28.6 MiB in data/"):
        assert words in text
    assert "40.0 URL/s, 30.0 images/s, 38.1 MiB received" in text


def commands(counts, pending=0, *, finished, retryable=None):
    """What is offered to type."""
    steps = next_steps("my data", counts, pending, finished=finished, retryable=retryable)
    return [step.command for step in steps]


CONTINUE, RETRY = "crawl 'my data'", "crawl 'my data' --retry transient"
FAILURES, CURATE = "crawl status 'my data' --by host", "curate verify 'my data'"


@pytest.mark.parametrize(
    ("counts", "options", "expected"),
    [
        ({Reason.SAVED: 1}, {"finished": True}, [CURATE]),
        ({Reason.SAVED: 1, Reason.TIMEOUT: 1}, {"finished": True}, [RETRY, FAILURES, CURATE]),
        ({Reason.SAVED: 1, Reason.TIMEOUT: 1}, {"finished": True, "retryable": 0}, [FAILURES, CURATE]),
        ({Reason.HTTP_404: 1}, {"finished": True}, [FAILURES]),
        ({Reason.TIMEOUT: 1}, {"finished": False, "pending": 5}, [CONTINUE, FAILURES]),
        ({}, {"finished": False}, [CONTINUE]),
    ],
)
def test_what_to_type_next(counts, options, expected):
    """Continue what was interrupted, retry what may pass, look at what failed, curate what was saved."""
    assert commands(counts, **options) == expected


def test_the_dict_is_the_report():
    """The JSON report reads back, and its families add up to what was decided."""
    report = json.loads(
        json_line(report_as_dict(a_snapshot(), Ending("data/", finished=False, stopped_by="x")))
    )
    assert sum(report["kinds"].values()) == report["decided"] == 400
    assert report["kinds"][Kind.TRANSIENT] == 20
    assert report["next"][0]["command"] == "crawl data/"
    assert report["forecast"] is None


def test_a_hostile_folder_and_host_do_not_reach_the_terminal():
    """Control characters in a folder's or a host's name are spelled out."""
    whole = forecast(1000, 300, 400, 1, 1, 10.0, {"evil\x1b[2J.example": 9.0})
    text = printed(a_snapshot(), Ending("da\x1bta", finished=True, forecast=whole))
    assert not [c for c in text if c < " " and c != "\n"]


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_wilson_interval_holds_the_share(a, b):
    """The share lies in its interval, the interval in [0, 1], and both shares mirror each other."""
    successes, trials = min(a, b), max(a, b)
    low, high = wilson(successes, trials)
    assert 0.0 <= low <= high <= 1.0
    assert trials == 0 or low <= successes / trials <= high
    mirrored = wilson(trials - successes, trials)
    assert (1 - high, 1 - low) == pytest.approx(mirrored, abs=1e-12)


def test_the_wilson_interval_is_the_known_one():
    """The published example: 81 of 263 gives 0.2553 to 0.3662."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_the_margin_is_right_19_times_in_20():
    """Of 400 samples of 200 drawn with a share of 0.9, about 95 % hold the share in their margin."""
    dice = random.Random(7)
    held = 0
    for _ in range(400):
        low, high = wilson(sum(dice.random() < 0.9 for _ in range(200)), 200)
        held += low <= 0.9 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_a_forecast_scales_the_sample():
    """Bytes, seconds and hosts grow with the list; the slowest hosts come first."""
    whole = forecast(10_000, 80, 100, 5_000, 7_000, 60.0, {"a": 1.0, "b": 30.0})
    assert (whole.share, whole.stored_bytes, whole.received_bytes) == (0.8, 500_000, 700_000)
    assert math.isclose(whole.seconds, 6000)
    assert [name for name, _ in whole.slowest] == ["b", "a"]
    text = printed(a_snapshot(), Ending("data/", finished=True, forecast=whole))
    assert "saved 80.0% (95 % sure: 71.1% to 86.7%), 7,112 to 8,666 images" in text
    assert "1 h 40 min" in text
    assert "crawl the whole list" in text


def test_no_forecast_from_nothing():
    """A sample of which nothing was decided promises nothing."""
    text = printed(a_snapshot(), Ending("data/", finished=False, forecast=forecast(1000, 0, 0, 0, 0, 3.0)))
    assert "No forecast" in text
