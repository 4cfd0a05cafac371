"""A dataset of ours as a source: its measures were recorded by the crawl, so nothing is decoded.

Where a crawl stored images encoded anew, `sha256` is that of the file which lies there, as in every source; that
of what the server sent is carried as `original_sha256`.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from curator.dataset.layout import Layout, key_digits
from curator.dataset.lock import no_writer
from curator.dataset.reader import Dataset
from curator.errors import UsageError
from curator.sources.copies import Copies, ledger_told
from curator.sources.items import own_name
from curator.sources.source import SOURCE_SCHEMA, Place

_PAGE = 16_384  # rows in a batch, unless they are long
_ABSENT = ("path", "unmeasured", "detail")  # columns of every source that a dataset does not store
_AROUND_HEADERS = 4096  # bytes read at once: what lies between two images, hardly ever an image
_CONSTANT = {"status", "error_message"}  # of every sample the same


class Recorded:
    """The dataset at `path`, fixed to the samples that are committed when this is made.

    Raises UsageError where there is no dataset, CorruptDataset where it is damaged.
    """

    kind = "dataset"

    def __init__(self, label: str, path: Path) -> None:
        self.label, self.path = label, path
        self._layout = Layout(path)
        with ledger_told(self._layout):
            self._dataset = Dataset(path)
            self._committed = self._dataset.committed()
        self._samples = dict(self._committed)
        self._names = {shard: f"images/{self._layout.tar(shard).name}" for shard in self._samples}
        self._digits = key_digits(self._dataset.shard_size)
        self._spans: dict[int, npt.NDArray[np.int64]] = {}
        self._own: dict[str, pa.Field] = {}  # by the name of the source's column
        for field in self._dataset.schema:
            if field.name not in _CONSTANT and (
                field.name not in SOURCE_SCHEMA.names or field.name in _ABSENT
            ):
                self._own[own_name(field.name, self._own)] = field
        self._digest = "sha256"  # column of the dataset
        if self._dataset.encoding.asked:
            self._digest = "stored_sha256"
            self._own[own_name("original_sha256", self._own)] = self._dataset.schema.field("sha256")
        self.schema = pa.schema(
            [*SOURCE_SCHEMA, *(field.with_name(name) for name, field in self._own.items())]
        )

    def __len__(self) -> int:
        """Committed samples."""
        return sum(self._samples.values())

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """All rows in the order they were committed; batches of some 16 MB. Raises CorruptDataset."""
        names = list(self.schema.names if columns is None else columns)
        schema = pa.schema([self.schema.field(name) for name in names])
        stored = list(dict.fromkeys(one for name in names for one in self._stored(name))) or ["key"]
        with ledger_told(self._layout):
            for shard, batch in self._dataset.shard_batches(self._committed, stored, _PAGE):
                arrays = [self._column(name, shard, batch) for name in names]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)

    def locate(self, paths: Sequence[str], keys: Sequence[str | None]) -> list[Place]:
        """Where the images of these samples lie in the shards, sealed or not. Raises CorruptDataset."""
        files = {path: self._file(path) for path in set(paths)}
        return [self._place(path, key, files[path]) for path, key in zip(paths, keys, strict=True)]

    def writer_at_work(self) -> bool:
        """Whether a crawl is writing the dataset now."""
        try:
            with no_writer(self._layout.lock):
                return False
        except UsageError:
            return True

    def missing(self) -> list[str]:
        """The names of shards that are not there: their rows are, but their images cannot be exported."""
        return [self._layout.tar(shard).name for shard in self._samples if self._found(shard) is None]

    def cut(self) -> list[str]:
        """The names of shards that are shorter than what was committed: images at their end are gone."""
        with ledger_told(self._layout):
            lengths = self._dataset.lengths()
        return [
            found[0].name
            for shard in self._samples
            if (found := self._found(shard)) is not None and found[1] < lengths[shard]
        ]

    def copies(self) -> Copies:
        """What the crawl did not save because it was a copy of a sample here. Raises CorruptDataset."""
        return Copies(self.path)

    def _found(self, shard: int) -> tuple[Path, int] | None:
        """The file of a shard and its size in bytes."""
        for path in (
            self._layout.part(shard),
            self._layout.tar(shard),
        ):  # the order in which it has these names
            with suppress(FileNotFoundError):
                return path, path.stat().st_size
        return None

    def _stored(self, name: str) -> tuple[str, ...]:
        """The dataset's columns that the source's column `name` is made of."""
        if name in self._own:
            return (self._own[name].name,)
        if name in _ABSENT:
            return ()
        if name == "sha256":
            return (self._digest,)
        return ("captions", "caption") if name == "captions" and self._dataset.has_caption else (name,)

    def _column(self, name: str, shard: int, batch: pa.RecordBatch) -> pa.Array:
        if name in self._own:
            return batch.column(self._own[name].name)
        if name == "path":
            return pa.repeat(pa.scalar(self._names[shard]), len(batch))
        if name in _ABSENT:
            return pa.nulls(len(batch), SOURCE_SCHEMA.field(name).type)
        if name == "captions":
            return _captions(batch)
        return batch.column(self._digest if name == "sha256" else name)

    def _file(self, path: str) -> Path:
        """The archive that a shard is in now."""
        tar = self.path / path
        return tar if tar.exists() else tar.with_suffix(".tar.part")

    def _place(self, path: str, key: str | None, file: Path) -> Place:
        if key is None or not key.isdigit():
            raise UsageError(f"{self.path}: there is no sample {key!r}.")
        shard, index = divmod(int(key), 10**self._digits)
        if self._names.get(shard) != path or index >= self._samples.get(shard, 0):
            raise UsageError(f"{self.path}: there is no sample {key} in {path}.")
        if shard not in self._spans:
            self._spans[shard] = self._read_spans(shard)
        offset, length = self._spans[shard][index].tolist()
        return Place(file, offset, length)

    def _read_spans(self, shard: int) -> npt.NDArray[np.int64]:
        """Offset and length of each committed image of a shard, shape (samples, 2)."""
        with ledger_told(self._layout):
            batches = self._dataset.shard_batches(
                ((shard, self._samples[shard]),), ("tar_offset", "bytes"), _PAGE
            )
            return np.concatenate(
                [np.stack([one.to_numpy() for one in batch.columns], 1) for _, batch in batches]
            )


def _captions(batch: pa.RecordBatch) -> pa.Array:
    """Every caption known: those of all listings, or the sample's own; null where there is none."""
    captions = batch.column("captions")
    none = pc.fill_null(pc.equal(pc.list_value_length(captions), 0), True)
    if "caption" in batch.schema.names:
        caption = batch.column("caption")
        offsets = pa.array(np.arange(len(batch) + 1, dtype=np.int32))
        own = pa.ListArray.from_arrays(offsets, caption)
        captions = pc.if_else(none, own, captions)
        none = pc.and_(none, pc.fill_null(pc.equal(caption, ""), True))
    return pc.if_else(none, pa.scalar(None, captions.type), captions)
