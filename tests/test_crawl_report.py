"""What the command prints about a real crawl, to readers that stay and to readers that leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import FLAGS, command
from tests.crawling import ROOT, assert_verified
from tests.site import Answer, Site


@pytest.fixture(scope="module")
def site():
    """A server of numbered pictures."""
    with Site() as running:
        yield running


def unread(*arguments: object) -> subprocess.CompletedProcess[str]:
    """`crawl` with a standard output whose reader has already gone."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(
            [sys.executable, "-m", "crawler.cli", *map(str, arguments)],
            cwd=ROOT,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    finally:
        os.close(writer)


def a_list(folder: Path, site: Site) -> Path:
    """Three pictures, one of them twice, a link that leads nowhere, and two rows that cannot be read."""
    urls = [site.url(f"/n/{number}.jpg") for number in (0, 1, 2, 2)]
    rows = [*urls, site.url("/gone"), ""]
    path = folder / "list.csv"
    path.write_bytes(
        "\n".join(["url,note", *(f"{url},x" for url in rows), ""]).encode() + b"http://a/,\xe9\n"
    )
    return path


def test_rows_add_up_and_bad_ones_are_named(tmp_path: Path, site: Site):
    """The report and the status say how rows became links, and which rows could not be read, and why."""
    data = tmp_path / "data"
    ended = command(a_list(tmp_path, site), "--out", data, *FLAGS)
    assert (ended.code, ended.error) == (0, "")
    for out in (ended.out, command("status", data).out):
        assert "7 rows listed: 4 distinct URLs, 1 listed again, 2 not read\n" in out
        assert "2 rows could not be read, first: list.csv row " in out
        assert ": no URL\n" in out
        assert ": not UTF-8" in out
    assert f"\ncrawl status {data} --by host\n    see where the failure is\n" in ended.out


def test_quiet_json_is_the_report_alone(tmp_path: Path, site: Site):
    """With --quiet and --json one line is printed, at the end: the report."""
    ended = command(a_list(tmp_path, site), "--out", tmp_path / "data", *FLAGS, "--quiet", "--json")
    assert (ended.code, ended.error) == (0, "")
    report = json.loads(ended.out)
    assert (report["event"], report["finished"], report["retryable"]) == ("report", True, 0)
    assert (report["rows"], report["known"], report["listed_again"], report["bad_rows"]) == (7, 4, 1, 2)


@pytest.mark.parametrize("flags", [(), ("--json",), ("--quiet", "--json")])
def test_a_reader_that_leaves_changes_nothing(tmp_path: Path, site: Site, flags: tuple[str, ...]):
    """`crawl ... | head -1` is a crawl like any other: the same exit code, no traceback, all of it saved."""
    data = tmp_path / "data"
    ended = unread(a_list(tmp_path, site), "--out", data, *FLAGS, *flags)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert_verified(data)
    assert json.loads((data / "summary.json").read_text())["saved"] == 3
    if "--quiet" not in flags:
        ended = unread("status", data, *flags)
        assert (ended.returncode, ended.stderr) == (0, "")


def test_an_error_outlives_its_reader(tmp_path: Path, site: Site):
    """Why a crawl stopped is told and keeps its exit code, also when nobody reads what it prints."""
    site.add("/a.jpg", Answer(status=404))
    urls = tmp_path / "urls.txt"
    urls.write_text(f"{site.url('/a.jpg')}\n")
    ended = unread(urls, "--out", tmp_path / "data", *FLAGS, "--min-free", "4000000G")
    assert ended.returncode == 4
    assert ended.stderr.startswith("crawl: ")
    assert "Exception ignored" not in ended.stderr
