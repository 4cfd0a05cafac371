"""`Recorded`: the samples of a dataset of ours as they were when it was opened, and the copies it gave up."""

import fcntl
import os
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curator.dataset import Dataset
from curator.errors import CorruptDataset, UsageError
from curator.reasons import Reason
from curator.sources.reading import Reader
from curator.sources.recorded import Recorded
from curator.sources.source import SOURCE_SCHEMA, Source
from tests.datasets import BARE, CAPTIONED, committer, drawn, ingest, lost, make, opened, picture, saved, url


def table(source: Source, columns: list[str] | None = None) -> pa.Table:
    """All rows of a source."""
    return pa.Table.from_batches(source.rows(columns))


@pytest.mark.parametrize("seal", [True, False])
def test_rows_are_those_of_the_dataset(tmp_path: Path, seal: bool) -> None:
    """Each sample is a row, with its shard as path, the measures recorded for it and the list's columns."""
    make(tmp_path / "data", seal=seal)
    stored, source = Dataset(tmp_path / "data").rows(), Recorded("data", tmp_path / "data")

    rows = table(source)

    assert rows.schema == source.schema
    assert len(source) == len(rows) == 10
    assert rows.schema.names[: len(SOURCE_SCHEMA)] == SOURCE_SCHEMA.names
    same = [name for name in SOURCE_SCHEMA.names if name in stored.column_names and name != "captions"]
    assert rows.select(same) == stored.select(same)
    assert {"caption", "input_WIDTH", "final_url", "http_status"} <= set(rows.column_names)
    assert rows["path"].to_pylist() == [f"images/{key[:5]}.tar" for key in stored["key"].to_pylist()]
    assert rows["unmeasured"].null_count == rows["detail"].null_count == 10
    captions = [[caption] if caption else None for caption in stored["caption"].to_pylist()]
    assert rows["captions"].to_pylist() == captions


def test_only_the_columns_asked_for_in_their_order(tmp_path: Path) -> None:
    """`rows` gives the columns named, also such as are stored nowhere; without captions these are null."""
    with opened(tmp_path / "data", BARE) as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        with closing(committer(store)) as writing:
            writing.commit([saved(drawn(store)[0], picture(0))])
    source = Recorded("data", tmp_path / "data")
    names = ["captions", "path", "detail", "width"]
    assert table(source, names).to_pylist() == [
        {"captions": None, "path": "images/00000.tar", "detail": None, "width": 16}
    ]
    assert table(source, ["path"]).num_rows == 1


def test_columns_that_collide_are_renamed(tmp_path: Path) -> None:
    """Input columns called as one of a source's own, in any case, are carried as input_NAME."""
    schema = pa.schema([("Path", pa.string()), ("input_path", pa.string()), ("stands_for", pa.int64())])
    with opened(tmp_path / "data", schema) as store:
        ingest(store, [url(0)], ['["a","b",3]'])
        store.begin_run((), {})
        with closing(committer(store)) as writing:
            writing.commit([saved(drawn(store)[0], picture(0))])
    [row] = table(Recorded("data", tmp_path / "data")).to_pylist()
    assert (row["input_Path"], row["input_input_path"], row["input_stands_for"]) == ("a", "b", 3)


async def test_fixed_while_a_crawl_goes_on(tmp_path: Path) -> None:
    """What is committed and sealed afterwards changes neither rows nor the number; its bytes are still found."""
    with opened(tmp_path / "data", CAPTIONED) as store:
        ingest(store, [url(n) for n in range(6)])
        store.begin_run((), {})
        links = drawn(store)
        with closing(committer(store)) as writing:
            writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:3])])
            source = Recorded("data", tmp_path / "data")
            before = table(source)
            places = source.locate(before["path"].to_pylist(), before["key"].to_pylist())
            assert source.writer_at_work()
            writing.commit([saved(link, picture(i)) for i, link in enumerate(links[3:], 3)])
            writing.seal()
    assert table(source) == before
    assert len(source) == 3
    assert not source.writer_at_work()
    with pytest.raises(UsageError, match="no sample 000003"):
        source.locate(["images/00000.tar"], ["000003"])
    async with Reader(1 << 20) as reader:  # the places were found before the shard was renamed
        assert await reader.read(places) == [picture(i) for i in range(3)]


def test_a_lock_that_nobody_holds_is_no_writer(tmp_path: Path) -> None:
    """A writer is at work while the lock is held, and only then."""
    make(tmp_path / "data")
    source = Recorded("data", tmp_path / "data")
    assert not source.writer_at_work()
    with (tmp_path / "data" / ".lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert source.writer_at_work()


@pytest.mark.parametrize("seal", [True, False])
@pytest.mark.parametrize("schema", [BARE, CAPTIONED])
async def test_located_images_are_the_samples(tmp_path: Path, seal: bool, schema: pa.Schema) -> None:
    """The bytes at each place are those whose sha256 the row names, in any order asked for."""
    with opened(tmp_path / "data", schema) as store:
        ingest(store, [url(n) for n in range(9)])
        store.begin_run((), {})
        with closing(committer(store)) as writing:
            writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
            if seal:
                writing.seal()
    source = Recorded("data", tmp_path / "data")
    rows = table(source, ["path", "key", "sha256"]).to_pylist()[::-1]
    places = source.locate([row["path"] for row in rows], [row["key"] for row in rows])
    async with Reader(1 << 20) as reader:
        bodies = await reader.read(places)
    assert [sha256(body).hexdigest() for body in bodies] == [row["sha256"] for row in rows]


def test_damage_names_the_file(tmp_path: Path) -> None:
    """A damaged Parquet is told as such, with the file's name."""
    make(tmp_path / "data")
    source, images = Recorded("data", tmp_path / "data"), tmp_path / "data" / "images"
    (images / "00002.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptDataset, match=r"00002\.parquet: cannot be read"):
        source.locate(["images/00002.tar"], ["000020"])
    with pytest.raises(CorruptDataset, match=r"00002\.parquet: cannot be read"):
        table(source)


def test_copies_that_the_crawl_gave_up(tmp_path: Path) -> None:
    """Each sample's copies are known with URL and captions, and those of the same bytes counted by host."""
    urls = [f"http://{host}.example/{n}.jpg" for host in "ab" for n in range(4)]
    with opened(tmp_path / "data", CAPTIONED) as store:
        ingest(store, urls, [f'["{one}",1]' for one in urls])
        store.begin_run((), {})
        links = {link.url: link for link in drawn(store)}
        first, second, *others = (links[one] for one in urls)
        same = [lost(link, Reason.SAME_BYTES, duplicate_of=first.uid, distance=0) for link in others[:5]]
        near = lost(others[5], Reason.NEAR_DUPLICATE, duplicate_of=second.uid, distance=3)
        with closing(committer(store)) as writing:
            writing.commit([saved(first, picture(0)), saved(second, picture(1)), *same, near])
        ingest(store, [others[0].url], ['["again",1]'])
    copies = Recorded("data", tmp_path / "data").copies()

    asked = np.frombuffer(second.uid + bytes(16) + first.uid, np.uint8).reshape(3, 16)
    found = copies.of(asked)

    expected = [(0, others[5]), *((2, link) for link in sorted(others[:5], key=lambda link: link.uid))]
    assert len(copies) == 6
    assert found.owner.tolist() == [owner for owner, _ in expected]
    assert [bytes(one) for one in found.uid] == [link.uid for _, link in expected]
    assert list(found.url) == [link.url for _, link in expected]
    told = {link.url: [link.url] for link in others} | {others[0].url: [others[0].url, "again"]}
    assert list(found.captions) == [told[link.url] for _, link in expected]
    assert list(copies.by_host()) == [(first.uid, "a.example", 2), (first.uid, "b.example", 3)]
    assert list(copies.by_host(6)) == []


def test_no_copies(tmp_path: Path) -> None:
    """A dataset that was crawled without --dedup has none."""
    make(tmp_path / "data")
    copies = Recorded("data", tmp_path / "data").copies()
    assert len(copies) == 0
    assert list(copies.by_host()) == []
    assert list(copies.of(np.zeros((2, 16), np.uint8)).owner) == []


def test_missing_shards_are_named(tmp_path: Path) -> None:
    """A shard that is gone is told; one that is still written, or sealed meanwhile, is not."""
    make(tmp_path / "data", seal=False)
    source = Recorded("data", tmp_path / "data")
    assert source.missing() == []
    (tmp_path / "data/images/00001.tar").unlink()
    assert source.missing() == ["00001.tar"]


def test_cut_shards_are_named(tmp_path: Path) -> None:
    """A shard with fewer bytes than were committed is told, sealed or not; one that is whole or gone is not."""
    make(tmp_path / "data", seal=False)
    source = Recorded("data", tmp_path / "data")
    first, *_, last = sorted((tmp_path / "data/images").glob("*.tar*"))
    assert last.suffix == ".part"
    assert source.cut() == []
    for path in (first, last):
        os.truncate(path, path.stat().st_size // 2)
    assert source.cut() == [first.name, last.name]
    first.unlink()
    assert source.cut() == [last.name]
