"""The tools people use read an export as it is: webdataset, datasets, pyarrow and csv."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from PIL import Image

from tests.exporting import LABEL, Inputs, photographs
from tests.pictures import encoded, photo

# Third parties warn of their own futures while they are imported and used; that is theirs to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

OWN = pa.schema([("score", pa.float64()), ("tags", pa.list_(pa.string())), ("Caption", pa.string())])
COUNT = 14


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Images of several formats; the first have no captions, no tags and no score."""
    images = photographs(COUNT - 2) | {
        "a.png": encoded(photo(90, 40, 30), "PNG"),
        "b.webp": encoded(photo(91, 40, 30), "WEBP"),
    }
    made = Inputs(tmp_path_factory.mktemp("readback"), images)
    for n, row in enumerate(made.rows):
        row["url"] = f"http://site.example/{n}"
        if n > 7:
            row |= {"captions": [f'caption "{n}",\n=1+1', "another"], "tags": ["a", str(n)], "score": n / 3}
    made.rows[9]["score"] = float("nan")
    made.decide(OWN)
    return made


@pytest.fixture
def datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The `datasets` module, which may ask nobody and caches elsewhere."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return datasets


def by_uid(inputs: Inputs) -> dict[str, dict[str, Any]]:
    """What was decided on, and the bytes."""
    return {row["uid"]: row | {"body": (inputs.root / row["path"]).read_bytes()} for row in inputs.rows}


def same_picture(image: Image.Image, body: bytes) -> bool:
    """Whether the pixels are those of the file."""
    with Image.open(io.BytesIO(body)) as original:
        return image.convert("RGB").tobytes() == original.convert("RGB").tobytes()


async def test_webdataset(inputs: Inputs, tmp_path: Path, datasets: Any) -> None:
    """webdataset and load_dataset give every image its row and its caption, whatever its format."""
    import webdataset

    out, known = tmp_path / "out", by_uid(inputs)
    await inputs.export(out, shard_size=5)
    shards = sorted(str(path) for path in out.glob("*.tar"))
    for samples in (
        webdataset.WebDataset(shards, shardshuffle=False).decode("pil"),
        datasets.load_dataset(str(out), split="train"),
    ):
        seen = {sample["json"]["uid"]: sample for sample in samples}
        assert seen.keys() == known.keys()
        for uid, sample in seen.items():
            row = known[uid]
            assert same_picture(sample["jpg"], row["body"])
            assert sample["txt"] == (row.get("captions") or [""])[0] == sample["json"]["caption"]
            assert sample["json"]["captions"] == (row.get("captions") or [""])
            assert sample["json"]["format"] == row["format"]
            assert math.isfinite(sample["json"]["score"])  # JSON has no NaN
            assert sample["__key__"] == sample["json"]["key"]


async def test_the_index_counts_the_shards(inputs: Inputs, tmp_path: Path) -> None:
    """The wids index of each split names its shards with their sizes and numbers of samples."""
    import webdataset

    out = tmp_path / "out"
    await inputs.export(out, shard_size=3, split=(("train", 2), ("val", 1)))
    samples = 0
    for split in ("train", "val"):
        index = json.loads((out / f"shardindex-{split}.json").read_bytes())
        assert (index["__kind__"], index["wids_version"]) == ("wids-shard-index-v1", 1)
        shards = [out / shard["url"] for shard in index["shardlist"]]
        assert shards == sorted(out.glob(f"{split}-*.tar"))
        for shard, told in zip(shards, index["shardlist"], strict=True):
            assert told["filesize"] == shard.stat().st_size
            found = list(webdataset.WebDataset(str(shard), shardshuffle=False))
            assert told["nsamples"] == len(found)
            samples += len(found)
    assert samples == COUNT


async def test_the_table_beside_a_shard(inputs: Inputs, tmp_path: Path) -> None:
    """All Parquet files are one table of one schema: nulls are nulls, keys those of the tar, types the input's."""
    out, known = tmp_path / "out", by_uid(inputs)
    await inputs.export(out, shard_size=5)
    table = ds.dataset(sorted(str(path) for path in out.glob("*.parquet"))).to_table()
    assert table.schema.field("tags").type == pa.list_(pa.string())
    names = [name.casefold() for name in table.column_names]
    assert len(set(names)) == len(names)  # a reader that folds case finds every column
    assert "input_Caption" in table.column_names
    for row in table.to_pylist():
        was = known[row["uid"]]
        assert row["sha256"] == was["sha256"] == row["stored_sha256"]
        assert (row["source"], row["source_path"], row["source_key"]) == (LABEL, was["path"], None)
        assert row["captions"] == was.get("captions")
        assert row["tags"] == was.get("tags")


async def test_parquet(inputs: Inputs, tmp_path: Path, datasets: Any) -> None:
    """load_dataset decodes the images of every split; pyarrow finds the input's bytes and a true name."""
    out, known = tmp_path / "out", by_uid(inputs)
    await inputs.export(out, form="parquet", shard_size=4, split=(("train", 3), ("test", 1)))
    loaded = datasets.load_dataset(str(out))
    assert sorted(loaded) == ["test", "train"]
    rows = [row for split in loaded.values() for row in split]
    assert len(rows) == COUNT
    for row in rows:
        assert same_picture(row["image"], known[row["uid"]]["body"])
    for row in ds.dataset(sorted(str(path) for path in out.glob("*.parquet"))).to_table().to_pylist():
        was = known[row["uid"]]
        extension = {"jpeg": "jpg"}.get(was["format"], was["format"])
        assert row["image"] == {"bytes": was["body"], "path": f"{row['uid']}.{extension}"}


async def test_folder(inputs: Inputs, tmp_path: Path, datasets: Any) -> None:
    """index.csv has a line for every file, which has its true extension; load_dataset gives each its columns."""
    out, known = tmp_path / "out", by_uid(inputs)
    await inputs.export(out, form="folder", shard_size=4)
    with (out / "index.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert {line["uid"] for line in lines} == known.keys()
    for line in lines:
        was = known[line["uid"]]
        extension = {"jpeg": "jpg"}.get(was["format"], was["format"])
        assert line["file_name"] == f"{line['uid'][:2]}/{line['uid']}.{extension}"
        assert (out / line["file_name"]).read_bytes() == was["body"]
        assert line["caption"] == (was.get("captions") or [""])[0]
        assert json.loads(line["captions"] or "null") == was.get("captions")
        assert int(line["width"]) == was["width"]
    loaded = datasets.load_dataset(str(out), split="train")
    assert loaded.num_rows == COUNT
    for row in loaded:
        was = known[row["uid"]]
        assert same_picture(row["image"], was["body"])
        assert (row["source"], row["source_path"], row["width"]) == (LABEL, was["path"], was["width"])
        assert row["captions"] == (was.get("captions") or [""])


async def test_a_split_folder(tmp_path: Path, datasets: Any) -> None:
    """Each side is loaded with its columns, also where one has no captions or but one image, and where an own
    column is called as paths of images are."""
    made = Inputs(tmp_path, photographs(5))
    own = pa.schema([("file_name", pa.string()), ("mask_file_name", pa.string())])
    for n, row in enumerate(made.rows):
        row |= {"file_name": f"no/{n}.png", "mask_file_name": f"no/{n}.png"}
        row |= {"uid": f"{n}" * 32, "captions": ["a caption"] if n < 1 else None}
    made.decide(own)
    await made.export(tmp_path / "out", form="folder", split=(("train", 4), ("val", 1)))
    loaded = datasets.load_dataset(str(tmp_path / "out"))
    assert {split: len(rows) for split, rows in loaded.items()} == {"train": 4, "val": 1}
    known = by_uid(made)
    for row in (row for rows in loaded.values() for row in rows):
        assert same_picture(row["image"], known[row["uid"]]["body"])
        assert row["caption"] == (known[row["uid"]]["captions"] or [""])[0]
        assert row["input_file_name_"] == row["mask_file_name_"] == known[row["uid"]]["file_name"]


@pytest.mark.parametrize("form", ["webdataset", "folder", "parquet"])
async def test_the_card_is_true(
    form: str,
    inputs: Inputs,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    datasets: Any,
) -> None:
    """Every example in the card runs in the folder, and what it says of the files is so."""
    out = tmp_path / "out"
    await inputs.export(out, form=form, split=(("train", 2), ("val", 1)))
    monkeypatch.chdir(out)
    text = (out / "README.md").read_text()
    examples = [block.split("```")[0] for block in text.split("```python\n")[1:]]
    assert len(examples) == {"webdataset": 3, "folder": 2, "parquet": 2}[form]
    for example in examples:
        exec(example, {})
    named = [line.split("`")[1] for line in text.splitlines() if line.startswith("| `")]
    assert all((out / name).exists() for name in named)
