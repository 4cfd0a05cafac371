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
from crawler.report import Ending, Listed, listed_lines, next_steps, render_report, report_as_dict
from curator.reasons import Kind, Reason
from curator.text import json_line
from tests.snapshots import a_snapshot


def an_ending(root="data/", *, finished=True, retryable=0, **changes):
    """The end of a crawl of 1,000 rows that were 1,000 URLs."""
    listed = changes.pop("listed", Listed(rows=1000, bad=0, first_bad=(), settled=True))
    return Ending(root, finished, retryable, listed, **changes)


def printed(snapshot, ending, width=120):
    """The report as plain text."""
    console = Console(file=io.StringIO(), width=width)
    render_report(snapshot, ending, console)
    return console.file.getvalue()


def test_every_reason_is_reported_with_count_and_share():
    """No reason is left out of the report, whatever its family, and zero counts are."""
    counts = {reason: reason.code for reason in Reason} | {Reason.BLOCKED: 0}
    text = printed(a_snapshot(counts=counts), an_ending())
    for reason in Reason:
        assert (f" {reason.value} " in text) == (reason is not Reason.BLOCKED)
    assert "opted out" in text
    assert f"{100 * 10 / sum(counts.values()):.1f} %" in text


def test_the_report_says_how_much_how_fast_and_where():
    """The end of a run tells links, images, rates, bytes and the folder."""
    text = printed(a_snapshot(), an_ending())
    for words in ("finished after 10 s", "400 of 1,000 links", "300 images saved", "28.6 MiB in data/"):
        assert words in text
    assert "40.0 URL/s, 30.0 images/s, 38.1 MiB received" in text


def commands(counts, pending=0, *, finished=True, retryable=0):
    """What is offered to type."""
    steps = next_steps("my data", counts, pending, finished=finished, retryable=retryable)
    return [step.command for step in steps]


CONTINUE, RETRY = "crawl 'my data'", "crawl 'my data' --retry transient"
OPEN = "crawl 'my data' --allow-net CIDR --retry forbidden_address"
FAILURES, VERIFY = "crawl status 'my data' --by host", "curate verify 'my data'"
SPENT = {Reason.DNS: 1, Reason.CONNECT: 2}


@pytest.mark.parametrize(
    ("counts", "options", "expected"),
    [
        pytest.param({Reason.SAVED: 1}, {}, [VERIFY], id="all-saved"),
        pytest.param(
            {Reason.SAVED: 1, Reason.TIMEOUT: 1}, {"retryable": 1}, [RETRY, FAILURES, VERIFY], id="may-pass"
        ),
        pytest.param(SPENT, {"retryable": 1}, [RETRY, FAILURES], id="some-are-spent"),
        pytest.param(SPENT, {}, ["crawl 'my data' --retry connect,dns", FAILURES], id="all-are-spent"),
        pytest.param({Reason.HTTP_404: 1}, {}, [FAILURES], id="lasting"),
        pytest.param({Reason.FORBIDDEN_ADDRESS: 1}, {}, [OPEN, FAILURES], id="forbidden"),
        pytest.param({Reason.TOO_SMALL: 1, Reason.SAME_BYTES: 1}, {}, [], id="no-failures"),
        pytest.param(
            {Reason.TIMEOUT: 1, Reason.FORBIDDEN_ADDRESS: 1},
            {"finished": False, "pending": 5, "retryable": 1},
            [CONTINUE, FAILURES],
            id="interrupted",
        ),
        pytest.param({}, {"finished": False}, [CONTINUE], id="interrupted-at-once"),
        pytest.param(
            {Reason.TIMEOUT: 1}, {"pending": 5, "retryable": 1}, [CONTINUE, FAILURES], id="after-a-sample"
        ),
    ],
)
def test_what_to_type_next(counts, options, expected):
    """Continue or crawl the rest, retry what may pass, look at what failed, verify what was saved."""
    assert commands(counts, **options) == expected


@pytest.mark.parametrize(
    ("counts", "options", "why"),
    [
        (SPENT, {"retryable": 2}, "try again: 2 failures may have passed"),
        (SPENT, {"retryable": 1}, "try again: 1 failure may have passed"),
        (SPENT, {}, "3 failures tried five times or more each; to try once more"),
        ({Reason.FORBIDDEN_ADDRESS: 18}, {}, "18 URLs of a special address: if that network is yours"),
        ({}, {"pending": 2600}, "crawl the rest of the list: 2,600 links pending"),
        ({Reason.HTTP_404: 32, Reason.BAD_URL: 18}, {}, "see where the 50 failures are"),
    ],
)
def test_why_one_would(counts, options, why):
    """Each step says how many links it is about."""
    step = next_steps("data", counts, options.pop("pending", 0), finished=True, **{"retryable": 0} | options)[
        0
    ]
    assert step.why == why


@pytest.mark.parametrize("width", [20, 80])
def test_nothing_is_cut_or_broken(width):
    """Into a pipe or a narrow terminal every command and sentence goes whole, to be copied and searched."""
    root, host = "data/" + "x" * 300, "h" * 50 + ".example"
    whole = forecast(1000, 300, 400, 1, 1, 10.0, {host: 9.0})
    listed = Listed(1002, 2, ("latin.csv row 1: not UTF-8", "latin.csv row 7: no URL"), settled=True)
    counts = {Reason.SAVED: 300, Reason.CONNECT: 100}
    lines = printed(
        a_snapshot(counts=counts, pending=0), an_ending(root, forecast=whole, listed=listed), width
    ).splitlines()
    for line in (f"crawl {root}", f"crawl status {root} --by host", f"curate verify {root}"):
        assert line in lines
    assert any(line.endswith(f"slowest hosts: {host} 22 s") for line in lines)
    assert "2 rows could not be read, first: latin.csv row 1: not UTF-8" in lines
    assert "  latin.csv row 7: no URL" in lines


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        (Listed(251, 0, (), settled=True), []),
        (
            Listed(303, 2, ("a.csv row 4: no URL", "b\x1b.csv row 9: no URL"), settled=True),
            [
                "303 rows listed: 251 distinct URLs, 50 listed again, 2 not read",
                "2 rows could not be read, first: a.csv row 4: no URL",
                r"  b\x1b.csv row 9: no URL",
            ],
        ),
        (
            Listed(252, 1, ("a.csv row 4: no URL",), settled=True),
            [
                "252 rows listed: 251 distinct URLs, 1 not read",
                "1 row could not be read: a.csv row 4: no URL",
            ],
        ),
        (Listed(303, 0, (), settled=False), ["303 rows listed so far"]),
    ],
)
def test_rows_and_links_add_up(listed, expected):
    """Rows are distinct URLs, repeats, and rows that could not be read; nothing is said where all are one."""
    assert listed_lines(listed, 251) == expected


def test_the_dict_is_the_report():
    """The JSON report reads back, and its families add up to what was decided."""
    report = json.loads(json_line(report_as_dict(a_snapshot(), an_ending(finished=False, stopped_by="x"))))
    assert sum(report["kinds"].values()) == report["decided"] == 400
    assert report["kinds"][Kind.TRANSIENT] == 20
    assert report["next"][0]["command"] == "crawl data/"
    assert (report["rows"], report["listed_again"], report["bad_rows"], report["first_bad_rows"]) == (
        1000,
        0,
        0,
        [],
    )
    assert report["forecast"] is None


def test_a_hostile_folder_and_host_do_not_reach_the_terminal():
    """Control characters in a folder's or a host's name are spelled out."""
    whole = forecast(1000, 300, 400, 1, 1, 10.0, {"evil\x1b[2J.example": 9.0})
    text = printed(a_snapshot(), an_ending("da\x1bta", forecast=whole))
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
    text = printed(a_snapshot(), an_ending(forecast=whole))
    assert "saved 80.0% (95 % sure: 71.1% to 86.7%), 7,112 to 8,666 images" in text
    assert "1 h 40 min" in text
    assert "crawl the rest of the list: 600 links pending" in text


def test_no_forecast_of_what_was_crawled():
    """When the sample came to be the whole list, nothing is forecast and nothing is left to crawl."""
    counts = {Reason.SAVED: 1000}
    ending = an_ending(forecast=forecast(1000, 1000, 1000, 1, 1, 10.0))
    snapshot = a_snapshot(counts=counts, pending=0)
    assert "Expected" not in printed(snapshot, ending)
    assert "rest of the list" not in printed(snapshot, ending)
    assert report_as_dict(snapshot, ending)["forecast"] is None


def test_no_forecast_from_nothing():
    """A sample of which nothing was decided promises nothing."""
    text = printed(a_snapshot(), an_ending(finished=False, forecast=forecast(1000, 0, 0, 0, 0, 3.0)))
    assert "No forecast" in text
