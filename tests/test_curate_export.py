"""What `curate export` writes, read by `curate` again; inputs that stay as they were; splits that do not leak."""

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.decisions import Provenance
from curator.encoding import Encoding
from curator.opened import Opened, reopened
from tests.command import refused
from tests.curating import Here, album, curated, decisions, exported, filled, picture, state, survivors
from tests.pictures import jpeg

FORMS = ("webdataset", "folder", "parquet")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder and a table of images that were decided on, the decisions in `curated` beside them."""
    root = tmp_path_factory.mktemp("kept")
    folder = filled(root / "pics", album())
    table = pa.table(
        {"image": [{"bytes": picture(n), "path": f"{n}.jpg"} for n in (30, 2)], "score": [1.5, None]}
    )
    pq.write_table(table, root / "more.parquet")
    before = state(folder, root / "more.parquet")
    curated(folder, root / "more.parquet", out=root / "curated", workers=1)
    assert state(folder, root / "more.parquet") == before
    assert {"pics", "more.parquet"} == {row["source"] for row in decisions(root / "curated") if row["kept"]}
    return root


def test_an_export_is_a_source(kept: Path, tmp_path: Path):
    """Each form is read by curate, which finds exactly the images that were kept; nothing else changes on disk."""
    before = state(kept)
    forms = [exported(kept / "curated", tmp_path / form, form=form, shard_size=5) for form in FORMS]
    written = state(*forms)
    summary = curated(*forms, out=tmp_path / "again", workers=1, dedup="none").summary
    assert (state(kept), state(*forms)) == (before, written)
    assert (summary["reasons"], summary["warnings"]) == ({}, [])
    found: dict[str, set[str]] = {form: set() for form in FORMS}
    for row in decisions(tmp_path / "again"):
        assert row["sha256"] not in found[row["source"]]
        found[row["source"]].add(row["sha256"])
    assert found == dict.fromkeys(FORMS, survivors(kept / "curated"))


def test_verify_sends_away_what_has_no_ledger(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """An export and a folder of decisions are told for what they are, with what to do instead."""
    here = Here(monkeypatch, capsys)
    clean = exported(kept / "curated", tmp_path / "clean", form="folder")
    refused("curate", here("verify", clean), "is an export", "run its curate export again")
    refused("curate", here("verify", kept / "curated"), "holds decisions", "Name that dataset")


def test_other_decisions_take_the_place(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An export writes what was decided as it began, though a curation of other inputs publishes meanwhile."""
    out = tmp_path / "out"
    shutil.copytree(kept / "curated", out)
    curated(filled(tmp_path / "other", {"1.jpg": picture(1)}), out=tmp_path / "elsewhere", workers=1)

    def published(provenance: Provenance, measures: Path) -> Opened:
        (tmp_path / "elsewhere" / "decisions.parquet").replace(out / "decisions.parquet")
        return reopened(provenance, measures)

    monkeypatch.setattr("curator.command.reopened", published)
    clean = exported(out, tmp_path / "clean", form="parquet")
    assert len(pq.read_table(clean / "00000.parquet")) == len(survivors(kept / "curated"))


def test_what_is_made_anew_is_a_source(kept: Path, tmp_path: Path):
    """Resized and encoded, what was kept is there once, of the size and format asked for, with its columns."""
    encoding = Encoding(side=96, mode="border", format="webp")
    clean = exported(
        kept / "curated", tmp_path / "clean", encoding=encoding, split=(("train", 1), ("val", 1))
    )
    curated(clean, out=tmp_path / "again", workers=1, dedup="none", min_side=0)
    rows, before = decisions(tmp_path / "again"), [row for row in decisions(kept / "curated") if row["kept"]]
    assert len(rows) == len(before)
    assert {(row["format"], row["width"], row["height"]) for row in rows} == {("webp", 96, 96)}
    urls = {row["url"] for row in before} - {None}
    assert urls
    assert urls == {row["url"] for row in rows} - {None}
    assert sorted(row["score"] for row in rows if row["score"]) == sorted(
        row["score"] for row in before if row["score"]
    )


def test_splits_do_not_leak(tmp_path: Path):
    """Where near copies are kept, too, all of a family are on one side, and both sides have some."""
    files = {
        f"{number}-{copy}.jpg": picture(number, 60 + 8 * copy) for number in range(12) for copy in range(4)
    }
    files |= {f"{number}-large.jpg": jpeg(number, 256, 208) for number in range(12)}
    folder = filled(tmp_path / "pics", files)
    curated(folder, out=tmp_path / "loose", workers=1, dedup="none")
    exported(tmp_path / "loose", tmp_path / "clean", form="folder", split=(("train", 1), ("val", 1)))
    sides = {
        side: {path.read_bytes() for path in (tmp_path / "clean" / side).rglob("*.jpg")}
        for side in ("train", "val")
    }
    assert sum(map(len, sides.values())) == len(files)

    families: dict[str, set[str]] = {}
    for side, bodies in sides.items():
        for name, body in files.items():
            if body in bodies:
                families.setdefault(name.partition("-")[0], set()).add(side)
    assert all(len(found) == 1 for found in families.values())
    assert set.union(*families.values()) == {"train", "val"}


def test_an_empty_side_is_told(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """A split that leaves a side without images warns of that side, and of no other; --json counts each."""
    here = Here(monkeypatch, capsys)
    flags = ("--out", tmp_path / "clean", "--split", "train=999999,val=1")
    ended = here("export", kept / "curated", *flags)
    assert (ended.code, ended.error) == (0, "")
    assert "warning: --split leaves val empty: " in ended.out
    again = json.loads(here("export", kept / "curated", *flags, "--json").out)
    assert again["splits"] == {"train": again["images"], "val": 0}
    ended = here("export", kept / "curated", "--out", tmp_path / "even", "--split", "a=1,b=1")
    assert (ended.code, "warning" in ended.out) == (0, False)
