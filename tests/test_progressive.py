"""Luma without the scans of chroma: the same pixels, and the same refusals."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curator import decode as door
from curator.decode import Refused, decode
from curator.progressive import luma_only, means
from curator.report.small import SIDE, thumbnails
from tests.pictures import encoded, photo

CAP = 10_000_000
PICTURE = photo(1, 90, 60)
LEAST = (256, 256)
EIGHTH = (3, 5)  # of which a picture of 40 pixels a side is eight times the size


def seen(body, least):
    """What decoding gives: header and pixels, or the Reason."""
    try:
        picture = decode(body, CAP, least)
    except Refused as refused:
        return refused.reason
    return picture.header, picture.luma.size, picture.luma.tobytes()


def progressive(image=PICTURE, **options):
    return encoded(image, "JPEG", progressive=True, **options)


@settings(max_examples=60)
@given(
    st.integers(1, 700),
    st.integers(1, 300),
    st.integers(5, 100),
    st.integers(0, 2),
    st.sampled_from((0, 1, 7)),
    st.sampled_from((bytes, memoryview)),
    st.sampled_from((LEAST, EIGHTH)),
)
def test_luma_is_the_same(width, height, quality, subsampling, restart, wrap, least):
    """Of any size, quality, subsampling, restarts and reduction, luma is that of the whole file, from fewer bytes."""
    body = progressive(
        PICTURE.resize((width, height)),
        quality=quality,
        subsampling=subsampling,
        restart_marker_blocks=restart,
    )
    cut = luma_only(wrap(body), least)
    assert cut is not body
    assert np.array_equal(*(luma(one, least) for one in (body, cut)))
    assert len(cut) < len(body) + 69  # the table of zeros


def luma(body, least):
    image = Image.open(io.BytesIO(body))
    image.draft("L", least if image.width <= image.height else least[::-1])
    return np.asarray(image)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize(
    ("width", "height", "left"),
    [pytest.param(40, 24, 2, id="an eighth"), pytest.param(39, 24, 6, id="a quarter")],
)
def test_means_are_all_that_an_eighth_needs(width, height, left, subsampling):
    """Of a picture decoded at 1/8 the scans of DC coefficients are left, otherwise those of luma."""
    body = progressive(PICTURE.resize((width, height)), subsampling=subsampling)
    assert luma_only(body, EIGHTH).count(b"\xff\xda") == left
    assert np.array_equal(*(luma(one, EIGHTH) for one in (body, luma_only(body, EIGHTH))))


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_small_pictures_are_made_of_means(subsampling):
    """At 1/8 luma is the same and colours nearly so, from the DC scans alone; a picture less reduced is left whole."""
    body = progressive(PICTURE.resize((8 * SIDE, 6 * SIDE)), quality=90, subsampling=subsampling)
    light = means(memoryview(body), (1, SIDE))
    assert light.count(b"\xff\xda") == 2  # the DC coefficients, and their last bit
    assert len(light) < len(body) / 2
    assert np.array_equal(*(luma(one, (1, SIDE)) for one in (body, light)))
    (made,) = thumbnails([memoryview(body)], lambda index: None, CAP)
    whole = Image.open(io.BytesIO(body)).resize((SIDE, 6 * SIDE // 8), Image.Resampling.BOX)
    apart = np.asarray(Image.open(io.BytesIO(made)), np.float64) - np.asarray(whole)
    assert np.abs(apart).mean() < 4
    less = progressive(PICTURE.resize((8 * SIDE - 1, 6 * SIDE)))
    assert means(less, (1, SIDE)) is less


@pytest.mark.parametrize("odd", ["baseline", "cut", "no tables", "no image"])
def test_odd_files_keep_all(odd):
    """What is no whole progressive JPEG is left to libjpeg."""
    body = progressive(PICTURE.resize((80, 60)))
    tables = body.index(b"\xff\xdb")
    given = {
        "baseline": encoded(PICTURE.resize((80, 60)), "JPEG"),
        "cut": body[:-2],
        "no tables": body[: tables + 3] + b"\x42" + body[tables + 4 : tables + 68] + body[tables + 69 :],
        "no image": b"",
    }[odd]
    assert means(given, (1, 5)) is given
    assert means(body, (1, 5)) is not body


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("set", "cut", "put", "end")),
        st.floats(0, 1, exclude_max=True),
        st.binary(max_size=5),
    ),
    min_size=1,
    max_size=6,
)


def changed(body, changes):
    """A file with some of its bytes others, gone, or more."""
    made = bytearray(body)
    for kind, place, new in changes:
        at = int(place * len(made))
        if kind == "end":
            del made[max(at, 2) :]
        else:
            made[at : at + (0 if kind == "put" else len(new))] = b"" if kind == "cut" else new
    return bytes(made)


@settings(max_examples=400)
@given(
    CHANGES,
    st.integers(20, 95),
    st.integers(0, 2),
    st.sampled_from((0, 3)),
    st.sampled_from((LEAST, EIGHTH)),
)
def test_damaged_file_comes_to_the_same(changes, quality, subsampling, restart, least):
    """Whatever is done to a file's bytes, it is refused as ever, or gives the pixels that it would."""
    small = PICTURE.resize((40, 27))
    options = {"quality": quality, "subsampling": subsampling, "restart_marker_blocks": restart}
    body = changed(progressive(small, **options), changes)
    cut, door.luma_only = door.luma_only, lambda file, _: file
    try:
        expected = seen(body, least)
    finally:
        door.luma_only = cut
    assert seen(body, least) == expected


def unfinished(body):
    """Without its last scan, which refines luma."""
    return body[: body.rindex(b"\xff\xda")] + b"\xff\xd9"


def renamed(body, names):
    """With other names for its components, which then are not Y, Cb and Cr to every decoder."""
    for old, new in zip((1, 2, 3), names, strict=True):
        at = body.index(b"\xff\xc2") + 10 + 3 * (old - 1)
        assert body[at] == old
        body = body[:at] + bytes([new]) + body[at + 1 :]
    return body


def broken_table(body):
    """With a Huffman table for chroma that cannot be, at the end of a segment with more tables than there are."""
    at = body.index(b"\xff\xda\0\x08\1\2")
    tables = 9 * (b"\x12" + bytes(15) + b"\xff" + bytes(255)) + bytes([0x10 | body[at + 6], 3]) + bytes(18)
    return body[:at] + b"\xff\xc4" + (len(tables) + 2).to_bytes(2) + tables + body[at:]


def scales_again(body):
    """With its quantization tables once more behind the frame header, where they could undo what is put in there."""
    at, end = body.index(b"\xff\xdb"), body.index(b"\xff\xc2")
    return body[: end + 19] + body[at:end] + body[end + 19 :]


@pytest.mark.parametrize("least", [LEAST, (1, 1)])
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(encoded(PICTURE), id="baseline"),
        pytest.param(progressive(PICTURE.convert("L")), id="grey"),
        pytest.param(progressive(PICTURE.convert("CMYK")), id="CMYK"),
        pytest.param(progressive(keep_rgb=True), id="RGB"),
        pytest.param(renamed(progressive(), b"RGB"), id="components named RGB"),
        pytest.param(
            encoded(PICTURE, "MPO", progressive=True, save_all=True, append_images=[PICTURE]), id="MPO"
        ),
        pytest.param(progressive()[:-200], id="truncated"),
        pytest.param(unfinished(progressive()), id="unfinished"),
        pytest.param(broken_table(progressive()), id="broken Huffman table among many"),
        pytest.param(scales_again(progressive()), id="quantization tables behind the frame header"),
        pytest.param(encoded(PICTURE, "PNG"), id="PNG"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xd8" + b"\xff\xfe\0\2" * 5_000_000, id="comments without end"),
    ],
)
def test_what_is_odd_is_left_alone(body, least):
    """What is no finished progressive JPEG in Y, Cb and Cr is given back as it is."""
    assert luma_only(body, least) is body
