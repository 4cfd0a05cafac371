"""Small pictures for the report: their images are read, and worker processes make them."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from curator.pool import WorkerPool
from curator.reasons import BY_NAME, Reason
from curator.records import Unmeasured
from curator.report.facts import Image
from curator.report.small import thumbnails
from curator.settings import Settings
from curator.sources.bodies import Wanted

_BATCH = 8  # images: few, so that no worker is left with many at the end
_BATCH_BYTES = 16 << 20


class Bodies(Protocol):
    """Reads the bytes of images."""

    async def __call__(self, wanted: Sequence[Wanted], /) -> Sequence[bytes | Unmeasured]:
        """The bytes of each, or why they cannot be read any more."""


@dataclass(frozen=True, slots=True)
class Thumbs:
    """By row: the file names of the small pictures, and why the others have none."""

    files: Mapping[int, str]
    missing: Mapping[int, Unmeasured]


async def make_thumbs(folder: Path, images: Sequence[Image], bodies: Bodies, settings: Settings) -> Thumbs:
    """Write a small picture of each image into `folder`, which is there. Raises OSError, WorkersFailed."""
    files: dict[int, str] = {}
    missing = {image.row: _unmeasured(image) for image in images if image.width is None}
    measured = [image for image in images if image.width is not None]
    batches = _batches(measured)  # of which each of the tasks below takes the next

    async def work(pool: WorkerPool[bytes | Unmeasured]) -> None:
        for batch in batches:
            made = await _made(pool, batch, bodies)
            for image, one in zip(batch, made, strict=True):
                if isinstance(one, Unmeasured):
                    missing[image.row] = one
                else:
                    files[image.row] = f"{image.row}.jpg"
                    (folder / files[image.row]).write_bytes(one)

    if measured:
        async with _pool(settings) as pool, asyncio.TaskGroup() as tasks:
            for _ in range(2 * settings.worker_count()):
                tasks.create_task(work(pool))
    return Thumbs(files, missing)


def _pool(settings: Settings) -> WorkerPool[bytes | Unmeasured]:
    return WorkerPool(
        partial(thumbnails, max_pixels=settings.max_pixels),
        workers=settings.worker_count(),
        timeout=settings.decode_timeout,
        memory=settings.worker_memory,
        crashed=partial(Unmeasured, Reason.DECODER_CRASH),
        preload=("curator.report.small",),
    )


async def _made(
    pool: WorkerPool[bytes | Unmeasured], batch: Sequence[Image], bodies: Bodies
) -> list[bytes | Unmeasured]:
    """What became of each image of a batch: its small picture, or why there is none."""
    read = await bodies([Wanted(image.source, image.path, image.key) for image in batch])
    made = iter(await pool.run([[body] for body in read if not isinstance(body, Unmeasured)]))
    return [body if isinstance(body, Unmeasured) else next(made) for body in read]


def _batches(images: Sequence[Image]) -> Iterator[list[Image]]:
    """Images in their order, few enough at a time that their bytes are no burden."""
    batch: list[Image] = []
    held = 0
    for image in images:
        batch.append(image)
        held += image.bytes or 0
        if len(batch) == _BATCH or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _unmeasured(image: Image) -> Unmeasured:
    return Unmeasured(BY_NAME.get(image.reason, Reason.UNDECODABLE), image.detail)
