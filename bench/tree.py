"""What a tree of processes costs, read from /proc: CPU seconds by role, and memory with shared pages divided.

A thread of its own looks ten times a second, at memory twice a second but for the first two seconds, since some are
over by then (the kernel's `ru_maxrss` is no help: it counts what the parent held when it forked). What a process
computes in the last tenth of a second of its life is missed, except for the root, whose end is told by the kernel.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

_TICK = os.sysconf("SC_CLK_TCK")
_EVERY_S = 0.1
_MEMORY_EVERY, _MEMORY_FIRST = 5, 20  # looks


def below(pid: int) -> list[int]:
    """All processes below one."""
    return [one for child in _children(pid) for one in (child, *below(child))]


def cpu_seconds(pid: int, thread: int | None = None) -> float:
    """User and system time of a process, or of one of its threads."""
    place = f"/proc/{pid}/stat" if thread is None else f"/proc/{pid}/task/{thread}/stat"
    fields = Path(place).read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def machine_seconds() -> float:
    """What all processes of the machine computed since it started."""
    ticks = [int(one) for one in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    return (sum(ticks[:8]) - ticks[3] - ticks[4]) / _TICK


def proportional(pid: int) -> int:
    """Bytes a process holds, each shared page divided among its holders."""
    words = Path(f"/proc/{pid}/smaps_rollup").read_text().split()
    return int(words[words.index("Pss:") + 1]) << 10


def _children(pid: int) -> Iterator[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                yield from map(int, (task / "children").read_text().split())


class Watch(threading.Thread):
    """Watches the tree below and with `root` between `with` and its end."""

    def __init__(self, root: int, *, memory: bool = True) -> None:
        """`memory`: weigh it, too, which costs the machine two hundredths of its time."""
        super().__init__(daemon=True)
        self.peak = 0  # bytes of all processes together
        self._memory = memory
        self._root, self._done = root, threading.Event()
        self._seconds: dict[tuple[int, int | None], float] = {}  # of processes, and of the root's threads

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()

    def run(self) -> None:
        looks = 0
        while not self._done.wait(_EVERY_S):
            pids = [self._root, *below(self._root)]
            self._look(pids)
            if self._memory and (looks < _MEMORY_FIRST or looks % _MEMORY_EVERY == 0):
                self._weigh(pids)
            looks += 1

    @property
    def loop(self) -> float:
        """CPU seconds of the root's first thread: the event loop."""
        return self._seconds.get((self._root, self._root), 0.0)

    @property
    def threads(self) -> float:
        """CPU seconds of the root's other threads: the writer, reading lists, drawing links."""
        return sum(s for (pid, thread), s in self._seconds.items() if thread and thread != pid)

    @property
    def children(self) -> float:
        """CPU seconds of all processes below the root."""
        return sum(s for (pid, thread), s in self._seconds.items() if not thread and pid != self._root)

    @property
    def whole(self) -> float:
        """CPU seconds of all, the root included."""
        return self._seconds.get((self._root, None), 0.0) + self.children

    def _look(self, pids: list[int]) -> None:
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{self._root}/task").iterdir():
                self._seconds[self._root, int(task.name)] = cpu_seconds(self._root, int(task.name))
        for pid in pids:
            with suppress(FileNotFoundError, ProcessLookupError):
                self._seconds[pid, None] = cpu_seconds(pid)

    def _weigh(self, pids: list[int]) -> None:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            self.peak = max(self.peak, sum(map(proportional, pids)))
