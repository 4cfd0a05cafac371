"""Datasets that crawl made, alone and beside the same images in every other form."""

import json
import shutil
import tarfile
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from curator.dataset.reader import Dataset
from tests.crawling import assert_verified, run_crawl
from tests.curating import (
    Here,
    by_path,
    curated,
    decisions,
    exported,
    filled,
    picture,
    state,
    survivors,
)
from tests.datasets import BARE, committer, drawn, ingest, opened, saved, url
from tests.datasets import picture as noise
from tests.pictures import jpeg
from tests.site import Site

PHOTOS, NEAR, STAND_INS = 10, 3, 21


@dataclass(frozen=True)
class Crawled:
    """A dataset, and the URLs it was made of by the name of what they gave."""

    data: Path
    urls: dict[str, str]


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Crawled:
    """A real crawl that stored equal bytes once: photographs, near copies, a copy, and many URLs of one stand-in."""
    root = tmp_path_factory.mktemp("crawl")
    bodies = {f"photo{n}": picture(n) for n in range(PHOTOS)}
    bodies |= {f"near{n}": picture(n, 60) for n in range(NEAR)}
    bodies |= {"same5": picture(5), "small": jpeg(50, 40, 40)}
    bodies |= {f"gone{n}": jpeg(77, 120, 110) for n in range(STAND_INS)}
    with Site() as site, pytest.MonkeyPatch.context() as patch:
        patch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)
        urls = {name: site.add_image(f"/{name}.jpg", body) for name, body in bodies.items()}
        scores = {name: 9 if name.startswith("near") else int(name[-1]) for name in urls if name != "small"}
        scores |= dict.fromkeys((name for name in urls if name.startswith("gone")), 0)
        rows = [{"url": urls[name], "caption": f"a {name}", "score": score} for name, score in scores.items()]
        rows.append({"url": urls["small"], "caption": None, "score": None})
        links = root / "links.jsonl"
        links.write_text("".join(json.dumps(row) + "\n" for row in rows))
        run_crawl([links], root / "data", dedup="bytes", shard_size=8)
    assert len(Dataset(root / "data")) == PHOTOS + NEAR + 1 + 1
    return Crawled(root / "data", urls)


@pytest.fixture(scope="module")
def sole(
    crawl: Crawled, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """The crawl curated alone: the summary, and the rows by the name of their picture."""
    out = tmp_path_factory.mktemp("sole") / "out"
    summary = curated(crawl.data, out=out, workers=1).summary
    by_url = {row["url"]: row for row in decisions(out)}
    return summary, {name: by_url[url] for name, url in crawl.urls.items() if url in by_url}


def as_folder(data: Path, folder: Path) -> Path:
    """The images of a dataset as files."""
    return filled(folder, {f"{sample.key}.jpg": sample.image for sample in Dataset(data)})


def test_a_crawl_and_its_images_as_a_folder(crawl: Crawled, tmp_path: Path):
    """By the same rules, of a dataset and of a folder with its images the same ones survive."""
    folder = as_folder(crawl.data, tmp_path / "folder")
    rules = {"workers": 1, "placeholder_from": 0}
    curated(crawl.data, out=tmp_path / "one", **rules)
    curated(folder, out=tmp_path / "two", **rules)
    assert len(survivors(tmp_path / "one")) == PHOTOS + 1
    assert survivors(tmp_path / "one") == survivors(tmp_path / "two")


def test_every_form_at_once(crawl: Crawled, tmp_path: Path):
    """A dataset, a folder, a tar and img2dataset's output with the same images: each survives once, inputs stay."""
    forms = [crawl.data, as_folder(crawl.data, tmp_path / "folder"), tmp_path / "one.tar", tmp_path / "i2d"]
    with tarfile.open(forms[2], "w") as tar:
        for path in sorted(forms[1].iterdir()):
            tar.add(path, path.name)
    shutil.copytree(crawl.data / "images", forms[3])
    before = state(*forms)
    summary = curated(*forms, out=tmp_path / "out", workers=1, placeholder_from=0).summary
    exported(tmp_path / "out", tmp_path / "clean", form="parquet")
    assert state(*forms) == before

    found = [(one["label"], one["kind"], one["images"]) for one in summary["sources"]]
    each = PHOTOS + NEAR + 2
    files = [(name, "files", each) for name in ("folder", "i2d", "one.tar")]
    assert found == [("data", "dataset", each), *files]
    assert len(survivors(tmp_path / "out")) == summary["kept"] == PHOTOS + 1
    kept = [row for row in decisions(tmp_path / "out") if row["kept"]]
    # what the crawl left out was never among the images that came in
    reasons = summary["reasons"]
    assert summary["clusters"]["copies"] == reasons["same_bytes"] + reasons["near_duplicate"]
    copies = sorted(len(row["stands_for"]) for row in kept)
    # the same image from three other inputs, and what the crawl did not store
    assert copies == [3] * (PHOTOS - NEAR - 1) + [3 + 1] + [2 * 4 - 1] * NEAR + [3 + STAND_INS - 1]
    i2d = [row for row in decisions(tmp_path / "out") if row["source"] == "i2d"]
    assert {row["url"] for row in i2d} == {
        row["url"] for row in decisions(tmp_path / "out") if row["source"] == "data"
    }
    assert {row["score"] for row in i2d if row["url"] == crawl.urls["near1"]} == {9}


def test_copies_in_the_ledger_make_a_placeholder(crawl: Crawled, sole):
    """A picture stored once is a placeholder by the URLs that the ledger says gave it, too."""
    summary, rows = sole
    (found,) = summary["placeholders"]
    assert (found["host"], found["urls"], found["images"]) == ("127.0.0.1", STAND_INS, 1)
    (stored,) = [name for name in rows if name.startswith("gone")]
    assert rows[stored]["reason"] == "placeholder"
    assert found["uid"] == rows[stored]["uid"]


def test_what_a_survivor_stands_for(crawl: Crawled, sole):
    """It has the uids, URLs and captions of its copies, also of those that the crawl did not store; others none."""
    _, rows = sole
    for n in range(NEAR):
        kept = rows[f"photo{n}"]
        assert kept["kept"]
        assert kept["stands_for"] == [rows[f"near{n}"]["uid"]]
        assert kept["stands_for_urls"] == [crawl.urls[f"near{n}"]]
        assert kept["stands_for_captions"] == [f"a near{n}"]
        assert (
            rows[f"near{n}"]["duplicate_of"] == rows[f"near{n}"]["cluster"] == kept["cluster"] == kept["uid"]
        )
    (stored, other), (kept,) = (
        ("photo5", "same5"),
        [rows[name] for name in ("photo5", "same5") if name in rows],
    )
    listed = crawl.urls[other if kept["url"] == crawl.urls[stored] else stored]
    assert kept["stands_for_urls"] == [listed]
    assert {*kept["captions"], *kept["stands_for_captions"]} == {"a photo5", "a same5"}
    assert rows["photo9"]["stands_for"] == rows["photo9"]["stands_for_urls"] == []
    assert rows["photo9"]["cluster"] is None
    assert rows["small"]["reason"] == "too_small"
    assert (rows["small"]["captions"], rows["small"]["score"]) == (None, None)


def test_the_inputs_own_columns_decide(crawl: Crawled, tmp_path: Path):
    """--where and --keep take the list's columns beside the measures, as they are typed."""
    where = (
        "score >= 1 and format = 'jpeg' and list_contains(captions, concat('a photo', score)) or score = 9"
    )
    summary = curated(
        crawl.data, out=tmp_path, workers=1, where=where, keep="score", placeholder_from=0
    ).summary
    rows = {row["url"].rpartition("/")[2][:-4]: row for row in decisions(tmp_path)}
    kept = {name for name, row in rows.items() if row["kept"]}
    same = {"photo5"} & rows.keys()  # by its copy's caption it would not be wanted
    assert kept == {
        "near0",
        "near1",
        "near2",
        "photo3",
        "photo4",
        *same,
        *(f"photo{n}" for n in range(6, 10)),
    }
    assert rows["photo0"]["reason"] == "excluded"
    assert [rows[f"photo{n}"]["duplicate_of"] for n in (1, 2)] == [rows[f"near{n}"]["uid"] for n in (1, 2)]
    assert summary["reasons"]["excluded"] == len(rows) - len(kept) - 3


def test_beside_a_dataset_by_default(crawl: Crawled, tmp_path: Path, here: Here):
    """`curate DATA` and `curate export DATA` alone do it, in DATA/curated; the rest stays as it is."""
    data = tmp_path / "data"
    shutil.copytree(crawl.data, data)
    before = state(data)
    flags = ("--workers", 1, "--quiet")
    assert here(data, *flags).code == 0
    assert here("export", data, "--out", tmp_path / "clean", *flags).code == 0
    assert len(survivors(data / "curated")) == PHOTOS
    assert state(data) == before
    assert_verified(data)


def test_a_dataset_that_a_crawl_is_writing(tmp_path: Path):
    """What is committed is decided on, sealed or not, and that a crawl is at work is said."""
    with opened(tmp_path / "data", BARE) as store:
        ingest(store, [url(n) for n in range(9)])
        links = drawn(store, store.begin_run((), {}).id)
        with closing(committer(store)) as writing:
            writing.commit([saved(link, noise(n)) for n, link in enumerate(links[:7])])
            summary = curated(tmp_path / "data", out=tmp_path / "out", min_side=0, workers=1).summary
    assert summary["images"] == 7
    (warning,) = summary["warnings"]
    assert f"{tmp_path / 'data'} is being written by a crawl" in warning
    assert set(by_path(tmp_path / "out")) == {"images/00000.tar", "images/00001.tar"}
    exported(
        tmp_path / "out", tmp_path / "clean", form="folder"
    )  # from a shard that has its last name by now


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process."""
    return Here(monkeypatch, capsys)
