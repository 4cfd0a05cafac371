"""What a crawl did not save because it was a copy: with `--dedup` the ledger knows which sample stands for it.

Held in memory are the uids and list rows of the copies, 41 bytes each; URLs and captions are read from the
ledger when they are asked for.
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
import numpy.typing as npt

from curator.dataset.captions import later_captions, listed_again
from curator.dataset.columns import decode
from curator.dataset.layout import Layout
from curator.dataset.ledger import Ledger, Pages
from curator.dataset.reader import open_to_read
from curator.dataset.store import read_fixed
from curator.errors import CorruptDataset
from curator.hosts import host_of
from curator.reasons import Reason

_CHUNK = 10_000  # rows at once
_STATES = (Reason.SAME_BYTES.code, Reason.NEAR_DUPLICATE.code)
_COPIES = """
    SELECT v.duplicate_of, f.uid, f.link, f.state FROM frontier f JOIN verdicts v ON v.uid = f.uid
    WHERE f.state IN (?, ?) AND length(v.duplicate_of) = 16
"""
_LISTED = """
    SELECT json_array(id, url, data) AS row FROM links
    WHERE id IN (SELECT value FROM json_each(?1)) AND id > ?2 ORDER BY id LIMIT ?
"""
_UID = "S16"  # which compares like the bytes it holds; taken out of an array it would lose zeros at its end


@dataclass(frozen=True, slots=True)
class Found:
    """The m copies of some samples."""

    owner: npt.NDArray[np.int64]  # (m,) whose: the row of what was asked for, ascending
    uid: npt.NDArray[np.uint8]  # (m, 16)
    url: Sequence[str]
    captions: Sequence[Sequence[str]]


class Copies:
    """The copies that the ledger of the dataset at `path` knows when this is made. All of it raises CorruptDataset."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with ledger_told(Layout(path)), closing(open_to_read(path)) as ledger:
            self._columns = read_fixed(ledger)[1]
            counts = ledger.counts()
            rows = (
                ledger.db.execute(_COPIES, _STATES) if any(counts.get(state) for state in _STATES) else None
            )
            pages = list(iter(lambda: rows.fetchmany(_CHUNK), [])) if rows is not None else []
        columns = [_arrays(page) for page in pages] or [_arrays([])]
        original, uid, link, same = (np.concatenate(parts) for parts in zip(*columns, strict=True))
        # the frontier is clustered by uid: a stable sort leaves the copies of one sample in that order
        order = np.argsort(original, kind="stable")
        self._original, self._uid, self._link, self._same = (
            one[order] for one in (original, uid, link, same)
        )

    def __len__(self) -> int:
        """Copies."""
        return len(self._link)

    def of(self, uids: npt.NDArray[np.uint8]) -> Found:
        """The copies of these samples, `uids` of shape (n, 16); those of one sample in the order of uids."""
        asked = np.ascontiguousarray(uids).view(_UID).ravel()
        start = np.searchsorted(self._original, asked, "left")
        count = np.searchsorted(self._original, asked, "right") - start
        owner = np.repeat(np.arange(len(asked)), count)
        rows = np.arange(len(owner)) + np.repeat(start - np.cumsum(count) + count, count)
        told = list(self._told(rows, captions=True))
        return Found(owner, _bytes(self._uid[rows]), [url for url, _ in told], [words for _, words in told])

    def by_host(self, least: int = 1) -> Iterator[tuple[bytes, str, int]]:
        """(uid, host, n): n URLs of the host gave the same bytes as the sample, whose own URL is not counted.

        Of samples with `least` such URLs or more on all hosts together, in the order of uids and hosts.
        """
        rows = np.flatnonzero(self._same)
        _, counts = np.unique(self._original[rows], return_counts=True)
        rows = rows[np.repeat(counts >= least, counts)]
        hosts = (host_of(url) for url, _ in self._told(rows, captions=False))
        originals = (bytes(one) for one in _bytes(self._original[rows]))
        for uid, group in groupby(zip(originals, hosts, strict=True), key=itemgetter(0)):
            yield from ((uid, host, n) for host, n in sorted(Counter(host for _, host in group).items()))

    def _told(self, rows: npt.NDArray[np.int64], *, captions: bool) -> Iterator[tuple[str, list[str]]]:
        """URL and captions of these copies."""
        with ledger_told(Layout(self._path)), closing(open_to_read(self._path)) as ledger:
            captions = captions and self._columns.has_caption
            again = captions and listed_again(ledger)
            for at in range(0, len(rows), _CHUNK):
                some = rows[at : at + _CHUNK]
                listed = _listed(ledger, self._link[some].tolist())
                uids = [bytes(one) for one in _bytes(self._uid[some])]
                later = later_captions(ledger, uids) if again else {}
                for uid, link in zip(uids, self._link[some].tolist(), strict=True):
                    url, data = listed[link]
                    own = [decode(data, self._columns.schema)[0]] if captions else []
                    yield url, list(dict.fromkeys(str(one) for one in (*own, *later.get(uid, ())) if one))


@contextmanager
def ledger_told(layout: Layout) -> Iterator[None]:
    """Raise CorruptDataset where the ledger of a dataset cannot be read."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise CorruptDataset(
            f"{layout.ledger}: cannot be read ({error}). Restore it from a backup; `curate verify` tells more."
        ) from error


def _arrays(page: Sequence[tuple[bytes, bytes, int, int]]) -> tuple[npt.NDArray[np.generic], ...]:
    original, uid, link, state = zip(*page, strict=True) if page else ((), (), (), ())
    return (
        np.frombuffer(b"".join(original), _UID),
        np.frombuffer(b"".join(uid), _UID),
        np.array(link, np.int64),
        np.array(state, np.int64) == Reason.SAME_BYTES.code,
    )


def _bytes(uids: npt.NDArray[np.generic]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(uids).view(np.uint8).reshape(-1, 16)


def _listed(ledger: Ledger, links: Sequence[int]) -> dict[int, tuple[str, str | None]]:
    """URL and data of these links, by link."""
    pages, asked = Pages(ledger, _LISTED, _CHUNK), json.dumps(links)
    found: dict[int, tuple[str, str | None]] = {}
    after, last = 0, False
    while not last:
        rows, last = pages.page(asked, after)
        found |= {link: (url, data) for link, url, data in rows}
        after = rows[-1][0] if rows else after
    return found
