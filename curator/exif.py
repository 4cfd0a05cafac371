"""EXIF as a small JSON object, whatever the bytes say: absent rather than wrong, bounded, always valid."""

import json
import math
from collections.abc import Iterator
from typing import Any

from PIL import ExifTags, Image

from curator.formats import printable

# A JPEG segment ends at 64 KiB. Other containers allow more, and a directory whose every entry names
# the whole block would be copied thousands of times over.
_MAX_BLOCK = 1 << 16
_MAX_JSON = 16 << 10
_MAX_TEXT = 512
_MAX_VALUES = 16

_SOURCES = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_FOLDERS = {ExifTags.IFD.Exif: ExifTags.TAGS, ExifTags.IFD.GPSInfo: ExifTags.GPSTAGS}
_POINTERS = frozenset((*_FOLDERS, ExifTags.IFD.Interop, ExifTags.IFD.MakerNote))

_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SWAPS_SIDES = frozenset(_TRANSPOSE[orientation] for orientation in (5, 6, 7, 8))


def read_exif(image: Image.Image) -> tuple[Image.Transpose | None, str]:
    """How to turn an image upright, and its tags as JSON: (None, "{}") when it has no EXIF worth the name.

    Binary values are left out, text is cut; of more tags than 16 KiB hold, the first are kept.
    """
    try:
        exif = _find(image)
        if exif is None:
            return None, "{}"
        return _TRANSPOSE.get(exif.get(ExifTags.Base.Orientation, 1)), _as_json(_tags(exif))
    except Exception:  # noqa: BLE001 - a parser of hostile bytes raises anything; the picture is still good
        return None, "{}"


def _find(image: Image.Image) -> Image.Exif | None:
    has_tags = image.format == "TIFF"  # a TIFF's own directory is its EXIF
    for source in _SOURCES:
        block = image.info.get(source)
        if block and len(block) > _MAX_BLOCK:
            del image.info[source]  # so that getexif() does not parse it
        has_tags = has_tags or source in image.info
    return image.getexif() if has_tags else None


def _tags(exif: Image.Exif) -> Iterator[tuple[str, Any]]:
    for tag, value in exif.items():
        if tag not in _POINTERS:
            yield ExifTags.TAGS.get(tag, f"0x{tag:04x}"), value
    for folder, names in _FOLDERS.items():
        for tag, value in exif.get_ifd(folder).items():
            if tag not in _POINTERS:
                yield names.get(tag, f"0x{tag:04x}"), value


def _as_json(tags: Iterator[tuple[str, Any]]) -> str:
    kept: dict[str, str | int | float] = {}
    room = _MAX_JSON - len("{}")
    for name, value in tags:
        plain = _plain(value)
        if plain is None or name in kept:
            continue
        room -= len(json.dumps({name: plain}))  # the braces pay for the separator
        if room < 0:
            break
        kept[name] = plain
    return json.dumps(kept)


def _plain(value: Any) -> str | int | float | None:
    """A number or a line of text; None for what is neither (binary, long arrays, NaN)."""
    if isinstance(value, str):
        return printable(value.split("\0")[0], _MAX_TEXT)
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return printable(text, _MAX_TEXT) if len(text) <= _MAX_TEXT and text.isascii() and text else None
    if isinstance(value, tuple):
        if len(value) > _MAX_VALUES:
            return None
        parts = [_plain(part) for part in value]
        return None if None in parts else " ".join(str(part) for part in parts)
    number = value if isinstance(value, int) else float(value)  # rationals divide here, by 0 to NaN
    return number if math.isfinite(number) and abs(number) < 2**63 else None
