"""Reading a dataset as a library: its samples one by one, or their rows as Arrow tables.

Why reading beside a running crawl neither loses nor doubles a sample
- What is read is fixed at the start: the shards and how many samples each has committed. Both only
  grow, and samples never move inside a shard.
- The rows of an unsealed shard are in the ledger, page by page; the step that takes them out comes
  after the shard's Parquet is durable. So where a page is missing, Parquet has the rest.
- An open file stays readable when sealing renames it, and only grows beyond the committed length.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.dataset.captions import later_captions, listed_again
from curator.dataset.layout import Layout
from curator.dataset.ledger import PAGE_BYTES, Ledger
from curator.dataset.place import check_unused
from curator.dataset.rows import Columns
from curator.dataset.sealing import LedgerRows, rows_to_table
from curator.dataset.store import is_dataset, is_made, read_fixed
from curator.dataset.tables import open_table
from curator.dataset.tars import open_shard, read_sample
from curator.encoding import Encoding
from curator.errors import CorruptDataset, UsageError

PAGE = 1_000  # rows held at once
Committed = tuple[tuple[int, int], ...]  # shards that hold something, and how many samples each has


@dataclass(frozen=True, slots=True)
class Sample:
    """One saved image."""

    key: str
    uid: str  # 32 hex digits
    image: bytes  # as stored
    caption: str | None
    fields: dict[str, Any]  # its whole row, `captions` with those of later listings


class Dataset:
    """All committed samples of the dataset in folder `path`, in the order they were committed.

    Iterating gives each `Sample`; every iteration sees what is committed when it begins, also while a
    crawl runs. Holds no open file in between, so it can be handed to other processes.
    Raises UsageError where there is no dataset, CorruptDataset where one is damaged.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self._layout = Layout(self.path)
        with closing(open_to_read(self.path)) as ledger:
            self._fixed, self._columns = read_fixed(ledger)

    @property
    def schema(self) -> pa.Schema:
        """The one Arrow schema of the samples' rows."""
        return self._columns.samples

    @property
    def shard_size(self) -> int:
        """Samples that a shard holds at most, which the keys of its samples are made of."""
        return self._fixed.shard_size

    @property
    def encoding(self) -> Encoding:
        """What was made of each image before it was stored."""
        return self._fixed.encoding()

    @property
    def has_caption(self) -> bool:
        """Whether its samples have captions."""
        return self._columns.has_caption

    def committed(self) -> Committed:
        """What is committed now, for `shard_batches` to read the same rows again and again beside a crawl."""
        with closing(open_to_read(self.path)) as ledger:
            return tuple(_committed(ledger))

    def lengths(self) -> dict[int, int]:
        """Bytes that are committed now of each shard, without the end of its archive."""
        with closing(open_to_read(self.path)) as ledger:
            return dict(ledger.db.execute("SELECT id, length FROM shards"))

    def __len__(self) -> int:
        """Committed samples."""
        return sum(samples for _, samples in self.committed())

    def __iter__(self) -> Iterator[Sample]:
        """Every sample with its image, holding at most one page of rows and one image in memory."""
        with closing(open_to_read(self.path)) as ledger:
            for shard, samples in _committed(ledger):
                yield from self._samples(ledger, shard, samples)

    def row_batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows of all samples, or those `columns` of them, at most 1,000 and some 16 MB at once.

        Raises UsageError for a column that there is not, CorruptDataset.
        """
        wanted = list(self.schema.names if columns is None else columns)
        unknown = [name for name in wanted if name not in self.schema.names]
        if unknown:
            raise UsageError(f"{self.path} has no column {unknown[0]!r}, but {', '.join(self.schema.names)}.")
        for _, batch in self.shard_batches(self.committed(), wanted):
            yield batch

    def shard_batches(
        self, committed: Committed, columns: Sequence[str], page: int = PAGE
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Those `columns` of all `committed` rows, each batch with its shard's number.

        A batch has at most `page` rows and some 16 MB. Raises CorruptDataset.
        """
        with closing(open_to_read(self.path)) as ledger:
            for shard, samples in committed:
                for batch in self._rows(ledger, shard, samples, columns, page):
                    yield shard, batch.select(list(columns))

    def rows(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of all samples, or those `columns` of them, as one table. Raises UsageError."""
        names = self.schema.names if columns is None else columns
        batches = list(self.row_batches(columns))
        return pa.Table.from_batches(batches, schema=pa.schema([self.schema.field(name) for name in names]))

    def _samples(self, ledger: Ledger, shard: int, samples: int) -> Iterator[Sample]:
        try:
            file = open_shard(self._layout, shard)
        except FileNotFoundError as error:
            raise CorruptDataset(
                f"{error.filename}: this shard is missing. Restore it from a backup."
            ) from error
        with file:
            for batch in self._rows(ledger, shard, samples, self.schema.names):
                for row in batch.to_pylist():
                    try:
                        stored = read_sample(file, row["key"], has_caption=self._columns.has_caption)
                    except ValueError as error:
                        raise CorruptDataset(
                            f"{file.name}: {error}. `curate verify` tells what else is damaged."
                        ) from error
                    yield Sample(row["key"], row["uid"], stored.image, row.get("caption"), row)

    def _rows(
        self, ledger: Ledger, shard: int, samples: int, columns: Sequence[str], page: int = PAGE
    ) -> Iterator[pa.RecordBatch]:
        """The shard's first `samples` rows with at least `columns`, captions of later listings joined."""
        join = "captions" in columns and self._columns.has_caption and listed_again(ledger)
        needed = [*columns, "uid"] if join and "uid" not in columns else list(columns)
        for batch in shard_rows(self._layout, ledger, self._columns, shard, samples, needed, page):
            yield _with_later_captions(ledger, batch) if join else batch


def open_to_read(root: Path) -> Ledger:
    """The dataset's ledger, to be read only.

    Raises UsageError where there is none, CorruptDataset where it was emptied.
    """
    if not is_dataset(root):
        raise UsageError(
            f"{root} is not a dataset: it holds no ledger.sqlite. `crawl LIST --out {root}` makes one."
        )
    ledger = Ledger(Layout(root).ledger, readonly=True)
    if not is_made(ledger):
        ledger.close()
        check_unused(Layout(root))
        raise UsageError(f"{root} is a dataset that was never begun; run the crawl again to make it.")
    return ledger


def shard_rows(
    layout: Layout,
    ledger: Ledger,
    columns: Columns,
    shard: int,
    samples: int,
    names: Sequence[str],
    most: int = PAGE,
) -> Iterator[pa.RecordBatch]:
    """The first `samples` rows of a shard, columns `names`, wherever they are: ledger first, then Parquet."""
    rows, done = LedgerRows(ledger, PAGE), 0
    while done < samples:
        page = rows.page(shard, done, samples)
        if not page:
            yield from _parquet_rows(layout, shard, done, samples, names, most)
            return
        yield from rows_to_table(page, columns).select(list(names)).combine_chunks().to_batches()
        done += len(page)


def _parquet_rows(
    layout: Layout, shard: int, start: int, end: int, names: Sequence[str], most: int
) -> Iterator[pa.RecordBatch]:
    path, at = layout.parquet(shard), 0
    try:
        with open_table(path) as file:
            for batch in _batches(file, names, most):
                part = batch.slice(max(0, start - at), max(0, end - max(at, start)))
                at += len(batch)
                if len(part):
                    yield part
    except (OSError, pa.ArrowException) as error:
        raise CorruptDataset(f"{path}: cannot be read ({error}). Restore it from a backup.") from error
    if at < end:
        raise CorruptDataset(f"{path}: {at:,} rows, but {end:,} were committed. Restore it from a backup.")


def _batches(file: pq.ParquetFile, names: Sequence[str], most: int) -> Iterator[pa.RecordBatch]:
    """Some rows of one row group at a time: groups are bounded in what they unpack to, see tables.py."""
    for at in range(file.num_row_groups):
        group = file.metadata.row_group(at)
        fitting = PAGE_BYTES * group.num_rows // max(group.total_byte_size, 1)
        yield from file.iter_batches(max(1, min(most, fitting)), row_groups=[at], columns=list(names))


def _committed(ledger: Ledger) -> list[tuple[int, int]]:
    """Every shard that holds something, and how many samples it has."""
    return ledger.db.execute("SELECT id, samples FROM shards WHERE samples > 0 ORDER BY id").fetchall()


def _with_later_captions(ledger: Ledger, batch: pa.RecordBatch) -> pa.RecordBatch:
    uids = batch.column("uid").to_pylist()
    later = later_captions(ledger, [bytes.fromhex(uid) for uid in uids])
    if not later:
        return batch
    known = batch.column("captions").to_pylist()
    joined = [
        list(dict.fromkeys([*captions, *later.get(bytes.fromhex(uid), ())]))
        for uid, captions in zip(uids, known, strict=True)
    ]
    at = batch.schema.get_field_index("captions")
    return batch.set_column(at, batch.schema.field(at), pa.array(joined, batch.schema.field(at).type))
