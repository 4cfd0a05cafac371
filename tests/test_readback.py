"""The tools people use read a dataset as it is: webdataset, datasets, pyarrow and DuckDB."""

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from PIL import Image

from curator.dataset.card import write_card
from curator.dataset.failures import write_failures
from curator.dataset.records import Drawn, Verdict
from curator.dataset.summary import write_summary
from tests.datasets import committer, drawn, ingest, lost, opened, picture, saved, url

# Third parties warn of their own futures while they are imported and used; that is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

KINDS = ["JPEG", "PNG", "WEBP", "GIF", "BMP"]
COLUMNS = pa.schema(
    [
        pa.field("caption", pa.string()),
        pa.field("input_WIDTH", pa.int64()),
        pa.field("score", pa.float64()),
        pa.field("nsfw", pa.bool_()),
        pa.field("tags", pa.list_(pa.string())),
    ]
)


@pytest.fixture(scope="module", params=[True, False], ids=["captions", "bare"])
def dataset(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """A finished dataset of mixed formats; with captions, nulls come first and names collide with ours."""
    root, captioned = tmp_path_factory.mktemp("readback") / "data", request.param
    data = [_listed(n) for n in range(15)] if captioned else None
    with opened(root, COLUMNS if captioned else pa.schema([])) as store:
        ingest(store, [url(n) for n in range(15)], data)
        store.begin_run((), {})
        links = drawn(store)
        writing = committer(store)
        writing.commit([_verdict(link, lose=i % 5 == 4) for i, link in enumerate(links)])
        writing.seal()
        writing.close()
        write_card(store.layout, store.columns, store.fixed.encoding())
        write_failures(store.layout, store.ledger, store.columns)
        write_summary(store.layout, store.ledger)
    return root, captioned


def _verdict(link: Drawn, *, lose: bool) -> Verdict:
    return lost(link) if lose else saved(link, _picture(link.url), _kind(link.url).lower())


def _number(listed: str) -> int:
    return int(listed.rsplit("/", 1)[1].removesuffix(".jpg"))


def _kind(listed: str) -> str:
    return KINDS[_number(listed) % len(KINDS)]


def _picture(listed: str) -> bytes:
    return picture(_number(listed), _kind(listed))


def _listed(n: int) -> str | None:
    """A row's columns: some rows have none, some only nulls."""
    if n % 4 == 0:
        return None
    values: list[object] = (
        [None] * 5 if n % 4 == 1 else [f"caption {n}\n\u202e", n, n / 3, n % 2 == 0, ["a", str(n)]]
    )
    return json.dumps(values)


def _same_pixels(image: Any, listed: str) -> bool:
    with Image.open(io.BytesIO(_picture(listed))) as original:
        return image.convert("RGB").tobytes() == original.convert("RGB").tobytes()


def _offline_datasets(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The `datasets` module, which may ask nobody and caches below `folder`."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", folder / "cache")
    return datasets


def test_webdataset(dataset: tuple[Path, bool]) -> None:
    """Every sample has the image of its URL, a sidecar and, with captions, a text, all in one go."""
    import webdataset

    root, captioned = dataset
    shards = sorted(str(path) for path in (root / "images").glob("*.tar"))
    samples = list(webdataset.WebDataset(shards, shardshuffle=False).decode("pil"))

    assert len(samples) == 12
    for sample in samples:
        listed = sample["json"]["url"]
        assert _same_pixels(sample["jpg"], listed)
        assert sample["__key__"] == sample["json"]["key"]
        assert ("txt" in sample) == captioned
        if captioned:
            assert sample["txt"] == sample["json"]["caption"]


def test_load_dataset(dataset: tuple[Path, bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load_dataset("data/")` offline gives one split with every image at its URL, and nothing else."""
    datasets = _offline_datasets(tmp_path, monkeypatch)

    root, captioned = dataset
    loaded = datasets.load_dataset(str(root))

    assert list(loaded) == ["train"]
    assert loaded["train"].num_rows == 12
    for sample in loaded["train"]:
        assert _same_pixels(sample["jpg"], sample["json"]["url"])
        assert ("txt" in sample) == captioned
        if captioned:
            assert sample["txt"] == sample["json"]["caption"]
            assert isinstance(sample["json"]["input_WIDTH"], int)


def test_pyarrow(dataset: tuple[Path, bool]) -> None:
    """All Parquet files of images/ are one table of one schema, with nulls as nulls."""
    root, captioned = dataset
    table = ds.dataset([str(path) for path in sorted((root / "images").glob("*.parquet"))]).to_table()

    assert table.num_rows == 12
    assert set(table.column("status").to_pylist()) == {"success"}
    if captioned:
        rows = {row["url"]: row for row in table.to_pylist()}
        for listed, row in rows.items():
            values = json.loads(_listed(_number(listed)) or "[null, null, null, null, null]")
            assert [row[field.name] for field in COLUMNS] == values


def test_duckdb(dataset: tuple[Path, bool]) -> None:
    """Globs over shards, failures and summary answer questions in SQL, colliding names included."""
    root, captioned = dataset
    with duckdb.connect() as db:
        saved_urls = {row[0] for row in db.execute(f"SELECT url FROM '{root}/images/*.parquet'").fetchall()}
        failed = db.execute(f"SELECT url, reason FROM '{root}/failures.parquet'").fetchall()
        (links,) = db.execute(f"SELECT links FROM '{root}/summary.json'").fetchall()[0]
        if captioned:
            widths = db.execute(f"SELECT url, width, input_WIDTH FROM '{root}/images/*.parquet'").fetchall()
            assert all(row[1] == 16 for row in widths)
            assert all(row[2] in (None, _number(row[0])) for row in widths)
    assert saved_urls | {listed for listed, _ in failed} == {url(n) for n in range(15)}
    assert {reason for _, reason in failed} == {"http_404"}
    assert links == 15


def test_the_card_is_true(dataset: tuple[Path, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Python and SQL example in the card runs in the dataset's folder."""
    root, captioned = dataset
    text = (root / "README.md").read_text()
    assert ("000000000.txt" in text) == captioned
    monkeypatch.chdir(root)
    _offline_datasets(root.parent, monkeypatch)
    examples = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert len(examples) == 4
    for example in examples:
        exec(example, {})
    queries = text.split("```sql\n")[1].split("```")[0]
    with duckdb.connect() as db:
        for query in filter(str.strip, queries.split(";")):
            assert db.execute(query).fetchall()
