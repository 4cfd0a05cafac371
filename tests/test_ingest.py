"""Lists become links: each URL once, the first listing wins, and a kill costs nothing."""

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from curator.dataset.ingest import FIRST_RUN, MERGE_SLICE, Ingest, Rows, uid_of
from curator.dataset.ledger import PENDING, Ledger
from curator.dataset.verify import verify
from tests.datasets import BARE, CAPTIONED, drawn, ingest, opened, rows, url


@contextmanager
def reading() -> Iterator[tuple[Ledger, Ingest]]:
    """A new ledger with one source, being read into."""
    with tempfile.TemporaryDirectory() as folder, closing(Ledger(Path(folder) / "ledger.sqlite")) as ledger:
        ledger.db.execute("PRAGMA synchronous = OFF")  # many short examples, none of which is killed
        ledger.create()
        ledger.db.execute("INSERT INTO sources (id, path, size, mtime_ns, next_row) VALUES (1, 'a', 0, 0, 0)")
        yield ledger, Ingest(ledger)


def merge_all(ingest: Ingest) -> int:
    """Merge what is staged; how many URLs were new."""
    new = 0
    while ingest.wants_step(hurry=True):
        new += ingest.step()
    return new


def test_uid_is_blake2b_of_the_url() -> None:
    """The identity of a URL is BLAKE2b, 16 bytes, over its UTF-8."""
    assert uid_of("http://a.example/ö.jpg").hex() == "3bb99223eda107e6ec9169ada07ec9d7"


@settings(deadline=None, max_examples=40)
@given(st.lists(st.lists(st.integers(0, 30), max_size=40), max_size=5), st.booleans())
def test_each_url_once_the_first_listing_first(slices: list[list[int]], hurried: bool) -> None:
    """Whatever is repeated where: one link per URL, the first row of it, and counts that agree."""
    with reading() as (ledger, ingest):
        first: dict[str, int] = {}
        row = 0
        for numbers in slices:
            for n in numbers:
                first.setdefault(url(n), row)
                row += 1
            ingest.stage(rows(1, [url(n) for n in numbers], first=row - len(numbers)))
            if hurried:
                merge_all(ingest)
        merge_all(ingest)

        kept = ledger.db.execute("SELECT l.url, l.row, f.uid FROM frontier f JOIN links l ON l.id = f.link")
        assert {one: at for one, at, uid in kept if uid == uid_of(one)} == first
        assert ledger.db.execute("SELECT count(*) FROM links").fetchone()[0] == len(first)
        assert ledger.counts() == ({PENDING: len(first)} if first else {})
        assert ingest.unmerged == 0


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(0, 20), max_size=60), st.integers(0, 6), st.integers(0, 6))
def test_a_kill_between_any_two_slices_costs_nothing(numbers: list[int], staged: int, merged: int) -> None:
    """An ingest that begins anew after any number of committed slices comes to the same links."""
    with reading() as (ledger, ingest):
        for at in range(0, len(numbers), 10):
            ingest.stage(rows(1, [url(n) for n in numbers[at : at + 10]], first=at))
            if at // 10 == staged:
                for _ in range(merged):
                    if ingest.wants_step(hurry=True):
                        ingest.step()
                ingest = Ingest(ledger)
                while ingest.unmerged and ingest.wants_step(hurry=True):
                    ingest.step()
        merge_all(Ingest(ledger))

        kept = dict(ledger.db.execute("SELECT l.url, l.row FROM frontier f JOIN links l ON l.id = f.link"))
        assert kept == {url(n): numbers.index(n) for n in numbers}
        assert ledger.counts() == ({PENDING: len(kept)} if kept else {})


def test_runs_longer_than_a_slice() -> None:
    """A run is merged in several transactions, and a kill between them leaves the rest to be staged again."""
    count = 2 * MERGE_SLICE + FIRST_RUN
    with reading() as (ledger, ingest):
        ingest.stage(rows(1, [url(n) for n in range(count)]))
        assert ingest.step() == MERGE_SLICE
        again = Ingest(ledger)
        assert again.unmerged == count
        assert merge_all(again) == count - MERGE_SLICE
        assert ledger.counts() == {PENDING: count}
        assert ledger.meta("merged") == count


def test_rows_wait_for_a_run_unless_in_a_hurry() -> None:
    """A few staged rows are merged only when the frontier is short of links."""
    with reading() as (_, ingest):
        ingest.stage(rows(1, [url(0)]))
        assert (ingest.wants_step(hurry=False), ingest.wants_step(hurry=True)) == (False, True)


def test_another_caption_is_kept_as_a_listing() -> None:
    """What a repeat says that the first row does not is kept once; the same again is not."""
    with reading() as (ledger, ingest):
        data = ['["a"]', '["b"]', '["a"]', None, '["b"]']
        ingest.stage(rows(1, [url(0)] * 5, data))
        merge_all(ingest)

        assert ledger.db.execute("SELECT uid, data, row FROM listings").fetchall() == [
            (uid_of(url(0)), '["b"]', 1)
        ]


def test_how_far_a_list_was_read_is_committed_with_its_rows(tmp_path: Path) -> None:
    """Rows, bad rows, misfits and the next row to read change together."""
    with opened(tmp_path / "data") as store:
        source = store.add_source("/list.txt", 10, 20)
        slice_ = Rows(source.id, [url(0)], [0], [None], [(1, "no URL")], misfits=3, next_row=2, last=False)
        Ingest(store.ledger).stage(slice_)
        known = store.add_source("/list.txt", 10, 20)
        assert (known.id, known.next_row, known.done) == (source.id, 2, False)
        assert store.ledger.db.execute("SELECT rows, bad, misfits FROM sources").fetchone() == (2, 1, 3)
        assert store.ledger.db.execute("SELECT row, detail FROM bad_rows").fetchall() == [(1, "no URL")]
    report = verify(tmp_path / "data")
    assert (report.problems, report.links, report.unmerged) == ((), 0, 1)


def test_text_of_any_kind_survives(tmp_path: Path) -> None:
    """Line ends, NUL, right-to-left marks and characters beyond the first plane come back as they were."""
    odd = "http://a.example/\u202e\U0001f600?q=\x07\n'"
    with opened(tmp_path / "data", CAPTIONED) as store:
        ingest(store, [odd, url(1)], ['["nul \\u0000 \U0001f600",null]', None])
        store.begin_run((), {})
        assert {link.url for link in drawn(store)} == {odd, url(1)}


def test_a_list_that_changed_is_read_again(tmp_path: Path) -> None:
    """Another size or time of change makes another source; standard input always is one."""
    with opened(tmp_path / "data", BARE) as store:
        first = store.add_source("/list.txt", 10, 20)
        assert store.add_source("/list.txt", 10, 20) == first
        assert store.add_source("/list.txt", 11, 20).id != first.id
        assert store.add_source("-", 0, 0).id != store.add_source("-", 0, 0).id
