"""WebP stills straight from libwebp: the pixels, words and refusals of Pillow, in less memory."""

import base64
import io
import mmap
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from curator import decode as door
from curator import webp
from curator.decode import Refused, decode, decode_both
from curator.webp import still
from tests.pictures import encoded, photo, swapped_profile

CAP = 10_000_000
PICTURE = photo(1, 90, 61)
KINDS = {
    "lossy": {"quality": 80},
    "poor": {"quality": 1},
    "lossless": {"lossless": True},
    "lossless, fast": {"lossless": True, "method": 0},
}
WAYS = {"at once": (webp._AT_ONCE, webp._BAND), "in bands": (0, mmap.PAGESIZE)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    """Both ways of decoding, whatever the size."""
    for name, value in zip(("_AT_ONCE", "_BAND"), WAYS[request.param], strict=True):
        monkeypatch.setattr(webp, name, value)


def file(image=PICTURE, kind="lossy", **options):
    return encoded(image, "WEBP", **KINDS[kind], **options)


def chunk(name, data):
    return name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2)


def riff(*chunks):
    """A file of these chunks."""
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(content).to_bytes(4, "little") + content


def extended(flags, *chunks, size=PICTURE.size):
    sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
    return riff(chunk(b"VP8X", bytes([flags, 0, 0, 0]) + sides), *chunks)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("wrap", [bytes, memoryview])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(90, 61), (1, 1), (2, 300), (17, 3), (16_383, 2), (1, 16_383)])
def test_pixels_are_those_of_pillow(size, kind, wrap):
    """Of every size and kind, at once or in bands, luma and colours are Pillow's bit for bit."""
    body = file(PICTURE.resize(size), kind)
    expected = Image.open(io.BytesIO(body))
    for mode in ("L", "RGB"):
        image = still(wrap(body), CAP, mode)
        assert (image.mode, image.size, image.format) == (mode, size, "WEBP")
        assert image.tobytes() == expected.convert(mode).tobytes()


def outcome(body):
    """All that comes of a file: headers and pixels, or the Reason and its detail."""
    try:
        picture, (both, coloured) = decode(body, CAP, (256, 256)), decode_both(body, CAP)
    except Refused as refused:
        return refused.reason, refused.detail
    sizes = [image.size for image in (picture.luma, both.luma, coloured.image)]
    pixels = [image.tobytes() for image in (picture.luma, both.luma, coloured.image)]
    return picture.header, both.header, picture.upright, coloured[1:], coloured.image.mode, sizes, pixels


def pillows(body):
    """As `outcome`, all by Pillow."""
    ours, door.still = door.still, lambda *arguments: None
    try:
        return outcome(body)
    finally:
        door.still = ours


def tags(orientation):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = orientation, "Maker"
    return exif


XMP = b'<x:xmpmeta><rdf tiff:Orientation="3"/></x:xmpmeta>'
METADATA = {
    "EXIF": {"exif": tags(6)},
    "ICC": {"icc_profile": swapped_profile()},
    "XMP": {"xmp": XMP},
    "all": {"exif": tags(8), "icc_profile": swapped_profile(), "xmp": XMP},
}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("kind", ["lossy", "lossless"])
@pytest.mark.parametrize("metadata", METADATA)
def test_metadata_is_that_of_pillow(kind, metadata):
    """EXIF, XMP and profile are found, turn the picture and its colours as they do with Pillow, and cost no detour."""
    body = file(kind=kind, **METADATA[metadata])
    info, expected = still(body, CAP, "RGB").info, Image.open(io.BytesIO(body)).info
    assert info == {name: expected[name] for name in METADATA[metadata]}
    assert outcome(body) == pillows(body)


ALPHA = PICTURE.copy()
ALPHA.putalpha(PICTURE.getchannel("G"))
LOSSY, LOSSLESS = file()[12:], file(kind="lossless")[12:]
LEFT = {
    "alpha, lossy": file(ALPHA),
    "alpha, lossless": file(ALPHA, "lossless"),
    "alpha that is only announced": extended(0x10, LOSSY),
    "animated": file(save_all=True, append_images=[PICTURE.rotate(180)]),
    "truncated": file()[:-100],
    "truncated, its length corrected": riff(LOSSY[:-100]),
    "its image truncated": riff(chunk(b"VP8 ", LOSSY[8:-100])),
    "no pixels": riff(chunk(b"VP8 ", LOSSY[8:18])),
    "bytes behind its end": file() + b"\r\n",
    "a chunk behind its end": extended(8, LOSSY) + chunk(b"EXIF", b"MM\0*"),
    "a chunk that nobody knows": extended(0, LOSSY, chunk(b"ABCD", b"1234")),
    "a chunk behind its image": riff(LOSSY, chunk(b"ABCD", b"1234")),
    "two images": extended(0, LOSSY, LOSSLESS),
    "the same twice": extended(0, LOSSY, LOSSY),
    "EXIF that is not announced": extended(0, LOSSY, chunk(b"EXIF", b"MM\0*")),
    "EXIF that is announced": extended(8, LOSSY),
    "EXIF without saying so": riff(LOSSY, chunk(b"EXIF", b"MM\0*")),
    "another canvas": extended(0, LOSSY, size=(90, 62)),
    "a canvas of 2^48 pixels": extended(0, LOSSY, size=(1 << 24, 1 << 24)),
    "an odd chunk without padding": riff(chunk(b"VP8 ", LOSSY[8:] + b"\0")[:-1]),
    "a chunk's length beyond the end": riff(LOSSY[:4] + b"\xff\xff\xff\xff" + LOSSY[8:]),
    "a head alone": file()[:16],
    "rubbish": riff(b"VP8 " + bytes(40)),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_is_odd_is_left_to_pillow(name):
    """What is transparent, moves, is damaged or contradicts itself is decoded or refused by Pillow, as ever."""
    body = LEFT[name]
    assert still(body, CAP, "L") is still(body, CAP, "RGB") is None
    assert outcome(body) == pillows(body)


def test_one_pixel_too_many_is_left_to_pillow():
    """The limit is exact, and nothing is decoded above it."""
    assert still(file(), 90 * 61, "L") is not None
    assert still(file(), 90 * 61 - 1, "L") is None


def test_without_the_library_all_is_pillows(monkeypatch):
    """Where the functions are not found, pictures are the same."""
    expected = outcome(file())
    monkeypatch.setattr(webp, "_libwebp", lambda: None)
    assert still(file(), CAP, "L") is None
    assert outcome(file()) == expected


WHOLE = [file(PICTURE.resize((60, 55)), kind) for kind in ("lossy", "lossless")]
WHOLE += [file(PICTURE.resize((33, 50)), kind, **METADATA["all"]) for kind in ("lossy", "lossless")]
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(("set", "cut", "put")), st.floats(0, 1, exclude_max=True), st.binary(max_size=4)
    ),
    min_size=1,
    max_size=4,
)


def changed(body, changes, first):
    """A file with some of its bytes from `first` on others, gone, or more; its lengths as they are to be."""
    made = bytearray(body[first:])
    for kind, place, new in changes:
        at = int(place * len(made))
        made[at : at + (0 if kind == "put" else len(new))] = b"" if kind == "cut" else new
    if first:
        made = body[first - 8 : first - 4] + len(made).to_bytes(4, "little") + made + bytes(len(made) % 2)
    whole = body[: max(first - 8, 0)] + made
    return whole[:4] + (len(whole) - 8).to_bytes(4, "little") + whole[8:]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(WHOLE), CHANGES, st.booleans(), st.sampled_from((0, 1 << 20)))
def test_damaged_file_comes_to_the_same(body, changes, inside, at_once):
    """Whatever is done to a file or to its image alone, it comes to what Pillow makes of it, at once and in bands."""
    at = body.find(b"VP8L") if b"VP8L" in body[:4000] else body.index(b"VP8 ")
    body = changed(body, changes, at + 8 if inside else 0)
    before = webp._AT_ONCE, webp._BAND
    webp._AT_ONCE, webp._BAND = at_once, mmap.PAGESIZE
    try:
        assert outcome(body) == pillows(body)
    finally:
        webp._AT_ONCE, webp._BAND = before


def test_impossible_coefficients_come_to_the_same(monkeypatch):
    """Where the first byte of the coefficients is one that cannot be, bands would differ: all are Pillow's."""
    monkeypatch.setattr(webp, "_AT_ONCE", 0)
    body = bytearray(file())
    at = 30 + (int.from_bytes(body[20:23], "little") >> 5)
    assert still(body, CAP, "L") is not None
    body[at] = 0xFF
    assert outcome(bytes(body)) == pillows(bytes(body))
    assert still(body, CAP, "L") is None


# made by libwebp with `partitions` 1, which Pillow does not offer: coefficients of even and odd rows apart
_IN_TWO = base64.b64decode(
    b"UklGRpQAAABXRUJQVlA4IIgAAAAwBgCdASoQADAAP5nA1mI5MCsmKqgDIHMJbACdMoMYANQT2rNLuGQ/PJ3I17RI+AkVItUDXHqQ"
    b"MH5gAC0AAPxacBVOja3j7DASGeHKhND/rc0U814erYavnkxfwDH051/hKOfRtTOHvZbAAGNaclbjRi67UKfrW6t6XmNN1YjNo2f8"
    b"tIZ1EUAA"
)


def test_coefficients_in_two_partitions_are_left_to_pillow(monkeypatch):
    """Of such a file the first bytes that count lie elsewhere: at once it is decoded here, in bands it is not."""
    expected = pillows(_IN_TWO)
    assert still(_IN_TWO, CAP, "L") is not None
    assert outcome(_IN_TWO) == expected
    monkeypatch.setattr(webp, "_AT_ONCE", 0)
    assert still(_IN_TWO, CAP, "L") is None
    assert outcome(_IN_TWO) == expected


_PEAK = """
import sys
from pathlib import Path
from curator.decode import decode

def most():
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10

small, large = (Path(name).read_bytes() for name in sys.argv[1:])
decode(small, len(small) << 20)
before = most()
decode(large, 1 << 30)
print(most() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux tells it")
def test_a_large_picture_is_never_in_memory_in_colour(tmp_path):
    """Luma of 9 megapixels takes less than three bytes a pixel at its peak, of which it is one."""
    for name, side in (("small", 64), ("large", 3000)):
        (tmp_path / name).write_bytes(file(PICTURE.resize((side, side)), method=0))
    names = [tmp_path / name for name in ("small", "large")]
    ran = subprocess.run([sys.executable, "-c", _PEAK, *names], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 3 * 3000 * 3000
