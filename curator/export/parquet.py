"""Parquet files that hold the images: `image` is a struct of bytes and a name, which `datasets` decodes."""

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from curator.dataset.layout import replace_whole, sync_folder
from curator.export.card import parquet_card
from curator.export.fields import Fields
from curator.export.forms import TableFile
from curator.export.plan import Part
from curator.export.records import NewFile
from curator.settings import ExportSettings

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}}).encode()}
_ROWS = 100  # of a row group, as the Hub's viewer wants it: one is what a reader has to hold


class Parquet:
    """The form."""

    FIRST = pa.field("image", _IMAGE)

    def __init__(self, root: Path, aside: Path, fields: Fields, settings: ExportSettings) -> None:
        self.root, self.fields = root, fields
        self.schema = fields.schema.with_metadata(_FEATURES)

    def begin(self, part: Part) -> "ParquetWriter":
        """Begin a file."""
        return ParquetWriter(self, part)

    def complete(self, parts: Sequence[tuple[Part, int]]) -> None:
        """Write the card."""
        card = parquet_card(list(dict.fromkeys(part.split for part, _ in parts))).encode()
        replace_whole(self.root / "README.md", lambda file: file.write(card))


class ParquetWriter:
    """One file."""

    def __init__(self, form: Parquet, part: Part) -> None:
        self._form, self._images = form, 0
        self._table = TableFile(form.root / f"{part.name}.parquet", form.schema, _ROWS)

    def add(self, indexes: Sequence[int], rows: pa.Table, files: Sequence[NewFile]) -> None:
        """Append rows."""
        names = [f"{uid}.{file.extension}" for uid, file in zip(rows["uid"].to_pylist(), files, strict=True)]
        bodies = pa.array([file.body for file in files], pa.binary())
        images = pa.StructArray.from_arrays([bodies, pa.array(names, pa.string())], fields=list(_IMAGE))
        table = self._form.fields.table(rows, images, files)
        self._table.add(table.replace_schema_metadata(_FEATURES))
        self._images += len(indexes)

    def finish(self) -> None:
        """Sync and rename."""
        if not self._images:
            return self._table.discard()
        self._table.finish()
        return sync_folder(self._form.root)

    def close(self) -> None:
        """Close the file."""
        self._table.close()
