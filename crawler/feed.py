"""Reading lists into the ledger beside the crawl: a thread hands slices to the writer, which sets the pace."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from crawler.lists import Lists
from curator.dataset.ingest import Rows
from curator.dataset.writer import Writer
from curator.errors import UsageError


@dataclass(frozen=True, slots=True)
class Unread:
    """One list that has still to be read: its id in the ledger, its place in `lists`, the row to begin at."""

    source: int
    lists: Lists
    index: int
    from_row: int


class Feed(threading.Thread):
    """Reads `unread` in order. `on_read` or, when a list fails, `on_failure` is called from its thread."""

    def __init__(
        self,
        unread: Sequence[Unread],
        writer: Writer,
        *,
        on_read: Callable[[], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        super().__init__(name="feed", daemon=True)  # a list from a pipe may block for ever
        self._unread, self._writer = unread, writer
        self._on_read, self._on_failure = on_read, on_failure
        self.broken_off: list[str] = []  # lists that could not be read to their end, and why

    def run(self) -> None:
        """Read every list to its end, or until the writer takes no more."""
        try:
            for one in self._unread:
                try:
                    if not self._read(one):
                        return
                except UsageError as error:  # what was read of it is crawled all the same
                    self.broken_off.append(str(error))
        except BaseException as error:  # noqa: BLE001 - the thread's boundary: handed to the crawl, which raises it
            self._on_failure(error)
        else:
            self._on_read()

    def _read(self, one: Unread) -> bool:
        next_row = one.from_row
        for batch in one.lists.read(one.index, one.from_row):
            next_row = batch.next_row
            bad = [(row.row, row.detail) for row in batch.bad]
            rows = Rows(
                one.source, batch.urls, batch.rows, batch.data, bad, batch.misfits, next_row, last=False
            )
            if not self._writer.feed(rows):
                return False
        return self._writer.feed(Rows(one.source, [], [], [], [], 0, next_row, last=True))
