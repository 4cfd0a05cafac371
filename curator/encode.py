"""New bytes for an image: resized as img2dataset resizes, upright, in sRGB, without EXIF.

What the modes make of a picture, as img2dataset 1.47 does with its defaults
- keep-ratio: the shorter side becomes `side`, the other follows; center-crop then cuts the middle square out.
- keep-ratio-largest: the longer side becomes `side`, the other follows; border then adds white around it,
  half on each side, the odd pixel right and below.
- What follows is rounded as Python rounds, half to even, and is at least 1. Small pictures are enlarged.
- Shrinking is Hamming here, of Pillow's filters the one nearest to the averaging over areas there, from 2.5 times
  the size on after halving it by averages; enlarging is Lanczos, over six pixels here and eight there.
  Pixels of photographs differ by 0.1 to 0.6 of 255 on average.

A JPEG is decoded reduced as long as it stays twice as large as what is made of it, and 256 pixels a side, which
saves most of the time and adds about 1 to that difference. All that is made is RGB, also of grey pictures, so that
a training batch has one shape. The same bytes in give the same bytes out, with the same version of Pillow.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image

from curator.decode import Coloured, Draft, Refused, coloured
from curator.encoding import Encoding
from curator.phash import LEAST
from curator.pixels import rgb
from curator.reasons import Reason
from curator.records import Unmeasured

_LARGEST_SIDE = {"jpg": 65_500, "webp": 16_383, "png": 1 << 31}
_PILLOW_NAMES = {"jpg": "JPEG", "webp": "WEBP", "png": "PNG"}
_REDUCED = 2  # times the size that is made
_HALVED = 2.5  # times the size that is made
_WHITE = (255, 255, 255)
_SHORTER = ("keep-ratio", "center-crop")  # whose `side` is that of the shorter side


@dataclass(frozen=True, slots=True)
class Encoded:
    """The new file of an image. Sizes in pixels."""

    body: bytes
    width: int
    height: int
    extension: str  # "jpg", "png" or "webp"


def encode(body: bytes | memoryview, encoding: Encoding, max_pixels: int) -> Encoded:
    """Resize and encode one image. Raises Refused with the Reason it cannot be.

    An image whose new size has more than `max_pixels`, or more than the format holds, is refused as well.
    """
    return encode_picture(coloured(body, max_pixels, draft(encoding)), encoding, max_pixels)


def draft(encoding: Encoding) -> Draft | None:
    """How far a JPEG may be reduced while it is decoded; None where it may not. It can be hashed, too."""
    if not encoding.side:
        return None
    large = max(LEAST, _REDUCED * encoding.side)
    return (large, large) if encoding.mode in _SHORTER else (LEAST, large)


def encode_picture(picture: Coloured, encoding: Encoding, max_pixels: int) -> Encoded:
    """As `encode`, of an image that is decoded already."""
    try:
        return _encode(picture, encoding, max_pixels)
    except MemoryError as error:
        raise Refused(Reason.DECODER_CRASH, "out of memory") from error


def _encode(picture: Coloured, encoding: Encoding, max_pixels: int) -> Encoded:
    image, width, height = picture
    size = resized(width, height, encoding)
    _check(_canvas(size, encoding), encoding.extension, max_pixels)
    if image.size != size:
        enlarging = size[0] > width or size[1] > height
        filtering = Image.Resampling.LANCZOS if enlarging else Image.Resampling.HAMMING
        image = image.resize(size, filtering, reducing_gap=_gap(image.width / size[0]))
    image = _framed(rgb(image), encoding)
    image.info = {}  # comments and profiles, which some formats would carry on
    return Encoded(_bytes(image, encoding), *image.size, encoding.extension)


def _gap(times: float) -> float:
    """What has Pillow halve a picture that is `times` as large as it is to be, and not reduce it further.

    It divides by the whole part of `times` / gap. Further would show: patterns of a few pixels blur.
    """
    return max(_HALVED / 2, times / _HALVED)


def encode_batch(
    bodies: Sequence[bytes | memoryview], begin: Callable[[int], None], encoding: Encoding, max_pixels: int
) -> list[Encoded | Unmeasured]:
    """Encode images in order, calling `begin(i)` before image i is touched."""
    made: list[Encoded | Unmeasured] = []
    for index, body in enumerate(bodies):
        begin(index)
        try:
            made.append(encode(body, encoding, max_pixels))
        except Refused as refused:
            made.append(Unmeasured(refused.reason, refused.detail))
    return made


def resized(width: int, height: int, encoding: Encoding) -> tuple[int, int]:
    """The size a picture is scaled to, before it gets a border or is cropped. Pixels in and out."""
    if not encoding.side:
        return width, height
    whole = min if encoding.mode in _SHORTER else max
    scale = encoding.side / whole(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _canvas(size: tuple[int, int], encoding: Encoding) -> tuple[int, int]:
    """The larger of the sizes a picture has on its way: what has to be held."""
    side = encoding.side if encoding.mode == "border" else 0
    return max(size[0], side), max(size[1], side)


def _check(size: tuple[int, int], extension: str, max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels or max(size) > _LARGEST_SIDE[extension]:
        raise Refused(Reason.TOO_MANY_PIXELS, f"{width}x{height} as {extension}")


def _framed(image: Image.Image, encoding: Encoding) -> Image.Image:
    """With a border or cropped, where that is asked for."""
    side = encoding.side
    if not side or encoding.mode not in ("border", "center-crop"):
        return image
    if encoding.mode == "center-crop":
        left, top = (image.width - side) // 2, (image.height - side) // 2
        return image.crop((left, top, left + side, top + side))
    square = Image.new("RGB", (side, side), _WHITE)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square


def _bytes(image: Image.Image, encoding: Encoding) -> bytes:
    file = io.BytesIO()
    options = {} if encoding.extension == "png" else {"quality": encoding.quality}
    try:
        image.save(file, _PILLOW_NAMES[encoding.extension], **options)
    except (OSError, ValueError) as error:  # libraries whose own memory does not suffice say it like this
        raise Refused(Reason.DECODER_CRASH, f"cannot be written as {encoding.extension}: {error}") from error
    return file.getvalue()
