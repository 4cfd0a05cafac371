"""What lies beside an image and tells about it: `STEM.json` its fields, `STEM.txt` or `STEM.caption` its caption.

Both in folders and in tars, as img2dataset and the common folders of captioned images have it. A sidecar that
cannot be used costs the image nothing: it is counted among what was passed over.
"""

import base64
import json
import os
import stat
from collections.abc import Collection, Mapping
from typing import Any

from curator.sources.names import Tally

FIELDS = ".json"
CAPTIONS = (".txt", ".caption")
KINDS = (FIELDS, *CAPTIONS)
MOST_BYTES = 1 << 20  # larger ones hold a copy of the image or masks of it, nothing to select by

NO_OBJECT = "JSON files that hold no object"

_STRICT = json.JSONEncoder(
    ensure_ascii=False,
    separators=(",", ":"),
    allow_nan=False,
    default=lambda value: base64.b64encode(value).decode("ascii"),
)


def read_beside(stem: str, kinds: Collection[str]) -> dict[str, bytes]:
    """The sidecars of an image file, by their extension: those of `kinds` that are there and not too long.

    `stem` is the path of the file without its extension.
    """
    found = {kind: _read_small(stem + kind) for kind in kinds}
    return {kind: body for kind, body in found.items() if body is not None}


def data_of(sidecars: Mapping[str, bytes], tally: Tally) -> str | None:
    """What the sidecars of one image say, as a JSON object; None where they say nothing."""
    fields: dict[str, Any] = {}
    if FIELDS in sidecars:
        try:
            fields = _object(sidecars[FIELDS])
        except (ValueError, RecursionError):
            tally.add(NO_OBJECT)
    for kind in CAPTIONS:
        caption = sidecars.get(kind, b"").decode("utf-8-sig", "replace").strip()
        if caption:  # an empty file says no more than none
            fields["caption"] = caption
            break
    return as_json(fields) if fields else None


def as_json(fields: Mapping[str, Any]) -> str:
    """A JSON object that every reader takes: numbers that are none are null, bytes are base64, all of it UTF-8."""
    try:
        text = _STRICT.encode(fields)
    except ValueError:
        loose = json.dumps(fields, default=_STRICT.default)
        text = _STRICT.encode(json.loads(loose, parse_constant=_null))
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _object(body: bytes) -> dict[str, Any]:
    found = json.loads(body, parse_constant=_null)
    if not isinstance(found, dict):
        raise ValueError(f"a {type(found).__name__}")
    return found


def _null(constant: str) -> None:
    """NaN and the infinities are no JSON."""


def _read_small(path: str) -> bytes | None:
    """A small plain file; None where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a named pipe would wait for a writer
    except OSError:
        return None
    with os.fdopen(fd, "rb", buffering=0) as file:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
            return None
        try:
            return file.read(MOST_BYTES)
        except OSError:
            return None
