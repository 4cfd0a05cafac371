"""`crawl status`: exact counts, the worst hosts, whether a retry is worth it, also beside a running crawl."""

import errno
import io
import itertools
import json
import os
from collections import Counter

import pytest
from rich.console import Console

from crawler.failures import slices
from crawler.report import Listed
from crawler.status import status
from crawler.status_report import render_status, retry_advice, status_as_dict
from curator.dataset.ingest import Ingest, Rows
from curator.dataset.layout import Layout
from curator.dataset.ledger import PENDING, WAITING, Ledger
from curator.dataset.lock import WriterLock
from curator.errors import CorruptDataset, UsageError
from curator.reasons import BY_CODE, Kind, Reason
from curator.text import json_line


def decide(ledger, outcomes):
    """Give links their states: {link: (state, http_status, attempts)}; what is left out stays pending."""
    with ledger.transaction() as db:
        for link, (state, answer, attempts) in outcomes.items():
            db.execute(
                "UPDATE frontier SET state = ?, attempts = ?, run = 1, tries = 1 WHERE link = ?",
                (int(state), attempts, link),
            )
            db.execute(
                "INSERT INTO verdicts (uid, http_status, detail, final_url, decided_at)"
                " SELECT uid, ?, '', '', 0 FROM frontier WHERE link = ? AND state > ?",
                (answer, link, WAITING),
            )
        db.execute("DELETE FROM counts")
        db.execute("INSERT INTO counts SELECT state, count(*) FROM frontier GROUP BY state")


@pytest.fixture
def ledger(tmp_path):
    """An empty ledger in a dataset's folder."""
    ledger = Ledger(Layout(tmp_path).ledger)
    ledger.create()
    yield ledger
    ledger.close()


def listed(ledger, urls, *, done=True, bad=0):
    """Read `urls` as one list; the first is link 1."""
    with ledger.transaction() as db:
        db.execute("INSERT INTO sources (path, size, mtime_ns, next_row) VALUES ('list', 1, 1, 0)")
        source = db.execute("SELECT max(id) FROM sources").fetchone()[0]
    ingest = Ingest(ledger)
    none = [None] * len(urls)
    misses = [(len(urls) + i, "no URL") for i in range(bad)]
    ingest.stage(Rows(source, urls, range(len(urls)), none, misses, 0, len(urls) + bad, done))
    while ingest.wants_step(hurry=True):
        ingest.step()


def run(ledger, *, ended=None, finished=False):
    """Note a run."""
    ledger.db.execute(
        "INSERT INTO runs (started, ended, finished, seconds, retry, settings)"
        " VALUES (0, ?, ?, 60, '[]', '{}')",
        (ended, finished),
    )


def morning(ledger):
    """A finished night: good.example mostly saved, bad.example never, one malformed URL."""
    urls = [f"http://good.example/{i}" for i in range(10)]
    urls += [f"https://BAD.example:8443/{i}?x" for i in range(6)]
    listed(ledger, [*urls, "htp://nonsense"], bad=2)
    outcomes = dict.fromkeys(range(1, 7), (Reason.SAVED.code, 200, 1))
    outcomes |= {7: (Reason.HTTP_404.code, 404, 1), 8: (Reason.TIMEOUT.code, 0, 1)}
    outcomes |= {9: (Reason.HTTP_5XX.code, 503, 5), 10: (Reason.TOO_SMALL.code, 200, 1)}
    outcomes |= dict.fromkeys(range(11, 17), (Reason.CONNECT.code, 0, 2))
    outcomes |= {17: (Reason.BAD_URL.code, 0, 0)}
    decide(ledger, outcomes)
    run(ledger, ended=100.0, finished=True)


def printed(found, by=None, width=140):
    """What a person sees."""
    console = Console(file=io.StringIO(), width=width)
    render_status(found, console, by)
    return console.file.getvalue()


def test_counts_are_exact(ledger, tmp_path):
    """Every reason, what is pending and rows that could not be read are counted as the ledger has them."""
    morning(ledger)
    found = status(tmp_path)
    assert found.counts == {
        Reason.SAVED: 6,
        Reason.TOO_SMALL: 1,
        Reason.BAD_URL: 1,
        Reason.HTTP_404: 1,
        Reason.CONNECT: 6,
        Reason.TIMEOUT: 1,
        Reason.HTTP_5XX: 1,
    }
    assert (found.known, found.decided, found.pending) == (17, 17, 0)


def test_rows_are_told(ledger, tmp_path):
    """Rows of lists add up to distinct URLs, repeats and rows that could not be read; these are named."""
    morning(ledger)
    listed(ledger, ["http://good.example/1", "http://good.example/2"])
    found = status(tmp_path)
    first = ("list row 17: no URL", "list row 18: no URL")
    assert found.listed == Listed(rows=21, bad=2, first_bad=first, settled=True)
    lines = printed(found).splitlines()
    assert "21 rows listed: 17 distinct URLs, 2 listed again, 2 not read" in lines
    assert f"2 rows could not be read, first: {first[0]}" in lines
    told = status_as_dict(found)
    assert (told["rows"], told["listed_again"], told["bad_rows"]) == (21, 2, 2)
    assert told["first_bad_rows"] == list(first)


def test_no_sum_before_all_is_read(ledger, tmp_path):
    """While rows are not yet among the links, nothing is said of repeats."""
    listed(ledger, ["http://h.example/1"])
    with ledger.transaction() as db:  # staged, and killed before it was merged
        db.execute("INSERT INTO links (url, source, row) VALUES ('http://h.example/2', 1, 1)")
        db.execute("UPDATE sources SET rows = rows + 1")
    found = status(tmp_path)
    assert (found.listed.settled, status_as_dict(found)["listed_again"]) == (False, None)
    assert "2 rows listed so far" in printed(found)


def test_hosts_are_told_apart_by_what_they_gave(ledger, tmp_path):
    """The worst host comes first; one that fails for everything is told from one that fails at times."""
    morning(ledger)
    bad, good, none = status(tmp_path).failures.hosts
    assert (bad.name, bad.failed, bad.saved, bad.answered) == ("bad.example", 6, 0, 0)
    assert (good.name, good.failed, good.saved, good.answered) == ("good.example", 3, 6, 7)
    assert bad.reasons == ((Reason.CONNECT, 6),)
    assert (none.name, none.reasons) == ("", ((Reason.BAD_URL, 1),))
    text = printed(status(tmp_path), "host")
    assert "connect 100.0 %, never gave an image" in text


def test_a_redirected_link_counts_where_it_ended(ledger, tmp_path):
    """What a dead target costs is told of the target; the host that led there has given no failure."""
    listed(ledger, [f"http://home.example/{n}" for n in range(4)])
    decide(ledger, {n: (Reason.CONNECT.code if n < 4 else Reason.SAVED.code, 0, 1) for n in range(1, 5)})
    with ledger.transaction() as db:
        db.execute(
            "UPDATE verdicts SET final_url = 'http://dead.example/a' WHERE uid IN"
            " (SELECT uid FROM frontier WHERE link < 4)"
        )
    (dead,) = status(tmp_path).failures.hosts
    assert (dead.name, dead.failed, dead.saved) == ("dead.example", 3, 0)


def test_http_statuses_of_failures(ledger, tmp_path):
    """Failures are counted by HTTP status, 0 standing for no answer; what was saved is not among them."""
    morning(ledger)
    assert dict(status(tmp_path).failures.http_status) == {0: 8, 404: 1, 503: 1}
    assert "no answer" in printed(status(tmp_path), "http_status")


def test_failures_are_the_same_everywhere(ledger, tmp_path):
    """What is refused failed, too: the step's number is that of the hosts and of the HTTP statuses."""
    morning(ledger)
    found = status(tmp_path)
    shown = sum(host.failed for host in found.failures.hosts)
    assert shown == sum(n for _, n in found.failures.http_status) == 10
    assert "see where the 10 failures are" in printed(found)
    assert "--by host" not in printed(found, "host")


def test_a_retry_counts_what_it_would_try(ledger, tmp_path):
    """Links tried five times are passed over, hosts that never answered are told apart."""
    morning(ledger)
    found = status(tmp_path)
    assert (found.failures.retryable, found.failures.retryable_answering) == (7, 1)
    (advice,) = retry_advice(found)
    assert advice.startswith(
        "7 failures may pass when tried again (besides 1 tried five times or more already), 1 of "
    )
    assert f"crawl {tmp_path} --retry transient" in printed(found)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({1: (Reason.SAVED.code, 200, 1), 2: (Reason.TOO_SMALL.code, 200, 1)}, "Nothing failed."),
        ({1: (Reason.HTTP_404.code, 404, 1)}, "Nothing failed in passing: a retry would not help."),
        (
            {1: (Reason.TIMEOUT.code, 0, 5)},
            "may yet pass, but it was tried five times or more already: hardly worth a retry.",
        ),
        ({1: (Reason.TIMEOUT.code, 0, 4)}, "worth little."),
        ({1: (Reason.TIMEOUT.code, 0, 4), 2: (Reason.SAVED.code, 200, 1)}, ": worth a retry."),
    ],
)
def test_whether_a_retry_is_worth_it(ledger, tmp_path, outcomes, words):
    """The advice follows from what failed, how often it was tried, and whether the host ever gave images."""
    listed(ledger, ["http://h.example/1", "http://h.example/2"])
    decide(ledger, outcomes)
    (advice,) = retry_advice(status(tmp_path))
    assert advice.endswith(words)


def test_a_forbidden_address_may_be_opened(ledger, tmp_path):
    """Of a network that may be the user's own it is said how to open it, not that a retry would not help."""
    listed(ledger, ["http://10.1.2.3/1", "http://h.example/2"])
    decide(ledger, {1: (Reason.FORBIDDEN_ADDRESS.code, 0, 1), 2: (Reason.HTTP_404.code, 404, 1)})
    run(ledger, ended=1.0, finished=True)
    text = printed(status(tmp_path))
    assert "1 URL of a private or special address: fetched only where --allow-net opens" in text
    assert f"crawl {tmp_path} --allow-net CIDR --retry forbidden_address\n" in text
    assert "would not help" not in text


def test_what_was_tried_five_times_is_tried_by_name_only(ledger, tmp_path):
    """When a plain retry would pass over all that failed, the one offered names the Reasons."""
    listed(ledger, [f"http://h.example/{i}" for i in range(3)])
    decide(
        ledger, {1: (Reason.DNS.code, 0, 5), 2: (Reason.CONNECT.code, 0, 6), 3: (Reason.CONNECT.code, 0, 5)}
    )
    run(ledger, ended=1.0, finished=True)
    text = printed(status(tmp_path))
    assert f"crawl {tmp_path} --retry connect,dns\n    3 failures tried five times or more each" in text
    assert "--retry transient" not in text


def test_after_a_sample_the_rest_is_offered(ledger, tmp_path):
    """A finished sample leaves links pending: the step is to crawl them."""
    listed(ledger, [f"http://h.example/{i}" for i in range(5)])
    decide(ledger, {1: (Reason.SAVED.code, 200, 1)})
    run(ledger, ended=1.0, finished=True)
    text = printed(status(tmp_path))
    assert f"\ncrawl {tmp_path}\n    crawl the rest of the list: 4 links pending\n" in text


@pytest.mark.parametrize("by", [None, "host"])
def test_nothing_is_cut_or_broken(ledger, tmp_path, by):
    """Into a narrow pipe every command, host and sentence goes whole."""
    host = "-".join(["long"] * 12) + ".example"
    listed(ledger, [f"http://{host}/1"])
    decide(ledger, {1: (Reason.TIMEOUT.code, 0, 1)})
    run(ledger, ended=1.0, finished=True)
    lines = printed(status(tmp_path), by, width=30).splitlines()
    assert f"crawl {tmp_path} --retry transient" in lines
    assert f"{host}       1      0         1  timeout 100.0 %, never gave an image" in lines
    assert any(line.startswith("1 failure may pass") and line.endswith("worth little.") for line in lines)


def test_pending_and_waiting_are_told(ledger, tmp_path):
    """Links without a verdict are pending; of those, the ones that wait to be tried again are named."""
    listed(ledger, [f"http://h.example/{i}" for i in range(5)], done=False)
    decide(ledger, {1: (WAITING, 0, 1), 2: (Reason.SAVED.code, 200, 1)})
    found = status(tmp_path)
    assert (found.pending, found.waiting, found.reading) == (4, 1, True)
    assert "1 of 5 links decided (20.0 %), 4 pending, of those 1 to be tried again" in printed(found)
    assert "not read to its end" in printed(found)


@pytest.mark.parametrize(
    ("ended", "finished", "words"),
    [(None, False, "killed?"), (90.0, False, "interrupted"), (90.0, True, "finished")],
)
def test_how_the_last_run_ended(ledger, tmp_path, ended, finished, words):
    """A finished run, an interrupted one and a killed one are told apart; only the first is not continued."""
    listed(ledger, ["http://h.example/1"])
    decide(ledger, {1: (Reason.SAVED.code, 200, 1)})
    run(ledger, ended=ended, finished=finished)
    found = status(tmp_path)
    assert words in printed(found)
    assert (f"crawl {tmp_path}" in [step["command"] for step in status_as_dict(found)["next"]]) != finished


def test_a_running_crawl_is_named(ledger, tmp_path):
    """While a writer holds the dataset it is named, and status neither waits for it nor takes its lock."""
    morning(ledger)
    run(ledger)
    lock = WriterLock(Layout(tmp_path).lock)
    try:
        with ledger.transaction():  # a commit under way
            ledger.set_meta("x", 1)
            found = status(tmp_path)
    finally:
        lock.close()
    assert found.writer.startswith("process ")
    assert "running" in printed(found)
    assert status_as_dict(found)["next"] == []
    assert status(tmp_path).writer == ""
    WriterLock(Layout(tmp_path).lock).close()


def test_a_lock_that_cannot_be_written_is_let_go(tmp_path, monkeypatch):
    """Where its holder's name finds no room on the disk, nobody holds the lock."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            WriterLock(tmp_path / ".lock")
    WriterLock(tmp_path / ".lock").close()


@pytest.mark.parametrize("part", [1.0, 0.3, 0.001])
def test_slices_hold_their_part_of_all_uids(part):
    """Slices never overlap, hold the wanted part of the order, and the whole when the part is 1."""
    bounds = list(slices(part, 64))
    wide = sum(
        min(int.from_bytes(high[:16], "big"), 1 << 128) - int.from_bytes(low, "big") for low, high in bounds
    )
    assert wide / (1 << 128) == pytest.approx(part)
    assert all(high <= later for (_, high), (later, _) in itertools.pairwise(bounds))
    assert (bounds[-1][1] > b"\xff" * 16) == (part == 1.0)


def test_a_sample_comes_near_the_truth(ledger, tmp_path):
    """Of more links than are read, hosts are scaled up: near the truth, and said to be estimates."""
    urls = [f"http://host{i % 4}.example/{i}" for i in range(20_000)]
    listed(ledger, urls)
    states = {0: Reason.SAVED, 1: Reason.TIMEOUT, 2: Reason.HTTP_404, 3: Reason.TIMEOUT}
    with ledger.transaction() as db:
        for rest, reason in states.items():
            # link 1 is urls[0]
            db.execute(
                "UPDATE frontier SET state = ?, attempts = 1, run = 1 WHERE (link - 1) % 4 = ?",
                (reason.code, rest),
            )
        db.execute("DELETE FROM counts")
        db.execute("INSERT INTO counts SELECT state, count(*) FROM frontier GROUP BY state")
    run(ledger, ended=1.0, finished=True)
    found = status(tmp_path, sample=5_000)
    assert found.failures.part == 0.25
    assert {host.name: host.failed for host in found.failures.hosts} == {
        f"host{i}.example": pytest.approx(5_000, rel=0.15) for i in (1, 2, 3)
    }
    assert found.failures.retryable == 10_000
    assert found.failures.retryable_answering == 0
    assert "estimated from 25.0%" in printed(found)


def test_more_hosts_than_are_shown_are_counted(ledger, tmp_path):
    """Only the worst hosts are shown; how many more failed is said."""
    listed(ledger, [f"http://h{i}.example/" for i in range(40)])
    decide(ledger, dict.fromkeys(range(1, 41), (Reason.TIMEOUT.code, 0, 1)))
    found = status(tmp_path, hosts=10)
    assert (len(found.failures.hosts), found.failures.failing_hosts) == (10, 40)
    assert "and 30 more hosts" in printed(found, "host")


def test_hostile_hosts_and_lock_files_do_not_reach_the_terminal(ledger, tmp_path):
    """What a list or a file says is spelled out when it holds control characters."""
    listed(ledger, ["http://a\x1b[2J\u202e.example/1"])
    decide(ledger, {1: (Reason.TIMEOUT.code, 0, 1)})
    run(ledger)
    lock = WriterLock(Layout(tmp_path).lock)
    try:
        Layout(tmp_path).lock.write_text("process \x1b[31m[red]", encoding="utf-8")
        text = printed(status(tmp_path))
    finally:
        lock.close()
    assert r"process \x1b[31m[red]" in text
    assert not [c for c in text if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize("by", [None, "reason", "host", "http_status"])
def test_the_dict_reads_back(ledger, tmp_path, by):
    """As JSON the status holds all three tables, or with `by` only the one asked for."""
    morning(ledger)
    found = json.loads(json_line(status_as_dict(status(tmp_path), by)))
    tables = {key for key in found if key.startswith("by_")}
    assert tables == ({f"by_{by}"} if by else {"by_reason", "by_host", "by_http_status"})
    assert found["running"] is False


def test_no_dataset_is_a_usage_error(tmp_path):
    """A folder without a ledger, or none at all, is the user's mistake and nothing is made there."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match="no dataset"):
            status(folder)
    assert not list(tmp_path.iterdir())


def test_a_damaged_ledger_is_named(tmp_path):
    """A file that is no SQLite database is reported as damage."""
    Layout(tmp_path).ledger.write_bytes(b"not a database at all" * 100)
    with pytest.raises(CorruptDataset, match=r"ledger\.sqlite"):
        status(tmp_path)


def test_reading_changes_nothing(ledger, tmp_path):
    """Status leaves no trace in the folder but what SQLite keeps beside an open ledger."""
    morning(ledger)
    before = Counter(path.name for path in tmp_path.iterdir())
    status(tmp_path)
    assert Counter(path.name for path in tmp_path.iterdir()) == before


def test_every_state_has_a_reason():
    """Whatever state the ledger can hold, status knows its name."""
    assert {reason.kind for reason in BY_CODE.values()} == set(Kind)
    assert not {PENDING, WAITING} & set(BY_CODE)
