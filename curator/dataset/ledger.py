"""The ledger: one SQLite file that knows every URL ever listed and what became of it.

Why two tables for one URL
- `links` holds what was listed, in list order: reading a list only ever appends to it.
- `frontier` is narrow and clustered by uid, a hash of the URL. Drawing links is a walk along it, so
  that hosts interleave by themselves and any prefix is a uniform sample of the list.
- `verdicts` is clustered by uid too: links are drawn in that order, so neighbours are decided
  together and a batch of verdicts touches few pages.

Why the statements here handle a thousand rows in one step
- CPython's sqlite3 lets go of the GIL around every step. Beside a busy event loop each re-take may
  cost a switch interval (5 ms), so a row-by-row `executemany` of 5,000 rows can take half a minute.
  Rows go in as one multi-row VALUES statement, and come out as one JSON array.
- Such an array is one value, and SQLite makes none beyond 10^9 bytes. A list decides how long its rows
  are (`data:` URLs, captions), so what is read page by page is bounded in bytes too: see `Pages`.
"""

import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from curator.dataset.space import why_not_written
from curator.errors import CorruptDataset, UsageError
from curator.reasons import Reason

FORMAT = 1
PENDING, WAITING = 0, 1  # states of a link without a verdict; every other state is a Reason's code
PAGE_BYTES = 16 << 20  # a page of rows ends with the row that reaches this, in characters of JSON

SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE states (code INTEGER PRIMARY KEY, name TEXT NOT NULL, kind TEXT NOT NULL);
CREATE TABLE runs (
    id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, finished INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0, retry TEXT NOT NULL, settings TEXT NOT NULL);
CREATE TABLE sources (
    id INTEGER PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
    next_row INTEGER NOT NULL, rows INTEGER NOT NULL DEFAULT 0, bad INTEGER NOT NULL DEFAULT 0,
    misfits INTEGER NOT NULL DEFAULT 0, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE bad_rows (source INTEGER, row INTEGER, detail TEXT NOT NULL,
    PRIMARY KEY (source, row)) WITHOUT ROWID;
CREATE TABLE links (
    id INTEGER PRIMARY KEY, url TEXT NOT NULL, source INTEGER NOT NULL, row INTEGER NOT NULL, data TEXT);
CREATE TABLE listings (
    uid BLOB, data TEXT, source INTEGER NOT NULL, row INTEGER NOT NULL,
    PRIMARY KEY (uid, data)) WITHOUT ROWID;
CREATE TABLE frontier (
    uid BLOB PRIMARY KEY, state INTEGER NOT NULL, due REAL, link INTEGER NOT NULL,
    run INTEGER, tries INTEGER, attempts INTEGER) WITHOUT ROWID;
CREATE INDEX waiting ON frontier (due) WHERE state = 1;
CREATE TABLE verdicts (
    uid BLOB PRIMARY KEY, http_status INTEGER NOT NULL, detail TEXT NOT NULL, final_url TEXT NOT NULL,
    duplicate_of BLOB, distance INTEGER, decided_at REAL NOT NULL, shard INTEGER, idx INTEGER) WITHOUT ROWID;
CREATE TABLE counts (state INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE shards (
    id INTEGER PRIMARY KEY, state TEXT NOT NULL CHECK (state IN ('open', 'sealing', 'sealed')),
    length INTEGER NOT NULL DEFAULT 0, samples INTEGER NOT NULL DEFAULT 0,
    started REAL NOT NULL, ended REAL);
CREATE TABLE samples (shard INTEGER, idx INTEGER, uid BLOB NOT NULL, row TEXT NOT NULL,
    PRIMARY KEY (shard, idx)) WITHOUT ROWID;
CREATE VIEW urls AS
    SELECT lower(hex(f.uid)) AS uid, l.url, s.name AS state, s.kind, f.attempts, f.run, v.http_status,
           v.detail, v.final_url, lower(hex(v.duplicate_of)) AS duplicate_of, v.distance,
           v.decided_at, v.shard, v.idx AS "index", l.source, l.row
    FROM frontier f JOIN links l ON l.id = f.link JOIN states s ON s.code = f.state
    LEFT JOIN verdicts v ON v.uid = f.uid;
"""


class Ledger:
    """One connection to a ledger. Not shared between threads at the same time.

    Raises UsageError where the file cannot serve as a ledger, CorruptDataset where it is damaged.
    """

    def __init__(self, path: Path, *, readonly: bool = False) -> None:
        self.path = path
        try:
            self.db = connect_to_read(path) if readonly else _connect(path, "rwc")
            self.db.execute("PRAGMA query_only = on" if readonly else "PRAGMA synchronous = FULL")
            self.db.execute("PRAGMA temp_store = MEMORY")
            # writes are local (see above), so a small cache serves; it counts in the crawl's memory
            self.db.execute("PRAGMA cache_size = -8192")
            self.version = _version(self.db)
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # the latter where the schema is damaged
            if (hindrance := _hindrance(path, readonly=readonly)) is not None:
                raise UsageError(hindrance) from error
            raise CorruptDataset(
                f"{path}: cannot be read as a ledger ({error}). Restore it from a backup; "
                "the sealed shards in images/ stay readable without it."
            ) from error
        if not readonly and (hindrance := _hindrance(path, readonly=False)) is not None:
            self.db.close()  # SQLite opens such a file to be read, and fails at the first commit
            raise UsageError(hindrance)
        if self.version not in (0, FORMAT):
            raise UsageError(f"{path}: written by a newer version (format {self.version}); upgrade.")

    def create(self) -> None:
        """Make the tables of a new ledger. Raises UsageError where WAL cannot work."""
        mode = self.db.execute("PRAGMA journal_mode = WAL").fetchone()[0]
        if mode != "wal":
            raise UsageError(
                f"{self.path}: this file system cannot hold the ledger (SQLite's WAL is refused). "
                "Keep it on a local disk with --ledger PATH."
            )
        with self.transaction():
            for statement in SCHEMA.split(";\n"):
                self.db.execute(statement)
            states = [(PENDING, "pending", "pending"), (WAITING, "waiting", "pending")]
            states += [(reason.code, reason.value, reason.kind.value) for reason in Reason]
            self.db.executemany("INSERT INTO states VALUES (?, ?, ?)", states)
            self.db.execute(f"PRAGMA user_version = {FORMAT}")
        self.version = FORMAT

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One durable step: everything inside is committed and synced, or nothing is.

        Inside another it is a part of that one.
        """
        if self.db.in_transaction:
            yield self.db
            return
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield self.db
        except BaseException:
            if self.db.in_transaction:  # SQLite has already rolled back after a full disk
                self.db.execute("ROLLBACK")
            raise
        try:
            self.db.execute("COMMIT")
        except sqlite3.Error:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK")
            raise

    def rows(self, query: str, *arguments: object) -> list[list[Any]]:
        """The rows of `query` (columns named c0, c1, ... by position do not matter), fetched in one step.

        `query` selects exactly one JSON value per row, e.g. `SELECT json_array(a, b) AS row ...`. All rows
        together are held in memory, several times over: `Pages` is for what may be long.
        """
        text = self.db.execute(f"SELECT json_group_array(json(row)) FROM ({query})", arguments).fetchone()[0]
        rows: list[list[Any]] = json.loads(text)
        return rows

    def insert_many(self, head: str, tail: str, rows: Sequence[Sequence[object]]) -> int:
        """`head` VALUES rows `tail`, a thousand rows a step; the number of rows changed."""
        before = self.db.total_changes
        width = len(rows[0]) if rows else 0
        chunk = min(1000, 32000 // max(width, 1))
        mark = f"({','.join('?' * width)})"
        full = f"{head} VALUES {','.join([mark] * chunk)} {tail}"
        for start in range(0, len(rows), chunk):
            part = rows[start : start + chunk]
            statement = full if len(part) == chunk else f"{head} VALUES {','.join([mark] * len(part))} {tail}"
            self.db.execute(statement, [value for row in part for value in row])
        return self.db.total_changes - before

    def meta(self, key: str) -> Any:
        """The JSON value stored under `key`, None when there is none. Raises CorruptDataset."""
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        try:
            return json.loads(row[0]) if row else None
        except (TypeError, ValueError) as error:
            raise CorruptDataset(f"{self.path}: {key!r} in meta is damaged ({error}).") from error

    def set_meta(self, key: str, value: object) -> None:
        """Store a JSON value under `key` (inside the caller's transaction, if there is one)."""
        self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    def counts(self) -> dict[int, int]:
        """How many links are in each state, as the last commit left it."""
        return dict(self.db.execute("SELECT state, n FROM counts WHERE n <> 0"))

    def add_counts(self, deltas: dict[int, int]) -> None:
        """Move the counters (inside the caller's transaction)."""
        for state, delta in deltas.items():
            if delta:
                self.db.execute(
                    "INSERT INTO counts VALUES (?, ?) ON CONFLICT (state) DO UPDATE SET n = n + excluded.n",
                    (state, delta),
                )

    def close(self) -> None:
        """Close the connection."""
        self.db.close()


class Page(NamedTuple):
    """Some rows of a query; `last`: it has no more after them."""

    rows: list[Any]
    last: bool


class Pages:
    """The rows of one query, a page at a time: at most `limit` rows, ended by the one that reaches PAGE_BYTES.

    `query` selects one JSON value per row as the text `row`, never null, in an order that its first parameters
    can go on from, and ends in `LIMIT ?`, which is filled in here.

    A page is read to its limit, also where its bytes end it before, so each asks for no more rows than
    the one before says will fit, and for four times as many where those were short.
    """

    def __init__(self, ledger: Ledger, query: str, limit: int) -> None:
        self._ledger, self._limit, self._asked = ledger, limit, limit
        self._query = (
            # not json_group_array: it would parse again what is JSON already, and knows no NaN
            "SELECT '[' || coalesce(group_concat(row, ','), '') || ']', coalesce(max(total), 0) FROM"
            f" (SELECT row, sum(length(row)) OVER (ROWS UNBOUNDED PRECEDING) AS total FROM ({query}))"
            " WHERE total - length(row) < ?"
        )

    def page(self, *arguments: object, limit: int | None = None) -> Page:
        """The page that `arguments` begin; never empty unless nothing is left. `limit`: fewer rows."""
        asked = min(self._asked, limit or self._limit)
        text, size = self._ledger.db.execute(self._query, (*arguments, asked, PAGE_BYTES)).fetchone()
        rows = json.loads(text)
        if rows:
            fitting = PAGE_BYTES * len(rows) // size
            self._asked = max(1, min(self._limit, fitting, 4 * self._asked))
        return Page(rows, len(rows) < asked and size < PAGE_BYTES)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, timeout=30, isolation_level=None, check_same_thread=False)


def connect_to_read(path: Path, mode: str = "ro") -> sqlite3.Connection:
    """A connection that reads, also where nothing may be written. Raises sqlite3.DatabaseError.

    With "rw" for `mode` it writes where it can, if only to clear away what SQLite has beside the file.

    SQLite coordinates readers and writer through files beside the ledger and fails where it cannot make
    them. A ledger without a write-ahead log has no writer and is whole, so then it is read as it lies.
    """
    db = _connect(path, mode)
    try:
        _version(db)
    except sqlite3.OperationalError as error:
        refused = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
        if not refused or not os.access(path, os.R_OK) or _has_log(path):
            raise
        db.close()
        db = _connect(path, "ro&immutable=1")
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _has_log(path: Path) -> bool:
    """Whether commits are in a write-ahead log beside the ledger."""
    real = path.resolve()  # where the path is a link, SQLite keeps its files beside what it leads to
    with suppress(OSError):
        return real.with_name(f"{real.name}-wal").stat().st_size > 0
    return False


def _hindrance(path: Path, *, readonly: bool) -> str | None:
    """What permissions or a read-only disk forbid, None when it is not that. Asked for without opening the
    file: closing it would drop the locks that SQLite holds on it in this process."""
    real = path.resolve()
    if real.is_dir():
        return f"{path} is a folder, not a ledger. Name a file."
    if real.exists() and not os.access(real, os.R_OK):
        return f"{path}: cannot be read (Permission denied). Ask its owner, or read it as that user."
    changed = real if real.exists() else real.parent
    if not readonly and not os.access(changed, os.W_OK):
        return f"{path}: cannot be written ({why_not_written(changed)}). Work as the user who owns it."
    if readonly and _has_log(path) and not os.access(real.parent, os.W_OK):
        return (
            f"{path}: what was last committed lies in a log beside it, which can only be read where files can be "
            f"made ({why_not_written(real.parent)}). Copy the dataset to where you may write, and read the copy."
        )
    return None
