"""Opening a crawl: settings merged, lists held against what is known, runs begun; errors come before any change."""

import gzip
import os
import threading
from contextlib import closing
from pathlib import Path

import pytest

from crawler.opening import open_crawl
from curator.dataset.ingest import Ingest
from curator.dataset.ledger import Ledger
from curator.dataset.store import Store
from curator.errors import UsageError
from tests.command import tree
from tests.crawling import LOCAL, write_list
from tests.datasets import rows

URLS = [f"http://a.example/{n}.jpg" for n in range(20)]


def read_all(out: Path, *lists: Path, **given: object) -> None:
    """Open a crawl, read its lists to their end, and finish the run."""
    with closing(open_crawl([str(one) for one in lists], out, LOCAL | given).store) as store:
        reading = Ingest(store.ledger)
        for source in store.unread_sources():
            reading.stage(rows(source.id, URLS, first=1))
        while reading.wants_step(hurry=True):
            reading.step()
        store.end_run(1, finished=True, seconds=0.0)


def test_a_new_dataset(tmp_path: Path):
    """A list and a folder that does not exist make a dataset with a card, and its first run."""
    lists = write_list(tmp_path / "urls.txt", URLS)
    opened = open_crawl([str(lists)], tmp_path / "data", LOCAL | {"min_side": 5})
    with closing(opened.store):
        assert (opened.store.fixed.min_side, opened.settings.min_side) == (5, 5)
        assert [(one.from_row, one.lists.sources[one.index].path) for one in opened.unread] == [
            (0, str(lists))
        ]
        assert (opened.run.id, opened.run.continued, opened.run.retry) == (1, False, ())
        assert opened.broken_off == ()
    assert (tmp_path / "data" / "README.md").exists()


def test_given_settings_override_stored_ones_and_are_stored(tmp_path: Path):
    """Settings given now win, and the next opening finds them; what is of one run only is not stored."""
    out, lists = tmp_path / "data", write_list(tmp_path / "urls.txt", URLS)
    seen = []
    for given in ({"attempts": 2, "limit": 3}, {"concurrency": 7, "header": ("X: 1",)}, {"attempts": 4}, {}):
        with closing((opened := open_crawl([str(lists)], out, LOCAL | given)).store):
            chosen = opened.settings
        seen.append((chosen.attempts, chosen.concurrency, chosen.header, chosen.limit))
    assert seen == [(2, 500, (), 3), (2, 7, ("X: 1",), 0), (4, 7, ("X: 1",), 0), (4, 7, ("X: 1",), 0)]


def test_a_list_that_was_read_is_not_read_again(tmp_path: Path):
    """The same file is known; one that changed, or is called otherwise, is read from its start."""
    out, lists = tmp_path / "data", write_list(tmp_path / "urls.txt", URLS)
    read_all(out, lists)
    for change in ("none", "grown", "other name", "packed"):
        named = lists
        if change == "grown":
            write_list(lists, [*URLS, "http://b.example/"])
        elif change == "other name":
            named = write_list(tmp_path / "copy.txt", URLS)
        elif change == "packed":
            named = tmp_path / "urls.txt.gz"
            named.write_bytes(gzip.compress(lists.read_bytes()))
        opened = open_crawl([str(named)], out, LOCAL)
        with closing(opened.store):
            fresh = [one.from_row for one in opened.unread if one.lists.sources[one.index].path == str(named)]
        assert fresh == ([] if change == "none" else [0]), change


@pytest.mark.parametrize("wrong", ["setting", "list", "column", "fixed", "unused", "certificates"])
def test_what_is_wrong_is_said_before_a_new_folder_is_made(tmp_path: Path, wrong: str):
    """Nothing exists afterwards that was not there before."""
    lists = tmp_path / "urls.csv"
    lists.write_text("url\nhttp://a.example/\n")
    given = {
        "setting": {"concurrency": 0},
        "list": {},
        "column": {"url_col": "nosuch"},
        "fixed": {"radius": 17},
        "unused": {"radius": 6, "dedup": "bytes"},
        "certificates": {"ca_file": str(tmp_path / "nosuch.pem")},
    }[wrong]
    if wrong == "list":
        lists.unlink()
    before = tree(tmp_path)
    with pytest.raises(UsageError):
        open_crawl([str(lists)], tmp_path / "data", LOCAL | given)
    assert tree(tmp_path) == before


def test_no_list_and_no_dataset(tmp_path: Path):
    """Continuing what is not there says how a dataset is made."""
    with pytest.raises(UsageError, match=r"crawl urls\.txt --out"):
        open_crawl([], tmp_path / "data", LOCAL)
    assert tree(tmp_path) == {}


def test_a_column_that_the_dataset_has_not(tmp_path: Path):
    """A list with a new column is refused, naming it and the way out; without it, it is taken."""
    out, lists = tmp_path / "data", tmp_path / "urls.csv"
    lists.write_text("url,width\nhttp://a.example/,3\n")
    open_crawl([str(lists)], out, LOCAL).store.close()
    lists.write_text("url,width,height\nhttp://a.example/,3,4\n")
    with pytest.raises(UsageError, match="--drop-columns height"):
        open_crawl([str(lists)], out, LOCAL)
    open_crawl([str(lists)], out, LOCAL | {"drop_columns": ("height",)}).store.close()


def test_a_second_list_through_a_pipe_is_read(tmp_path: Path):
    """Two pipes look alike, yet are two lists; and one file named twice is read once."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    known = []
    for names in (("a", "b"), ("c",)):
        writing = threading.Thread(
            target=pipe.write_text, args=("".join(f"http://h.example/{n}\n" for n in names),)
        )
        writing.start()
        opened = open_crawl([str(pipe)], tmp_path / "data", {})
        writing.join()
        known.append(
            [row for one in opened.unread for batch in one.lists.read(one.index) for row in batch.urls]
        )
        opened.store.close()
    assert known == [["http://h.example/a", "http://h.example/b"], ["http://h.example/c"]]


def test_a_list_named_twice_is_read_once(tmp_path: Path):
    """The same file twice on a command line is one list."""
    urls = write_list(tmp_path / "urls.txt", ["http://h.example/a"])
    opened = open_crawl([str(urls), str(urls)], tmp_path / "data", {})
    assert len(opened.unread) == 1
    opened.store.close()


@pytest.mark.parametrize("step", ["open_store", "begin_run", "add_source"])
def test_a_start_cut_short_is_no_crawl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str):
    """Ended before its run was begun, a dataset knows none of its lists, and says so instead of finishing."""
    out = tmp_path / "data"
    lists = [str(write_list(tmp_path / name, URLS)) for name in ("a.txt", "b.txt")]

    def end_there(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        if step == "open_store":
            cut.setattr(Ledger, "create", end_there)
        elif step == "begin_run":
            cut.setattr(Store, step, end_there)
        else:
            real, calls = Store.add_source, iter((True, False))
            cut.setattr(Store, step, lambda *given: real(*given) if next(calls) else end_there())
        with pytest.raises(KeyboardInterrupt):
            open_crawl(lists, out, LOCAL | {"user_agent": "mine"})
    with pytest.raises(UsageError, match="never begun"):
        open_crawl([], out, LOCAL)
    opened = open_crawl(lists, out, LOCAL | {"user_agent": "mine"})
    opened.store.close()
    assert [one.from_row for one in opened.unread] == [0, 0]
    opened = open_crawl([], out, LOCAL)
    opened.store.close()
    assert (len(opened.unread), opened.settings.user_agent) == (2, "mine")


def test_a_list_is_known_with_the_run_that_was_given_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Of two lists added to a dataset by a start that was cut short, none is known and no setting is kept."""
    out = tmp_path / "data"
    read_all(out, write_list(tmp_path / "urls.txt", URLS))
    lists = [str(write_list(tmp_path / name, URLS)) for name in ("a.txt", "b.txt")]

    def end_there(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as cut:
        cut.setattr("crawler.opening.Store.begin_run", end_there)
        with pytest.raises(KeyboardInterrupt):
            open_crawl(lists, out, LOCAL)
    opened = open_crawl([], out, LOCAL)
    opened.store.close()
    assert opened.unread == ()


def test_a_missing_card_is_written(tmp_path: Path):
    """A dataset whose card is not there, by a kill or otherwise, gets it at its next start."""
    out = tmp_path / "data"
    open_crawl([str(write_list(tmp_path / "urls.txt", URLS))], out, LOCAL).store.close()
    (out / "README.md").unlink()
    open_crawl([], out, LOCAL).store.close()
    assert (out / "README.md").exists()


def test_a_ledger_that_cannot_be_made_leaves_nothing(tmp_path: Path):
    """A folder named with --ledger is refused before anything is made."""
    lists = write_list(tmp_path / "urls.txt", URLS)
    before = tree(tmp_path)
    with pytest.raises(UsageError, match="is a folder"):
        open_crawl([str(lists)], tmp_path / "data", LOCAL, ledger_path=tmp_path)
    assert tree(tmp_path) == before
