"""The kernel that makes small pictures, anew from pixels: no byte of a file is passed on. Light, for workers."""

import io
from collections.abc import Callable, Sequence

from PIL import Image

from curator.decode import Refused, colour
from curator.progressive import means
from curator.records import Unmeasured

SIDE = 200  # pixels of the longer side
_LEAST = 1, SIDE  # pixels of the shorter and the longer side of what it is made from
_QUALITY = 80


def thumbnails(
    bodies: Sequence[memoryview], begin: Callable[[int], None], max_pixels: int
) -> list[bytes | Unmeasured]:
    """A small JPEG of each image, in order, or why there is none: the kernel of a WorkerPool."""
    made: list[bytes | Unmeasured] = []
    for index, body in enumerate(bodies):
        begin(index)
        try:
            made.append(_small(colour(means(body, _LEAST), max_pixels, draft=_LEAST)))
        except Refused as refused:
            made.append(Unmeasured(refused.reason, refused.detail))
    return made


def _small(picture: Image.Image) -> bytes:
    picture.thumbnail((SIDE, SIDE), reducing_gap=2.0)
    picture.info = {}  # the file's words about itself stay behind
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
