"""One writer per dataset: an exclusive `flock`, which dies with its holder however that dies."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curator.dataset.space import is_full
from curator.errors import UsageError

_MEANWHILE = " `crawl status` reads a dataset while it is written."


class WriterLock:
    """Holds the `.lock` of a dataset, or of another folder of ours, until closed.

    Raises UsageError naming the process that holds it, with `advice`, or why it cannot be taken.
    """

    def __init__(self, path: Path, advice: str = _MEANWHILE) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            if is_full(error, path.parent):
                raise
            raise UsageError(f"{path}: cannot be written ({error.strerror}).") from error
        if not _taken(self._fd):
            holder = _holder(self._fd)
            os.close(self._fd)
            raise UsageError(f"{path.parent} is being written by {holder}. Wait for it, or stop it.{advice}")
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"process {os.getpid()} on {os.uname().nodename}".encode(), 0)
        except OSError:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let the next writer in."""
        os.ftruncate(self._fd, 0)
        os.close(self._fd)


@contextmanager
def no_writer(path: Path) -> Iterator[None]:
    """Keep writers out while a whole dataset is read; other such readers may come.

    Raises UsageError naming the process that writes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:  # a copy without its lock: nobody writes it
        yield
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                f"{path.parent} is being written by {_holder(fd)}. Wait for it, or stop it."
            ) from None
        yield
    finally:
        os.close(fd)


def _taken(fd: int) -> bool:
    """Take the lock. Whoever only asks for the writer's name holds it for an instant: hence a second try."""
    for patience in (0.1, 0.0):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(patience)
        else:
            return True
    return False


def _holder(fd: int) -> str:
    return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
