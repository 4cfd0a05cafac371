"""Committing batches: what a kill at any step leaves, and what the ledger says afterwards."""

from contextlib import closing
from pathlib import Path

import pytest

from curator.dataset import Dataset
from curator.dataset.commit import Committer
from curator.dataset.ledger import PENDING, WAITING
from curator.dataset.verify import verify
from curator.errors import CorruptDataset
from curator.reasons import Reason
from tests.datasets import (
    CAPTIONED,
    committer,
    counts,
    drawn,
    ingest,
    lost,
    opened,
    picture,
    postponed,
    saved,
    url,
)
from tests.killed import LINKS, Killed, killed_at_each_step


def finish(root: Path) -> dict[str, bytes]:
    """Reopen, save what is still to be saved, seal; the pictures that were saved now by URL."""
    with opened(root, CAPTIONED) as store:
        run = store.begin_run((), {})
        links = drawn(store, run.id)
        writing = committer(store, run.id)
        writing.commit([saved(link, picture(100 + i)) for i, link in enumerate(links)])
        writing.seal()
        writing.close()
    return {link.url: picture(100 + i) for i, link in enumerate(links)}


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    """What is left by kills before each step."""
    return killed_at_each_step("commit", tmp_path_factory.mktemp("commit"))


def test_bytes_are_durable_before_the_ledger_counts_them(left: list[Killed]) -> None:
    """A batch is written, then synced, then committed, and a new shard's name is synced before all that."""
    assert [killed.step for killed in left][:5] == [
        "commit",
        "sync images",
        "write",
        "sync 00000.tar.part",
        "commit",
    ]


def test_killed_at_each_step(left: list[Killed]) -> None:
    """Killed before any step of a commit, a dataset is whole, goes on, and stores each URL once."""
    assert left[-1].step == "survived"

    for killed in left:
        report = verify(killed.root)
        assert report.problems == (), killed
        before = {sample.fields["url"]: sample.image for sample in Dataset(killed.root)}
        added = finish(killed.root)
        after = {sample.fields["url"]: sample.image for sample in Dataset(killed.root)}

        assert verify(killed.root).problems == (), killed
        assert after == before | added, killed
        assert before.keys().isdisjoint(added), killed
        assert LINKS - len(after) <= 2, killed  # one lost and one waiting at most


def test_a_shorter_part_is_corruption(tmp_path: Path) -> None:
    """An open shard shorter than what was committed stops everything, and is not extended."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(drawn(store)[0], picture(0))])
        writing.close()
        part = store.layout.part(0)
        with part.open("r+b") as file:
            file.truncate(100)

        with pytest.raises(CorruptDataset, match="100 bytes"):
            committer(store)
    assert part.stat().st_size == 100


def test_a_missing_part_is_corruption(tmp_path: Path) -> None:
    """An open shard that is gone is named, and no empty one appears in its place."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(drawn(store)[0], picture(0))])
        writing.close()
        store.layout.part(0).unlink()

        with pytest.raises(CorruptDataset, match="missing"):
            committer(store)
        assert not store.layout.part(0).exists()


def test_what_exceeds_the_committed_length_is_cut(tmp_path: Path) -> None:
    """Bytes that a kill left beyond the committed length are gone when the shard goes on."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0), url(1)])
        store.begin_run((), {})
        first, second = drawn(store)
        writing = committer(store)
        writing.commit([saved(first, picture(0))])
        writing.close()
        with store.layout.part(0).open("ab") as file:
            file.write(b"x" * 50_000)
        writing = committer(store)
        writing.commit([saved(second, picture(1))])
        writing.seal()
    assert [sample.image for sample in Dataset(tmp_path / "data")] == [picture(0), picture(1)]
    assert verify(tmp_path / "data").problems == ()


def test_a_failed_commit_takes_the_batch_back(tmp_path: Path) -> None:
    """When the ledger refuses, the shard is cut back and the same batch can be committed again."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0), url(1)])
        store.begin_run((), {})
        links = drawn(store)
        writing = committer(store)
        batch = [saved(link, picture(i)) for i, link in enumerate(links)]
        with pytest.raises(AssertionError, match="twice"):
            writing.commit([*batch, batch[0]])
        assert store.layout.part(0).stat().st_size == 0
        assert counts(store) == {PENDING: 2} == store.ledger.counts()

        writing.commit(batch)
        writing.seal()
    assert len(Dataset(tmp_path / "data")) == 2
    assert verify(tmp_path / "data").problems == ()


def test_counts_follow_the_verdicts(tmp_path: Path) -> None:
    """Links saved, lost, postponed and left are counted as what they are."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(n) for n in range(5)])
        store.begin_run((), {})
        links = drawn(store)
        writing = committer(store)
        writing.commit([postponed(links[0], 7.0), lost(links[1], Reason.TIMEOUT)])
        writing.commit([saved(links[0], picture(0)), lost(links[2]), postponed(links[3], 9.0)])
        writing.close()

        expected = {
            Reason.SAVED.code: 1,
            Reason.TIMEOUT.code: 1,
            Reason.HTTP_404.code: 1,
            WAITING: 1,
            PENDING: 1,
        }
        assert store.ledger.counts() == expected == counts(store)


@pytest.mark.parametrize("limit", [{"shard_size": 3}, {"shard_bytes": 6000, "shard_size": 100}])
def test_shards_end_at_their_limits(tmp_path: Path, limit: dict[str, int]) -> None:
    """A batch larger than a shard is split over several, none above its limit, none lost."""
    with opened(tmp_path / "data", **limit) as store:
        ingest(store, [url(n) for n in range(10)])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
        writing.seal()
        shards = store.ledger.db.execute("SELECT samples, length FROM shards").fetchall()
    assert len(shards) > 2
    assert all(samples <= limit["shard_size"] for samples, _ in shards)
    assert all(length <= limit.get("shard_bytes", 1 << 30) for _, length in shards)
    assert [sample.image for sample in Dataset(tmp_path / "data")] == [picture(i) for i in range(10)]
    assert verify(tmp_path / "data").problems == ()


def test_an_image_larger_than_a_shard_has_one_of_its_own(tmp_path: Path) -> None:
    """The bytes of a shard are no limit for a single image."""
    with opened(tmp_path / "data", shard_bytes=100) as store:
        ingest(store, [url(0), url(1)])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
        writing.seal()
    assert verify(tmp_path / "data").shards == 2
    assert verify(tmp_path / "data").problems == ()


def test_captions_of_other_listings_known_at_commit(tmp_path: Path) -> None:
    """A sample's captions are those of all listings of its URL so far, each once, its own first."""
    with opened(tmp_path / "data", CAPTIONED) as store:
        same = ['["own",1]', '["other",1]', '["own",2]', "[null,3]"]
        ingest(store, [url(0), url(0), url(0), url(0)], same)
        ingest(store, [url(1), url(1)], [None, '["later",1]'])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
        writing.seal()
    table = Dataset(tmp_path / "data").rows(["url", "caption", "captions"]).to_pylist()
    found = {row["url"]: (row["caption"], row["captions"]) for row in table}
    assert found == {url(0): ("own", ["own", "other"]), url(1): (None, ["later"])}


def test_a_shard_is_made_for_an_image_only(tmp_path: Path) -> None:
    """Nothing saved, no file and no shard; what comes after a full shard and is no image makes no other one."""
    with opened(tmp_path, CAPTIONED) as store:
        ingest(store, [url(n) for n in range(6)], ['["",0]'] * 6)
        links = drawn(store, store.begin_run((), {}).id)
        with closing(committer(store)) as writing:
            writing.commit([lost(links[0])])
            assert list(store.layout.images.iterdir()) == []
            writing.commit([*(saved(link, picture(i)) for i, link in enumerate(links[1:5])), lost(links[5])])
    report = verify(tmp_path)
    assert (report.problems, report.shards, report.samples) == ((), 1, 4)
    assert not list(store.layout.images.glob("*.part"))


def test_a_shard_that_was_full_before_a_kill_gets_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between its last commit and its sealing, a full shard is sealed before another image comes."""
    with opened(tmp_path, CAPTIONED) as store:
        ingest(store, [url(n) for n in range(5)], ['["",0]'] * 5)
        links = drawn(store, store.begin_run((), {}).id)
        with monkeypatch.context() as killed, closing(committer(store)) as writing:
            killed.setattr(Committer, "seal", lambda self: None)
            writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:4])])
        with closing(committer(store)) as writing:
            writing.commit([saved(links[4], picture(4))])
    assert verify(tmp_path).problems == ()
    assert [sample.key for sample in Dataset(tmp_path)] == [*(f"{n:06d}" for n in range(4)), "000010"]
