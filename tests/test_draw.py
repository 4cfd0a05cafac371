"""Drawing links: in uid order, page by page, due retries apart, older runs' verdicts when asked."""

from contextlib import closing
from pathlib import Path

import pytest

from curator.dataset import draw as draw_module
from curator.dataset.draw import Draw, lowest
from curator.reasons import Reason
from tests.datasets import committer, drawn, ingest, lost, opened, postponed, url


def test_pages_walk_all_links_in_uid_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page past a cursor gives every pending link once, sorted by uid, and says when it is the last."""
    monkeypatch.setattr(draw_module, "PAGE", 10)
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(25)])
        with closing(Draw(store.ledger.path, 1)) as draw:
            found, after, last, pages = [], b"", False, 0
            while not last:
                page, last = draw.page(after)
                found += page
                after = page[-1].uid
                pages += 1
            assert pages == 3
            assert draw.left() == 25
    assert [link.uid for link in found] == sorted(link.uid for link in found)
    assert {link.url for link in found} == {url(n) for n in range(25)}


def test_decided_and_waiting_links_are_not_drawn(tmp_path: Path) -> None:
    """A page holds pending links only; a waiting one comes when it is due, oldest first."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(4)])
        store.begin_run((), {})
        a, b, c, d = drawn(store)
        with closing(committer(store)) as writing:
            writing.commit([lost(a), postponed(b, due=20.0), postponed(c, due=10.0)])
        with closing(Draw(store.ledger.path, 1)) as draw:
            assert draw.page(b"").drawn == [d]
            assert draw.next_due() == 10.0
            assert [link.uid for link in draw.due(15.0).drawn] == [c.uid]
            assert [(link.uid, link.attempts, link.tries) for link in draw.due(20.0).drawn] == [
                (c.uid, 1, 1),
                (b.uid, 1, 1),
            ]
            assert draw.left() == 3


def test_a_later_run_draws_what_may_succeed_now(tmp_path: Path) -> None:
    """Asked for a Reason, a run draws older runs' verdicts of it, not its own, not those tried too often."""
    again = [Reason.TIMEOUT.code]
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(3)])
        first = store.begin_run((), {})
        links = drawn(store, first.id)
        with closing(committer(store, first.id)) as writing:
            writing.commit(
                [
                    lost(links[0], Reason.TIMEOUT),
                    lost(links[1], Reason.HTTP_404),
                    lost(links[2], Reason.TIMEOUT),
                ]
            )
        assert drawn(store, first.id, again=again) == []

        second = first.id + 1
        found = drawn(store, second, again=again)
        assert [(link.uid, link.attempts, link.tries) for link in found] == [
            (links[0].uid, 1, 0),
            (links[2].uid, 1, 0),
        ]
        assert drawn(store, second, again=again, most_attempts=1) == []
        assert drawn(store, second) == []
        with closing(committer(store, second)) as writing:
            writing.commit([lost(found[0], Reason.TIMEOUT)])
        assert [link.uid for link in drawn(store, second, again=again)] == [links[2].uid]


def test_a_sample_is_the_lowest_uids(tmp_path: Path) -> None:
    """Drawing up to the uid that ends the n lowest gives exactly those n; more than there are gives all."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(9)])
        whole = drawn(store)
        assert drawn(store, last=lowest(store.ledger, 4)) == whole[:4]
        assert drawn(store, last=lowest(store.ledger, 50)) == whole


def test_an_interrupted_pass_is_gone_on_with_where_it_stopped(tmp_path: Path) -> None:
    """A pass begins at most a glance before the first link that is left, wherever that is; else at the beginning."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(3_000)])
        run = store.begin_run((), {}).id
        links, decided = drawn(store), 0
        with closing(committer(store)) as writing, closing(Draw(store.ledger.path, run)) as draw:
            assert draw.start() == b""
            for end in (900, 2_700, 2_950):
                writing.commit([lost(link) for link in links[decided:end]])
                decided = end
                start = draw.start()
                assert links[end - draw_module._GLANCE - 1].uid <= start < links[end].uid
                assert draw.page(start).drawn == links[end:]
            writing.commit([lost(link) for link in links[decided:]])
            assert draw.start() == b""


def test_a_sample_interrupted_is_drawn_whole(tmp_path: Path) -> None:
    """Where only the lowest uids are drawn, a pass does not begin beyond them."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(1_000)])
        run = store.begin_run((), {}).id
        links = drawn(store)
        with closing(committer(store)) as writing:
            writing.commit([lost(link) for link in links[:300]])
        with closing(Draw(store.ledger.path, run, last=links[399].uid)) as draw:
            assert draw.page(draw.start()).drawn == links[300:400]
