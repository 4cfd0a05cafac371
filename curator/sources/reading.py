"""Reading the bytes of images, whatever holds them, while the event loop goes on.

- A thread reads a batch of some images, not one: a thread's answer costs the event loop as much as reading a
  small file does. Several threads read, so that a disk which seeks, or a network, has several to work at.
- Rows of a Parquet file are unpacked in their order, a few at a time, and only forward. One thread does all of
  them in the order they were asked for, and remembers where it stopped.
"""

import asyncio
import os
import stat
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import accumulate, groupby
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

import pyarrow as pa
from aiofiles.os import wrap

from curator.dataset.tables import open_table
from curator.reasons import Reason
from curator.records import Unmeasured
from curator.sources.source import Place
from curator.tasks import in_thread

BATCH_BYTES = 2 << 20  # read at once, and given to one worker: some tens of milliseconds of decoding
BATCH_IMAGES = 64
UNKNOWN = 256 << 10  # bytes that an image is taken for where only reading it tells
_THREADS = 8
_AHEAD = 4  # batches
_CURSORS = 8  # columns of Parquet files that are held open
_UNPACKED = 4 << 20  # bytes of a column's values held at once

Read = bytes | Unmeasured  # an image's bytes, or why they cannot be had: UNREADABLE, TOO_MANY_BYTES


class Reader:
    """Reads images of at most `max_bytes`, until the end of the `async with` block."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._files = ThreadPoolExecutor(_THREADS, "read")
        self._rows = ThreadPoolExecutor(1, "read-rows")
        self._cursors: dict[tuple[Path, str], _Cursor] = {}
        self._read_in_thread = wrap(self._read)

    async def __aenter__(self) -> Self:
        """Nothing is opened yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what is open, as soon as nothing is read any more."""
        for executor in (self._files, self._rows):
            executor.shutdown(wait=True, cancel_futures=True)
        self._forget()

    async def read(self, places: Sequence[Place]) -> list[Read]:
        """The bytes of a batch of images, in order."""
        rows = any(place.row >= 0 for place in places)
        return await self._read_in_thread(places, executor=self._rows if rows else self._files)

    def _read(self, places: Sequence[Place]) -> list[Read]:
        found: list[Read] = []
        for file, group in groupby(places, key=attrgetter("file")):
            some = list(group)
            found += map(self._row, some) if some[0].row >= 0 else self._slices(file, some)
        return found

    def _slices(self, file: Path, places: Sequence[Place]) -> list[Read]:
        try:
            fd = _open(file)
        except OSError as error:
            return [_unreadable(error)] * len(places)
        try:
            return [_slice(fd, place, self._max_bytes) for place in places]
        finally:
            os.close(fd)

    def _row(self, place: Place) -> Read:
        at = (place.file, place.column)
        try:
            if at not in self._cursors:
                while len(self._cursors) >= _CURSORS:
                    self._cursors.pop(next(iter(self._cursors))).close()
                self._cursors[at] = _Cursor(place.file, place.column)
            body = self._cursors[at].value(place.row)
        except (OSError, pa.ArrowException, LookupError) as error:
            if at in self._cursors:  # it stands nowhere now
                self._cursors.pop(at).close()
            return Unmeasured(Reason.UNREADABLE, " ".join(str(error).split()))
        return _allowed(len(body), self._max_bytes) or body

    def _forget(self) -> None:
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()


async def read_places(reader: Reader, places: Iterable[Place]) -> AsyncIterator[Read]:
    """The bytes of these images in order, at most four batches ahead of whoever takes them.

    A batch is 64 images, or 2 MiB of them, or one that is larger.
    """
    ahead: deque[asyncio.Task[list[Read]]] = deque()
    batches = batched(places)
    try:
        while True:
            while len(ahead) < _AHEAD and (batch := await in_thread(next, batches, None)) is not None:
                ahead.append(asyncio.create_task(reader.read(batch)))
            if not ahead:
                return
            for body in await ahead.popleft():
                yield body
    finally:
        for task in ahead:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*ahead, return_exceptions=True)


def batched(places: Iterable[Place]) -> Iterator[list[Place]]:
    """The places in batches to read at once. Asks the disk how large files are."""
    batch: list[Place] = []
    size = 0
    for place in places:
        expected = _expected(place)
        if batch and (len(batch) == BATCH_IMAGES or size + expected > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(place)
        size += expected
    if batch:
        yield batch


def _expected(place: Place) -> int:
    if place.length >= 0:
        return place.length
    with suppress(OSError):
        return place.file.stat().st_size if place.row < 0 else UNKNOWN
    return 0


class _Cursor:
    """The values of one column of a Parquet file, of bytes or a struct with `bytes`, going forward."""

    def __init__(self, path: Path, column: str) -> None:
        self._stack = ExitStack()
        self._file, self._column = self._stack.enter_context(open_table(path, buffer_size=1 << 20)), column
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self._batches: Iterator[pa.RecordBatch] = iter(())
        self._values: pa.Array = pa.array([], pa.binary())
        self._start = self._end = 0  # of the rows in `_values`, and of their row group

    def value(self, row: int) -> bytes:
        """The bytes in a row. Raises OSError, pa.ArrowException, LookupError where there are none."""
        if not self._start <= row < self._end:
            self._seek(row)
        while row >= self._start + len(self._values):
            self._start += len(self._values)
            self._values = _values(next(self._batches))
        found = self._values[row - self._start].as_py()
        if found is None:
            raise LookupError("no image in this row")
        return bytes(found)

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    def _seek(self, row: int) -> None:
        group = bisect_right(self._ends, row)
        if group == len(self._ends):
            raise LookupError(f"no row {row:,}")
        about = self._file.metadata.row_group(group)
        rows = max(1, min(BATCH_IMAGES, _UNPACKED * about.num_rows // max(1, about.total_byte_size)))
        self._batches = self._file.iter_batches(rows, row_groups=[group], columns=[self._column])
        self._values = pa.array([], pa.binary())
        self._end = self._ends[group]
        self._start = self._end - about.num_rows


def _values(batch: pa.RecordBatch) -> pa.Array:
    column = batch.column(0)
    return column.field("bytes") if pa.types.is_struct(column.type) else column


def _open(file: Path) -> int:
    """Raises OSError. The shard that a crawl writes is renamed when it is sealed."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # the last: a pipe that took a file's place is no trap
    try:
        return os.open(file, flags)
    except FileNotFoundError:
        if file.suffix != ".part":
            raise
        return os.open(file.with_suffix(""), flags)


def _slice(fd: int, place: Place, max_bytes: int) -> Read:
    try:
        return _bytes(fd, place, max_bytes)
    except OSError as error:
        return _unreadable(error)


def _bytes(fd: int, place: Place, max_bytes: int) -> Read:
    length = place.length
    if length < 0:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return Unmeasured(Reason.UNREADABLE, "not a file")
        length = max(0, found.st_size - place.offset)
    if (refused := _allowed(length, max_bytes)) is not None:
        return refused
    body = os.pread(fd, length, place.offset)
    while len(body) < length and (more := os.pread(fd, length - len(body), place.offset + len(body))):
        body += more  # one call ends at 2 GiB
    if len(body) < length:
        return Unmeasured(Reason.UNREADABLE, f"the file ends after {place.offset + len(body):,} bytes")
    return body


def _unreadable(error: OSError) -> Unmeasured:
    return Unmeasured(Reason.UNREADABLE, error.strerror or str(error))


def _allowed(size: int, max_bytes: int) -> Unmeasured | None:
    return Unmeasured(Reason.TOO_MANY_BYTES, f"{size:,} bytes") if size > max_bytes else None
