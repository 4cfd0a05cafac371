"""Before a crawl: its settings, its dataset, its run, and which lists have still to be read.

Everything that a user may have got wrong is looked at before anything is touched.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from crawler.feed import Unread
from crawler.limits import allow_sockets
from crawler.lists import ListOptions, Lists, open_lists
from crawler.settings import Settings, fixed_of, merge
from curator.dataset.card import write_card
from curator.dataset.layout import Layout
from curator.dataset.ledger import Ledger
from curator.dataset.place import check_ledger_is_there, check_unused
from curator.dataset.space import full_disk_told
from curator.dataset.store import Run, Store, is_dataset, is_made, open_store, read_fixed
from curator.errors import UsageError


@dataclass(frozen=True, slots=True)
class Opened:
    """A dataset ready to be crawled into. Close `store` when done."""

    store: Store
    settings: Settings
    run: Run
    unread: tuple[Unread, ...]
    described: str  # what was guessed of the lists, "" without any
    broken_off: tuple[str, ...]  # lists known only in part that cannot be read on, and where they stopped


def open_crawl(
    lists: Sequence[str], out: Path, given: Mapping[str, Any], *, ledger_path: Path | None = None
) -> Opened:
    """Open or make the dataset at `out` for crawling `lists` (none: continue with those it knows).

    `given`: settings named now; they override stored ones. Raises UsageError, with nothing touched, and
    DiskFull.
    """
    with full_disk_told(out):
        return _open(lists, out, given, ledger_path)


def _open(lists: Sequence[str], out: Path, given: Mapping[str, Any], ledger_path: Path | None) -> Opened:
    schema, stored, begun = _known(out)
    check_ledger_is_there(out)
    if not begun and not lists:
        raise UsageError(
            f"{out} was never begun: its first crawl was stopped at once. Run the same command again."
            if is_dataset(out)
            else f"{out} is not a dataset. To make one: crawl urls.txt --out {out}"
        )
    settings = merge(stored, given)
    if "radius" in given and settings.dedup != "phash":
        raise UsageError("--radius is of near copies, so it needs --dedup phash.")
    allow_sockets(settings.concurrency)
    settings.tls()
    options = _options(settings)
    opened = open_lists(lists, options, schema) if lists else None
    # Sizes and rules are fixed with the dataset: a stored value is no flag that the user gave now.
    store = open_store(
        out, fixed_of(given), opened.schema if opened and schema is None else None, ledger_path
    )
    try:
        with store.ledger.transaction():  # lists and run together: a run knows all the lists it was given
            unread = list(_to_read(store, opened) if opened else ())
            run = store.begin_run(settings.retried(), settings.stored())
        if not store.layout.card.exists():
            write_card(store.layout, store.columns, store.fixed.encoding())
        broken_off: list[str] = []
        _read_on(store, options, {one.source for one in unread}, unread, broken_off)
    except BaseException:
        store.close()
        raise
    described = opened.described if opened else ""
    return Opened(store, settings, run, tuple(unread), described, tuple(broken_off))


def _known(out: Path) -> tuple[pa.Schema | None, dict[str, Any], bool]:
    """Columns and stored settings of the dataset at `out`, and whether a run was begun; None, {} where is none."""
    if not is_dataset(out):
        return None, {}, False
    ledger = Ledger(Layout(out).ledger, readonly=True)
    try:
        if not is_made(ledger):  # killed while it was being made
            check_unused(Layout(out))
            return None, {}, False
        fixed, columns = read_fixed(ledger)
        stored = dict(ledger.meta("settings") or {})
        begun = ledger.db.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None
    finally:
        ledger.close()
    return columns.schema, {**stored, **{name: getattr(fixed, name) for name in fixed.__slots__}}, begun


def _options(settings: Settings) -> ListOptions:
    return ListOptions(
        url_col=settings.url_col or None,
        caption_col=settings.caption_col or None,
        drop_columns=settings.drop_columns,
        input_format=settings.input_format or None,
    )


def _to_read(store: Store, lists: Lists) -> list[Unread]:
    """The lists given now that were not read to their end before."""
    unread: list[Unread] = []
    for index, source in enumerate(lists.sources):
        known = store.add_source(source.path, source.size, source.mtime_ns)
        if not known.done and all(known.id != one.source for one in unread):  # it may be named twice
            unread.append(Unread(known.id, lists, index, known.next_row))
    return unread


def _read_on(
    store: Store, options: ListOptions, given: set[int], unread: list[Unread], broken_off: list[str]
) -> None:
    """Lists that an earlier run began and did not finish: read on where that can be done, else say so."""
    for source in store.unread_sources():
        if source.id in given:
            continue
        where = f"{source.path}: stopped at row {source.next_row:,}"
        if not source.size and not source.mtime_ns:
            stream = "standard input" if source.path == "-" else f"the pipe {source.path}"
            broken_off.append(f"{stream}: stopped at row {source.next_row:,}; pipe the list in again")
            continue
        try:
            lists = open_lists([source.path], options, store.columns.schema)
        except UsageError as error:
            broken_off.append(f"{where}, and cannot be read now ({error})")
            continue
        found = lists.sources[0]
        if (found.size, found.mtime_ns) != (source.size, source.mtime_ns):
            broken_off.append(f"{where}, and has changed since; name it again to read all of it")
            continue
        unread.append(Unread(source.id, lists, 0, source.next_row))
