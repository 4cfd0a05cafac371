"""The one door that starts processes: batches of images go to workers that may die of them.

How a batch travels
- `run` takes one of two places per worker (one batch is measured, one waits in memory, so a worker never
  idles between batches) and copies the bodies into an arena that the worker has mapped.
- Each worker is an executor of its own: an executor of N loses every unfinished future when one process dies.
- When a worker dies, the index in the arena says which image it was measuring. That image is charged, the
  others of the batch go to any worker again. A worker and its arenas are used by nobody after its death, so
  whatever is left of it can disturb nothing; its place is filled when the next batch comes to it.
- A place is given back when the worker is done with it, not when the caller stops waiting: the batch has a
  task of its own, and cancelling `run` leaves that alone. Only closing the pool cancels it, and then kills
  the worker.
"""

import asyncio
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, forkserver
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Generic, Self, TypeVar

from curator import worker
from curator.arena import Arena
from curator.errors import CurateError
from curator.records import Body

T = TypeVar("T")
# kernel(bodies, begin) -> one result per body, in order. It calls begin(i) before it touches bodies[i], keeps
# no view, and pickles (a function of a module, or a partial of one).
BatchKernel = Callable[[Sequence[memoryview], Callable[[int], None]], list[T]]

_PRELOAD = (
    "curator.shield",
    "curator.worker",
    "concurrent.futures.process",
)  # what a worker runs, and no more
_PLACES = 2  # batches a worker holds: one under work, one waiting
_TRIES = 3  # starts that fail, or deaths that no image explains, before it is an error
_UNKNOWN = 255  # multiprocessing's exit code when it missed the true one (two threads asked at once)
_IMPORT_FAILED = 1  # exit code of a Python process that ends with a traceback


def prepare(preload: Sequence[str]) -> None:
    """Start the server that workers are forked from, which imports `preload` while the caller goes on.

    Opening a pool does so too; this is for programs that have something else to import meanwhile.
    """
    _set_preload(preload)
    forkserver.ensure_running()


def _set_preload(preload: Sequence[str]) -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload([*_PRELOAD, *preload])


class WorkersFailed(CurateError):
    """Worker processes do not start, or die whatever they are given."""


class WorkerDied(Exception):
    """A worker ended in the middle of a batch.

    index: the image of this batch that it was measuring, if any; explained: whether it was measuring one at
    all, which may be another batch's.
    """

    def __init__(self, detail: str, index: int | None = None, *, explained: bool = False) -> None:
        """Keep how it ended and whose fault it was."""
        super().__init__(detail)
        self.detail, self.index, self.explained = detail, index, explained


class WorkerPool(Generic[T]):
    """`workers` processes that run `kernel` over batches, open between `async with` and its end.

    timeout: seconds one image may take; memory: bytes of address space a worker may add to those it starts
    with; crashed: makes the result of an image that killed its worker from a line of text; preload: modules
    that the forkserver imports once for all workers.
    """

    def __init__(
        self,
        kernel: BatchKernel[T],
        *,
        workers: int,
        timeout: float,
        memory: int,
        crashed: Callable[[str], T],
        preload: Sequence[str] = (),
    ) -> None:
        """Store what workers are to be like; none is started yet."""
        self.workers = workers
        self._crashed = crashed
        self._preload = preload
        self._lanes = [_Lane(pickle.dumps(kernel), timeout, memory) for _ in range(workers)]
        self._room = asyncio.Semaphore(_PLACES * workers)
        self._batches: set[asyncio.Task[list[T]]] = set()
        self._open = False

    async def __aenter__(self) -> Self:
        """Start all workers. Raises WorkersFailed, or what importing the kernel raised."""
        _set_preload(self._preload)
        with contextlib.ExitStack() as undo:
            undo.callback(self._close)
            started = await asyncio.gather(*(lane.living() for lane in self._lanes), return_exceptions=True)
            for failure in started:
                if isinstance(failure, BaseException):
                    raise failure
            undo.pop_all()
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the workers, busy or not. Does not wait for anything that could be cancelled."""
        self._close()

    @property
    def free(self) -> int:
        """How many batches `run` would take now without waiting for a place."""
        return _PLACES * self.workers - len(self._batches)

    @property
    def idle(self) -> int:
        """How many workers have nothing to do."""
        return sum(lane.busy == 0 for lane in self._lanes)

    @property
    def restarts(self) -> int:
        """How many workers died and were replaced."""
        return sum(lane.restarts for lane in self._lanes)

    async def run(self, bodies: Sequence[Body]) -> list[T]:
        """Measure a batch: one result per body, in order. Waits for a place.

        Raises what the kernel raised, with the worker's traceback as its cause; WorkersFailed when workers
        die and no image explains it. When it is cancelled the batch is measured all the same, for nobody.
        """
        if not bodies:
            return []
        await self._room.acquire()
        batch = asyncio.create_task(self._finish(bodies))
        self._batches.add(batch)
        batch.add_done_callback(self._leave)
        return await asyncio.shield(batch)

    def _leave(self, batch: asyncio.Task[list[T]]) -> None:
        self._batches.discard(batch)
        self._room.release()
        if not batch.cancelled():
            batch.exception()  # nobody may be waiting for it any more

    async def _finish(self, bodies: Sequence[Body]) -> list[T]:
        """Charge the images that kill their worker, until the rest is measured."""
        results: dict[int, T] = {}
        rest, unexplained = list(range(len(bodies))), 0
        while rest:
            try:
                measured = await self._attempt([bodies[index] for index in rest])
            except WorkerDied as death:
                unexplained += not death.explained
                if unexplained == _TRIES:
                    raise WorkersFailed(f"workers die without touching an image: {death.detail}") from death
                if death.index is not None:
                    results[rest.pop(death.index)] = self._crashed(death.detail)
            else:
                results.update(zip(rest, measured, strict=True))
                break
        return [results[index] for index in range(len(bodies))]

    async def _attempt(self, bodies: Sequence[Body]) -> list[T]:
        if not self._open:
            raise RuntimeError("the pool is not open")
        # there are as many batches as places, so the lane with the fewest has one left
        lane = min(self._lanes, key=lambda lane: lane.busy)
        results: list[T] = pickle.loads(await lane.measure(bodies))  # noqa: S301 - our own worker's
        return results

    def _close(self) -> None:
        self._open = False
        for batch in self._batches:
            batch.cancel()
        for lane in self._lanes:
            lane.kill()
        for lane in self._lanes:
            lane.end()


class _Lane:
    """One worker, and the next when it died."""

    def __init__(self, kernel: bytes, timeout: float, memory: int) -> None:
        self.busy = 0  # batches
        self.restarts = 0
        self._kernel, self._timeout, self._memory = kernel, timeout, memory
        self._worker: _Worker | None = None
        self._replacing = asyncio.Lock()

    async def measure(self, bodies: Sequence[Body]) -> bytes:
        self.busy += 1
        try:
            return await (await self.living()).measure(bodies)
        finally:
            self.busy -= 1

    async def living(self) -> "_Worker":
        async with self._replacing:
            for _ in range(_TRIES):
                if self._worker is not None:
                    if self._worker.alive:
                        return self._worker
                    self.restarts += 1
                    await self._worker.bury()
                self._worker = _Worker(self._timeout, self._memory)
                try:
                    await self._worker.start(self._kernel)
                except WorkerDied as death:
                    detail = death.detail
                else:
                    return self._worker
        raise WorkersFailed(f"worker processes do not start: {detail}")

    def kill(self) -> None:
        if self._worker is not None:
            self._worker.kill()

    def end(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._worker = None


class _Worker:
    """One process with its arenas, from its start to its death."""

    def __init__(self, timeout: float, memory: int) -> None:
        self.alive = False  # between `start` and the first sign of its death
        self._timeout = timeout
        self._arenas = [Arena() for _ in range(_PLACES)]
        self._places = list(range(_PLACES))  # that no batch has
        self._noted: list[int | None] = [None] * _PLACES
        self._images = 0  # handed over and not answered
        self._process: BaseProcess | None = None
        self._handle = -1  # its pidfd
        self._ending = threading.Lock()
        self._executor = ProcessPoolExecutor(
            max_workers=1,
            mp_context=multiprocessing.get_context("forkserver"),
            initializer=worker.start,
            initargs=(self._arenas, timeout, memory),
        )

    async def start(self, kernel: bytes) -> None:
        """Raises WorkerDied, WorkersFailed if another try is no use, or what unpickling the kernel raised."""
        try:
            launched = await asyncio.to_thread(self._launch, kernel)
        except (OSError, EOFError) as error:  # the forkserver ended under our hands
            raise WorkerDied(f"{error!r}") from error
        try:
            await asyncio.wrap_future(launched)
        except BrokenProcessPool:
            death = await self._death(0)
            if self._exit_code() == _IMPORT_FAILED:
                raise WorkersFailed(_main_needs_a_guard()) from death
            raise death from None
        self.alive = True

    def _launch(self, kernel: bytes) -> Future[None]:
        launched = self._executor.submit(worker.ready, kernel)
        # the one private name: an executor tells nobody how its process ended
        ((pid, self._process),) = self._executor._processes.items()
        self._handle = os.pidfd_open(pid)
        weakref.finalize(self, os.close, self._handle)
        return launched

    async def measure(self, bodies: Sequence[Body]) -> bytes:
        place = self._places.pop()
        arena = self._arenas[place]
        self._images += len(bodies)
        # its timer ends a worker that hangs, but a stopped process (SIGSTOP) hears no timer
        patience = self._timeout * (self._images + 1)
        watchdog = asyncio.get_running_loop().call_later(patience, self.kill)
        try:
            sizes = arena.put(bodies)
            length = await asyncio.wrap_future(self._executor.submit(worker.measure, place, sizes))
            return arena.take_results(length, sizes)
        except BrokenProcessPool:
            raise await self._death(place) from None
        finally:
            watchdog.cancel()
            self._images -= len(bodies)
            arena.shrink()
            self._places.append(place)

    async def _death(self, place: int) -> WorkerDied:
        if self.alive:
            self.alive = False
            if self._ended():
                self._noted = [arena.index() for arena in self._arenas]
        await self.bury()
        detail = _how_it_ended(self._exit_code(), self._timeout)
        return WorkerDied(detail, self._noted[place], explained=any(i is not None for i in self._noted))

    def _ended(self) -> bool:
        """Whether it is the worker that ended: its executor gives it up, too, when the forkserver did."""
        return bool(connection.wait([self._handle], timeout=0))

    def _exit_code(self) -> int | None:
        return None if self._process is None else self._process.exitcode

    async def bury(self) -> None:
        """Make sure that nothing of it runs any more."""
        self.kill()
        await asyncio.to_thread(self.end)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def end(self) -> None:
        """Wait for the end of a process that was killed or has nothing to do."""
        with self._ending:  # two threads in `shutdown` can trip over each other
            self.alive = False
            self._executor.shutdown(wait=True, cancel_futures=True)


def _how_it_ended(code: int | None, timeout: float) -> str:
    if code == -signal.SIGALRM:
        return f"no answer within {timeout:g} s"
    if code == worker.OUT_OF_MEMORY:
        return "out of memory"
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if code == _UNKNOWN:
        return "ended, and nobody knows how"
    return f"ended with exit code {code}"


def _main_needs_a_guard() -> str:
    main = getattr(sys.modules["__main__"], "__file__", "the main script")
    return (
        f"worker processes cannot import {main} (their standard error says why). Worker processes need\n"
        '    if __name__ == "__main__":\n'
        "around what starts the work there, because each of them imports that file."
    )
