"""What an export says of an image: the columns of its tables, the sidecar in a tar, the line in index.csv.

`width`, `height`, `format`, `mode`, `bytes` and `stored_sha256` are those of the file that is written;
`original_width`, `original_height`, `sha256`, the hashes and the other measures those of the image as it came.
"""

import base64
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from curator.dataset.columns import to_values
from curator.dataset.rows import LOOKED_AT, finite
from curator.decisions import own_columns
from curator.export.records import NewFile

FIELDS: tuple[tuple[str, pa.DataType], ...] = (
    ("uid", pa.string()),
    ("source", pa.string()),
    ("source_path", pa.string()),  # of the file below the source
    ("source_key", pa.string()),  # of the sample in that file, null where the file is the image
    ("url", pa.string()),
    ("caption", pa.string()),  # the first of the captions
    ("captions", pa.list_(pa.string())),
    ("width", pa.int32()),
    ("height", pa.int32()),
    ("original_width", pa.int32()),
    ("original_height", pa.int32()),
    ("format", pa.string()),
    ("mode", pa.string()),
    ("bytes", pa.int64()),
    ("sha256", pa.string()),
    ("stored_sha256", pa.string()),
    *LOOKED_AT,
    ("exif", pa.string()),
)
_MADE = {"caption", "original_width", "original_height", "stored_sha256"}  # of the rows that were decided on
_WHERE = {"source_path", "source_key"}  # likewise, but an earlier export's say something else
FILE_NAME = "file_name"  # the column by which `imagefolder` finds images
_FORMATS = {"jpg": "jpeg"}  # Pillow's names for extensions that are not the same


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of one export: `first` names the file, FIELDS follow, and then the inputs' own columns."""

    schema: pa.Schema
    decided: tuple[str, ...]  # the columns of decisions.parquet that they are made from
    own: Mapping[str, str]  # the inputs' own columns: what each is called here, and there
    captioned: bool

    @classmethod
    def of(cls, decisions: pa.Schema, first: pa.Field, *, captioned: bool) -> "Fields":
        """Those for a table of decisions."""
        ours = [first, *(pa.field(name, kind) for name, kind in FIELDS)]
        own = _own_names(own_columns(decisions), [field.name for field in ours], first.name == FILE_NAME)
        schema = pa.schema(
            [*ours, *(pa.field(name, decisions.field(there).type) for name, there in own.items())]
        )
        carried = [name for name, _ in FIELDS if name not in _MADE | _WHERE]
        return cls(schema, (*carried, "path", "key", *own.values()), own, captioned)

    def table(self, rows: pa.Table, first: pa.Array, files: Sequence[NewFile]) -> pa.Table:
        """The rows of images that are written: `rows` of decisions, what names each file, and the files."""
        columns = {name: rows[name] for name in self.decided}
        columns |= {name: rows[there] for name, there in self.own.items()} | self._made(rows, files)
        columns[self.schema.names[0]] = first
        return pa.table([columns[name] for name in self.schema.names], schema=self.schema)

    def _made(self, rows: pa.Table, files: Sequence[NewFile]) -> dict[str, pa.Array]:
        width, height = rows["width"], rows["height"]
        told: dict[str, pa.Array] = {
            "source_path": rows["path"],
            "source_key": rows["key"],
            "caption": _first(rows["captions"]),
            "original_width": width,
            "original_height": height,
            "stored_sha256": pa.array([file.sha256 for file in files], pa.string()),
        }
        if not any(file.size for file in files):
            return told
        sizes = [file.size or (None, None) for file in files]
        formats = [_FORMATS.get(file.extension, file.extension) for file in files]
        return told | {
            "width": pa.array([size[0] for size in sizes], pa.int32()),
            "height": pa.array([size[1] for size in sizes], pa.int32()),
            "format": pa.array(formats, pa.string()),
            "mode": pa.repeat("RGB", len(files)),
            "bytes": pa.array([len(file.body) for file in files], pa.int64()),
        }

    def sidecars(self, table: pa.Table) -> Iterator[bytes]:
        """Each row as JSON. It never holds null, nor an empty list: readers infer types from the first rows."""
        left_out = () if self.captioned else ("caption", "captions")
        fields = [field for field in self.schema if field.name not in left_out]
        columns = [_filled(table[field.name], field.type) for field in fields]
        names = [field.name for field in fields]
        for values in zip(*columns, strict=True):
            yield _strict(dict(zip(names, values, strict=True)))


def lines(table: pa.Table) -> Iterator[list[object]]:
    """Each row as the cells of a CSV line: null is empty, what is no number or text is JSON."""
    columns = [to_values(column.combine_chunks()) for column in table.columns]
    for values in zip(*columns, strict=True):
        yield [
            _JSON.encode(value) if isinstance(value, bool | list | dict) else _text(value) for value in values
        ]


def _own_names(own: Iterable[str], ours: Iterable[str], in_folder: bool) -> dict[str, str]:
    """What own columns are called here: where one has a name of ours, in any case, `input_NAME`.

    In a folder, where one would be taken for paths of more images, it is `NAME_`.
    Left out are those that an earlier export or a crawl made as we do: ours say the same of the file here.
    """
    names: dict[str, str] = {}
    taken = {name.casefold() for name in ours}
    for there in own:
        if there not in _MADE:
            name = _free_name(there, taken, in_folder)
            names[name] = there
            taken.add(name.casefold())
    return names


def _free_name(name: str, taken: Collection[str], in_folder: bool) -> str:
    while True:
        if name.casefold() in taken:
            name = f"input_{name}"
        elif in_folder and name.endswith((FILE_NAME, f"{FILE_NAME}s")):
            name = f"{name}_"
        else:
            return name


def _first(captions: pa.ChunkedArray) -> pa.Array:
    """The first caption of each list, null where there is none."""
    lists = captions.combine_chunks()
    there = pc.greater(pc.fill_null(pc.list_value_length(lists), 0), 0)
    return lists.values.take(pc.if_else(there, lists.offsets[: len(lists)], None))


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _text(value: object) -> object:
    return _base64(value) if isinstance(value, bytes) else value


_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_base64)
_STRICT = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_base64)


def _strict(row: dict[str, object]) -> bytes:
    try:
        return _STRICT.encode(row).encode()
    except ValueError:  # JSON has no NaN; the Parquet keeps it
        return _STRICT.encode(finite(row)).encode()


def _filled(column: pa.ChunkedArray, kind: pa.DataType) -> list[object]:
    """The column's values with nothing missing in them."""
    return [_whole(value, kind) for value in to_values(column.combine_chunks())]


def _whole(value: object, kind: pa.DataType) -> object:
    if value is None:
        value = _empty(kind)
    if isinstance(value, list):
        return [_whole(item, kind.value_type) for item in value or [None]]
    if isinstance(value, dict):
        return {field.name: _whole(value.get(field.name), field.type) for field in kind}
    return value


def _empty(kind: pa.DataType) -> object:
    """What stands for null in a sidecar, as the type travels in JSON."""
    if pa.types.is_boolean(kind):
        return False
    if pa.types.is_floating(kind):
        return 0.0
    if pa.types.is_integer(kind) or pa.types.is_time(kind) or pa.types.is_duration(kind):
        return 0
    if pa.types.is_struct(kind):
        return {}
    return [] if pa.types.is_nested(kind) else ""
