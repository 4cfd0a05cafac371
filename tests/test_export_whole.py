"""Every kept row is written once, and what an export noted of itself is held against what is there."""

import asyncio
import csv
import resource
import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.encoding import Encoding
from curator.errors import CorruptDataset, DiskFull, UsageError
from curator.settings import ExportSettings, Settings
from curator.sources.bodies import Found, Wanted
from tests.exporting import Inputs, export, photographs, tree

COUNT = 6
FORMS = ("webdataset", "folder", "parquet")


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A few photographs that were all kept."""
    made = Inputs(tmp_path, photographs(COUNT))
    made.decide()
    return made


@pytest.mark.parametrize(
    "wanted", [{}, {"shuffle": 4}, {"split": (("a", 1), ("b", 1))}], ids=["in order", "shuffled", "split"]
)
async def test_every_row_has_its_file(inputs: Inputs, tmp_path: Path, wanted: dict[str, Any]) -> None:
    """Rows of the same uid, but of other bytes, are files of their own: named by the order of the rows."""
    for row in inputs.rows[3:]:
        row["uid"] = inputs.rows[0]["uid"]
    inputs.decide()
    await inputs.export(tmp_path / "folder", form="folder", shard_size=2, **wanted)
    with (tmp_path / "folder/index.csv").open(newline="") as file:
        lines = {line["source_path"]: line for line in csv.DictReader(file)}
    await inputs.export(tmp_path / "parquet", form="parquet", shard_size=2, **wanted)
    table = pq.ParquetDataset(sorted((tmp_path / "parquet").glob("*.parquet"))).read().to_pylist()
    names = {row["source_path"]: row["image"]["path"] for row in table}
    assert lines.keys() == {row["path"] for row in inputs.rows}
    for number, row in enumerate(inputs.rows):
        file = tmp_path / "folder" / lines[row["path"]]["file_name"]
        assert file.read_bytes() == (inputs.root / row["path"]).read_bytes()
        assert file.stem == (row["uid"] if number < 3 else f"{row['uid']}-{number - 1}")
        assert names[row["path"]] == file.name


def emptied(out: Path) -> None:
    """All that `rm -r OUT/*` takes."""
    for path in out.iterdir():
        if path.name.startswith("."):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def one_gone(out: Path) -> None:
    """A file that holds images."""
    next(path for path in sorted(out.rglob("*")) if path.suffix in (".tar", ".jpg", ".parquet")).unlink()


def one_cut(out: Path) -> None:
    """A file that holds images and, in one form, is also the input: so it is not written to."""
    path = next(path for path in sorted(out.rglob("*")) if path.suffix in (".tar", ".jpg", ".parquet"))
    body = path.read_bytes()
    path.unlink()
    path.write_bytes(body[:-1])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("harm", [emptied, one_cut])
async def test_what_is_missing_is_written_again(
    form: str, harm: Callable[[Path], None], inputs: Inputs, tmp_path: Path
) -> None:
    """A finished export of which files were deleted or cut is made whole, and only what is missing is read."""
    out, wanted = tmp_path / "out", {"form": form, "shard_size": 2}
    whole = await inputs.export(out, **wanted)
    before, inputs.asked = tree(out), 0
    harm(out)
    assert await inputs.export(out, **wanted) == whole
    assert tree(out) == before
    if form != "folder" and harm is not emptied:
        assert inputs.asked == 2
    inputs.asked = 0
    assert await inputs.export(out, **wanted) == whole
    assert inputs.asked == 0


@pytest.mark.parametrize("form", FORMS)
async def test_what_is_missing_of_a_beginning_is_written_again(
    form: str, inputs: Inputs, tmp_path: Path
) -> None:
    """An export that was cut short, and lost what it had written, ends as one that did not."""
    wanted, written = {"form": form, "shard_size": 2}, asyncio.Event()

    async def stops(some: Sequence[Wanted]) -> AsyncIterator[Found]:
        async for found in inputs.bodies(some):
            if inputs.asked == 5:
                await written.wait()
                raise UsageError("gone")
            yield found

    def progress(done: int, of: int) -> None:
        if done == 4:  # the first part is whole
            written.set()

    with pytest.raises(UsageError, match="gone"):
        await export(inputs.curated, tmp_path / "out", ExportSettings(**wanted), stops, progress)
    one_gone(tmp_path / "out")
    assert (await inputs.export(tmp_path / "out", **wanted)).images == COUNT
    await inputs.export(tmp_path / "whole", **wanted)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"version": 2}', b"\xff", b'{"version": 2, "exported": 1}'])
async def test_notes_that_make_no_sense(text: bytes, inputs: Inputs, tmp_path: Path) -> None:
    """A marker that no export wrote is told with the way out; a part whose note is damaged is written again."""
    out = tmp_path / "out"
    (out / ".parts").mkdir(parents=True)
    (out / ".exported").write_bytes(text)
    with pytest.raises(UsageError, match=r"\.exported is not what an export wrote.*another folder"):
        await inputs.export(out)
    shutil.rmtree(out)
    await inputs.export(out)
    (out / "00000.tar").unlink()
    (out / ".parts").mkdir()
    (out / ".parts/00000.json").write_bytes(text)
    assert (await inputs.export(out)).images == COUNT
    assert (out / "00000.tar").exists()


@pytest.mark.parametrize("shuffle", [None, 1])
async def test_damaged_decisions(shuffle: int | None, inputs: Inputs, tmp_path: Path) -> None:
    """A table whose footer is whole and whose pages are not is named, whatever column is damaged."""
    table = inputs.curated / "decisions.parquet"
    whole, columns = table.read_bytes(), pq.read_metadata(table).row_group(1)
    for name in ("uid", "captions", "url", "path"):
        column = next(
            column
            for column in map(columns.column, range(columns.num_columns))
            if column.path_in_schema.split(".")[0] == name
        )
        start, spoilt = column.dictionary_page_offset or column.data_page_offset, bytearray(whole)
        spoilt[start : start + 24] = b"\xff" * 24
        table.write_bytes(spoilt)
        with pytest.raises(CorruptDataset, match=f"{table} is damaged.*curate again"):
            await inputs.export(tmp_path / f"out-{name}", shuffle=shuffle)


@pytest.mark.parametrize("shuffle", [None, 1])
async def test_one_table_from_beginning_to_end(shuffle: int | None, inputs: Inputs, tmp_path: Path) -> None:
    """Where curate replaces the decisions meanwhile, the export is that of the earlier ones."""
    wanted = {"shard_size": 2, "shuffle": shuffle}
    await inputs.export(tmp_path / "whole", **wanted)
    later = Inputs(tmp_path / "later", {})
    later.rows = [row | {"url": "http://later.example/"} for row in inputs.rows[::-1]]
    later.decide()

    async def replacing(some: Sequence[Wanted]) -> AsyncIterator[Found]:
        if (later.curated / "decisions.parquet").exists():
            (later.curated / "decisions.parquet").replace(inputs.curated / "decisions.parquet")
        async for found in inputs.bodies(some):
            yield found

    fitting = ExportSettings(**wanted)
    await export(inputs.curated, tmp_path / "out", fitting, replacing, lambda done, of: None)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
    with pytest.raises(UsageError, match="other decisions"):
        await inputs.export(tmp_path / "out", **wanted)


@pytest.mark.parametrize("form", FORMS)
async def test_files_that_may_not_grow(form: str, inputs: Inputs, tmp_path: Path) -> None:
    """A limit on the size of files is told as a full disk is, by one error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, before[1]))
    try:
        with pytest.raises(DiskFull):
            await inputs.export(tmp_path / "out", form=form)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (await inputs.export(tmp_path / "out", form=form)).images == COUNT


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": -1},
        {"decode_timeout": float("nan")},
        {"decode_timeout": 1e300},
        {"decode_timeout": 0.0},
        {"worker_memory": 1},
        {"max_pixels": 0},
        {"shard_size": 0},
        {"shard_bytes": -1},
    ],
)
def test_settings_out_of_range(wrong: dict[str, Any]) -> None:
    """What cannot work names its flag, for an export as for a curation."""
    flag = f"--{next(iter(wrong)).replace('_', '-')} must be"
    with pytest.raises(UsageError, match=flag):
        ExportSettings(**wrong)
    if "shard" not in flag:
        with pytest.raises(UsageError, match=flag):
            Settings(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"quality": 80}, {"mode": "keep-ratio"}, {"mode": "keep-ratio", "format": "png"}]
)
def test_encodings_that_would_change_nothing(wrong: dict[str, Any]) -> None:
    """How to resize and how well to encode is refused where neither is asked for."""
    with pytest.raises(UsageError, match=f"--{'resize-mode' if 'mode' in wrong else 'quality'}"):
        Encoding(**wrong)
