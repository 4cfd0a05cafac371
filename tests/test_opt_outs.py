"""What headers say about training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.opt_outs import opted_out

TOKEN = "crawl-curate"


@pytest.mark.parametrize(
    "tag",
    [
        "noai", "noimageai", "noindex", "noimageindex", "none", "noml",
        "NoAI", " noai ", "nofollow, noai", "noai, nofollow", "noai,noimageai", "nofollow;noai", "nofollow noai",
        "crawl-curate: noai", "Crawl-Curate : NoAI", "crawl-curate/0.1: noai", "*: noai",
        "googlebot: nofollow, crawl-curate: noai",
        "crawl-curate: nofollow, noai",
        "noai, googlebot: nofollow",
        "unavailable_after: 25 Jun 2010 15:00:00 PST, noai",
        "unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT, noai",
        "unavailable_after: Friday, 25-Jun-10 15:00:00 PST, noai",
        "rating: adult, noai", "rating: RTA-5042-1996-1400-1577-RTA; noai", '"noai"', '"noai, noimageai"', "'noai'",
        "noindex: true", "noai:1", "crawl-curate: noindex: true", "nofollow, noai: yes",
        "max-image-preview:none, noai", "max-snippet: 0, noindex",
    ],
)  # fmt: skip
def test_these_keep_us_off(tag):
    """For everybody or for us, in any case, with any company."""
    reason, detail = opted_out([tag], [], TOKEN)
    assert (reason, detail) == ("x_robots_tag", f"X-Robots-Tag: {tag}")


@pytest.mark.parametrize(
    "tag",
    [
        "", ",", ":", "all", "index", "nofollow", "noarchive", "nosnippet", "notranslate", "noindexifembedded",
        "max-image-preview:none", "max-image-preview: none", "max-image-preview: None, nofollow",
        "rating: none", "rating: adult", "noindex: false", '"nofollow"', "googlebot: rating: adult, noai",
        "googlebot: noai", "googlebot: noindex, noai", "googlebot: noindex: true", "otherbot: none, googlebot: noindex",
        "googlebot: noai, crawl-curate: nofollow", "crawl: noai", "curate: noai",
        "unavailable_after: 25 Jun 2010 15:00:00 PST", "googlebot: unavailable_after: 25 Jun 2010 15:00:00 PST",
        "unavailable_after: Fri, 25 Jun 2010 15:00:00 GMT", "noai-not", "x-noai",
    ],
)  # fmt: skip
def test_these_do_not(tag):
    """Other agents' rules, and rules about something else."""
    assert opted_out([tag], [], TOKEN) is None


def test_each_header_stands_for_itself():
    """An agent named in one is not the one of the next, and the one that spoke is told."""
    assert opted_out(["googlebot: nofollow", "noai"], [], TOKEN) == ("x_robots_tag", "X-Robots-Tag: noai")
    assert opted_out(["googlebot: noai", "nofollow"], [], TOKEN) is None


@pytest.mark.parametrize(
    ("values", "reserved"),
    [
        (["1"], True), (['"1"'], True), (["'1'"], True), ([" 1 "], True), (["0", "1"], True), (["0, 1"], True),
        (["0"], False), ([], False), (["11"], False),
    ],
)  # fmt: skip
def test_a_reservation_is_a_one(values, reserved):
    """tdm-reservation: 1, and nothing else."""
    assert (opted_out([], values, TOKEN) is not None) is reserved


def test_a_reservation_is_told():
    """With its Reason, beside a tag that says nothing."""
    assert opted_out(["all"], ["1"], TOKEN) == ("tdm_reservation", "tdm-reservation: 1")


WORDS = st.sampled_from(
    ["noai", "googlebot", ":", ",", ";", " ", "unavailable_after", "25 Jun 2010", "\udce9"]
)


@given(st.lists(st.one_of(WORDS, st.text(max_size=5))).map("".join), st.text(max_size=5))
def test_no_header_is_too_odd(tag, value):
    """Whatever stands there, it is no opt-out unless the words of one do."""
    found = opted_out([tag], [value], TOKEN)
    assert found is None or "no" in tag.lower() or "1" in value
