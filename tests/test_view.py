"""The live view and the plain lines, on a terminal and on pipes that are read, not read, or closed."""

import asyncio
import io
import json
import os
from contextlib import contextmanager, suppress

import pytest
from rich.console import Console

from crawler.lookups import LookupCounts
from crawler.rates import Rates
from crawler.robots import RobotsCounts
from crawler.snapshot import Queue
from crawler.view import LiveView, PlainLines, json_progress, plain_line, render
from curator.reasons import Reason
from tests.snapshots import a_snapshot

RATES = Rates(urls=1204.2, images=803.0, requests=1300.0, bytes=41_200_000.0, eta=7860.0)


def shown(snapshot, rates=RATES, limit="disk: the writer is 95% busy"):
    """One frame of the live view as plain text."""
    console = Console(file=io.StringIO(), width=120)
    console.print(render(snapshot, rates, limit, title="crawl data/"))
    return console.file.getvalue()


@pytest.mark.parametrize(
    "words",
    [
        "400 of 1,000 links (40.0 %)",
        "1,204 URL/s",
        "803 images/s",
        "41.2 MB/s",
        "50 of 500",
        "bodies 5%",
        "disk: the writer is 95% busy",
        "http_404 80",
        "ETA 2 h 11 min",
    ],
)
def test_the_view_shows(words):
    """Everything a person asks of a running crawl is in the frame."""
    assert words in shown(a_snapshot())


def test_look_ups_are_shown_where_there_are_any():
    """How long names take, and what came of them; a crawl of bare addresses has no such line."""
    looked = LookupCounts(found=90, missing=7, failed=3, under_way=12, waiting=40, seconds=2.5)
    text = shown(a_snapshot(lookups=looked))
    assert "100 looked up in 25 ms each   7 missing, 3 failed   12 under way" in text
    assert "looked up" not in shown(a_snapshot())
    line = json.loads(json_progress(a_snapshot(lookups=looked), Rates(), ""))
    assert line["lookups"] == {"found": 90, "missing": 7, "failed": 3, "under_way": 12, "seconds": 2.5}


def test_asking_for_robots_txt_is_shown_where_it_is_done():
    """How often, and what came of it."""
    robots = RobotsCounts(asked=1200, failed=3, under_way=12)
    assert "1,200 asked for   3 failed   12 under way" in shown(a_snapshot(robots=robots))
    assert "robots.txt" not in shown(a_snapshot())
    line = json.loads(json_progress(a_snapshot(robots=robots), Rates(), ""))
    assert line["robots_txt"] == {"asked": 1200, "failed": 3, "under_way": 12}


def test_nothing_measures_where_nothing_is_decoded():
    """With --no-decode a thread hashes, and is what is told of where it is the limit."""
    assert "2 measuring, 40% busy" in shown(a_snapshot())
    text = shown(a_snapshot(undecoded=True, workers=1))
    assert "hashing, 40% busy" in text
    assert "measuring" not in text


def test_an_eta_while_reading_is_a_lower_bound():
    """While a list is being read, the known total and the ETA say that more is to come."""
    text = shown(a_snapshot(reading=True))
    assert "and reading" in text
    assert "ETA over 2 h 11 min" in text


def test_an_unknown_eta_is_called_unknown():
    """Without rates nothing is made up."""
    assert "ETA unknown" in shown(a_snapshot(), Rates())


def test_every_reason_fits_the_view():
    """The view shows the most frequent reasons and sums up the others."""
    text = shown(a_snapshot(counts={reason: reason.code for reason in Reason}))
    rest = sum(sorted(reason.code for reason in Reason if reason is not Reason.SAVED)[:-11])
    assert f"{len(Reason) - 12} others {rest:,}" in text
    assert len(text.splitlines()) <= 16


def test_a_queue_is_full_at_most():
    """A page drawn past a queue's bound fills it, and no more than that is claimed."""
    assert "links 100%" in shown(a_snapshot(queues=(Queue("links", 374, 100),)))


def test_one_is_no_plural():
    """One shard, one link and one row are called so."""
    text = shown(a_snapshot(known=1, shards=1, bad_rows=1))
    for words in ("of 1 link (", "1 shard sealed", "1 row not read"):
        assert words in text


@pytest.mark.parametrize(("index_bytes", "there"), [(0, False), (5 << 20, True)])
def test_the_index_is_shown_where_there_is_one(index_bytes, there):
    """What finds duplicates is shown with its size, and nothing without it."""
    assert ("duplicates index 5.0 MiB" in shown(a_snapshot(index_bytes=index_bytes))) == there


def test_a_frame_holds_no_control_character_and_no_markup():
    """A title or a limit with escapes and brackets is shown as it is spelled."""
    text = shown(a_snapshot(limited_by_host="x"), limit=r"host [red]x\x1b[/red]")
    assert r"host [red]x\x1b[/red]" in text
    assert not [c for c in text if c < " " and c != "\n"]


def test_the_plain_line_is_one_line():
    """A pipe gets everything in one line of words."""
    assert plain_line(a_snapshot(), RATES, "nothing") == (
        "10 s: 400 of 1,000 links (40.0 %), saved 300, 1,204 URL/s, 803 images/s, 41.2 MB/s, in flight 50, "
        "ETA 2 h 11 min, limit nothing"
    )


def test_the_json_line_reads_back():
    """With JSON a line is one object, its numbers plain and unknown ones null."""
    line = json.loads(json_progress(a_snapshot(), Rates(), "nothing"))
    assert (line["event"], line["known"], line["counts"]["saved"]) == ("progress", 1000, 300)
    assert line["eta_seconds"] is None
    assert line["queues"]["bodies"] == [5, 100]


class Looks:
    """A `take` that counts how often it was asked and can be waited for."""

    def __init__(self, wanted):
        self.left = wanted
        self.done = asyncio.Event()

    def __call__(self):
        self.left -= 1
        if self.left == 0:
            self.done.set()
        return a_snapshot(known=1000 - self.left)


async def test_the_live_view_looks_again_and_ends_with_the_last_numbers():
    """The view asks for numbers by itself while the loop runs, and leaves the last ones on the screen."""
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    take = Looks(3)
    with LiveView(console, take, "crawl data/"):
        await asyncio.wait_for(take.done.wait(), 10)
        before = take.left
    assert take.left < before
    assert f"of {1000 - take.left:,} links" in console.file.getvalue().rsplit("crawl data/", 1)[1]


async def test_numbers_are_taken_on_the_event_loop():
    """`take` never runs in another thread: the crawl's numbers need no lock."""
    loop, take = asyncio.get_running_loop(), Looks(2)

    def on_the_loop():
        assert asyncio.get_running_loop() is loop
        return take()

    with LiveView(Console(file=io.StringIO(), force_terminal=True), on_the_loop):
        await asyncio.wait_for(take.done.wait(), 10)


async def test_plain_lines_come_at_their_interval():
    """Each interval gives one whole line."""
    stream, take = io.StringIO(), Looks(4)
    with PlainLines(stream, take, every=0.01):
        await asyncio.wait_for(take.done.wait(), 10)
    lines = stream.getvalue().splitlines()
    assert lines
    assert all(line.startswith("10 s: ") for line in lines)


@contextmanager
def pipe():
    """(reader, stream): a real pipe, its stream's last flush allowed to find nobody."""
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    try:
        yield reader, stream
    finally:
        with suppress(BrokenPipeError):
            stream.close()


def fill(descriptor):
    """Write until the pipe takes no more."""
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        while os.write(descriptor, b"x" * 4096):
            pass
    os.set_blocking(descriptor, True)


async def test_a_reader_that_sleeps_does_not_stop_the_crawl():
    """With nobody reading the pipe the writes block, the event loop does not."""
    take = Looks(10)
    with pipe() as (reader, stream):
        fill(stream.fileno())
        with PlainLines(stream, take, every=0.01) as lines:
            await asyncio.wait_for(take.done.wait(), 10)
            assert lines._writer.is_alive()  # in its first write
            os.close(reader)


async def test_a_reader_that_has_gone_does_not_stop_the_crawl():
    """A closed pipe ends the lines quietly, the crawl goes on."""
    take = Looks(4)
    with pipe() as (reader, stream):
        os.close(reader)
        with PlainLines(stream, take, every=0.01) as lines:
            await asyncio.wait_for(take.done.wait(), 10)
            lines._writer.join(10)
            assert not lines._writer.is_alive()
