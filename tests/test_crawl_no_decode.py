"""Crawls that decode nothing, and curations that measure what such crawls stored."""

import asyncio
import hashlib
import json
import shutil
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from crawler.settings import Settings, merge
from curator.dataset.reader import Dataset
from curator.dataset.store import Store
from curator.errors import CorruptDataset, UsageError
from curator.pipeline import Watched, curate_with
from curator.records import Undecoded
from curator.settings import Settings as CurateSettings
from curator.sources.completed import Completed
from tests.command import FLAGS, Here, refused
from tests.crawling import (
    assert_verified,
    crawl_process,
    ledger,
    run_crawl,
    saved,
    states,
    wait_until,
    write_list,
)
from tests.curating import curated, decisions, exported, filled, picture, survivors
from tests.datasets import committer, drawn, ingest, make, opened, url
from tests.datasets import picture as noise
from tests.datasets import saved as verdict
from tests.pictures import encoded, jpeg, oriented, photo
from tests.site import HTML, Answer, Site
from tests.test_crawl_killed import children_of

MEASURED = (
    *("format", "mode", "width", "height", "original_width", "original_height", "exif", "phash"),
    *("phash_mirror", "hash_kind", "low_information", "sharpness", "brightness", "contrast", "entropy"),
)
PICTURES = {f"/{n}.jpg": picture(n) for n in range(6)} | {
    "/near.jpg": picture(3, 60),
    "/same.jpg": picture(5),
    "/small.jpg": jpeg(50, 40, 40),
    "/turned.jpg": oriented(photo(7, 120, 160), 6),
    "/flat.png": encoded(photo(9, 150, 120), "PNG"),
}
OTHERS = {
    "/page": ("not_an_image", Answer(HTML)),
    "/long": ("too_many_bytes", Answer(jpeg(1, 20, 20) + bytes(200_000))),
    "/gone": ("http_404", Answer(status=404)),
}
BROKEN = jpeg(1, 150, 150)[:900]
WHEN_AND_WHERE = {"key", "path", "tar_offset", "fetched_at", "list_row"}  # which no two crawls share


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same list in three datasets called data: decoded, not decoded, and one half each."""
    root = tmp_path_factory.mktemp("crawled")
    with Site() as site:
        urls = [site.add_image(path, body) for path, body in PICTURES.items()]
        urls += [site.add(path, answer) for path, (_, answer) in OTHERS.items()]
        lists, half = write_list(root / "urls.txt", urls), write_list(root / "half.txt", urls[::2])
        fixed: dict[str, Any] = {"shard_size": 4, "max_bytes": 100_000}
        run_crawl([lists], root / "decoded/data", **fixed)
        run_crawl([lists], root / "not decoded/data", no_decode=True, **fixed)
        run_crawl([half], root / "half/data", no_decode=True, **fixed)
        run_crawl([lists], root / "half/data", no_decode=False)
    return {folder.name: folder / "data" for folder in root.iterdir() if folder.is_dir()}


def rows(out: Path) -> list[dict[str, Any]]:
    """The decisions without what no two crawls share, in the order of uids."""
    found = ({k: v for k, v in row.items() if k not in WHEN_AND_WHERE} for row in decisions(out))
    return sorted(found, key=lambda row: row["uid"])


def watched(data: Path, out: Path, **settings: object) -> Watched:
    """Curate with one worker; how measuring went."""
    watching = Watched()
    asyncio.run(curate_with([data], out, CurateSettings(workers=1, **settings), watching))
    return watching


def test_bytes_and_digests_are_all_that_is_known(crawled: dict[str, Path]):
    """What was fetched is stored as it came with its digest, no measures, and Reasons as ever; it verifies."""
    data = crawled["not decoded"]
    by_path = {f"/{one.rpartition('/')[2]}": body for one, body in saved(data).items()}
    assert by_path == PICTURES
    assert states(data) == states(crawled["decoded"])
    assert set(states(data).values()) == {
        "saved",
        *(reason for reason, _ in OTHERS.values()),
    }
    for sample in Dataset(data):
        digest = hashlib.sha256(sample.image).hexdigest()
        assert (sample.fields["sha256"], sample.fields["stored_sha256"]) == (digest, digest)
        assert sample.fields["bytes"] == len(sample.image)
        assert [sample.fields[name] for name in MEASURED] == [None] * len(MEASURED)
    for one in crawled.values():
        assert_verified(one)
    with tarfile.open(data / "images/00000.tar") as tar:
        sidecar = json.load(tar.extractfile(tar.getnames()[1]))
    assert (sidecar["width"], sidecar["phash"], sidecar["entropy"]) == (0, "", 0.0)


@pytest.mark.parametrize("kind", ["not decoded", "half"])
def test_decided_as_if_it_had_been_decoded(crawled: dict[str, Path], tmp_path: Path, kind: str):
    """Measured by curate, a dataset comes to the decisions of one that was decoded; what it exports, too."""
    curated(crawled["decoded"], out=tmp_path / "one", workers=1)
    measuring = watched(crawled[kind], tmp_path / "two").measuring
    assert measuring.measured == sum(
        one["hash_kind"] is None for one in Dataset(crawled[kind]).rows().to_pylist()
    )
    assert measuring.measured > 1
    assert rows(tmp_path / "two") == rows(tmp_path / "one")
    assert {row["reason"] for row in rows(tmp_path / "two")} == {
        "saved",
        "too_small",
        "near_duplicate",
        "same_bytes",
    }
    files = [
        one
        for one in exported(tmp_path / "two", tmp_path / "files", form="folder").rglob("*")
        if one.is_file()
    ]
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} >= survivors(tmp_path / "one")


def test_a_second_run_decodes_nothing(crawled: dict[str, Path], tmp_path: Path):
    """What was measured once is remembered; other rules and compared datasets decode nothing."""
    data, out = crawled["not decoded"], tmp_path / "out"
    watched(data, out)
    before = rows(out)
    again = watched(data, out).measuring
    assert (again.known, again.measured, again.bytes) == (len(PICTURES), 0, 0)
    assert rows(out) == before
    assert watched(data, out, min_side=0, where="width = 160").measuring.measured == 0
    assert [row["url"].rpartition("/")[2] for row in rows(out) if row["kept"]] == ["turned.jpg"]


def test_compared_with_what_was_not_decoded(crawled: dict[str, Path], tmp_path: Path):
    """--against measures such a dataset, too: near copies of its images are dropped."""
    other = filled(tmp_path / "pics", {"near.jpg": picture(1, 60), "new.jpg": picture(20)})
    curated(other, out=tmp_path / "out", workers=1, against=(crawled["not decoded"],))
    assert {row["path"]: row["detail"] for row in decisions(tmp_path / "out")} == {
        "near.jpg": "against data",
        "new.jpg": "",
    }


def undecoded(store: Store, bodies: list[bytes], **sealing: bool) -> None:
    """Store these without decoding them, in the order of uids."""
    with closing(committer(store)) as writing:
        for link, body in zip(drawn(store), bodies, strict=False):
            event = verdict(link, noise(0))
            known = Undecoded(len(body), hashlib.sha256(body).hexdigest())
            image = event.image._replace(body=(body,), size=len(body), measures=known)
            writing.commit([event._replace(image=image)])
        if sealing.get("seal"):
            writing.seal()


def test_sealing_and_growing_cost_no_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Measures hold when a crawl seals the shard or adds to it: only the new is measured, however rows come."""
    data, out, bodies = tmp_path / "data", tmp_path / "out", [noise(n, side=120) for n in range(9)]
    bodies[4] = BROKEN
    monkeypatch.setattr("curator.sources.completed._ROWS", 2)
    with opened(data, shard_size=7) as store:
        ingest(store, [url(n) for n in range(9)])
        store.begin_run((), {})
        undecoded(store, bodies[:5])
    assert watched(data, out).measuring.measured == 5
    with opened(data, shard_size=7) as store:
        undecoded(store, bodies[5:], seal=True)
    found = watched(data, out).measuring
    assert (found.known, found.measured) == (5, 4)
    told = {row["sha256"]: (row["reason"], row["width"]) for row in decisions(out)}
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]
    assert told == dict.fromkeys(digests, ("saved", 120)) | {digests[4]: ("undecodable", None)}


def test_another_dataset_in_its_place(tmp_path: Path):
    """Measures are of bytes, not of places: a dataset crawled anew at the same path has none of the old one's."""
    data, out = tmp_path / "data", tmp_path / "out"
    for side in (120, 130):
        with opened(data) as store:
            ingest(store, [url(n) for n in range(3)])
            store.begin_run((), {})
            undecoded(store, [noise(n, side=side) for n in range(3)])
        assert watched(data, out).measuring.measured == 3
        assert [row["width"] for row in decisions(out)] == [side] * 3
        shutil.rmtree(data)


async def test_stopped_while_measuring(tmp_path: Path):
    """Stopped in the middle, it has kept what was measured until then: the next run measures only the rest."""
    data, out = tmp_path / "data", tmp_path / "out"
    with opened(data, shard_size=100) as store:
        ingest(store, [url(n) for n in range(256)])
        store.begin_run((), {})
        undecoded(store, [noise(n % 50, side=120) + bytes(n) for n in range(256)])
    settings, first, then = CurateSettings(workers=1), Watched(), Watched()
    work = asyncio.create_task(curate_with([data], out, settings, first))
    while not first.measuring.measured:  # noqa: ASYNC110 - it is only looked at
        await asyncio.sleep(0.001)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    measured = first.measuring.measured
    await curate_with([data], out, settings, then)
    assert 0 < measured < 256
    assert (then.measuring.known, then.measuring.measured) == (measured, 256 - measured)


def test_measures_that_are_gone_are_told(tmp_path: Path):
    """Where the store has not what it should have, that is an error and not another image's measures."""
    data, store = tmp_path / "data", tmp_path / "out/measures.sqlite"
    with opened(data) as made:
        ingest(made, [url(n) for n in range(3)])
        made.begin_run((), {})
        undecoded(made, [noise(n) for n in range(3)])
    watched(data, tmp_path / "out")
    assert [row["width"] for batch in Completed("data", data, store).rows() for row in batch.to_pylist()] == [
        16
    ] * 3
    with pytest.raises(CorruptDataset, match="Run curate again"):
        list(Completed("other", data, store).rows())


def test_equal_bytes_are_found_without_decoding(tmp_path: Path):
    """--dedup bytes goes with --no-decode, within a run and over runs of both kinds."""
    data = tmp_path / "data"
    with Site() as site:
        urls = [site.add_image(f"/{n}.jpg", jpeg(n % 2, 30, 30)) for n in range(6)]
        run_crawl([write_list(tmp_path / "a.txt", urls[:3])], data, dedup="bytes", no_decode=True)
        run_crawl([write_list(tmp_path / "b.txt", urls[:5])], data, no_decode=False)
        run_crawl([write_list(tmp_path / "c.txt", urls)], data, no_decode=True)
    found = [states(data)[one] for one in urls]
    assert (found.count("saved"), found.count("same_bytes")) == (2, 4)
    assert set(found[3:]) == {"same_bytes"}
    assert_verified(data)


CONFLICTS: list[tuple[str, Any]] = [
    *(("min_side", 10), ("max_aspect", 2.0), ("max_pixels", 1000), ("full_decode", True), ("resize", 64)),
    *(("encode", "png"), ("dedup", "phash")),
]


@pytest.mark.parametrize(("name", "value"), CONFLICTS)
def test_what_needs_decoding_is_refused(name: str, value: object):
    """A flag that judges or changes decoded images is refused with --no-decode, and both are named."""
    with pytest.raises(UsageError, match=f"--no-decode .*--{name.replace('_', '-')}"):
        Settings(no_decode=True, **{name: value})


def test_a_dataset_that_judges_stays_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Where a dataset was made with such a rule, --no-decode is refused before a run is begun."""
    make(tmp_path / "data", min_side=8)
    refused("crawl", Here(monkeypatch, capsys)(tmp_path / "data", "--no-decode"), "--no-decode", "--min-side")
    assert ledger(tmp_path / "data", "SELECT count(*) FROM runs") == [(1,)]


def test_it_is_a_setting_that_lasts_and_ends(tmp_path: Path):
    """`crawl DATA` goes on without decoding; with --decode, what follows is measured, and that lasts, too."""
    data = tmp_path / "data"
    with Site() as site:
        urls = [site.add_image(f"/{n}.jpg", jpeg(n, 30, 30)) for n in range(3)]
        run_crawl([write_list(tmp_path / "a.txt", urls[:1])], data, no_decode=True)
        run_crawl([write_list(tmp_path / "b.txt", urls[:2])], data)
        run_crawl([write_list(tmp_path / "c.txt", urls)], data, no_decode=False)
    assert [row["width"] for row in Dataset(data).rows().to_pylist()] == [None, None, 30]
    [(stored,)] = ledger(data, "SELECT value FROM meta WHERE key = 'settings'")
    assert merge(json.loads(stored), {}).no_decode is False


def test_a_continued_crawl_prepares_no_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """`crawl DATA` heeds a stored --no-decode before anything is started, and --decode before that."""
    data, prepared = tmp_path / "data", []
    monkeypatch.setattr("curator.pool.prepare", prepared.append)
    here = Here(monkeypatch, capsys)
    with Site() as site:
        urls = write_list(tmp_path / "a.txt", [site.add_image("/1.jpg", jpeg(1, 30, 30))])
        assert here(urls, "--out", data, *FLAGS, "--no-decode").code == 0
        assert here(data).code == 0
        assert here(urls, "--out", data).code == 0
        assert prepared == []
        assert here(data, "--decode").code == 0
        assert here(data).code == 0
    assert len(prepared) == 2


def test_nothing_but_the_crawl_itself_runs(tmp_path: Path):
    """No worker is started where nothing is decoded."""
    with Site() as site:
        urls = [site.add("/slow", Answer(jpeg(1, 30, 30), fault="late", pause=0.3))]
        with crawl_process(
            [write_list(tmp_path / "a.txt", urls)], tmp_path / "data", no_decode=True
        ) as crawl:
            wait_until(lambda: bool(site.requests("/slow")), crawl)
            assert children_of(crawl.pid) == []
            assert crawl.wait(60) == 0
    assert len(saved(tmp_path / "data")) == 1
