"""What was measured of folders and foreign shards, remembered in one SQLite file so that nothing is decoded twice.

How it is kept
- One row an image, clustered by where it is, so that reading a source in its order is one walk. What decisions
  are made on travels in one packed value (FACTS): numpy reads those of thousands of rows at once.
- A row holds for one version of its file (size, mtime) and for the limits it was measured under; where these
  change, `Visit` names it again. An image that could not be read, or that killed its decoder, it always names.
- An image that is not met any more is `gone`, not deleted: a disk that was not mounted costs no measuring.
- What a shard holds besides images is kept with it, so that it is known where the shard need not be opened.
- How many rows have a field of which JSON kind is counted, so that the fields of a source are known as columns
  before the first row is read, and do not depend on the order in which files were met.
"""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import numpy as np

from curator.dataset.ledger import connect_to_read
from curator.dataset.space import is_full
from curator.errors import CorruptDataset, UsageError
from curator.records import Measures
from curator.sources.items import shown

FORMAT = 2
FACTS = np.dtype(
    [
        *(("width", "<i4"), ("height", "<i4"), ("bytes", "<i8")),
        *(("sha256", "u1", (32,)), ("phash", "u1", (8,)), ("phash_mirror", "u1", (8,))),
        ("low_information", "?"),
        *((name, "<f8") for name in ("sharpness", "brightness", "contrast", "entropy")),
    ]
)
_PACKED = struct.Struct("<iiq32s8s8s?dddd")
_SCHEMA = """
CREATE TABLE sources (id INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE);
CREATE TABLE fields (source INTEGER, name TEXT, kind TEXT, images INTEGER NOT NULL,
    PRIMARY KEY (source, name, kind)) WITHOUT ROWID;
CREATE TABLE shards (source INTEGER, path TEXT, size INTEGER, mtime_ns INTEGER, images INTEGER NOT NULL,
    passed_over TEXT NOT NULL, PRIMARY KEY (source, path)) WITHOUT ROWID;
CREATE TABLE images (
    source INTEGER, path TEXT, key TEXT, uid BLOB NOT NULL, gone INTEGER NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    offset INTEGER NOT NULL, length INTEGER NOT NULL, "row" INTEGER NOT NULL, "column" TEXT NOT NULL,
    reason INTEGER NOT NULL, detail TEXT NOT NULL, allowed INTEGER,
    pixels INTEGER, bytes INTEGER, format TEXT, mode TEXT, hash_kind TEXT, facts BLOB, exif TEXT, data TEXT,
    PRIMARY KEY (source, path, key)) WITHOUT ROWID
"""


class MeasureStore:
    """The file at `path`, made if it is not there; any thread may use it, one process at a time.

    Raises CorruptDataset where it is damaged, UsageError where it is something else; everything here raises
    sqlite3.OperationalError where the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = Lock()
        if path.is_dir():
            raise UsageError(f"{path} is a folder: measures are kept in a file of that name. Delete it.")
        with damage_told(path):
            self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            try:
                self._open()
            except sqlite3.OperationalError as error:
                self._db.close()
                if is_full(error, path.parent) or error.sqlite_errorcode == sqlite3.SQLITE_ERROR:
                    raise  # the latter: a statement of ours is wrong
                raise UsageError(
                    f"{path}: cannot be written ({error}). Name another folder with --out."
                ) from error
            except BaseException:
                self._db.close()
                raise

    def source(self, label: str) -> int:
        """The number under which the rows of the source `label` are kept."""
        with self.using() as db:
            db.execute("INSERT OR IGNORE INTO sources (label) VALUES (?)", (shown(label),))
            return int(db.execute("SELECT id FROM sources WHERE label = ?", (shown(label),)).fetchone()[0])

    @contextmanager
    def using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one transaction: all of it is committed or nothing."""
        with self._lock, damage_told(self.path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            yield self._db

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _open(self) -> None:
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            _check_format(self._db, self.path)
        self._db.execute("PRAGMA page_size = 8192")  # rows are long
        self._db.execute("PRAGMA journal_mode = WAL")
        # a power cut may cost the last commits, which are measured again; the file stays whole
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA cache_size = -32768")
        if not tables:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                for statement in _SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {FORMAT}")


def open_to_read(path: Path) -> sqlite3.Connection:
    """A connection of its own to the file at `path`, also where nothing may be written.

    Any thread may use it, one after the other. Raises UsageError where the file is not ours or cannot be read.
    """
    try:
        db = connect_to_read(path, "rw")
    except sqlite3.OperationalError as error:
        raise UsageError(
            f"{path}: cannot be read where it is ({error}). Copy its folder to where it can be written, "
            "and name the copy."
        ) from error
    try:
        _check_format(db, path)
        db.execute("PRAGMA query_only = on")
        db.execute("PRAGMA mmap_size = 4294967296")
    except BaseException:
        db.close()
        raise
    return db


def _check_format(db: sqlite3.Connection, path: Path) -> None:
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != FORMAT:
        raise UsageError(
            f"{path} was written by another version, or is not ours (format {version}). "
            "Delete it and run curate again: the images are measured again."
        )


def pack(found: Measures) -> bytes:
    """The FACTS of one image."""
    return _PACKED.pack(
        *(found.width, found.height, found.bytes),
        *map(bytes.fromhex, (found.sha256, found.phash, found.phash_mirror)),
        *(found.low_information, found.sharpness, found.brightness, found.contrast, found.entropy),
    )


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Raise CorruptDataset where the file at `path` turns out not to be whole."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        # sqlite3 itself, which gives no code, finds text that is none
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
        if isinstance(error, sqlite3.OperationalError) and code != sqlite3.SQLITE_CORRUPT:
            raise
        raise CorruptDataset(
            f"{path}: damaged ({error}). Delete it and run the same command again: the images are measured again."
        ) from error
