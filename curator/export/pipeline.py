"""Writing out what is kept: read, encode and write at once, in one order that does not change.

How an image travels
- The plan cuts the kept images into parts, each of which is whole or written again, and these into batches.
- `_read` reads the bodies of one batch after the other. Each batch gets a task that checks the bytes and has
  them encoded in the pool; `_write` takes these tasks in their order. The queue between the two bounds the
  bodies in memory.
- So the disk is read for one batch while others are encoded and one is written.
"""

import asyncio
from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.dataset.space import full_disk_told
from curator.encode import encode_batch
from curator.errors import UsageError
from curator.export.decided import Decided, in_any_order, in_order
from curator.export.fields import Fields
from curator.export.folder import Folder
from curator.export.forms import Form, Writer
from curator.export.making import Made, Maker, Pool, refusal
from curator.export.parquet import Parquet
from curator.export.plan import Part, Plan, Table, make_plan
from curator.export.records import Bodies, Exported, NewFile, Progress, Refusal
from curator.export.target import Done, Target, check_free
from curator.export.webdataset import WebDataset
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Unmeasured
from curator.settings import ExportSettings
from curator.tasks import first_error, in_thread

_BATCH_BYTES = 8 << 20
_BATCH_IMAGES = 64
_PIECE = 4_096  # rows of decisions held at once
_WAITING = 2  # batches for each worker

_FORMS: dict[str, type[WebDataset] | type[Folder] | type[Parquet]] = {
    "webdataset": WebDataset,
    "folder": Folder,
    "parquet": Parquet,
}


@dataclass(frozen=True, slots=True)
class _Batch:
    """Some images of a part, one after the other: `index` is the place of the first in the part."""

    part: Part
    index: int
    stems: Sequence[str]  # what their files are called, without the extension
    rows: pa.Table

    @property
    def last(self) -> bool:
        """Whether the part ends with it."""
        return self.part.start + self.index + len(self.rows) == self.part.stop


_Queue = asyncio.Queue[tuple[_Batch, asyncio.Task[Made]] | None]


async def export(
    decisions: Table, out: Path, settings: ExportSettings, bodies: Bodies, progress: Progress
) -> Exported:
    """Write the kept images of the decisions to the folder `out`.

    An export that was cut short goes on where it was; one that is finished is not begun again.

    Raises UsageError where `out` is not fit or an input has changed since it was decided on, CorruptDataset
    where the decisions are damaged, and DiskFull.
    """
    inputs = (*decisions.provenance.sources, *decisions.provenance.against)
    check_free(out, [decisions.path.parent, *(Path(one.path) for one in inputs)])
    with full_disk_told(out):
        digest = await in_thread(decisions.digest)
        with closing(Target(out, digest, settings, _FORMS[settings.form].whole)) as target:
            if (earlier := await in_thread(target.earlier)) is not None:
                return earlier
            return await _write_out(decisions, target, settings, bodies, progress)


async def _write_out(
    decisions: Table, target: Target, settings: ExportSettings, bodies: Bodies, progress: Progress
) -> Exported:
    plan = await in_thread(make_plan, decisions, settings)
    if not plan.parts:
        raise UsageError(f"{decisions.path}: no image is kept, so there is nothing to export.")
    under_way = await in_thread(_Export, decisions, target, plan, settings, progress)
    async with AsyncExitStack() as stack:
        pool = None
        if settings.encoding.asked and not under_way.written:
            pool = await stack.enter_async_context(_pool(settings))
        roots = {one.label: Path(one.path) for one in decisions.provenance.sources}
        await under_way.write(Maker(bodies, roots, pool), _WAITING * (pool.workers if pool else 1))
    return await in_thread(under_way.complete)


class _Export:
    """One export: which of its parts are whole, and the writing of the others."""

    def __init__(
        self, decisions: Table, target: Target, plan: Plan, settings: ExportSettings, progress: Progress
    ) -> None:
        self._decisions, self._target, self._plan, self._progress = decisions, target, plan, progress
        self._shuffled = settings.shuffle is not None
        form = _FORMS[settings.form]
        self._fields = Fields.of(decisions.schema, form.FIRST, captioned=plan.captioned)
        self._form: Form = form(target.root, target.aside, self._fields, settings)
        self._done = {part: done for part in plan.parts if (done := target.done(part.name)) is not None}
        self._images = sum(part.stop - part.start for part in self._done)

    @property
    def written(self) -> bool:
        """Whether all parts are whole."""
        return len(self._done) == len(self._plan.parts)

    async def write(self, maker: Maker, waiting: int) -> None:
        """Write the parts that are not whole; at most so many batches wait to be written."""
        made: _Queue = asyncio.Queue(waiting)
        with first_error():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._read(maker, made, tasks))
                tasks.create_task(self._write(made))

    def complete(self) -> Exported:
        """Write what tells of the whole."""
        parts = {part: self._done[part] for part in self._plan.parts}
        files = self._form.complete([(part, done.images) for part, done in parts.items() if done.images])
        return self._target.finish({part.name: done for part, done in parts.items()}, files)

    async def _read(self, maker: Maker, made: _Queue, tasks: asyncio.TaskGroup) -> None:
        batches = self._batches()
        try:
            while (batch := await in_thread(next, batches, None)) is not None:
                found = await maker.read(batch.rows)
                await made.put((batch, tasks.create_task(maker.make(batch.rows, found))))
            await made.put(None)
        finally:
            await in_thread(batches.close)

    async def _write(self, made: _Queue) -> None:
        writing: _Writing | None = None
        try:
            while (following := await made.get()) is not None:
                batch, task = following
                writing = writing or _Writing(self._form, batch.part)
                await in_thread(writing.add, batch, await task)
                self._images += len(batch.rows)
                self._progress(self._images, len(self._plan.order))
                if batch.last:
                    self._done[batch.part] = await in_thread(self._seal, writing)
                    writing = None
        finally:
            if writing is not None:
                writing.close()

    def _seal(self, writing: "_Writing") -> Done:
        done = writing.finish()
        self._target.note(writing.part.name, done)
        return done

    def _batches(self) -> Generator[_Batch, None, None]:
        """All images of the parts that are not whole, in order."""
        with self._rows() as decided:
            for part in self._plan.parts:
                if part not in self._done:
                    yield from self._batches_of(part, decided)

    def _batches_of(self, part: Part, decided: Decided) -> Iterator[_Batch]:
        for start in range(part.start, part.stop, _PIECE):
            ordinals = self._plan.order[start : min(start + _PIECE, part.stop)]
            rows = decided.take(ordinals)
            stems = _stems(rows, self._plan.nth[start : start + len(rows)])
            ends = np.cumsum(self._plan.bytes[start : start + len(rows)])
            at = 0
            while at < len(rows):
                fitting = int(np.searchsorted(ends, (ends[at - 1] if at else 0) + _BATCH_BYTES, "right"))
                end = max(at + 1, min(at + _BATCH_IMAGES, fitting))
                yield _Batch(part, start - part.start + at, stems[at:end], rows.slice(at, end - at))
                at = end

    def _rows(self) -> AbstractContextManager[Decided]:
        columns, groups = self._fields.decided, self._plan.groups
        if not self._shuffled:
            return in_order(self._decisions, columns, groups)
        return in_any_order(self._decisions, columns, groups, self._target.aside / "rows.arrow")


class _Writing:
    """One part being written, and what became of its images."""

    def __init__(self, form: Form, part: Part) -> None:
        self.part = part
        self._writer: Writer = form.begin(part)
        self._images, self._bytes = 0, 0
        self._refused: list[Refusal] = []

    def add(self, batch: _Batch, made: Made) -> None:
        """Write a batch."""
        there = [index for index, one in enumerate(made) if isinstance(one, NewFile)]
        files = [one for one in made if isinstance(one, NewFile)]
        self._refused += [
            refusal(batch.rows, index, one) for index, one in enumerate(made) if isinstance(one, Unmeasured)
        ]
        if files:
            rows = batch.rows.take(pa.array(there)).combine_chunks()
            indexes, stems = zip(*((batch.index + index, batch.stems[index]) for index in there), strict=True)
            self._writer.add(indexes, stems, rows, files)
        self._images += len(files)
        self._bytes += sum(len(file.body) for file in files)

    def finish(self) -> Done:
        """Make the part whole."""
        files = self._writer.finish()
        return Done(self._images, self._bytes, tuple(self._refused), files)

    def close(self) -> None:
        """Let go of its files."""
        self._writer.close()


def _stems(rows: pa.Table, nth: npt.NDArray[np.int64]) -> list[str]:
    """UID, and UID-2 for the second image that has it: the same URL may have been kept from two datasets."""
    return [
        f"{uid}-{earlier + 1}" if earlier else uid
        for uid, earlier in zip(rows["uid"].to_pylist(), nth.tolist(), strict=True)
    ]


def _pool(settings: ExportSettings) -> Pool:
    return WorkerPool(
        partial(encode_batch, encoding=settings.encoding, max_pixels=settings.max_pixels),
        workers=settings.worker_count(),
        timeout=settings.decode_timeout,
        memory=settings.worker_memory,
        crashed=partial(Unmeasured, Reason.DECODER_CRASH),
        preload=("curator.encode",),
    )
