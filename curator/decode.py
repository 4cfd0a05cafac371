"""The one door that opens an image: bytes of any kind in, a luma picture and what its header says out.

What a hostile file can cost is decided before its pixels are:
- the first bytes name the format, and only decoders on the allow-list are ever tried;
- the header's size is held against `max_pixels`. Pillow makes that check itself at every place where
  a file can name another size (a GIF's frame, a WebP's canvas, a TIFF's tile), so its own limit is set
  to ours while one image is open and put back after: it is a global, and other users of Pillow in the
  process keep theirs. Its warning below that limit, and those about odd metadata, are silenced;
- frames after the first are never looked for, and an AVIF gets one thread: processes share the cores.

A JPEG is decoded straight to luma at 1/2, 1/4 or 1/8 of its size when a `draft` side is given, which is
most of the speed of a crawl. The sizes reported are those before that.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import (  # importing a plugin registers it; otherwise the first odd file imports all of them
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from curator.exif import SWAPS_SIDES, read_exif
from curator.formats import ALLOWED, HEAD_BYTES, printable, refuse
from curator.reasons import Reason

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


def decode(body: bytes | memoryview, max_pixels: int, draft: int | None = None) -> Picture:
    """Open and load one image; raise Refused with the Reason it cannot be.

    `draft` lets a JPEG be decoded reduced as long as both sides stay at or above it.
    """
    refusal = refuse(bytes(body[:HEAD_BYTES]))
    if refusal:
        raise Refused(*refusal)
    try:
        with _limits(max_pixels):
            return _decode(body, max_pixels, draft)
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


def _decode(body: bytes | memoryview, max_pixels: int, draft: int | None) -> Picture:
    # BytesIO copies a memoryview, a few microseconds per 100 KB, and is a reader in C for it.
    with Image.open(io.BytesIO(body), formats=ALLOWED) as image:
        width, height, mode = image.width, image.height, image.mode
        if width * height > max_pixels:
            raise Refused(Reason.TOO_MANY_PIXELS, f"{width}x{height}")
        if draft:
            image.draft("L", (draft, draft))
        image.load()
        upright, exif = read_exif(image)  # after load(): a PNG may keep its EXIF behind the pixels
        if upright in SWAPS_SIDES:
            width, height = height, width
        name = image.format or ""
        header = Header(_NAMES.get(name, name.lower()), mode, width, height, exif)
        return Picture(header, _luma(image), upright)


def _luma(image: Image.Image) -> Image.Image:
    """The picture in mode L: as `convert("L")` gives it, but deep pixels scaled and alpha over white."""
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image), 257)
    if image.mode == "I":
        return _scaled(np.asarray(image).clip(0, 65535), 257)
    if image.mode == "F":
        return _stretched(np.asarray(image))
    if image.mode == "LAB":
        return image.getchannel("L")
    if image.has_transparency_data:
        return _over_white(image.convert("RGBA"))
    return image if image.mode == "L" else image.convert("L")


def _scaled(pixels: np.ndarray[tuple[int, ...], np.dtype[np.generic]], step: int) -> Image.Image:
    return Image.fromarray((pixels // step).astype(np.uint8))


def _stretched(pixels: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> Image.Image:
    """Float pixels have no agreed white: their own range becomes 0 to 255, what is not finite black."""
    finite = np.nan_to_num(pixels.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = finite.min(), finite.max()
    return Image.fromarray(((finite - low) * (255 / (high - low or 1.0))).astype(np.uint8))


def _over_white(rgba: Image.Image) -> Image.Image:
    alpha = rgba.getchannel("A")
    luma = rgba.convert("L")
    if alpha.getextrema() == (255, 255):
        return luma
    white = Image.new("L", rgba.size, 255)
    white.paste(luma, mask=alpha)
    return white
