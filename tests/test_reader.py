"""`Dataset`: every committed sample once, with its row and its image, whatever happens meanwhile."""

from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest

from curator.dataset import Dataset
from curator.dataset import ledger as ledger_module
from curator.dataset import reader as reader_module
from curator.dataset.columns import RESERVED
from curator.dataset.rows import SAMPLE_FIELDS
from curator.errors import CorruptDataset, UsageError
from tests.datasets import CAPTIONED, committer, drawn, ingest, make, opened, picture, saved, url


@pytest.mark.parametrize("seal", [True, False])
def test_every_sample_with_its_image(tmp_path: Path, seal: bool) -> None:
    """Sealed shards and the open one give each sample with the image of its own URL, key and row."""
    images = make(tmp_path / "data", samples=10, seal=seal)
    dataset = Dataset(str(tmp_path / "data"))

    samples = list(dataset)

    assert {sample.fields["url"]: sample.image for sample in samples} == images
    assert [sample.key for sample in samples] == [f"0000{i // 4}{i % 4}" for i in range(10)]
    assert [sample.fields for sample in samples] == dataset.rows().to_pylist()
    assert all(sample.caption == sample.fields["caption"] for sample in samples)
    assert all(sample.uid == sample.fields["uid"] for sample in samples)
    assert len(dataset) == 10


def test_rows_have_one_schema(tmp_path: Path) -> None:
    """Rows of sealed and open shards are one table of the dataset's schema, or of the columns asked for."""
    make(tmp_path / "data", seal=False)
    dataset = Dataset(tmp_path / "data")
    assert dataset.rows().schema == dataset.schema
    assert dataset.rows(["width", "uid"]).column_names == ["width", "uid"]
    assert dataset.rows([]).num_columns == 0
    assert all(batch.schema.equals(dataset.schema) for batch in dataset.row_batches())
    with pytest.raises(UsageError, match="no column 'nope'"):
        dataset.rows(["nope"])


def test_input_columns_come_back_with_their_types(tmp_path: Path) -> None:
    """What the list said is in the row, nulls included."""
    images = make(tmp_path / "data")
    numbers = {url(n): n for n in range(15)}
    for row in Dataset(tmp_path / "data").rows(["url", "caption", "input_WIDTH"]).to_pylist():
        n = numbers[row["url"]]
        expected = (f"caption {n}", n) if n % 3 else (None, None)
        assert (row["caption"], row["input_WIDTH"]) == expected
    assert len(images) == 10


def test_no_columns_no_captions(tmp_path: Path) -> None:
    """A bare list gives samples without caption."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(drawn(store)[0], picture(0))])
        writing.close()
    [sample] = Dataset(tmp_path / "data")
    assert (sample.caption, sample.fields["captions"]) == (None, [])


@pytest.mark.parametrize("seal", [True, False])
def test_captions_of_later_listings_are_joined(tmp_path: Path, seal: bool) -> None:
    """A URL listed again after its image was stored has the new caption too, with uid asked for or not."""
    with opened(tmp_path / "data", CAPTIONED) as store:
        ingest(store, [url(0), url(1)], ['["own",1]', '["only",1]'])
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
        if seal:
            writing.seal()
        writing.close()
        ingest(store, [url(0), url(0)], ['["later",1]', '["own",7]'])
    dataset = Dataset(tmp_path / "data")

    expected = {url(0): ["own", "later"], url(1): ["only"]}
    assert {row["url"]: row["captions"] for row in dataset.rows(["captions", "url"]).to_pylist()} == expected
    assert {sample.fields["url"]: sample.fields["captions"] for sample in dataset} == expected


@pytest.mark.parametrize("read", [0, 1, 2, 3])
def test_sealing_and_growing_while_being_read(tmp_path: Path, read: int) -> None:
    """Samples committed before reading began come once each, also when their shard is sealed half-way."""
    with opened(tmp_path / "data", shard_size=10) as store:
        ingest(store, [url(n) for n in range(8)])
        store.begin_run((), {})
        links = drawn(store)
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:3])])

        samples = iter(Dataset(tmp_path / "data"))
        found = [next(samples).image for _ in range(read)]
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[3:], 3)])
        writing.seal()
        found += [sample.image for sample in samples]

        again = [sample.image for sample in Dataset(tmp_path / "data")]
    assert found == [picture(i) for i in range(3 if read else 8)]
    assert again == [picture(i) for i in range(8)]


def test_rows_while_their_shard_is_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages already read from the ledger are not read again from Parquet."""
    monkeypatch.setattr("curator.dataset.reader.PAGE", 2)
    with opened(tmp_path / "data", shard_size=10) as store:
        ingest(store, [url(n) for n in range(7)])
        store.begin_run((), {})
        writing = committer(store)
        links = drawn(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:5])])

        batches = Dataset(tmp_path / "data").row_batches(["url"])
        first = next(batches)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[5:], 5)])
        writing.seal()
        table = pa.Table.from_batches([first, *batches])
    assert table.column("url").to_pylist() == [link.url for link in links[:5]]


@pytest.mark.parametrize("seal", [True, False])
def test_long_rows_come_a_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seal: bool) -> None:
    """What is held at once is bounded in bytes too, of a sealed shard and of an open one."""
    for module in (ledger_module, reader_module):
        monkeypatch.setattr(module, "PAGE_BYTES", 100_000)
    with opened(tmp_path / "data", CAPTIONED, shard_size=100) as store:
        ingest(store, [url(n) for n in range(40)], [f'["{n:010000d}",{n}]' for n in range(40)])
        store.begin_run((), {})
        with closing(committer(store)) as writing:
            writing.commit([saved(link, picture(0)) for link in drawn(store)])
            if seal:
                writing.seal()
    batches = list(Dataset(tmp_path / "data").row_batches(["caption"]))
    assert sorted(int(text[-9:]) for batch in batches for text in batch["caption"].to_pylist()) == list(
        range(40)
    )
    assert max(map(len, batches)) <= 10


def test_no_dataset(tmp_path: Path) -> None:
    """A folder without a ledger is named, with how to make a dataset."""
    with pytest.raises(UsageError, match="crawl LIST"):
        Dataset(tmp_path)
    (tmp_path / "ledger.sqlite").touch()  # killed before its tables were made
    with pytest.raises(UsageError, match="never begun"):
        Dataset(tmp_path)
    (tmp_path / "failures.parquet").touch()  # no start leaves this
    with pytest.raises(CorruptDataset, match=r"failures\.parquet is there"):
        Dataset(tmp_path)


@pytest.mark.parametrize("name", ["00000.tar", "00000.parquet"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:700])])
def test_damage_is_named(tmp_path: Path, name: str, damage: object) -> None:
    """A shard that is gone or cut short is an error naming the file."""
    make(tmp_path / "data")
    damage(tmp_path / "data" / "images" / name)
    with pytest.raises(CorruptDataset, match=name):
        list(Dataset(tmp_path / "data"))


def test_our_columns_are_reserved() -> None:
    """No input column can have the name of one of ours."""
    assert {name for name, _ in SAMPLE_FIELDS} <= RESERVED
