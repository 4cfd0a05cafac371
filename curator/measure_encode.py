"""Measuring images and making the files that are stored in their place, in one go.

- Each image is finished before the next is begun, so that the time one may take covers both.
- It is decoded once. A JPEG is reduced no further than its new size and its hash both allow, so it is hashed from a
  larger picture than where it is only measured: closer to imagehash, and another kind of hash (`hash_kind`).
- What the rules refuse is measured, and nothing is made of it: whoever asked judges it again.
"""

import hashlib
from collections.abc import Callable, Sequence

from curator.decode import Draft, Refused, decode_both
from curator.encode import Encoded, draft, encode_picture
from curator.encoding import Encoding
from curator.measure import FULL, Looked, MeasureSettings, finished, look
from curator.records import Measured, Measures, Remade, Stored, Unmeasured
from curator.rules import Rules, judge

_FORMATS = {"jpg": "jpeg"}  # Pillow's names for extensions that are not the same


def measure_encode_batch(
    bodies: Sequence[bytes | memoryview],
    begin: Callable[[int], None],
    settings: MeasureSettings,
    rules: Rules,
    encoding: Encoding,
) -> list[Measured]:
    """Measure and encode images in order, calling `begin(i)` before image i is touched.

    Gives Remade for an image that the rules keep, Measures for one they do not, and Unmeasured for one that
    cannot be decoded or encoded.
    """
    looked: list[Looked | Unmeasured] = []
    made: list[Encoded | None] = []
    least = None if settings.full_decode else draft(encoding)
    for index, body in enumerate(bodies):
        begin(index)
        seen, file = _look_and_encode(body, least, settings, rules, encoding)
        looked.append(seen)
        made.append(file)
    measured = finished(looked, FULL if settings.full_decode else hash_kind(least))
    return [_result(*one) for one in zip(measured, made, strict=True)]


def hash_kind(least: Draft | None) -> str:
    """The name of hashes of pictures that were decoded in colour, JPEGs reduced as far as `least` allows."""
    return f"rgb{least[0]}x{least[1]}-gap2" if least else "rgb-gap2"


def _look_and_encode(
    body: bytes | memoryview, least: Draft | None, settings: MeasureSettings, rules: Rules, encoding: Encoding
) -> tuple[Looked | Unmeasured, Encoded | None]:
    try:
        picture, coloured = decode_both(body, settings.max_pixels, least)
        looked = look(picture, body, settings)
        if judge(picture.header, rules) is not None:
            return looked, None
        return looked, encode_picture(coloured, encoding, settings.max_pixels)
    except Refused as refused:
        return Unmeasured(refused.reason, refused.detail), None


def _result(measured: Measures | Unmeasured, made: Encoded | None) -> Measured:
    if made is None or isinstance(measured, Unmeasured):
        return measured
    stored = Stored(
        format=_FORMATS.get(made.extension, made.extension),
        mode="RGB",  # all that is made is
        width=made.width,
        height=made.height,
        bytes=len(made.body),
        sha256=hashlib.sha256(made.body).hexdigest(),
    )
    return Remade(measured, stored, made.body)
