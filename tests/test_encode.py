"""Encoding: img2dataset's sizes and pixels, upright RGB without metadata, refusals instead of exceptions."""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from curator.decode import Refused, colour
from curator.encode import Encoded, encode, encode_batch, resized
from curator.encoding import RESIZE_MODES, Encoding
from curator.errors import UsageError
from curator.reasons import Reason
from curator.records import Unmeasured
from tests.pictures import encoded, flat, jpeg, oriented, photo, swapped_profile

MAX_PIXELS = 4_000_000
RECORD = Path(__file__).with_name("img2dataset_resized.npz")  # made by bench/img2dataset_resized.py
MODES = ("border", "keep-ratio", "keep-ratio-largest", "center-crop")  # in the record's order
PICTURES = ((61, 97), (20, 15), (400, 300))


def waves(width: int, height: int) -> Image.Image:
    """The picture that the record was made of: waves of three colours."""
    y, x = np.mgrid[0:height, 0:width]
    each = [np.sin(x / (9 + 4 * c) + c) * np.cos(y / (7 + 5 * c)) for c in range(3)]
    return Image.fromarray(np.rint(127.5 + 127 * np.stack(each, -1)).astype(np.uint8))


def pixels(made: Encoded) -> np.ndarray:
    """The pixels of what was made."""
    with Image.open(io.BytesIO(made.body)) as image:
        assert image.size == (made.width, made.height)
        return np.asarray(image).astype(float)


def test_sizes_are_those_of_img2dataset() -> None:
    """Every mode gives the size that img2dataset's own Resizer gave, of pictures of any shape."""
    with np.load(RECORD) as record:
        rows = record["sizes"].tolist()
    assert len(rows) == len(MODES) * 9
    for mode, width, height, side, expected_width, expected_height in rows:
        made = encode(
            encoded(Image.new("RGB", (width, height)), "PNG"),
            Encoding(side, MODES[mode], "jpg"),
            MAX_PIXELS,
        )
        assert (made.width, made.height) == (expected_width, expected_height), (MODES[mode], width, height)


@pytest.mark.parametrize("mode", [0, 3], ids=["border", "center-crop"])
@pytest.mark.parametrize("number", range(len(PICTURES)), ids=["shrunk", "enlarged", "shrunk far"])
def test_pixels_are_those_of_img2dataset(number: int, mode: int) -> None:
    """Pixels are within 1.5 of img2dataset's on average (of 255), nowhere 12 apart: frames are where its are."""
    with np.load(RECORD) as record:
        expected = record[f"pixels_{number}_{mode}"].astype(float)
    made = encode(encoded(waves(*PICTURES[number]), "PNG"), Encoding(24, MODES[mode], "png"), MAX_PIXELS)
    apart = np.abs(pixels(made) - expected)
    assert apart.mean() <= 1.5
    assert apart.max() <= 12


@pytest.mark.parametrize("side", [24, 300])
def test_a_reduced_decode_looks_the_same(side: int) -> None:
    """A JPEG decoded at a quarter or half of its size is within 1.5 of one decoded in full, on average."""
    body = jpeg(5, 1600, 1200, quality=92)
    with Image.open(io.BytesIO(body)) as whole:
        in_full = encode(encoded(whole, "PNG"), Encoding(side, "keep-ratio", "png"), MAX_PIXELS)
    reduced = encode(body, Encoding(side, "keep-ratio", "png"), MAX_PIXELS)
    assert np.abs(pixels(reduced) - pixels(in_full)).mean() <= 1.5


def test_the_rounding_is_told_by_the_full_size() -> None:
    """What a JPEG is reduced to while it is decoded does not change the size that comes out."""
    for width, height in ((1001, 333), (333, 1001), (1023, 769)):
        body = encoded(flat(width=width, height=height))
        for mode in RESIZE_MODES:
            encoding = Encoding(40, mode, "png")
            made = encode(body, encoding, MAX_PIXELS)
            scaled = resized(width, height, encoding)
            framed = (40, 40) if mode in ("border", "center-crop") else scaled
            assert (made.width, made.height) == framed


@pytest.mark.parametrize(("name", "kind"), [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")])
def test_formats(name: str, kind: str) -> None:
    """Each format is what it says, RGB, without EXIF or profile, and the same bytes each time."""
    body = oriented(photo(2, 60, 40), 6)
    encoding = Encoding(32, "keep-ratio-largest", name, 90)
    made = encode(body, encoding, MAX_PIXELS)
    with Image.open(io.BytesIO(made.body)) as image:
        assert (image.format, image.mode, image.size) == (kind, "RGB", (21, 32))
        assert not image.getexif()
        assert "icc_profile" not in image.info
    assert made.extension == name
    assert made == encode(body, encoding, MAX_PIXELS)


@pytest.mark.parametrize("name", ["jpg", "png", "webp"])
def test_no_metadata(name: str) -> None:
    """A comment and a profile, which say nothing of the new pixels, stay behind."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    body = encoded(photo(2, 60, 40), "JPEG", icc_profile=profile, comment=b"said of the first")
    made = encode(body, Encoding(32, "keep-ratio", name), MAX_PIXELS)
    with Image.open(io.BytesIO(made.body)) as image:
        assert not {"icc_profile", "comment"} & set(image.info)


def test_without_a_side_the_size_stays() -> None:
    """Encoding alone changes no size, and a better quality is more bytes."""
    body = encoded(photo(1, 50, 30), "PNG")
    low, high = (encode(body, Encoding(0, "border", "jpg", quality), MAX_PIXELS) for quality in (50, 95))
    assert (low.width, low.height) == (high.width, high.height) == (50, 30)
    assert len(low.body) < len(high.body)


def test_upright() -> None:
    """Pixels are turned as the EXIF says before they are resized: all eight ways look like the first."""
    picture = photo(3, 48, 32)
    plain = pixels(encode(encoded(picture, "PNG"), Encoding(0, "border", "png"), MAX_PIXELS))
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    for orientation, turn in back.items():
        stored = oriented(picture.transpose(turn), orientation)
        made = encode(stored, Encoding(0, "border", "png"), MAX_PIXELS)
        assert np.array_equal(pixels(made), plain), orientation


GREY_ALPHA = Image.merge("LA", (Image.new("L", (8, 8), 100), Image.new("L", (8, 8), 0)))
HALF = Image.new("RGBA", (8, 8), (255, 0, 0, 128))
DEEP = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
LAB = ImageCms.createProfile("LAB")


@pytest.mark.parametrize(
    ("body", "mode", "expected"),
    [
        pytest.param(encoded(HALF, "PNG"), "RGB", (255, 127, 127), id="alpha over white"),
        pytest.param(encoded(GREY_ALPHA, "PNG"), "L", 255, id="grey with alpha"),
        pytest.param(encoded(DEEP, "PNG"), "L", 155, id="16 bits"),
        pytest.param(encoded(flat((10, 200, 30)).convert("CMYK"), "TIFF"), "RGB", (10, 200, 30), id="CMYK"),
        pytest.param(encoded(flat((0, 51, 102)).quantize(), "GIF"), "RGB", (0, 51, 102), id="palette"),
        pytest.param(encoded(flat((255, 255, 255)).convert("1"), "PNG"), "L", 255, id="one bit"),
    ],
)
def test_colours_of_any_mode(body: bytes, mode: str, expected: object) -> None:
    """Every mode that a file can have becomes RGB or L, as it looks."""
    made = colour(body, MAX_PIXELS)
    assert made.mode == mode
    assert np.abs(np.asarray(made.getpixel((3, 3))) - np.asarray(expected)).max() <= 1


def test_lab_and_other_profiles_become_srgb() -> None:
    """Colours are converted where a profile says they are not sRGB; a broken profile is left aside."""
    srgb, picture = ImageCms.createProfile("sRGB"), flat((200, 30, 60))
    stored = ImageCms.profileToProfile(picture, srgb, LAB, outputMode="LAB")
    assert stored is not None
    lab = colour(encoded(stored, "TIFF"), MAX_PIXELS)
    assert np.abs(np.asarray(lab.getpixel((3, 3))) - (200, 30, 60)).max() <= 3

    linear = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()  # of another kind than RGB
    for profile in (b"no profile at all" * 20, linear, ImageCms.ImageCmsProfile(srgb).tobytes()):
        kept = colour(encoded(picture, "PNG", icc_profile=profile), MAX_PIXELS)
        assert kept.getpixel((3, 3)) == (200, 30, 60)


def test_a_wide_profile_is_converted() -> None:
    """A file whose profile swaps the colours' meaning does not keep its numbers."""
    made = colour(encoded(flat((255, 0, 0)), "PNG", icc_profile=swapped_profile()), MAX_PIXELS)
    pixel = made.getpixel((3, 3))
    assert isinstance(pixel, tuple)
    assert pixel[2] > 200 > 100 > pixel[0]


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        pytest.param(b"<html>", Encoding(32), Reason.NOT_AN_IMAGE, id="no image"),
        pytest.param(jpeg()[:4000], Encoding(32), Reason.UNDECODABLE, id="cut short"),
        pytest.param(
            encoded(flat(width=2, height=900)),
            Encoding(900, "keep-ratio"),
            Reason.TOO_MANY_PIXELS,
            id="grows",
        ),
        pytest.param(
            encoded(flat(width=16_384, height=1)),
            Encoding(0, "border", "webp"),
            Reason.TOO_MANY_PIXELS,
            id="too long for webp",
        ),
        pytest.param(
            encoded(flat()), Encoding(2500, "border"), Reason.TOO_MANY_PIXELS, id="border too large"
        ),
    ],
)
def test_refused(body: bytes, encoding: Encoding, reason: Reason) -> None:
    """What cannot be decoded, and what would become too large, is refused with its Reason."""
    with pytest.raises(Refused) as refused:
        encode(body, encoding, MAX_PIXELS)
    assert refused.value.reason is reason


@pytest.mark.parametrize("said", [MemoryError(), ValueError("encoding error 1"), OSError("encoder error -9")])
def test_an_encoder_without_memory(monkeypatch: pytest.MonkeyPatch, said: Exception) -> None:
    """What encoders raise when a worker's memory does not suffice costs the image, not the program."""
    body = jpeg(1, 40, 40)

    def fail(*_: object, **__: object) -> None:
        raise said

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(Refused) as refused:
        encode(body, Encoding(16, format="webp"), MAX_PIXELS)
    assert refused.value.reason is Reason.DECODER_CRASH


def test_a_batch_goes_on_after_a_refusal() -> None:
    """The kernel answers each image in order, says which it begins, and pickles."""
    begun: list[int] = []
    kernel = partial(encode_batch, encoding=Encoding(16), max_pixels=MAX_PIXELS)
    made = kernel(
        [memoryview(jpeg(1, 40, 40)), memoryview(b"GIF89a"), memoryview(jpeg(2, 40, 40))], begun.append
    )
    assert begun == [0, 1, 2]
    assert [type(one) for one in made] == [Encoded, Unmeasured, Encoded]
    assert made[2] == encode(jpeg(2, 40, 40), Encoding(16), MAX_PIXELS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": -1},
        {"side": 16_384},
        {"mode": "stretch"},
        {"format": "gif"},
        {"quality": 0},
        {"quality": 101},
    ],
)
def test_settings_out_of_range(wrong: dict[str, object]) -> None:
    """A value that cannot work names its flag."""
    with pytest.raises(UsageError, match="--"):
        Encoding(**wrong)  # type: ignore[arg-type]
