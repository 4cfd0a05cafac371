"""What runs inside a worker process.

How one image cannot take the rest with it:
- before each image its index is written where the parent can read it after the worker's death, and a timer is
  armed. SIGALRM keeps its default action: the kernel ends the process in the middle of a stuck C call, where
  a Python handler would wait for that call to return.
- the address space is limited to what the worker had at its start, plus the batch, plus the allowance, and
  a MemoryError that the kernel does not catch ends the worker: a heap that just burst measures nothing more.
- a thread waits for the parent's end. Forkserver children are not ended by it, and nobody else would tell.
"""

import gc
import mmap
import os
import pickle
import resource
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import Any

from curator.arena import HEADER, NOBODY, Arena
from curator.heap import keep_freed_memory

OUT_OF_MEMORY = 77  # exit code: a MemoryError that the kernel did not catch

# A signal to the whole group is the parent's to act on: it drains, then ends its workers. A stopped worker
# (Ctrl-Z) would be charged for the time it stood still.
_FOR_THE_PARENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP)


@dataclass(slots=True)
class _Station:
    """What a worker knows. One per process, made by `start`: an executor's initializer returns nothing."""

    arenas: Sequence[Arena]
    notes: Sequence[memoryview]
    timeout: float  # seconds per image
    memory: int  # bytes
    kernel: Callable[[Sequence[memoryview], Callable[[int], None]], list[Any]]
    address_space: int  # bytes at the start


_station: _Station


def start(arenas: Sequence[Arena], timeout: float, memory: int) -> None:
    """Initialize the process; `ready` completes it."""
    global _station
    for number in _FOR_THE_PARENT:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
    threading.Thread(target=_end_with_parent, daemon=True).start()
    keep_freed_memory()
    _station = _Station(arenas, [arena.note() for arena in arenas], timeout, memory, _no_kernel, 0)


def ready(kernel: bytes) -> None:
    """Unpickle the kernel, which imports its modules. Here an error in them reaches the parent as it is."""
    _station.kernel = pickle.loads(kernel)  # noqa: S301 - our parent's own
    gc.freeze()  # what is shared with the forkserver stays shared: no collection writes to it
    _station.address_space = int(Path("/proc/self/statm").read_bytes().split()[0]) * mmap.PAGESIZE


def measure(number: int, sizes: Sequence[int]) -> int:
    """Run the kernel over the batch in arena `number`. Returns the length of the pickled results there."""
    arena, note = _station.arenas[number], _station.notes[number]
    _limit_memory(_station.address_space + HEADER + sum(sizes) + _station.memory)
    _arm(_station.timeout)
    try:
        results = _station.kernel(arena.views(sizes), _begin(note))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    finally:
        _arm(0)
        _limit_memory(None)
        note[0] = NOBODY
    answer = pickle.dumps(results, pickle.HIGHEST_PROTOCOL)
    arena.put_results(answer, sizes)
    return len(answer)


def _begin(note: memoryview) -> Callable[[int], None]:
    def begin(index: int) -> None:
        note[0] = index
        _arm(_station.timeout)

    return begin


def _arm(seconds: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory(size: int | None) -> None:
    """Allow an address space of `size` bytes; None: as much as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = [limit for limit in (size, hard) if limit is not None and limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min(allowed, default=resource.RLIM_INFINITY), hard))


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _no_kernel(bodies: Sequence[memoryview], begin: Callable[[int], None]) -> list[Any]:
    raise AssertionError("measure came before ready")
