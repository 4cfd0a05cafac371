"""Telling a full disk, and one that takes nothing at all, from all other trouble."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from curator.errors import CorruptDataset, DiskFull

_NOTHING = 1 << 20  # SQLite's shared-memory file does not find room in less


def free_bytes(folder: Path) -> int:
    """What we may still write on the disk of `folder`."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def why_not_written(path: Path) -> str:
    """What `os.access` does not say of a path that may not be written."""
    return os.strerror(errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES)


def is_full(error: BaseException, folder: Path) -> bool:
    """Whether `error` says that the disk of `folder`, where the ledger is, is full."""
    if isinstance(error, OSError):
        # EFBIG: as large as `ulimit -f` or the file system lets a file be
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        # a full disk under its shared-memory file SQLite reports as one of these
        other = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PROTOCOL)
        return code == sqlite3.SQLITE_FULL or (other and free_bytes(folder) < _NOTHING)
    return False


@contextmanager
def full_disk_told(root: Path) -> Iterator[None]:
    """Raise DiskFull where what is done inside finds the disk of the dataset at `root` full."""
    try:
        yield
    except (OSError, sqlite3.Error, CorruptDataset) as error:
        cause = error.__cause__ if isinstance(error, CorruptDataset) else error
        folder = (root / "ledger.sqlite").resolve().parent
        if cause is None or not is_full(cause, folder if folder.is_dir() else root.parent):
            raise
        raise DiskFull(
            f"The disk of {root} is full ({cause}). What was committed is safe. "
            "Free some space, then run the same command again: it goes on where it stopped."
        ) from error
