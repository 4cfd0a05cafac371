"""Sealed shards that webdataset, wids and `load_dataset` read: 00000.tar, and 00000.parquet beside it.

An image that keeps its bytes is a `.jpg` whatever its type, which is in `format`: `datasets` takes the columns
from the first samples, and one whose extension differs would have no image. Readers sniff.
"""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from curator.dataset.layout import replace_whole, sample_key, sync_folder
from curator.dataset.shards import header, padding, sealed_size
from curator.export.card import webdataset_card
from curator.export.fields import Fields
from curator.export.forms import TableFile
from curator.export.plan import Part
from curator.export.records import NewFile
from curator.export.target import Sizes, are_there, sizes
from curator.settings import ExportSettings

INDEX = "shardindex"  # the name that wids gives it


class WebDataset:
    """The form."""

    FIRST = pa.field("key", pa.string())
    whole = staticmethod(are_there)

    def __init__(self, root: Path, aside: Path, fields: Fields, settings: ExportSettings) -> None:
        self.root, self.fields, self.shard_size = root, fields, settings.shard_size
        self.kept = not settings.encoding.asked
        self.extension = settings.encoding.extension

    def begin(self, part: Part) -> "ShardWriter":
        """Begin a shard."""
        return ShardWriter(self, part)

    def complete(self, parts: Sequence[tuple[Part, int]]) -> Sizes:
        """Write an index for each split, and the card."""
        names, indexes = [], []
        for split, members in groupby(parts, key=lambda one: one[0].split):
            names.append(split)
            index = json.dumps(self._index(split, list(members)), indent=2).encode()
            indexes.append(f"{INDEX}-{split}.json" if split else f"{INDEX}.json")
            replace_whole(self.root / indexes[-1], partial(_write, index))
        key, captioned = sample_key(0, 0, self.shard_size), self.fields.captioned
        card = webdataset_card(names, key, self.extension, captioned=captioned, kept=self.kept).encode()
        replace_whole(self.root / "README.md", partial(_write, card))
        return sizes(self.root, [*indexes, "README.md"])

    def _index(self, split: str, parts: Sequence[tuple[Part, int]]) -> dict[str, object]:
        shards = [
            {
                "url": f"{part.name}.tar",
                "nsamples": images,
                "filesize": (self.root / f"{part.name}.tar").stat().st_size,
            }
            for part, images in parts
        ]
        return {
            "__kind__": "wids-shard-index-v1",
            "wids_version": 1,
            "name": split or "images",
            "shardlist": shards,
        }


class ShardWriter:
    """One shard and its table."""

    def __init__(self, form: WebDataset, part: Part) -> None:
        self._form, self._part = form, part
        self._tar = form.root / f"{part.name}.tar"
        self._temporary = form.root / f"{part.name}.tar.part"
        self._file = self._temporary.open("wb", buffering=1 << 20)
        self._table = TableFile(form.root / f"{part.name}.parquet", form.fields.schema)

    def add(
        self, indexes: Sequence[int], stems: Sequence[str], rows: pa.Table, files: Sequence[NewFile]
    ) -> None:
        """Append samples."""
        form = self._form
        keys = [sample_key(self._part.number, index, form.shard_size) for index in indexes]
        table = form.fields.table(rows, pa.array(keys, pa.string()), files)
        self._table.add(table)
        texts = table["caption"].to_pylist()
        for key, file, sidecar, text in zip(keys, files, form.fields.sidecars(table), texts, strict=True):
            self._member(f"{key}.{form.extension}", file.body)
            self._member(f"{key}.json", sidecar)
            if form.fields.captioned:
                self._member(f"{key}.txt", (text or "").encode())

    def finish(self) -> Sizes:
        """The table first, the archive's name last."""
        length = self._file.tell()
        if not length:
            self._file.close()
            self._temporary.unlink()
            self._table.discard()
            return {}
        self._file.write(bytes(sealed_size(length) - length))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._table.finish()
        self._temporary.replace(self._tar)
        sync_folder(self._form.root)
        return sizes(self._form.root, [f"{self._part.name}.tar", f"{self._part.name}.parquet"])

    def close(self) -> None:
        """Close the files."""
        with suppress(OSError):  # of a full disk, which has been told
            self._file.close()
        self._table.close()

    def _member(self, name: str, body: bytes) -> None:
        self._file.write(header(name, len(body)))
        self._file.write(body)
        self._file.write(padding(len(body)))


def _write(text: bytes, file: BinaryIO) -> None:
    file.write(text)
