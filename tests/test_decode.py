"""The one door that opens an image, and what it does with hostile files."""

import json
import struct
import subprocess
import sys
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from curator.decode import Refused, decode
from curator.reasons import Reason
from tests.pictures import encoded, flat, jpeg, oriented, photo

CAP = 10_000_000
FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO"]


def refused(body, max_pixels=CAP, draft=None):
    """The Refused that decoding raises."""
    with pytest.raises(Refused) as caught:
        decode(body, max_pixels, draft)
    assert caught.value.detail.isprintable()
    return caught.value


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width, height):
    """A valid PNG header that claims a size, with next to no pixels behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
        + chunk(b"IEND", b"")
    )


def pixels(picture):
    return np.asarray(picture.luma, dtype=int)


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("wrap", [bytes, memoryview])
def test_every_format_is_decoded(format_, wrap):
    """Each allowed format gives its name, its full size, and the picture's luma, from bytes or a view."""
    image = photo(1, 120, 80)
    picture = decode(wrap(encoded(image, format_)), CAP)
    header = picture.header
    assert (header.format, header.width, header.height) == (format_.lower().replace("mpo", "jpeg"), 120, 80)
    apart = np.abs(pixels(picture) - np.asarray(image.convert("L"), dtype=int))
    assert apart.mean() < 12  # a GIF has 256 colours


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_truncated_files_are_refused(format_, share):
    """A file cut short is not an image with a grey rest: it is refused, with what the decoder said."""
    body = encoded(photo(2, 200, 160), format_)
    error = refused(body[: int(len(body) * share)])
    assert error.reason is Reason.UNDECODABLE
    assert error.detail


@pytest.mark.parametrize("draft", [None, (192, 192)])
def test_a_truncated_jpeg_is_refused_in_draft_too(draft):
    """Decoding reduced reads all of a JPEG's data: the last hundredth missing is still noticed."""
    body = jpeg(3, 800, 600)
    assert refused(body[: len(body) * 99 // 100], CAP, draft).reason is Reason.UNDECODABLE


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_never_crash(data):
    """Bytes changed anywhere give a picture or a Refused, never another exception, never a warning."""
    body = bytearray(encoded(photo(4, 60, 40), data.draw(st.sampled_from(FORMATS))))
    for at in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=12)):
        body[at] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            decode(bytes(body), CAP, 192)
        except Refused as error:
            assert error.reason in {  # noqa: PT017 - either outcome is right
                Reason.UNDECODABLE,
                Reason.NOT_AN_IMAGE,
                Reason.UNSUPPORTED_FORMAT,
                Reason.TOO_MANY_PIXELS,
            }


@pytest.mark.parametrize(("cap", "fits"), [(9600, True), (9599, False)])
@pytest.mark.parametrize("format_", FORMATS)
def test_the_pixel_cap_is_exact(cap, fits, format_):
    """An image of just so many pixels passes; one pixel fewer allowed, and it is refused by its header."""
    body = encoded(flat(width=120, height=80), format_)
    if fits:
        assert decode(body, cap).header.width == 120
    else:
        assert refused(body, cap).reason is Reason.TOO_MANY_PIXELS


def test_a_bomb_is_refused_before_its_pixels():
    """A tiny file that claims 3.6 gigapixels is refused for its size: nothing tried to decode it."""
    assert refused(png_of_size(60_000, 60_000), 100_000_000).reason is Reason.TOO_MANY_PIXELS


def test_our_cap_is_the_only_one():
    """A cap above Pillow's own limit holds, and Pillow's is untouched afterwards."""
    before = Image.MAX_IMAGE_PIXELS
    error = refused(png_of_size(20_000, 20_000), 500_000_000)
    assert error.reason is Reason.UNDECODABLE  # it got as far as the missing pixels
    assert before == Image.MAX_IMAGE_PIXELS


def test_what_is_no_image_is_refused_by_its_head():
    """An error page and a format we do not take keep the Reason their first bytes give."""
    assert refused(b"<!DOCTYPE html><html>404</html>").reason is Reason.NOT_AN_IMAGE
    assert refused(b"8BPS\0\1" + bytes(100)).reason is Reason.UNSUPPORTED_FORMAT


def test_a_signature_with_rubbish_behind_is_undecodable():
    """The first bytes of a JPEG are no picture, and the detail does not depend on the process."""
    for body in (b"\xff\xd8\xff\xe0" + b"rubbish" * 30, b"\xff\xd8\xff" + bytes(50), b"II*\0" + bytes(50)):
        error = refused(body)
        assert error.reason is Reason.UNDECODABLE
        assert "0x" not in error.detail


def test_draft_keeps_the_size_and_reduces_the_picture():
    """A JPEG decoded reduced reports its full size and mode, both sides of the luma at least the draft."""
    picture = decode(jpeg(5, 1000, 800), CAP, (192, 192))
    assert (picture.header.width, picture.header.height, picture.header.mode) == (1000, 800, "RGB")
    assert picture.luma.size == (250, 200)


@pytest.mark.parametrize(("draft", "width"), [((200, 250), 250), ((200, 251), 500), ((201, 250), 500)])
def test_a_draft_bounds_each_side(draft, width):
    """The shorter side stays at the first number or above, the longer at the second, whichever is which."""
    assert decode(jpeg(5, 1000, 800), CAP, draft).luma.width == width
    assert decode(jpeg(5, 800, 1000), CAP, draft).luma.height == width


def test_a_jpeg_smaller_than_the_draft_is_whole():
    """Nothing is ever enlarged or reduced below the draft's side."""
    assert decode(jpeg(5, 200, 150), CAP, (192, 192)).luma.size == (200, 150)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparency_shows_white(mode):
    """What is transparent counts as white, whatever colour hides beneath; what is opaque stays."""
    image = Image.new("RGBA", (40, 20), (10, 10, 10, 0))
    image.paste((60, 60, 60, 255), (0, 0, 20, 20))
    if mode == "P":
        body = encoded(image, "GIF")
    else:
        body = encoded(image if mode == "RGBA" else image.convert(mode), "TIFF" if mode == "PA" else "PNG")
    luma = pixels(decode(body, CAP))
    assert (luma[:, 20:] == 255).all()
    assert (np.abs(luma[:, :20] - 60) <= 1).all()


def test_half_transparent_is_half_white():
    """Alpha is weighed, not only tested."""
    body = encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")
    assert (np.abs(pixels(decode(body, CAP)) - 127) <= 1).all()


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_deep_pixels_are_scaled(format_):
    """16-bit luma is scaled to 8 bits, not cut off at 255."""
    ramp = np.linspace(0, 65535, 256).astype(np.uint16)
    body = encoded(Image.fromarray(np.tile(ramp, (16, 1))), format_)
    assert (np.abs(pixels(decode(body, CAP))[0] - np.arange(256)) <= 1).all()


def test_float_pixels_are_stretched():
    """A float TIFF, NaN and all, becomes a picture of its own range."""
    ramp = np.tile(np.linspace(-1, 3, 64, dtype=np.float32), (4, 1))
    ramp[0, 0] = np.nan
    luma = pixels(decode(encoded(Image.fromarray(ramp), "TIFF"), CAP))
    assert (luma[1, 0], luma[1, -1]) == (0, 255)


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr", "LAB", "RGB", "P"])
def test_every_mode_becomes_luma(mode):
    """Whatever Pillow's mode, the luma is that of the picture."""
    image = flat((200, 200, 200), 16, 16).convert("RGB")
    if mode == "LAB":
        image = Image.frombytes("LAB", (16, 16), bytes((200, 0, 0)) * 256)
    picture = decode(encoded(image if mode == "LAB" else image.convert(mode), "TIFF"), CAP)
    assert picture.luma.mode == "L"
    assert picture.header.mode in (mode, "RGB")


@pytest.mark.parametrize("format_", ["GIF", "WEBP", "PNG", "AVIF"])
def test_only_the_first_frame_counts(format_):
    """Of an animation the first frame is decoded, even when a later one is damaged."""
    frames = [flat((shade,) * 3, 64, 64) for shade in (200, 100, 0)]
    body = encoded(frames[0], format_, save_all=True, append_images=frames[1:])
    assert abs(pixels(decode(body, CAP)).mean() - 200) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_honoured(orientation):
    """The size is that of the upright picture, and `upright` turns the stored one into it."""
    image = photo(6, 60, 40)
    picture = decode(oriented(image, orientation), CAP)
    turned = picture.luma if picture.upright is None else picture.luma.transpose(picture.upright)
    assert turned.size == (picture.header.width, picture.header.height)
    assert picture.header.width == (60 if orientation < 5 else 40)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_exif_is_read_from_every_container(format_):
    """EXIF becomes JSON wherever a format keeps it, without what is binary."""
    exif = Image.Exif()
    exif[0x010F] = "Maker\0hidden"
    exif[0x0112] = 3
    exif.get_ifd(0x8769)[0x829A] = 0.5
    exif.get_ifd(0x8769)[0x927C] = b"\1\2" * 2000
    packed = {"compression": "tiff_lzw"} if format_ == "TIFF" else {}
    header = decode(encoded(photo(7, 64, 48), format_, exif=exif, **packed), CAP).header
    assert '"Make": "Maker"' in header.exif
    if format_ != "TIFF":  # Pillow writes no folder of tags there
        assert '"ExposureTime": 0.5' in header.exif
    assert len(header.exif) < 4096


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + b"\xff" * 99]
)
def test_malformed_exif_costs_nothing_but_itself(block):
    """A picture with broken EXIF is a picture without EXIF."""
    header = decode(encoded(photo(8, 32, 32), "JPEG", exif=block), CAP).header
    assert (header.exif, header.width) == ("{}", 32)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=400))
def test_any_exif_gives_bounded_json(block):
    """No EXIF block, however broken, is more than a small valid JSON object."""
    header = decode(
        encoded(flat(width=8, height=8), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + block), CAP
    ).header
    assert isinstance(json.loads(header.exif), dict)
    assert len(header.exif) <= 16 << 10
    assert "\\u0000" not in header.exif


def test_huge_exif_is_cut_to_its_bound():
    """Hundreds of long tags give valid JSON of at most 16 KiB."""
    exif = Image.Exif()
    for tag in range(0xC000, 0xC000 + 100):
        exif[tag] = "x" * 500
    header = decode(encoded(photo(9, 32, 32), "JPEG", exif=exif), CAP).header
    assert 8 << 10 < len(header.exif) <= 16 << 10
    assert json.loads(header.exif)


def test_malformed_colour_profile_and_text_are_ignored():
    """A rubbish ICC profile or text chunk does not cost the picture."""
    info = PngImagePlugin.PngInfo()
    info.add(b"iCCP", b"\xff\xff\xff")
    info.add(b"tEXt", b"\0\0\0")
    body = encoded(photo(10, 32, 32), "PNG", pnginfo=info)
    assert decode(body, CAP).header.width == 32
    assert decode(encoded(photo(10, 32, 32), "JPEG", icc_profile=b"rubbish"), CAP).header.width == 32


def test_out_of_memory_is_a_decoder_crash(monkeypatch):
    """An image that memory cannot hold is blamed on itself, like one that kills its process."""

    def starved(self):
        raise MemoryError

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", starved)
    assert refused(encoded(flat(), "PNG")).reason is Reason.DECODER_CRASH


def test_opening_does_not_load_every_plugin():
    """Decoders outside the allow-list are not even imported."""
    program = (
        "import sys; from curator.decode import decode, Refused\n"
        "try: decode(b'\\xff\\xd8\\xff' + bytes(50), 100)\nexcept Refused: pass\n"
        "sys.exit(any('Eps' in name or 'Psd' in name or 'Fli' in name for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
