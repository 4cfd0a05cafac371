"""Drawing links from the ledger: short SELECTs in uid order past a cursor, on a connection of their own.

A cursor kept open would hold a snapshot and stop WAL checkpoints, so every page is a statement of its
own. Used by one thread at a time.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from curator.dataset.ledger import PENDING, WAITING, Ledger, Page, Pages
from curator.dataset.records import Drawn
from curator.reasons import TRANSIENT, Reason

PAGE = 5_000
MOST_ATTEMPTS = 5  # charged in all: after these, only a retry that names the Reason tries again
LONGEST_WAIT = 3_660.0  # seconds: a retry that seems to wait longer was noted by a clock that ran ahead
LAST = b"\xff" * 16  # no uid is beyond it
_GLANCE = 100  # links that show whether most before them were decided: a tenth of them is left at most
_PARTS = 1 << 24  # of all uids, so that one is a link or a few where there are hundreds of millions
_DRAWN = (
    "SELECT json_array(hex(f.uid), f.link, l.url, coalesce(f.attempts, 0),"
    " CASE WHEN f.run = ?1 THEN f.tries ELSE 0 END) AS row"
)


class Links(NamedTuple):
    """A page of links, at most PAGE; `last`: there are no more after them."""

    drawn: list[Drawn]
    last: bool


class Draw:
    """What is still to be fetched in one run.

    `again`: codes of Reasons of older runs that this run tries again, passing over links with
    `most_attempts` or more charged in all (None: over none). `last`: the highest uid to draw (16 bytes), for a sample.
    """

    def __init__(
        self,
        path: Path,
        run: int,
        again: Sequence[int] = (),
        most_attempts: int | None = MOST_ATTEMPTS,
        last: bytes = LAST,
    ) -> None:
        self._ledger = Ledger(path, readonly=True)
        self._run, self._last = run, last
        self._wanted = f"(f.state = {PENDING}"
        if again:
            codes = ",".join(str(int(code)) for code in again)
            few = "" if most_attempts is None else f" AND coalesce(f.attempts, 0) < {int(most_attempts)}"
            self._wanted += f" OR (f.state IN ({codes}) AND f.run < {int(run)}{few})"
        self._wanted += ")"
        drawn = f"{_DRAWN} FROM frontier f JOIN links l ON l.id = f.link"
        self._pages = Pages(
            self._ledger,
            f"{drawn} WHERE f.uid > ?2 AND f.uid <= ?3 AND {self._wanted} ORDER BY f.uid LIMIT ?",
            PAGE,
        )
        self._due_pages = Pages(
            self._ledger,
            f"{drawn} WHERE f.state = {WAITING} AND (f.due <= ?2 OR f.due >= ?2 + {LONGEST_WAIT})"
            " AND f.uid <= ?3 ORDER BY f.due LIMIT ?",
            PAGE,
        )

    def start(self) -> bytes:
        """Where a pass best begins: a uid below which nearly everything was decided; b"" where there is none.

        Found by halving. The frontier of a crawl that was interrupted near its end begins with hundreds of MB, read
        from a cold disk, in which there is hardly a link to draw.
        """
        low, high = 0, _PARTS
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._decided_at(_first_uid(middle)) else (low, middle)
        return _first_uid(low) if low and high < _PARTS else b""

    def page(self, after: bytes) -> Links:
        """The next links past `after` in uid order (b"" begins a pass)."""
        return _links(self._pages.page(self._run, after, self._last))

    def due(self, now: float) -> Links:
        """Waiting retries whose time has come, oldest first."""
        return _links(self._due_pages.page(self._run, now, self._last))

    def next_due(self, after: float = -1.0) -> float | None:
        """When the first retry waiting beyond `after` is due (epoch seconds), None when none waits."""
        found: float | None = self._ledger.db.execute(
            f"SELECT min(due) FROM frontier WHERE state = {WAITING} AND due > ? AND uid <= ?",
            (after, self._last),
        ).fetchone()[0]
        return found

    def waiting(self) -> int:
        """How many retries wait."""
        found: int = self._ledger.db.execute(
            f"SELECT count(*) FROM frontier WHERE state = {WAITING} AND uid <= ?", (self._last,)
        ).fetchone()[0]
        return found

    def left(self) -> int:
        """How many links this run has still to decide, waiting retries included."""
        found: int = self._ledger.db.execute(
            f"SELECT count(*) FROM frontier f WHERE f.uid <= ? AND ({self._wanted} OR f.state = {WAITING})",
            (self._last,),
        ).fetchone()[0]
        return found

    def close(self) -> None:
        """Close the connection."""
        self._ledger.close()

    def _decided_at(self, uid: bytes) -> bool:
        following = "SELECT * FROM frontier WHERE uid > ? AND uid <= ? ORDER BY uid LIMIT ?"
        left: int = self._ledger.db.execute(
            f"SELECT count(*) FROM ({following}) f WHERE {self._wanted}", (uid, self._last, _GLANCE)
        ).fetchone()[0]
        return left <= _GLANCE // 10


def _first_uid(part: int) -> bytes:
    return (part * ((1 << 128) // _PARTS)).to_bytes(16, "big")


def _links(page: Page) -> Links:
    drawn = [
        Drawn(bytes.fromhex(uid), link, url, attempts, tries) for uid, link, url, attempts, tries in page.rows
    ]
    return Links(drawn, page.last)


def retryable(ledger: Ledger) -> int:
    """How many failures a new run tries again by itself: transient ones with attempts left."""
    codes = ",".join(str(reason.code) for reason in TRANSIENT)
    found: int = ledger.db.execute(
        f"SELECT count(*) FROM frontier WHERE state IN ({codes}) AND attempts < {MOST_ATTEMPTS}"
    ).fetchone()[0]
    return found


def some_saved(ledger: Ledger) -> list[str]:
    """URLs of images that were saved: a few of those whose hosts are asked whether the network works."""
    first = "SELECT link, state FROM frontier LIMIT 10000"  # so that it takes no time where few are saved
    query = f"SELECT l.url FROM ({first}) f JOIN links l ON l.id = f.link WHERE f.state = ? LIMIT 32"
    return [url for (url,) in ledger.db.execute(query, (Reason.SAVED.code,))]


def lowest(ledger: Ledger, n: int) -> bytes:
    """The uid that ends the `n` lowest: a uniform sample of the list is all up to it."""
    row = ledger.db.execute("SELECT uid FROM frontier ORDER BY uid LIMIT 1 OFFSET ?", (n - 1,)).fetchone()
    return bytes(row[0]) if row else LAST
