"""A sample's row: what the sidecar JSON, the Parquet beside the shard and `Dataset` say of it.

`width`, `height`, `format`, `mode`, `bytes` and `stored_sha256` are those of the file in the shard;
`original_width`, `original_height`, `sha256`, `exif`, the hashes and the other measures those of what the
server sent. Both are the same where nothing was encoded anew.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

import pyarrow as pa

from curator.dataset.records import Image

# What a reduced decode tells of a picture: in every table that has measures.
LOOKED_AT: tuple[tuple[str, pa.DataType], ...] = (
    ("phash", pa.string()),
    ("phash_mirror", pa.string()),
    ("hash_kind", pa.string()),
    ("low_information", pa.bool_()),
    ("sharpness", pa.float64()),
    ("brightness", pa.float64()),
    ("contrast", pa.float64()),
    ("entropy", pa.float64()),
)
# img2dataset's columns first, in its order; then ours.
SAMPLE_FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("url", pa.string()),
    ("key", pa.string()),
    ("status", pa.string()),
    ("error_message", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("original_width", pa.int32()),
    ("original_height", pa.int32()),
    ("exif", pa.string()),
    ("sha256", pa.string()),
    ("uid", pa.string()),
    ("format", pa.string()),
    ("mode", pa.string()),
    ("bytes", pa.int64()),
    ("stored_sha256", pa.string()),
    ("tar_offset", pa.int64()),  # bytes in the shard before the image's own
    *LOOKED_AT,
    ("final_url", pa.string()),
    ("http_status", pa.int32()),
    ("content_type", pa.string()),
    ("etag", pa.string()),
    ("last_modified", pa.string()),
    ("fetched_at", pa.timestamp("ms", tz="UTC")),
    ("attempts", pa.int32()),
    ("list_row", pa.int64()),
    ("captions", pa.list_(pa.string())),
)

_JSON = json.JSONEncoder(separators=(",", ":"))
_STRICT = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_PATTERNS = 256  # of nulls in a row: those of one dataset are few, unless its own columns have many


def _number(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(f"JSON has no {value}")
    return repr(value)


# How `_STRICT` writes values of these types. Most rows are of nothing else.
_WRITTEN: dict[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: repr,
    float: _number,
    bool: {False: "false", True: "true"}.__getitem__,
    list: lambda value: _STRICT.encode(value) if value else "[]",
}


@dataclass(frozen=True)
class Columns:
    """The input columns a dataset carries (caption first where there is one), fixed when it is made."""

    schema: pa.Schema

    @property
    def has_caption(self) -> bool:
        """Whether samples have a caption."""
        return "caption" in self.schema.names

    @cached_property
    def samples(self) -> pa.Schema:
        """The one Arrow schema of every `images/*.parquet` of the dataset."""
        carried = [field for field in self.schema if field.name != "caption"]
        caption = [field for field in self.schema if field.name == "caption"]
        return pa.schema([*carried, *caption, *(pa.field(name, kind) for name, kind in SAMPLE_FIELDS)])

    @cached_property
    def templates(self) -> Callable[[tuple[str, ...]], tuple[str, str]]:
        """From the columns that are null in a row: the texts of row and sidecar, with `%s` for all other values."""
        return lru_cache(_PATTERNS)(self._templates)

    def _templates(self, nulls: tuple[str, ...]) -> tuple[str, str]:
        names = self.samples.names
        keys = [_STRICT.encode(name).replace("%", "%%") for name in names]
        empty = [_STRICT.encode(self.empty[name]) if name in nulls else "%s" for name in names]
        null = ["null" if name in nulls else "%s" for name in names]
        kept, beside = (",".join(map("%s:%s".__mod__, zip(keys, one, strict=True))) for one in (null, empty))
        return f"{{{kept}}}", f"{{{beside}}}"

    @cached_property
    def empty(self) -> dict[str, str | int | float | bool | list[object]]:
        """What stands for null in a sidecar, by column."""
        return {field.name: _empty(field.type) for field in self.samples}


@dataclass(frozen=True, slots=True)
class Listed:
    """What the list said of a link."""

    url: str
    row: int
    data: str | None  # JSON array of the carried columns
    captions: Sequence[str] = ()  # every caption known for it, its own first


def sample_row(
    key: str, uid: bytes, attempts: int, listed: Listed, image: Image, columns: Columns, offset: int
) -> dict[str, Any]:
    """The row of one saved sample, JSON-able, in the order of the schema. `offset`: where its image begins."""
    measures = image.measures
    stored = image.stored or measures
    carried = dict(
        zip(columns.schema.names, json.loads(listed.data), strict=True)
        if listed.data is not None
        else ((name, None) for name in columns.schema.names)
    )
    caption = {"caption": carried.pop("caption")} if "caption" in carried else {}
    moment = datetime.fromtimestamp(image.fetched_at, UTC)
    return {
        **carried,
        **caption,
        "url": listed.url,
        "key": key,
        "status": "success",
        "error_message": "",
        "width": stored.width,
        "height": stored.height,
        "original_width": measures.width,
        "original_height": measures.height,
        "exif": measures.exif,
        "sha256": measures.sha256,
        "uid": uid.hex(),
        "format": stored.format,
        "mode": stored.mode,
        "bytes": stored.bytes,
        "stored_sha256": stored.sha256,
        "tar_offset": offset,
        "phash": measures.phash,
        "phash_mirror": measures.phash_mirror,
        "hash_kind": measures.hash_kind,
        "low_information": measures.low_information,
        "sharpness": measures.sharpness,
        "brightness": measures.brightness,
        "contrast": measures.contrast,
        "entropy": measures.entropy,
        "final_url": image.final_url,
        "http_status": image.http_status,
        "content_type": image.content_type,
        "etag": image.etag,
        "last_modified": image.last_modified,
        "fetched_at": moment.isoformat(timespec="milliseconds"),
        "attempts": attempts,
        "list_row": listed.row,
        "captions": list(listed.captions),
    }


def texts(row: dict[str, Any], columns: Columns) -> tuple[str, bytes]:
    """The row as the ledger keeps it, null and NaN included, and its sidecar. Values are written once for both."""
    nulls = tuple([name for name, value in row.items() if value is None])
    told = [value for value in row.values() if value is not None] if nulls else row.values()
    try:
        values = tuple([_WRITTEN.get(type(value), _STRICT.encode)(value) for value in told])
    except ValueError:  # JSON has no NaN
        return _JSON.encode(row), sidecar(row, columns)
    kept, beside = columns.templates(nulls)
    text = kept % values
    return text, (beside % values if nulls else text).encode()


def sidecar(row: dict[str, Any], columns: Columns) -> bytes:
    """The sample's JSON member. It never holds null: readers infer types from the first samples they see."""
    if None in row.values():
        row = {name: columns.empty[name] if value is None else value for name, value in row.items()}
    try:
        return _STRICT.encode(row).encode()
    except ValueError:  # JSON has no NaN; the Parquet keeps it
        return _STRICT.encode(finite(row)).encode()


def finite(value: Any) -> Any:
    """The same with 0 for every float that JSON cannot say."""
    if isinstance(value, dict):
        return {name: finite(one) for name, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return value if not isinstance(value, float) or math.isfinite(value) else 0.0


def _empty(kind: pa.DataType) -> str | int | float | bool | list[object]:
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_floating(kind):
        return 0.0
    if pa.types.is_integer(kind):
        return 0
    return [] if pa.types.is_list(kind) or pa.types.is_large_list(kind) else ""
