"""From bodies to verdicts: they are measured in worker processes, a batch at a time, and judged.

Two tasks a worker (with `--no-decode`: a thread that hashes) take what lies in `bodies`, at most a batch each:
when workers are the slow stage, batches fill by themselves; when they are not, nothing waits for one to fill.
A batch that is hashed is larger: it takes a millisecond or two, and then its thread waits for a turn of the loop.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from crawler.ahead import Ahead
from crawler.endings import answered, saved
from crawler.leases import Lease
from crawler.records import Fetched
from curator.dataset.records import Verdict
from curator.duplicates import DuplicateIndex
from curator.encoding import Encoding
from curator.hashing import Hasher
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measured, Measures, Remade, Undecoded, Unmeasured
from curator.rules import Rules, judge

BATCH_BYTES = 1 << 20  # of bodies for one worker at a time: some tens of milliseconds of decoding
BATCH_IMAGES = 32
_HASHED = 4  # times as much for a thread that hashes
_BATCH_PIXELS = 2 << 20  # of files that are made in a batch: some MB, and tens of milliseconds here, too
Decide = Callable[[Verdict, str, Lease | None], None]


def batch_images(encoding: Encoding) -> int:
    """How many images a worker is given at a time: fewer where large files are made of them."""
    if not encoding.side:
        return BATCH_IMAGES
    return max(1, min(BATCH_IMAGES, _BATCH_PIXELS // encoding.side**2))


class Judging:
    """Takes bodies, and hands their verdicts to `decide`, with the host and the lease of what is to be saved."""

    def __init__(
        self,
        pool: WorkerPool[Measured] | Hasher,
        index: DuplicateIndex,
        rules: Rules,
        decide: Decide,
        *,
        batch_images: int,
        bound: int,
    ) -> None:
        """`bound`: bodies that wait at most."""
        self.bodies: asyncio.Queue[Fetched] = asyncio.Queue(bound)
        self.ahead = Ahead(pool.workers)
        self.worker_seconds = 0.0  # time that workers had something to do, added up over them
        self._batches, self._counted, self._told = 0, time.monotonic(), 0.0
        self._in_batches = 0  # bodies
        self._pool, self._index, self._rules, self._decide = pool, index, rules, decide
        times = _HASHED if isinstance(pool, Hasher) else 1
        self._batch_images, self._batch_bytes = times * batch_images, times * BATCH_BYTES

    def tasks(self) -> Iterator[Coroutine[Any, Any, None]]:
        """What is to run until cancelled."""
        return (self._measure() for _ in range(2 * self._pool.workers))

    @property
    def held(self) -> int:
        """Bodies that are not judged yet."""
        return self.bodies.qsize() + self._in_batches

    async def _measure(self) -> None:
        while True:
            batch = await self._next_batch()
            self._in_batches += len(batch)
            self.count_workers(1)
            try:
                measured = await self._pool.run([fetched.body for fetched in batch])
            finally:
                self.count_workers(-1)
            self._in_batches -= len(batch)
            self.ahead.measured(len(batch), self.worker_seconds - self._told)
            self._told = self.worker_seconds
            for fetched, one in zip(batch, measured, strict=True):
                self._judge(fetched, one)
            del batch, fetched  # their leases may be given back: nothing is kept while waiting for the next

    def count_workers(self, change: int = 0) -> None:
        """Add up how long workers had something to do; `change` in the batches they have."""
        now = time.monotonic()
        self.worker_seconds += min(self._batches, self._pool.workers) * (now - self._counted)
        self._batches += change
        self._counted = now

    async def _next_batch(self) -> list[Fetched]:
        batch = [await self.bodies.get()]
        size = batch[0].size
        while size < self._batch_bytes and len(batch) < self._batch_images and not self.bodies.empty():
            batch.append(self.bodies.get_nowait())
            size += batch[-1].size
        return batch

    def _judge(self, fetched: Fetched, measured: Measured) -> None:
        if isinstance(measured, Unmeasured):
            return self._drop(fetched, measured.reason, measured.detail)
        remade = measured if isinstance(measured, Remade) else None
        measures = measured.measures if isinstance(measured, Remade) else measured
        if isinstance(measures, Measures) and (reason := judge(measures, self._rules)) is not None:
            return self._drop(fetched, reason, f"{measures.width}x{measures.height}")
        if (found := self._index.find(measures)) is not None:
            reason, original, distance = found
            return self._drop(fetched, reason, duplicate_of=original, distance=distance)
        return self._save(fetched, measures, remade)

    def _save(self, fetched: Fetched, measures: Measures | Undecoded, remade: Remade | None) -> None:
        self._index.add(fetched.link.uid, measures)
        if remade is not None:
            fetched.lease.exchange(remade.stored.bytes)
        self._decide(saved(fetched, measures, remade), fetched.link.host, fetched.lease)

    def _drop(self, fetched: Fetched, reason: Reason, detail: str = "", **more: Any) -> None:
        """A body that is not to be saved: its memory is free at once."""
        fetched.lease.release()
        self._decide(answered(fetched, reason, detail=detail, **more), fetched.link.host, None)
