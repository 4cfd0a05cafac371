"""The one door that opens an image: bytes of any kind in, a luma or colour picture and what its header says out.

What a hostile file can cost is decided before its pixels are:
- the first bytes name the format, and only decoders on the allow-list are ever tried;
- the header's size is held against `max_pixels`. Pillow makes that check itself at every place where
  a file can name another size (a GIF's frame, a WebP's canvas, a TIFF's tile), so its own limit is set
  to ours while one image is open and put back after: it is a global, and other users of Pillow in the
  process keep theirs. Its warning below that limit, and those about odd metadata, are silenced;
- a WebP still is decoded by libwebp itself, under the same limit, where it has nothing odd: a third of Pillow's memory;
- frames after the first are never looked for, and an AVIF gets one thread: processes share the cores.

A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when a `draft` is given, and to luma alone where nobody wants its
colours, without reading what of them stands apart: most of the speed of a crawl. The sizes reported are those before.
A PNG is inflated by a faster zlib than Pillow's own (`curator/png.py`).
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from PIL import (  # importing a plugin registers it; otherwise the first odd file imports all of them
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from curator import png
from curator.exif import SWAPS_SIDES, read_exif
from curator.formats import ALLOWED, HEAD_BYTES, printable, refuse
from curator.pixels import in_colour, luma
from curator.progressive import luma_only
from curator.reasons import Reason
from curator.webp import still

PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

_NAMES = {"MPO": "jpeg", "DIB": "bmp"}

Draft = tuple[
    int, int
]  # pixels that the shorter and the longer side of a JPEG keep at least when it is reduced


class Refused(Exception):
    """The image is not decoded: one Reason, and what the decoder said about it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        """Keep the Reason, and the detail as one printable line."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = printable(detail)


@dataclass(frozen=True, slots=True)
class Header:
    """What the file says of its picture: small, kept after the pixels are gone."""

    format: str
    mode: str  # Pillow's, of the stored picture
    width: int  # upright, in full
    height: int
    exif: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded image. `luma` is as stored and perhaps reduced; `upright` turns it as it is meant."""

    header: Header
    luma: Image.Image
    upright: Image.Transpose | None


class Coloured(NamedTuple):
    """A picture in colour: mode RGB, or L where it is grey; upright and perhaps reduced."""

    image: Image.Image
    width: int  # upright, in full
    height: int


def decode(body: bytes | memoryview, max_pixels: int, draft: Draft | None = None) -> Picture:
    """Open and load one image; raise Refused with the Reason it cannot be.

    `draft` lets a JPEG be decoded reduced as far as that allows.
    """
    with _refusing(body, max_pixels), _loaded(body, max_pixels, "L", draft) as (image, width, height, mode):
        return _picture(image, width, height, mode)


def decode_both(
    body: bytes | memoryview, max_pixels: int, draft: Draft | None = None
) -> tuple[Picture, Coloured]:
    """As `decode`, and from the same pixels the picture as `coloured` gives it."""
    with _refusing(body, max_pixels), _loaded(body, max_pixels, None, draft) as (image, width, height, mode):
        picture = _picture(image, width, height, mode)
        header = picture.header
        return picture, Coloured(_in_colour(image, picture.upright), header.width, header.height)


def colour(body: bytes | memoryview, max_pixels: int, draft: Draft | None = None) -> Image.Image:
    """The picture in sRGB: mode RGB, or L where it is grey; upright, alpha over white, 16 bits scaled to 8.

    `draft` lets a JPEG be decoded reduced as far as that allows. Raises Refused with the Reason it cannot be
    decoded.
    """
    return coloured(body, max_pixels, draft).image


def coloured(body: bytes | memoryview, max_pixels: int, draft: Draft | None = None) -> Coloured:
    """As `colour`, with the size that the picture has in full."""
    with _refusing(body, max_pixels), _loaded(body, max_pixels, None, draft) as (image, width, height, _):
        upright, _exif = read_exif(image)
        picture = _in_colour(image, upright)
        return Coloured(picture, *((height, width) if upright in SWAPS_SIDES else (width, height)))


def _picture(image: Image.Image, width: int, height: int, mode: str) -> Picture:
    upright, exif = read_exif(image)  # after load(): a PNG may keep its EXIF behind the pixels
    if upright in SWAPS_SIDES:
        width, height = height, width
    name = image.format or ""
    header = Header(_NAMES.get(name, name.lower()), mode, width, height, exif)
    return Picture(header, luma(image), upright)


def _in_colour(image: Image.Image, upright: Image.Transpose | None) -> Image.Image:
    picture = in_colour(image)
    return picture if upright is None else picture.transpose(upright)


@contextmanager
def _refusing(body: bytes | memoryview, max_pixels: int) -> Iterator[None]:
    """Raise Refused for whatever goes wrong with the decoding inside."""
    refusal = refuse(bytes(body[:HEAD_BYTES]))
    if refusal:
        raise Refused(*refusal)
    try:
        with _limits(max_pixels):
            yield
    except Refused:
        raise
    except Image.DecompressionBombError as error:
        raise Refused(Reason.TOO_MANY_PIXELS, str(error)) from error
    except MemoryError as error:
        raise Refused(Reason.DECODER_CRASH, "out of memory") from error
    except UnidentifiedImageError as error:  # its own text names an address in memory
        raise Refused(Reason.UNDECODABLE, "no decoder accepts it") from error
    except Exception as error:  # hostile bytes make decoders raise anything: any is the file's fault
        raise Refused(Reason.UNDECODABLE, f"{type(error).__name__}: {error}") from error


@contextmanager
def _limits(max_pixels: int) -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS
    Image.MAX_IMAGE_PIXELS = (max_pixels + 1) // 2  # Pillow raises above twice this
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        Image.MAX_IMAGE_PIXELS, AvifImagePlugin.DEFAULT_MAX_THREADS = before


@contextmanager
def _loaded(
    body: bytes | memoryview, max_pixels: int, mode: str | None, draft: Draft | None
) -> Iterator[tuple[Image.Image, int, int, str]]:
    """The loaded picture, perhaps drafted to `mode`; the width, height and mode that are stored."""
    if (webp := still(body, max_pixels, mode or "RGB")) is not None:
        yield webp, *webp.size, "RGB"
        return
    if draft and mode == "L":
        body = luma_only(body, draft)
    with ExitStack() as stack:
        image = stack.enter_context(_opened(body))
        width, height, stored = image.width, image.height, image.mode
        if width * height > max_pixels:
            raise Refused(Reason.TOO_MANY_PIXELS, f"{width}x{height}")
        if draft:
            image.draft(mode, draft if width <= height else draft[::-1])
        if isinstance(image, PngImagePlugin.PngImageFile) and not png.load(image):
            image = stack.enter_context(_opened(body))
        image.load()
        yield image, width, height, stored


def _opened(body: bytes | memoryview) -> ImageFile.ImageFile:
    # BytesIO copies a memoryview, a few microseconds per 100 KB, and is a reader in C for it.
    return Image.open(io.BytesIO(body), formats=ALLOWED)
