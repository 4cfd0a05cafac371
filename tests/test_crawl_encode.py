"""Crawls that resize and encode: what is stored, what is said of it, and that everybody reads it."""

import hashlib
import io
import json
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import imagehash
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from crawler.judging import BATCH_IMAGES, batch_images
from crawler.leases import Lease
from crawler.settings import Settings
from curator.dataset.reader import Dataset
from curator.dataset.store import open_store
from curator.dataset.verify import verify
from curator.decode import Refused
from curator.encode import encode
from curator.encoding import RESIZE_MODES, Encoding
from curator.errors import CorruptDataset, UsageError
from curator.fixed import Fixed
from curator.measure import MeasureSettings, measure_batch
from curator.measure_encode import measure_encode_batch
from curator.records import Measures, Remade, Unmeasured
from curator.rules import Rules
from curator.sources.recorded import Recorded
from curator.sources.source import Place
from tests.crawling import assert_verified, members, run_crawl, saved, states, write_list
from tests.curating import curated, exported, survivors
from tests.datasets import committer, drawn, ingest, make, opened, picture, url
from tests.datasets import saved as verdict
from tests.pictures import encoded, flat, jpeg, oriented, photo, swapped_profile
from tests.site import Answer, Site

RESIZED = {"resize": 48, "resize_mode": "center-crop", "encode": "png"}
ENCODING = Encoding(48, "center-crop", "png")
PIXELS = 100_000
PICTURES = {
    "/a.jpg": jpeg(1, 200, 150),
    "/b.png": encoded(photo(2, 90, 120), "PNG"),
    "/turned.webp": oriented(photo(3, 80, 60), 6),
    "/enlarged.jpg": jpeg(4, 40, 30),
    "/clear.png": encoded(
        Image.merge("RGBA", (*photo(5, 60, 60).split(), Image.new("L", (60, 60), 90))), "PNG"
    ),
}
LONG = encoded(flat(width=2100, height=40), "PNG")  # to 2520x48: more than may be
HASHES = ("phash", "phash_mirror")
LEVELS = ("sharpness", "brightness", "contrast", "entropy")
LARGE = jpeg(8, 1200, 620)
LARGE_HASH = str(imagehash.phash(Image.open(io.BytesIO(LARGE))))
SHORT = encoded(flat(width=2100, height=2), "PNG")  # this one, and too small


@pytest.fixture(scope="module")
def crawled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A dataset of encoded images in two runs, the second without a word of it; and what its URLs served."""
    folder = tmp_path_factory.mktemp("crawled")
    out = folder / "data"
    with Site() as site:
        served = {site.add(path, Answer(body)): body for path, body in PICTURES.items()}
        lists = folder / "urls.csv"
        rows = [f"{one},caption of {one}" for one in served]
        lists.write_text("\n".join(["url,caption", *rows[:2], f"{site.add('/long', Answer(LONG))},long", ""]))
        run_crawl([lists], out, min_side=20, max_pixels=PIXELS, shard_size=2, **RESIZED)
        lists.write_text("\n".join(["url,caption", *rows, f"{site.add('/short', Answer(SHORT))},short", ""]))
        run_crawl([lists], out)
    return out, served


def test_what_is_stored_is_what_was_asked_for(crawled: tuple[Path, dict[str, bytes]]) -> None:
    """Each image is stored as its encoding gives it, also by a later run that does not name the flags."""
    out, served = crawled
    assert saved(out) == {one: encode(body, ENCODING, PIXELS).body for one, body in served.items()}
    assert {name.split(".", 1)[1] for name in members(out)} == {"png", "json", "txt"}
    assert_verified(out)


def test_rows_tell_both_files_apart(crawled: tuple[Path, dict[str, bytes]]) -> None:
    """A row has the stored file's size, format, mode, bytes and digest, and the sent one's digest and measures."""
    out, served = crawled
    for sample in Dataset(out):
        row, body = sample.fields, served[sample.fields["url"]]
        assert (row["width"], row["height"], row["format"], row["mode"]) == (48, 48, "png", "RGB")
        assert row["bytes"] == len(sample.image)
        assert row["stored_sha256"] == hashlib.sha256(sample.image).hexdigest()
        [sent] = measure_batch([body], lambda _: None, MeasureSettings())  # which reduces none of these
        assert isinstance(sent, Measures)
        assert row["hash_kind"] == "rgb256x256-gap2"
        assert (row["original_width"], row["original_height"]) == (sent.width, sent.height)
        told = {name: row[name] for name in ("sha256", "exif", *HASHES, *LEVELS, "low_information")}
        assert_alike(sent._replace(**told), sent)


def test_what_cannot_be_encoded_has_its_reason(crawled: tuple[Path, dict[str, bytes]]) -> None:
    """An image whose new file would be too large is a verdict; one that the rules refuse is refused for that."""
    found = {one.rsplit("/", 1)[1]: state for one, state in states(crawled[0]).items()}
    assert found == {
        **{path[1:]: "saved" for path in PICTURES},
        "long": "too_many_pixels",
        "short": "too_small",
    }


@pytest.mark.filterwarnings("ignore")  # what other libraries warn of while they are imported
def test_the_card_is_true_of_it(
    crawled: tuple[Path, dict[str, bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """webdataset and datasets find each image under its extension, as the card shows."""
    import datasets

    out, served = crawled
    text = (out / "README.md").read_text()
    assert "`000000000.png`" in text
    assert "resized to 48 pixels (center-crop) and stored as png, in RGB" in text
    assert ".jpg" not in text
    monkeypatch.chdir(out)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", out.parent / "cache")
    [example] = [code for code in text.split("```python\n") if "webdataset" in code.split("```")[0]]
    exec(example.split("```")[0], there := {})
    assert there["sample"]["png"].size == (48, 48)
    loaded = datasets.load_dataset(str(out), split="train")
    assert {one["json"]["url"]: np.asarray(one["png"]).tolist() for one in loaded} == {
        one: np.asarray(Image.open(io.BytesIO(encode(body, ENCODING, PIXELS).body))).tolist()
        for one, body in served.items()
    }


def _bytes_at(place: Place) -> bytes:
    return place.file.read_bytes()[place.offset :][: place.length]


def test_curate_takes_the_files_that_are_there(
    crawled: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    """As a source its digests and bytes are those of the stored files, the sent ones' beside; they are exported."""
    out, served = crawled
    source = Recorded("data", out)
    rows = pa.Table.from_batches(source.rows())
    places = source.locate(rows["path"].to_pylist(), rows["key"].to_pylist())
    digests = [hashlib.sha256(_bytes_at(place)).hexdigest() for place in places]
    assert rows["sha256"].to_pylist() == digests
    sent = [hashlib.sha256(served[one]).hexdigest() for one in rows["url"].to_pylist()]
    assert rows["original_sha256"].to_pylist() == sent
    curated(out, out=tmp_path / "curated", min_side=0)
    assert survivors(tmp_path / "curated") == set(digests)
    files = exported(tmp_path / "curated", tmp_path / "files", form="folder").rglob("*.png")
    assert {hashlib.sha256(file.read_bytes()).hexdigest() for file in files} == set(digests)


def test_enlarging_neither_stalls_nor_hides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New files larger than --memory are stored all the same, and each is leased with the bytes it has."""
    leased: list[int] = []
    exchange = Lease.exchange

    def noted(lease: Lease, to: int) -> None:
        leased.append(to)
        exchange(lease, to)

    monkeypatch.setattr(Lease, "exchange", noted)
    small = {"memory": 1 << 20, "max_bytes": 300 << 10, "concurrency": 4, "workers": 1}
    with Site() as site:
        urls = [site.add(f"/{n}", Answer(jpeg(n, 60, 60))) for n in range(6)]
        run_crawl(
            [write_list(tmp_path / "urls.txt", urls)], tmp_path / "data", resize=600, encode="png", **small
        )
    images = saved(tmp_path / "data").values()
    assert len(images) == 6
    assert sum(map(len, images)) > 1 << 20
    assert sorted(leased) == sorted(map(len, images))


BODIES = [
    *(jpeg(1, 300, 200), encoded(photo(2, 300, 200), "PNG"), encoded(photo(3, 90, 70), "GIF"), b"<html>"),
    *(
        oriented(photo(4, 120, 80), 6),
        encoded(photo(5, 64, 64).convert("CMYK"), "TIFF"),
        jpeg(6, 30, 30)[:300],
    ),
    *(encoded(flat(width=3, height=2), "BMP"), encoded(photo(7, 50, 40).convert("LA"), "PNG")),
    # JPEGs that are not YCbCr inside, and one whose colours are converted
    *(encoded(photo(9, 90, 60).convert(mode), "JPEG") for mode in ("L", "CMYK")),
    *(
        encoded(photo(9, 90, 60), "JPEG", keep_rgb=True),
        encoded(photo(9, 90, 60), "JPEG", icc_profile=swapped_profile()),
    ),
]


@pytest.mark.parametrize("full", [False, True], ids=["reduced", "full decode"])
@pytest.mark.parametrize(
    "encoding", [Encoding(64), Encoding(format="webp", quality=60)], ids=["resized", "as large"]
)
def test_in_one_go_or_in_two(full: bool, encoding: Encoding) -> None:
    """New files are those of encoding alone, measures those of measuring alone; each image is begun once.

    Where nothing was reduced, that is: but for rounding, and for the name of the hash where one decode does both.
    """
    begun: list[int] = []
    settings = MeasureSettings(full_decode=full)
    kernel = partial(measure_encode_batch, settings=settings, rules=Rules(), encoding=encoding)
    made = kernel([memoryview(body) for body in BODIES], begun.append)
    assert begun == list(range(len(BODIES)))
    for body, one, alone in zip(BODIES, made, measure_batch(BODIES, lambda _: None, settings), strict=True):
        if isinstance(alone, Unmeasured):
            assert one == alone
            continue
        new = encode(body, encoding, settings.max_pixels)
        assert isinstance(one, Remade)
        assert one.body == new.body
        if full:
            assert one.measures == alone
        else:
            assert one.measures.hash_kind.startswith("rgb")
            assert_alike(one.measures._replace(hash_kind=alone.hash_kind), alone)
        assert (one.stored.width, one.stored.height) == (new.width, new.height)
        with Image.open(io.BytesIO(one.body)) as image:
            told = (one.stored.format, one.stored.mode, one.stored.width, one.stored.height)
            assert told == ((image.format or "").lower(), image.mode, *image.size)


def assert_alike(one: Measures, other: Measures) -> None:
    """All is equal, but for two bits of a hash, half a level of 255, and a twentieth of the sharpness."""
    assert one._replace(**{name: getattr(other, name) for name in (*HASHES, *LEVELS)}) == other
    for name in HASHES:
        assert (int(getattr(one, name), 16) ^ int(getattr(other, name), 16)).bit_count() <= 2, name
    for name in LEVELS:
        relative = 0.05 if name == "sharpness" else 0
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=relative, abs=0.5), name


def test_a_jpeg_is_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One decode makes the file and the hash, which is imagehash's of the whole picture within two bits, of each
    mode under a name of its own; it is reduced no further than to twice the new size."""
    decodes = Mock(wraps=Image.open)
    monkeypatch.setattr(Image, "open", decodes)
    seen = []
    for mode in RESIZE_MODES:
        kernel = partial(measure_encode_batch, rules=Rules(), encoding=Encoding(200, mode))
        [one] = kernel([LARGE], lambda _: None, settings=MeasureSettings())
        assert isinstance(one, Remade)
        assert (int(one.measures.phash, 16) ^ int(LARGE_HASH, 16)).bit_count() <= 2
        assert one.body == encode(LARGE, Encoding(200, mode), PIXELS * 10).body
        seen.append(one.measures.hash_kind)
    assert decodes.call_count == 2 * len(RESIZE_MODES)
    assert seen == ["rgb256x400-gap2", "rgb400x400-gap2", "rgb256x400-gap2", "rgb400x400-gap2"]


def test_nothing_is_made_of_what_the_rules_refuse() -> None:
    """Where the rules refuse an image its measures come back alone, even if it could not be encoded."""
    kernel = partial(measure_encode_batch, settings=MeasureSettings(PIXELS), encoding=ENCODING)
    [short, kept] = kernel([SHORT, PICTURES["/a.jpg"]], lambda _: None, rules=Rules(min_side=3))
    assert isinstance(short, Measures)
    assert isinstance(kept, Remade)
    with pytest.raises(Refused):
        encode(SHORT, ENCODING, PIXELS)


@pytest.mark.parametrize(
    ("side", "images"), [(0, BATCH_IMAGES), (256, BATCH_IMAGES), (512, 8), (1024, 2), (4096, 1)]
)
def test_batches_of_large_files_are_small(side: int, images: int) -> None:
    """A worker is given no more images than it makes some megabytes of, but one at least."""
    assert batch_images(Encoding(side)) == images


def test_resizing_alone_makes_jpegs(tmp_path: Path) -> None:
    """`--resize` fixes jpg: naming it later is no difference, another format or side is one."""
    with opened(tmp_path / "data", resize=64) as store:
        assert (store.fixed.encode, store.fixed.quality) == ("jpg", 95)
    with opened(tmp_path / "data", resize=64, encode="jpg"):
        pass
    for other in ({"encode": "png"}, {"resize": 65}, {"resize_mode": "keep-ratio"}, {"quality": 90}):
        with pytest.raises(UsageError, match="was made with --"), opened(tmp_path / "data", **other):
            pass


def _fixed(root: Path, change: dict[str, Any] | None = None) -> None:
    """Take the settings of encoding out of a dataset's ledger, as if it had been made before there were any."""
    with closing(sqlite3.connect(root / "ledger.sqlite")) as db:
        [text] = db.execute("SELECT value FROM meta WHERE key = 'fixed'").fetchone()
        fixed = json.loads(text)
        for name in RESIZED | {"quality": 0}:
            del fixed[name]
        db.execute("UPDATE meta SET value = ? WHERE key = 'fixed'", [json.dumps(fixed | (change or {}))])
        db.commit()


def test_a_dataset_from_before_there_was_encoding(tmp_path: Path) -> None:
    """It opens, reads and verifies as one that keeps the bytes, and refuses another way, naming the flag."""
    images = make(tmp_path / "data")
    _fixed(tmp_path / "data")
    assert not Dataset(tmp_path / "data").encoding.asked
    assert saved(tmp_path / "data") == images
    assert_verified(tmp_path / "data")
    with pytest.raises(UsageError, match="made without --resize: that is fixed"):
        open_store(tmp_path / "data", {"resize": 64}, None)


@pytest.mark.parametrize("wrong", [{"encode": "jqg"}, {"resize": "no"}, {"quality": 1000}])
def test_a_damaged_setting_is_damage(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """What cannot have been fixed is told as damage of the ledger, not as a mistake of the user."""
    make(tmp_path / "data")
    _fixed(tmp_path / "data", wrong)
    with pytest.raises(CorruptDataset, match="damaged"):
        Dataset(tmp_path / "data")
    assert not verify(tmp_path / "data").ok


def test_verify_looks_at_extensions(tmp_path: Path) -> None:
    """An image under another extension than the dataset's is told: readers would not find it."""
    with opened(tmp_path / "data") as store:
        ingest(store, [url(0)])
        store.begin_run((), {})
        with closing(committer(store, extension="png")) as writing:
            writing.commit([verdict(drawn(store)[0], picture(0))])
            writing.seal()
    [problem] = verify(tmp_path / "data").problems
    assert problem == "images/00000.tar: sample 000000: its image is a .png, not a .jpg"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"resize": -1}, "--resize "),
        ({"resize": 64, "resize_mode": "stretch"}, "--resize-mode"),
        ({"encode": "gif"}, "--encode"),
        ({"encode": "jpg", "quality": 101}, "--quality"),
        ({"quality": 80}, "--quality"),
        ({"resize_mode": "keep-ratio", "encode": "jpg"}, "--resize-mode"),
        ({"resize": 2000, "max_pixels": 3_999_999}, "--max-pixels"),
    ],
)
def test_settings_that_cannot_work(given: dict[str, Any], named: str) -> None:
    """A value out of range, one that would change nothing, and one that would save nothing, name their flag."""
    with pytest.raises(UsageError, match=named):
        Settings(**given)


def test_settings_that_can() -> None:
    """What is asked for is what is made; the longer side alone may be longer than pixels are many."""
    assert Settings(encode="webp", quality=80).encoding() == Encoding(0, "border", "webp", 80)
    assert Settings(resize=2000, resize_mode="keep-ratio-largest", max_pixels=3_999_999).encoding().asked
    assert not Settings().encoding().asked
    assert Fixed().encoding() == Encoding()
