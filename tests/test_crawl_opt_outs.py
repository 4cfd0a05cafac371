"""Whole crawls of sites that say no: what the ledger tells of it, and what --opt-outs and --retry change."""

from itertools import pairwise

import pytest

from crawler import permission
from curator.errors import UsageError
from tests.crawling import assert_verified, ledger, run_crawl, write_list
from tests.site import Answer, Site, image_bytes

ROBOTS = "/robots.txt"


@pytest.fixture
def site():
    """A site, stopped at the end."""
    with Site() as running:
        yield running


def verdicts(out):
    """(Reason, detail, attempts) by the last part of the URL."""
    query = "SELECT url, state, coalesce(detail, ''), attempts FROM urls"
    return {url.rpartition("/")[2]: tuple(row) for url, *row in ledger(out, query)}


def test_opt_outs_are_verdicts_that_tell_which_rule_spoke(site, tmp_path):
    """Each has its Reason and its rule; they last, until a run is told to try them again or to ignore them."""
    site.add(ROBOTS, Answer(b"User-agent: *\nDisallow: /private/\n"))
    site.add_image("/private/a", image_bytes(1))
    site.add_image("/noai", image_bytes(2), **{"X-Robots-Tag": "noai"})
    site.add_image("/tdm", image_bytes(3), **{"tdm-reservation": "1"})
    site.add_image("/fine", image_bytes(4))
    paths = ("/private/a", "/noai", "/tdm", "/fine")
    urls, out = write_list(tmp_path / "urls.txt", [site.url(path) for path in paths]), tmp_path / "data"
    run_crawl([urls], out)
    noai, tdm = ("x_robots_tag", "X-Robots-Tag: noai", 1), ("tdm_reservation", "tdm-reservation: 1", 1)
    assert verdicts(out) == {
        "a": ("robots_txt", "Disallow: /private/ (User-agent: *)", 1),
        "noai": noai,
        "tdm": tdm,
        "fine": ("saved", "", 1),
    }
    assert_verified(out)
    assert len(site.requests(ROBOTS)) == 1

    site.add(ROBOTS, Answer(b"User-agent: *\nDisallow:\n"))
    run_crawl([], out, retry="robots_txt")
    assert verdicts(out)["a"] == ("saved", "", 2)
    assert (verdicts(out)["noai"], verdicts(out)["tdm"]) == (noai, tdm)

    run_crawl([], out, retry="x_robots_tag,tdm_reservation", opt_outs="ignore")
    assert {reason for reason, *_ in verdicts(out).values()} == {"saved"}
    assert len(site.requests(ROBOTS)) == 2
    assert_verified(out)


def test_a_robots_txt_that_comes_later_costs_no_link(site, tmp_path):
    """While it cannot be had its links wait for it, a request for all of them, and then they are fetched."""
    site.add(ROBOTS, Answer(b"", 503, {"Retry-After": "1"}), Answer(b"User-agent: *\nDisallow:\n"))
    urls, out = write_list(tmp_path / "urls.txt", site.links(3)), tmp_path / "data"
    run_crawl([urls], out)
    assert {reason for reason, *_ in verdicts(out).values()} == {"saved"}
    assert len(site.requests(ROBOTS)) == 2


def test_an_unknown_way_is_a_usage_error(tmp_path):
    """--opt-outs honours or ignores."""
    with pytest.raises(UsageError, match="honour, ignore"):
        run_crawl(
            [write_list(tmp_path / "urls.txt", ["http://a.example/"])], tmp_path / "data", opt_outs="yes"
        )


def test_a_crawl_delay_charges_nobody(site, tmp_path, monkeypatch):
    """Requests keep the host's gap; a link whose turn had not come has had no attempt."""
    monkeypatch.setattr(permission, "_SHORT_S", 0.05)  # no link waits in its slot
    site.add(ROBOTS, Answer(b"User-agent: *\nCrawl-delay: 0.3\n"))
    urls, out = write_list(tmp_path / "urls.txt", site.links(3)), tmp_path / "data"
    run_crawl([urls], out)
    assert [row[::2] for row in verdicts(out).values()] == [("saved", 1)] * 3
    times = [request.time for request in [*site.requests(ROBOTS), *site.requests()]]
    assert all(later - earlier > 0.15 for earlier, later in pairwise(times))


def test_a_robots_txt_that_leads_to_a_forbidden_address_is_an_answer(site, tmp_path):
    """Its host is up: its links are not asked for, each is told why, and the host is not given up."""
    site.add(ROBOTS, Answer(b"", 302, {"Location": "http://10.0.0.1/robots.txt"}))
    urls, out = write_list(tmp_path / "urls.txt", site.links(30)), tmp_path / "data"
    assert run_crawl([urls], out, attempts=2).finished
    assert {row[::2] for row in verdicts(out).values()} == {("robots_unreachable", 2)}
    assert all("10.0.0.1/robots.txt 302 forbidden_address" in row[1] for row in verdicts(out).values())
    assert len(site.requests(ROBOTS)) < 10
    assert site.requests() == []
