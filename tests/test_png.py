"""PNGs through zlib-ng: what Pillow alone makes of them, pixels and refusals."""

import gc
import random
import struct
import weakref
import zlib
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngImageFile
from zlib_ng import zlib_ng

from curator import png
from curator.decode import Refused, colour, decode
from tests.hostile import PNG, chunk, zeros
from tests.pictures import encoded, photo

CAP = 1_000_000
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
KINDS = [
    *((0, depth) for depth in (1, 2, 4, 8, 16)),
    *((3, depth) for depth in (1, 2, 4, 8)),
    *((colour, depth) for colour in (2, 4, 6) for depth in (8, 16)),
]
PASSES = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
CHECKSUM = 4  # bytes at the end of a stream


@pytest.fixture(autouse=True)
def _slow_zlib(monkeypatch):
    monkeypatch.setattr(png, "_SLOW", True)  # also where Pillow found another one


def seen(body):
    """What decoding gives, in grey and in colour: header and pixels, or the Reason and its detail."""
    try:
        picture, coloured = decode(body, CAP), colour(body, CAP)
    except Refused as refused:
        return refused.reason, refused.detail
    return picture.header, picture.luma.size, picture.luma.tobytes(), coloured.mode, coloured.tobytes()


def by_pillow(body):
    """The same without zlib-ng."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "_SLOW", False)
        return seen(body)


def loaded(body):
    """Whether a file's picture was loaded cleanly, without Pillow's help."""
    with Image.open(BytesIO(body)) as image:
        assert isinstance(image, PngImageFile)
        return png.load(image)


def rows(rng, kind, size, interlaced):
    """Filtered rows of any pixels, some of them repetitive."""
    bits = CHANNELS[kind[0]] * kind[1]
    made = bytearray()
    for left, top, across, down in PASSES if interlaced else [(0, 0, 1, 1)]:
        width, height = -(-(size[0] - left) // across), -(-(size[1] - top) // down)
        row = rng.randbytes(-(-max(width, 0) * bits // 8))
        for _ in range(height if row else 0):
            if rng.random() < 0.7:
                row = rng.randbytes(len(row))
            made += bytes([rng.randrange(5)]) + row
    return bytes(made)


def packed(rng, data):
    """A zlib stream of any level, strategy and window: two halves, each with some of the data."""
    packer = zlib.compressobj(
        rng.randrange(10),
        wbits=rng.randrange(9, 16),
        memLevel=rng.randrange(1, 10),
        strategy=rng.randrange(5),
    )
    first = packer.compress(data[: len(data) // 2]) + packer.flush(zlib.Z_FULL_FLUSH)
    return first, packer.compress(data[len(data) // 2 :]) + packer.flush()


def in_chunks(rng, first, second):
    """A stream in chunks of any length; the last has the end of the stream and data before it."""
    cuts = sorted(rng.choices(range(len(first)), k=rng.randrange(6)))
    stream = first + second
    return idat(*(stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)))


def idat(*streams):
    return b"".join(chunk(b"IDAT", one) for one in streams)


def file_of(kind, size, interlaced, *chunks):
    header = struct.pack(">IIBBBBB", *size, kind[1], kind[0], 0, 0, interlaced)
    return PNG + chunk(b"IHDR", header) + b"".join(chunks) + chunk(b"IEND", b"")


def made(seed):
    """Any sound PNG."""
    rng = random.Random(seed)
    kind, size, interlaced = (
        rng.choice(KINDS),
        (rng.randrange(1, 90), rng.randrange(1, 70)),
        rng.random() < 0.4,
    )
    before, after = [], []
    if kind[0] == 3 or (kind[0] == 2 and rng.random() < 0.2):
        before.append(chunk(b"PLTE", rng.randbytes(3 * 2 ** min(kind[1], 8))))
    if kind[0] in (0, 2, 3) and rng.random() < 0.4:
        before.append(
            chunk(b"tRNS", rng.randbytes({0: 2, 2: 6, 3: rng.randrange(1, 2 ** kind[1] + 1)}[kind[0]]))
        )
    exif = Image.Exif()
    exif[0x0112] = rng.randrange(1, 9)
    rng.choice((before, after)).append(chunk(b"eXIf", exif.tobytes()[6:]))
    rng.choice((before, after)).append(chunk(b"tEXt", b"Comment\0any"))
    picture = in_chunks(rng, *packed(rng, rows(rng, kind, size, interlaced)))
    return file_of(kind, size, interlaced, *before, picture, *after)


SEEDS = st.integers(0, 2**32)


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_sound_files(seed):
    """Of any colours, depth, interlacing, filters, compression, chunks: zlib-ng does, picture and EXIF are Pillow's."""
    body = made(seed)
    assert loaded(body)
    assert seen(body) == by_pillow(body)


@settings(max_examples=300, deadline=None)
@given(SEEDS, SEEDS)
def test_damaged_files(seed, damage):
    """A file with bytes others, gone or more is what Pillow makes of it: a picture, or a refusal and its detail."""
    body = damaged(made(seed), damage)
    assert seen(body) == by_pillow(body)


def damaged(body, seed):
    rng, damaged = random.Random(seed), bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 6))):
        at = rng.randrange(8, len(damaged)) if len(damaged) > 8 else 0
        match rng.randrange(6):
            case 0:
                del damaged[at:]
            case 1:
                del damaged[at : at + rng.randrange(1, 40)]
            case 2:
                damaged[at:at] = rng.randbytes(rng.randrange(1, 20))
            case _:
                damaged[at : at + 1] = rng.randbytes(1)
    return bytes(damaged)


SIZE, KIND = (40, 30), (2, 8)
SOUND = rows(random.Random(1), KIND, SIZE, interlaced=False)
ROW = len(SOUND) // SIZE[1]
STREAM = zlib.compress(SOUND)


def of_dictionary():
    packer = zlib.compressobj(zdict=SOUND[:100])
    return packer.compress(SOUND) + packer.flush()


SPLIT = len(STREAM) - 2
NARROW = zlib.compress(bytes(2 * 300))  # one code for many rows
ODD = {
    "checksum wrong": idat(STREAM[:-1] + b"?"),
    "checksum missing": idat(STREAM[:-CHECKSUM]),
    "checksum wrong, in a chunk of its own": idat(STREAM[:-CHECKSUM], b"abcd"),
    "checksum in two chunks": idat(STREAM[:SPLIT], STREAM[SPLIT:]),
    "a row too many": idat(zlib.compress(SOUND + bytes(ROW))),
    "half of the rows": idat(zlib.compress(SOUND[: ROW * 15])),
    "half of a row": idat(zlib.compress(SOUND[: ROW * 15 + 10])),
    "no rows": idat(zlib.compress(b"")),
    "more behind the stream": idat(STREAM + b"more", b"still more"),
    "cut short": idat(STREAM[:-50]),
    "nonsense behind the rows": idat(zlib.compress(SOUND, wbits=-15)[:-1].join((b"\x78\x01", b"\xff" * 20))),
    "no zlib header": idat(zlib.compress(SOUND, wbits=-15)),
    "gzip": idat(zlib.compress(SOUND, wbits=31)),
    "a dictionary": idat(of_dictionary()),
    "a window too small": idat(b"\x08\x1d" + STREAM[2:]),
    "a window too large": idat(b"\x88\x1c" + STREAM[2:]),
    "filter unknown": idat(zlib.compress(b"\5" + SOUND[1:])),
    "nothing": idat(b""),
    "empty chunks": idat(b"", STREAM[:50], b"", b"", STREAM[50:], b""),
    "another chunk amidst": idat(STREAM[:50]) + chunk(b"tEXt", b"a\0b") + idat(STREAM[50:]),
    "another chunk of no name": idat(STREAM[:50]) + chunk(b"\xff\xff\xff\xff", b"") + idat(STREAM[50:]),
    "wrong CRC": idat(STREAM)[:-1] + b"?",
    "text that is no text behind": idat(STREAM) + chunk(b"zTXt", b"a\0\1b"),
}


@pytest.mark.parametrize("picture", [pytest.param(picture, id=name) for name, picture in ODD.items()])
def test_odd_files(picture):
    """Whatever is wrong with a picture's stream or its chunks, the outcome is Pillow's."""
    for body in (file_of(KIND, SIZE, 0, picture), file_of(KIND, SIZE, 0, picture)[: -12 - 7]):
        assert seen(body) == by_pillow(body)


def test_odd_files_are_not_all_refused():
    """What Pillow takes though something is wrong with it is opened anew, and taken."""
    for name in ("checksum missing", "checksum wrong, in a chunk of its own", "checksum in two chunks"):
        body = file_of(KIND, SIZE, 0, ODD[name])
        assert not loaded(body)
        assert decode(body, CAP).header.width == SIZE[0]


@pytest.mark.parametrize("length", range(len(NARROW)))
def test_rows_that_zlib_holds_back(length):
    """A stream cut off behind the code for its last rows, which zlib is not asked for any more: still refused."""
    body = file_of((0, 8), (1, 300), 0, idat(NARROW[:length]))
    assert seen(body) == by_pillow(body)


@pytest.mark.parametrize("default_image", [False, True])
@pytest.mark.parametrize("cut", [0, 300, 3000])
def test_animations(default_image, cut):
    """The first picture of an animated PNG is Pillow's, whole or with the end of the file missing."""
    frames = [photo(seed, 60, 40) for seed in range(3)]
    body = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=default_image)
    assert loaded(body)
    assert seen(body[: len(body) - cut]) == by_pillow(body[: len(body) - cut])


def test_blocks_are_bounded():
    """What a file inflates to is never in memory as a whole: blocks are as long as deflate allows them."""
    file = BytesIO(zeros(16))
    lengths = [len(block) for block in png._stored(file.read, zlib_ng.decompressobj())]
    assert sum(lengths) > 16 << 20
    assert max(lengths) == 65_535


def test_a_fast_zlib_is_left_alone(monkeypatch):
    """Where Pillow's zlib is zlib-ng itself, nothing is inflated here."""
    monkeypatch.setattr(png, "_SLOW", False)
    monkeypatch.delattr(png.zlib_ng, "decompressobj")
    with Image.open(BytesIO(encoded(photo(1, 60, 40), "PNG"))) as image:
        assert png.load(image)
        assert image.tile


@pytest.mark.parametrize("body", [file_of(KIND, SIZE, 0, idat(STREAM)), file_of(KIND, SIZE, 0, idat(b"no"))])
def test_pictures_are_freed(body):
    """A picture that was loaded, or could not be, is freed with its last name: no cycle keeps its pixels."""
    gc.disable()
    try:
        with Image.open(BytesIO(body)) as image:
            png.load(image)
        alive = weakref.ref(image)
        del image
        assert alive() is None
    finally:
        gc.enable()
