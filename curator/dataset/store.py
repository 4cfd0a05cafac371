"""Opening a dataset for writing: the lock, what was fixed when it was made, recovery, and its runs."""

import base64
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator.dataset.layout import Layout, sync_folder
from curator.dataset.ledger import Ledger
from curator.dataset.lock import WriterLock
from curator.dataset.place import (
    check_free,
    check_ledger_is_there,
    check_local,
    check_shard_files,
    check_unused,
    claim,
    make_private,
    prepare_elsewhere,
)
from curator.dataset.rows import Columns
from curator.dataset.sealing import finish_interrupted
from curator.dataset.space import why_not_written
from curator.errors import CorruptDataset, UsageError
from curator.fixed import Fixed


@dataclass(frozen=True, slots=True)
class Run:
    """One run over a dataset; an interrupted one is continued under its own id."""

    id: int
    retry: tuple[str, ...]  # Reasons of older runs that it tries again
    continued: bool


@dataclass(frozen=True, slots=True)
class KnownSource:
    """One list the ledger knows, and how far it was read."""

    id: int
    path: str  # absolute, or "-"
    size: int  # this and the next are 0 for a stream, which can be read once
    mtime_ns: int
    next_row: int
    done: bool


class Store:
    """A dataset opened by its one writer. Close it to let the next writer in."""

    def __init__(
        self, layout: Layout, lock: WriterLock, ledger: Ledger, fixed: Fixed, columns: Columns
    ) -> None:
        self.layout, self.ledger, self.fixed, self.columns = layout, ledger, fixed, columns
        self._lock = lock

    def settings(self) -> dict[str, Any]:
        """The crawl's stored settings, empty for a new dataset."""
        return dict(self.ledger.meta("settings") or {})

    def begin_run(self, retry: tuple[str, ...], settings: Mapping[str, object]) -> Run:
        """Continue the run that was interrupted, else start one (its first in a dataset retries nothing)."""
        row = self.ledger.db.execute(
            "SELECT id, finished, retry FROM runs ORDER BY id DESC LIMIT 1"
        ).fetchone()
        with self.ledger.transaction() as db:
            self.ledger.set_meta("settings", dict(settings))
            if row and not row[1]:
                return Run(row[0], tuple(json.loads(row[2])), continued=True)
            retry = retry if row else ()
            db.execute(
                "INSERT INTO runs (started, retry, settings) VALUES (?, ?, ?)",
                (time.time(), json.dumps(retry), json.dumps(dict(settings))),
            )
            run = db.execute("SELECT max(id) FROM runs").fetchone()[0]
        return Run(run, retry, continued=False)

    def end_run(self, run: int, *, finished: bool, seconds: float) -> None:
        """Note how a run ended; `seconds` it was at work are added up over its continuations."""
        with self.ledger.transaction() as db:
            db.execute(
                "UPDATE runs SET ended = ?, finished = ?, seconds = seconds + ? WHERE id = ?",
                (time.time(), finished, seconds, run),
            )

    def add_source(self, path: str, size: int, mtime_ns: int) -> KnownSource:
        """The list as the ledger knows it; a new one, or one that changed since, is to be read from its start.

        URLs that are known are passed over then.
        """
        known = "path = ? AND size = ? AND mtime_ns = ? AND (size <> 0 OR mtime_ns <> 0)"  # no stream
        found = self._sources(known, path, size, mtime_ns)
        if found:
            return found[-1]
        with self.ledger.transaction() as db:
            source = db.execute(
                "INSERT INTO sources (path, size, mtime_ns, next_row) VALUES (?, ?, ?, 0) RETURNING id",
                (path, size, mtime_ns),
            ).fetchone()[0]
        return KnownSource(source, path, size, mtime_ns, 0, False)

    def unread_sources(self) -> list[KnownSource]:
        """Lists that were not read to their end, unless a later one under the same path was."""
        return self._sources(
            "NOT done AND NOT EXISTS (SELECT 1 FROM sources l WHERE l.path = s.path AND l.id > s.id)"
        )

    def _sources(self, condition: str, *arguments: object) -> list[KnownSource]:
        rows = self.ledger.db.execute(
            f"SELECT id, path, size, mtime_ns, next_row, done FROM sources s WHERE {condition} ORDER BY id",
            arguments,
        )
        return [KnownSource(*row) for row in rows]

    def close(self) -> None:
        """Close the ledger and let go of the lock."""
        self.ledger.close()
        self._lock.close()


def is_dataset(root: Path) -> bool:
    """Whether `root` holds a dataset of ours. Raises UsageError where that cannot be seen."""
    try:
        return Layout(root).ledger.is_file()
    except PermissionError as error:
        raise UsageError(f"{root}: cannot be read ({error.strerror}).") from error


def open_store(
    root: Path, fixed: Mapping[str, object], schema: pa.Schema | None, ledger_path: Path | None = None
) -> Store:
    """Open the dataset at `root`, or make it; `fixed` holds the settings the user named.

    `schema`: the input columns of the lists at hand, None where no list is given. Finishes sealing
    that a kill cut short.

    Raises UsageError for a folder that cannot be, or is not, a dataset of ours, for one that another
    process is writing, and for settings or columns that differ from those it was made with;
    CorruptDataset for one whose ledger and files are not of one dataset. Nothing is changed then.
    """
    layout = Layout(root)
    new = not is_dataset(root)
    check_ledger_is_there(root)
    if ledger_path is not None:
        prepare_elsewhere(layout, ledger_path)
    _make_folder(layout, new=new)
    lock = WriterLock(layout.lock)
    try:
        ledger = _open_ledger(layout, ledger_path)
        try:
            check_shard_files(layout, ledger)
            claim(layout, ledger)
            kept, columns = _fix(ledger, fixed, schema)
            finish_interrupted(ledger, layout, columns)
        except BaseException:
            ledger.close()
            raise
    except BaseException:
        lock.close()
        raise
    return Store(layout, lock, ledger, kept, columns)


def is_made(ledger: Ledger) -> bool:
    """Whether the ledger is a dataset's; not so when its making was cut short, or it was emptied."""
    return ledger.version != 0 and ledger.meta("fixed") is not None


def read_fixed(ledger: Ledger) -> tuple[Fixed, Columns]:
    """What was fixed when the dataset was made. Raises CorruptDataset."""
    stored, columns = ledger.meta("fixed"), ledger.meta("columns")
    try:
        schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(columns)))
        fixed = Fixed(**stored)
        fixed.encoding()
        return fixed, Columns(schema)
    except (TypeError, ValueError, OSError, pa.ArrowException, UsageError) as error:
        raise CorruptDataset(
            f"{ledger.path}: what was fixed for the dataset is damaged ({error}). Restore it from a backup."
        ) from error


def _make_folder(layout: Layout, *, new: bool) -> None:
    root, hindrance = layout.root, None
    try:
        if new:
            check_free(layout)
        layout.images.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK | os.X_OK):
            hindrance = why_not_written(root)
        sync_folder(root)
    except OSError as error:
        hindrance = error.strerror
    if hindrance is not None:
        raise UsageError(f"{root}: cannot be written ({hindrance}). Name another folder with --out.")


def _open_ledger(layout: Layout, elsewhere: Path | None) -> Ledger:
    """Open or make the ledger; one kept elsewhere is reached through a symbolic link."""
    if elsewhere is not None and not os.path.lexists(layout.ledger):
        layout.ledger.symlink_to(elsewhere.absolute())
    place = layout.ledger.resolve()
    check_local(place)
    make_private(place)
    ledger = Ledger(place)
    try:
        if not is_made(ledger):
            check_unused(layout)
        if ledger.version == 0:
            ledger.create()
    except BaseException:
        ledger.close()
        raise
    return ledger


def _fix(ledger: Ledger, given: Mapping[str, object], schema: pa.Schema | None) -> tuple[Fixed, Columns]:
    """Fix settings and columns of a new dataset, or hold the given ones against those it was made with."""
    stored = ledger.meta("fixed")
    if stored is None:
        fixed = Fixed(**given)  # type: ignore[arg-type] # the command's options carry these types
        columns = Columns(schema if schema is not None else pa.schema([]))
        with ledger.transaction():
            ledger.set_meta("fixed", asdict(fixed))
            ledger.set_meta("columns", base64.b64encode(columns.schema.serialize()).decode())
        return fixed, columns
    fixed, columns = read_fixed(ledger)
    for field in fields(Fixed):
        if field.name in given and given[field.name] != getattr(fixed, field.name):
            flag, made_with = f"--{field.name.replace('_', '-')}", getattr(fixed, field.name)
            made = f"with {flag} {made_with}, not {given[field.name]}" if made_with else f"without {flag}"
            raise UsageError(
                f"This dataset was made {made}: that is fixed. "
                f"Leave {flag} away, or crawl into another folder with --out."
            )
    strangers = [name for name in (schema.names if schema else []) if name not in columns.schema.names]
    if strangers:
        raise UsageError(
            f"The list has columns ({', '.join(strangers)}) that this dataset was made without. "
            f"Leave it out with --drop-columns {','.join(strangers)}, or crawl into another folder with --out."
        )
    return fixed, columns
