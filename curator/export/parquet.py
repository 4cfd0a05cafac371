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
from curator.export.target import Sizes, are_there, sizes
from curator.settings import ExportSettings

_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}}).encode()}
_ROWS = 100  # of a row group, as the Hub's viewer wants it: one is what a reader has to hold


class Parquet:
    """The form."""

    FIRST = pa.field("image", _IMAGE)
    whole = staticmethod(are_there)

    def __init__(self, root: Path, aside: Path, fields: Fields, settings: ExportSettings) -> None:
        self.root, self.fields = root, fields
        self.schema = fields.schema.with_metadata(_FEATURES)

    def begin(self, part: Part) -> "ParquetWriter":
        """Begin a file."""
        return ParquetWriter(self, part)

    def complete(self, parts: Sequence[tuple[Part, int]]) -> Sizes:
        """Write the card."""
        card = parquet_card(list(dict.fromkeys(part.split for part, _ in parts))).encode()
        replace_whole(self.root / "README.md", lambda file: file.write(card))
        return sizes(self.root, ["README.md"])


class ParquetWriter:
    """One file."""

    def __init__(self, form: Parquet, part: Part) -> None:
        self._form, self._images = form, 0
        self._name = f"{part.name}.parquet"
        self._table = TableFile(form.root / self._name, form.schema, _ROWS)

    def add(
        self, indexes: Sequence[int], stems: Sequence[str], rows: pa.Table, files: Sequence[NewFile]
    ) -> None:
        """Append rows."""
        names = [f"{stem}.{file.extension}" for stem, file in zip(stems, files, strict=True)]
        bodies = pa.array([file.body for file in files], pa.binary())
        images = pa.StructArray.from_arrays([bodies, pa.array(names, pa.string())], fields=list(_IMAGE))
        table = self._form.fields.table(rows, images, files)
        self._table.add(table.replace_schema_metadata(_FEATURES))
        self._images += len(indexes)

    def finish(self) -> Sizes:
        """Sync and rename."""
        if not self._images:
            self._table.discard()
            return {}
        self._table.finish()
        sync_folder(self._form.root)
        return sizes(self._form.root, [self._name])

    def close(self) -> None:
        """Close the file."""
        self._table.close()
