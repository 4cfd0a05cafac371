"""The writer thread: verdicts first, batches that are durable when it says so, and a full disk."""

import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from curator.dataset import Dataset
from curator.dataset.commit import Committer
from curator.dataset.records import Event
from curator.dataset.store import Store
from curator.dataset.verify import verify
from curator.dataset.writer import BATCH_EVENTS, RESERVE_BYTES, Writer
from curator.errors import DiskFull
from tests.datasets import Recorder, drawn, ingest, lost, opened, picture, rows, saved, url


@contextmanager
def writing(store: Store, *, min_free: int = 0, seal: bool = True) -> Iterator[tuple[Writer, Recorder]]:
    """A running writer and its listener, closed at the end."""
    told = Recorder()
    writer = Writer(store, 1, "jpg", min_free=min_free, listener=told)
    writer.start()
    try:
        yield writer, told
    finally:
        writer.close(seal=seal)


def test_lists_and_verdicts_through_the_thread(tmp_path: Path) -> None:
    """Rows fed and verdicts put are all there when the writer is closed, in the order they were judged."""
    with opened(tmp_path / "data", shard_size=100) as store:
        run = store.begin_run((), {})
        with writing(store) as (writer, told):
            source = store.add_source("-", 0, 0).id
            for start in range(0, 3000, 1000):
                assert writer.feed(rows(source, [url(n) for n in range(start, start + 1000)], first=start))
            writer.lists_read()
            _until(lambda: told.complete)
            links = drawn(store, run.id)
            events = [saved(link, picture(i)) if i < 20 else lost(link) for i, link in enumerate(links[:600])]
            for event in events:
                writer.put(event)
        assert told.errors == []
        assert told.events == events
        assert told.new == 3000
        assert writer.gauges.unmerged == 0
    assert [sample.image for sample in Dataset(tmp_path / "data")] == [picture(i) for i in range(20)]
    assert verify(tmp_path / "data").problems == ()


def test_left_open_or_sealed(tmp_path: Path) -> None:
    """Closing seals the open shard when asked, else leaves it open; the reserve is gone either way."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0), url(1)])
        store.begin_run((), {})
        first, second = drawn(store)
        with writing(store, seal=False) as (writer, _):
            assert store.layout.reserve.stat().st_size == RESERVE_BYTES
            writer.put(saved(first, picture(0)))
        assert store.layout.part(0).exists()
        assert not store.layout.reserve.exists()
        with writing(store, seal=True) as (writer, _):
            writer.put(saved(second, picture(1)))
        assert store.layout.tar(0).exists()
    assert len(Dataset(tmp_path / "data")) == 2


def test_hurry_commits_without_filling_the_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody waiting for memory gets it back before the batch is full or old."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 1e6)
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        with writing(store) as (writer, told):
            writer.put(lost(drawn(store)[0]))
            assert told.events == []
            writer.hurry()
            _until(lambda: told.events)


def test_a_full_batch_does_not_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many events as a batch holds are committed at once."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 1e6)
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(BATCH_EVENTS + 1)])
        store.begin_run((), {})
        links = drawn(store)
        with writing(store) as (writer, told):
            for link in links:
                writer.put(lost(link))
            _until(lambda: told.events)
            assert len(told.events) == BATCH_EVENTS


def test_a_single_event_is_committed_though_nothing_follows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event put while the thread already waits is committed when it is old enough: nobody has to ask."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.1)
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(3)])
        store.begin_run((), {})
        with writing(store) as (writer, told):
            for n, link in enumerate(drawn(store)):
                _until(lambda: _asleep(writer))
                writer.put(lost(link))
                deadline = time.monotonic() + 20.0
                _until(lambda n=n: len(told.events) > n or time.monotonic() > deadline)  # noqa: B023 - called here
                assert len(told.events) == n + 1


def _asleep(writer: Writer) -> bool:
    """Whether the thread waits for work: then nothing but being told wakes it."""
    return bool(writer._wake._waiters)  # type: ignore[attr-defined]


def test_too_little_space_stops_before_anything_is_lost(tmp_path: Path) -> None:
    """Less free than --min-free ends the writer with what to do about it; it takes no more rows."""
    with opened(tmp_path / "data") as store, writing(store, min_free=1 << 60) as (writer, told):
        _until(lambda: told.errors)
        assert isinstance(told.errors[0], DiskFull)
        assert "--min-free" in str(told.errors[0])
        assert writer.feed(rows(1, [url(0)])) is False


def test_a_full_disk_takes_the_last_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full, the reserve makes room for the batch at hand, and then the crawl stops."""
    commit = Committer.commit

    def full_while_reserved(self: Committer, events: Sequence[Event]) -> None:
        if store.layout.reserve.exists():
            self.done = 0
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        commit(self, events)

    monkeypatch.setattr(Committer, "commit", full_while_reserved)
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        with writing(store) as (writer, told):
            writer.put(saved(drawn(store)[0], picture(0)))
            writer.hurry()
            _until(lambda: told.errors)
        assert isinstance(told.errors[0], DiskFull)
        assert len(told.events) == 1
    assert [sample.image for sample in Dataset(tmp_path / "data")] == [picture(0)]
    assert verify(tmp_path / "data").problems == ()


def test_a_bug_ends_the_writer_loudly(tmp_path: Path) -> None:
    """An error that is nobody's fault outside is handed to the listener as it is."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        link = drawn(store)[0]
        with writing(store) as (writer, told):
            writer.put(lost(link))
            writer.put(lost(link))
            writer.hurry()
            _until(lambda: told.errors)
        assert isinstance(told.errors[0], AssertionError)
    assert verify(tmp_path / "data").problems == ()


def _until(condition: Callable[[], object]) -> None:
    """Wait for the writer's thread; pytest's timeout ends a wait that would not."""
    while not condition():
        os.sched_yield()
