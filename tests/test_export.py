"""Exporting: whole or gone on with, nobody else's folder touched, inputs left alone, every loss told."""

import asyncio
import csv
import errno
import os
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.encoding import Encoding
from curator.errors import DiskFull, UsageError
from curator.export.records import Exported
from curator.settings import ExportSettings
from curator.sources.bodies import Found, Wanted
from curator.sources.items import Item
from curator.sources.listing import list_images
from tests.exporting import Inputs, export, photographs, tree
from tests.killed_export import FORMS, killed_exports
from tests.pictures import encoded, flat, photo

COUNT = 8


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """A few photographs that were all kept."""
    made = Inputs(tmp_path, photographs(COUNT))
    made.decide()
    return made


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Inputs, dict[str, int]]:
    """Exports in every form that were killed again and again."""
    root = tmp_path_factory.mktemp("killed")
    made = Inputs(root, photographs(COUNT))
    made.decide()
    return root, made, killed_exports(root)


@pytest.mark.parametrize("form", FORMS)
async def test_killed_and_gone_on_with(
    form: str, killed: tuple[Path, Inputs, dict[str, int]], tmp_path: Path
) -> None:
    """However often an export is killed, it ends with the same files as one that was not, and nothing beside."""
    root, made, deaths = killed
    assert deaths[form] >= 4
    exported = await made.export(tmp_path / "whole", **FORMS[form])
    assert exported.images == COUNT
    assert tree(root / form) == tree(tmp_path / "whole")
    # one name in the input and one in each export: nothing was written through a link
    assert {file.stat().st_nlink for file in (root / form).rglob("*.jpg")} <= {3}
    hidden = {path.name for path in (root / form).rglob(".*")}
    assert hidden == {".exported"}
    asked = made.asked
    assert await made.export(root / form, **FORMS[form]) == exported  # told again, not made again
    assert made.asked == asked


async def test_whole_parts_are_not_read_again(inputs: Inputs, tmp_path: Path) -> None:
    """Where reading stops in the third shard, with the first one written, the next run does not read that again."""
    written = asyncio.Event()

    async def stops(wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        async for found in inputs.bodies(wanted):
            if inputs.asked == 5:
                await written.wait()
                raise UsageError("the disk is gone")
            yield found

    def progress(done: int, of: int) -> None:
        if done == 4:  # the second shard is added to: the first is whole
            written.set()

    with pytest.raises(UsageError, match="the disk is gone"):
        await export(inputs.curated, tmp_path / "out", ExportSettings(shard_size=2), stops, progress)
    inputs.asked = 0
    seen: list[tuple[int, int]] = []
    again = ExportSettings(shard_size=2)
    whole = await export(inputs.curated, tmp_path / "out", again, inputs.bodies, lambda *at: seen.append(at))
    assert (whole.images, whole.shards) == (COUNT, 4)
    assert inputs.asked <= COUNT - 2
    assert seen[-1] == (COUNT, COUNT)
    assert seen[0][0] == COUNT - inputs.asked + 2  # counts what was there already


async def test_encoded_bytes_do_not_depend_on_workers(tmp_path: Path) -> None:
    """One worker or two, in decided order or another: with a seed the same files, and refused images are told."""
    images = photographs(6) | {"long.png": encoded(flat(width=3, height=400), "PNG")}
    made = Inputs(tmp_path, images)
    wanted: dict[str, Any] = {
        "encoding": Encoding(64, "keep-ratio", "webp", 80), "shuffle": 1, "shard_size": 4, "max_pixels": 100_000
    }  # fmt: skip
    trees = []
    for workers in (1, 2):
        made.rows.reverse()
        made.decide()
        out = tmp_path / f"out{workers}"
        exported = await made.export(out, workers=workers, **wanted)
        assert exported.images == 6
        assert exported.refused == {"too_many_pixels": 1}
        trees.append(tree(out))
    assert trees[0] == trees[1]
    (line,) = csv.DictReader(trees[0]["refused.csv"].decode().splitlines())
    assert (line["source"], line["path"], line["reason"]) == ("photos", "long.png", "too_many_pixels")
    assert {name for name in trees[0] if name.endswith(".tar")} == {"00000.tar", "00001.tar"}

    decided = {row["uid"]: row for row in made.rows}
    for row in pq.read_table([out / "00000.parquet", out / "00001.parquet"]).to_pylist():
        was = decided[row["uid"]]
        assert (row["width"], row["height"], row["format"], row["mode"]) == (64, 64, "webp", "RGB")
        assert (row["original_width"], row["original_height"]) == (was["width"], was["height"])
        assert row["sha256"] == was["sha256"] != row["stored_sha256"]


async def test_a_changed_input_is_told(inputs: Inputs, tmp_path: Path) -> None:
    """An image whose bytes are not those that were decided on stops the export and is named."""
    changed = inputs.root / inputs.rows[3]["path"]
    changed.write_bytes(encoded(photo(99, 48, 48)))
    with pytest.raises(UsageError, match=f"{changed}.*curate again"):
        await inputs.export(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*.tar"))


@pytest.mark.parametrize("form", ["webdataset", "folder", "parquet"])
async def test_inputs_are_left_alone(form: str, inputs: Inputs, tmp_path: Path) -> None:
    """Neither the images nor the decisions change, and curate takes the export for images again."""
    before = tree(inputs.root), tree(inputs.curated)
    await inputs.export(tmp_path / "out", form=form)
    assert (tree(inputs.root), tree(inputs.curated)) == before
    listed = [
        one for one in list_images(tmp_path / "out", lambda path, version: False) if isinstance(one, Item)
    ]
    assert len(listed) == COUNT
    assert not [one for one in listed if one.unmeasured]


async def test_links_and_copies(inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is linked to the image it came from, never by a symbolic link; copied where that does not work."""
    first = inputs.root / inputs.rows[0]["path"]
    target = tmp_path / "elsewhere.jpg"
    first.rename(target)
    first.symlink_to(target)
    await inputs.export(tmp_path / "linked", form="folder")
    by_uid = {row["uid"]: inputs.root / row["path"] for row in inputs.rows}
    files = list((tmp_path / "linked").rglob("*.jpg"))
    assert len(files) == COUNT
    for file in files:
        assert not file.is_symlink()
        assert file.samefile(by_uid[file.stem])

    def apart(*arguments: object, **options: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", apart)
    await inputs.export(tmp_path / "copied", form="folder")
    assert tree(tmp_path / "copied") == tree(tmp_path / "linked")
    assert not any(file.samefile(by_uid[file.stem]) for file in (tmp_path / "copied").rglob("*.jpg"))


async def test_a_part_of_a_file_is_copied(inputs: Inputs, tmp_path: Path) -> None:
    """An image that is a member of a shard becomes a file of its own."""

    async def members(wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        async for found in inputs.bodies(wanted):
            yield Found(found.body, None)

    await export(
        inputs.curated, tmp_path / "out", ExportSettings(form="folder"), members, lambda done, of: None
    )
    assert {path.stat().st_nlink for path in (tmp_path / "out").rglob("*.jpg")} == {1}


def stranger(root: Path, out: Path) -> Path:
    """A folder with something in it."""
    out.mkdir()
    (out / "thesis.txt").touch()
    return out


def a_file(root: Path, out: Path) -> Path:
    """No folder at all."""
    out.touch()
    return out


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param(lambda root, out: root / "photos", "an input", id="the input"),
        pytest.param(lambda root, out: root / "photos/0/deep", "an input", id="in the input"),
        pytest.param(lambda root, out: root / "curated", "an input", id="the decisions"),
        pytest.param(lambda root, out: root / "curated/clean", "an input", id="in the decisions"),
        pytest.param(lambda root, out: root / "link/clean", "an input", id="in the input by a link"),
        pytest.param(stranger, "not empty.*thesis.txt", id="a stranger's"),
        pytest.param(a_file, "is a file", id="a file"),
    ],
)
async def test_folders_that_are_not_to_be_touched(
    place: Any, message: str, inputs: Inputs, tmp_path: Path
) -> None:
    """An input, what lies in one, and a folder that is not ours are refused before anything is written."""
    (tmp_path / "link").symlink_to(inputs.root)
    out = place(tmp_path, tmp_path / "out")
    before = tree(tmp_path)
    with pytest.raises(UsageError, match=message):
        await inputs.export(out)
    assert tree(tmp_path) == before


async def test_another_export_in_the_same_folder(inputs: Inputs, tmp_path: Path) -> None:
    """Other settings or other decisions are refused by name; other workers are no other settings."""
    out = tmp_path / "out"
    await inputs.export(out)
    before = tree(out)
    with pytest.raises(UsageError, match=r"other settings \(shuffle: null, now 3\)"):
        await inputs.export(out, shuffle=3)
    inputs.rows[0]["kept"] = False
    inputs.decide()
    with pytest.raises(UsageError, match="other decisions"):
        await inputs.export(out)
    assert tree(out) == before
    inputs.rows[0]["kept"] = True
    inputs.decide()
    assert (await inputs.export(out, workers=3)).images == COUNT


async def test_two_exports_at_once(inputs: Inputs, tmp_path: Path) -> None:
    """A folder that an export is being written to is refused."""
    out = tmp_path / "out"

    async def another(wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        with pytest.raises(UsageError, match="is being written by process"):
            await inputs.export(out)
        async for found in inputs.bodies(wanted):
            yield found

    await export(inputs.curated, out, ExportSettings(), another, lambda done, of: None)


async def test_nothing_kept(inputs: Inputs, tmp_path: Path) -> None:
    """Decisions that keep nothing are told, and so is a folder without decisions."""
    for row in inputs.rows:
        row["kept"] = False
    inputs.decide()
    with pytest.raises(UsageError, match="no image is kept"):
        await inputs.export(tmp_path / "out")
    shutil.rmtree(inputs.curated)
    with pytest.raises(UsageError, match=r"decisions\.parquet"):
        await inputs.export(tmp_path / "other")


@pytest.mark.parametrize("form", ["webdataset", "folder", "parquet"])
async def test_a_full_disk(
    form: str, inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is told as one, and with room again the same command ends as it would have."""
    left, sync = 8, os.fsync

    def full(fd: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(fd)

    wanted: dict[str, Any] = {"form": form, "shard_size": 2}
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DiskFull, match="run the same command again"):
            await inputs.export(tmp_path / "out", **wanted)
    await inputs.export(tmp_path / "out", **wanted)
    await inputs.export(tmp_path / "whole", **wanted)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


async def test_bodies_in_memory_are_bounded(tmp_path: Path) -> None:
    """However slowly images are written, only a few batches are read ahead of them."""
    made = Inputs(tmp_path, photographs(16, side=16))
    for row in made.rows:
        row["bytes"] = 9 << 20  # as much as a batch holds
    made.decide(group=7)
    done, ahead = 0, 0

    async def counting(wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        nonlocal ahead
        assert len(wanted) == 1
        ahead = max(ahead, made.asked - done)
        async for found in made.bodies(wanted):
            yield found

    def progress(images: int, of: int) -> None:
        nonlocal done
        done = images

    await export(made.curated, tmp_path / "out", ExportSettings(shard_size=4), counting, progress)
    assert done == 16
    assert ahead <= 5


async def test_rows_come_in_the_planned_order(tmp_path: Path) -> None:
    """Shuffled or split, a table's rows are the decisions of its own images, whatever their row group."""
    made = Inputs(tmp_path, photographs(20, side=16))
    for n, row in enumerate(made.rows):
        row |= {"url": row["path"], "kept": n % 4 > 0}
    made.decide(group=3)
    orders = []
    for n, wanted in enumerate(({"shuffle": 2}, {"split": (("a", 1), ("b", 1))}, {})):
        exported = await made.export(tmp_path / str(n), form="parquet", shard_size=6, **wanted)
        assert sum(exported.splits.values()) == (15 if "split" in wanted else 0)
        assert exported == Exported(
            15, sum(row["bytes"] for row in made.rows if row["kept"]), exported.shards, {}, exported.splits
        )
        tables = [pq.read_table(path) for path in sorted((tmp_path / str(n)).glob("*.parquet"))]
        rows = [row for table in tables for row in table.to_pylist()]
        assert all((made.root / row["url"]).read_bytes() == row["image"]["bytes"] for row in rows)
        orders.append([row["url"] for row in rows])
    assert orders[2] == [row["path"] for row in made.rows if row["kept"]]
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[2]
