"""Holding what lies in a source now against what is remembered of it: what is to be measured, what is gone."""

import json
import sqlite3
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from curator.measure import MeasureSettings
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from curator.sources.fields import count_kinds, parsed, valid
from curator.sources.items import Item, ShardEnd, Version, item_uid, shown
from curator.sources.measures import MeasureStore, pack

_Place = tuple[str, str]  # path and key as they are kept
_IMAGE = f"({','.join('?' * 22)})"
# Whether a row no longer holds: hash kind, pixels and bytes allowed now; pixels and bytes once more.
_STALE = f"""CASE reason
    WHEN 0 THEN hash_kind <> ? OR pixels > ? OR bytes > ?
    WHEN {Reason.TOO_MANY_PIXELS.code} THEN allowed < ?
    WHEN {Reason.TOO_MANY_BYTES.code} THEN allowed < ?
    ELSE reason IN ({Reason.UNREADABLE.code}, {Reason.DECODER_CRASH.code}) END"""
_CHUNK = 1_000  # rows a statement handles: three values each stay below SQLite's 32,766
_SWEPT = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What decides whether a row still holds."""

    measuring: MeasureSettings
    max_bytes: int

    def allowed(self, reason: Reason) -> int | None:
        """The limit that an image refused for this Reason went over."""
        of = {Reason.TOO_MANY_PIXELS: self.measuring.max_pixels, Reason.TOO_MANY_BYTES: self.max_bytes}
        return of.get(reason)

    @property
    def for_stale(self) -> tuple[str | int, ...]:
        """The values for `_STALE`."""
        pixels, size = self.measuring.max_pixels, self.max_bytes
        return self.measuring.hash_kind, pixels, size, pixels, size


@dataclass(frozen=True, slots=True)
class Looked:
    """An image and what came of measuring it."""

    item: Item
    found: Measures | Unmeasured


class Visit:
    """One listing of the source `label`, held against the store.

    `passed`: images in shards that were passed over.
    """

    def __init__(self, store: MeasureStore, label: str, limits: Limits) -> None:
        self.label, self.limits, self.passed = label, limits, 0
        self._store, self._source = store, store.source(label)
        self._met = array(
            "q"
        )  # hashes of places; not uids: a file in a folder may have that of a sample in a tar before
        self._met_whole: dict[str, dict[str, int]] = {}  # shards, and what they hold besides

    def known(self, path: str, version: Version) -> bool:
        """Whether the shard is as it was and nothing in it is to be measured: it need not be opened."""
        with self._store.using() as db:
            row = db.execute(
                f"""SELECT passed_over, images, (SELECT count(*) FROM images i
                    WHERE i.source = s.source AND i.path = s.path AND i.size = s.size
                    AND i.mtime_ns = s.mtime_ns AND NOT gone AND NOT {_STALE})
                FROM shards s WHERE source = ? AND path = ? AND size = ? AND mtime_ns = ?""",  # noqa: S608
                (*self.limits.for_stale, self._source, shown(path), *version),
            ).fetchone()
        if row is None or row[1] != row[2]:
            return False
        self._met_whole[shown(path)] = json.loads(row[0])
        self.passed += row[1]
        return True

    def ended(self, shard: ShardEnd) -> Mapping[str, int]:
        """A shard was listed to its end, or is known: what it holds besides images."""
        if (before := self._met_whole.get(shown(shard.path))) is not None:
            return before
        with self._store.using() as db:
            values = (
                self._source,
                shown(shard.path),
                *shard.version,
                shard.items,
                json.dumps(shard.passed_over),
            )
            db.execute("INSERT OR REPLACE INTO shards VALUES (?, ?, ?, ?, ?, ?)", values)
        return shard.passed_over

    def to_measure(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items met that are new, changed, or no longer hold; the others count as met."""
        wanted: list[Item] = []
        for start in range(0, len(items), _CHUNK):
            wanted += self._to_measure(items[start : start + _CHUNK])
        return wanted

    def save(self, looked: Sequence[Looked]) -> None:
        """Remember these, all of them in one transaction."""
        with self._store.using() as db:
            for start in range(0, len(looked), _CHUNK):
                some = looked[start : start + _CHUNK]
                rows = [self._row(one) for one in some]
                fields = {_place(one.item): one.item.data for one in some}
                before = [one.data for one in self._found(db, list(fields)) if not one.gone]
                self._count(db, before, list(fields.values()))
                marks = ",".join([_IMAGE] * len(rows))
                db.execute(f"INSERT OR REPLACE INTO images VALUES {marks}", [*chain.from_iterable(rows)])  # noqa: S608

    def end(self) -> None:
        """The listing was complete: what was not met is gone."""
        met, after = np.sort(np.array(self._met, np.int64)), ("", "")
        while page := self._present(after):
            hashes = np.array([hash(place) for place in page])
            at = np.minimum(np.searchsorted(met, hashes), max(len(met) - 1, 0))
            missing = met[at] != hashes if len(met) else np.ones(len(hashes), np.bool_)
            gone = [page[row] for row in np.flatnonzero(missing) if page[row][0] not in self._met_whole]
            for start in range(0, len(gone), _CHUNK):
                with self._store.using() as db:
                    self._set_gone(db, gone[start : start + _CHUNK])
            after = page[-1]

    def _to_measure(self, items: Sequence[Item]) -> list[Item]:
        places = [_place(item) for item in items]
        self._met.extend(hash(place) for place in places)
        with self._store.using() as db:
            found = {one.place: one for one in self._found(db, places)}
            wanted, told = [], []
            for place, item in zip(places, items, strict=True):
                known = found.get(place)
                if known is None or known.stale or known.version != item.version:
                    wanted.append(item)
                elif known.gone or (known.data != item.data and known.data != _kept(item.data)):
                    told.append((known, _kept(item.data)))
            if told:
                self._tell(db, told)
        return wanted

    def _found(self, db: sqlite3.Connection, places: Sequence[_Place]) -> list["_Known"]:
        marks = ",".join(["(?,?)"] * len(places))
        rows = db.execute(
            f"""WITH asked(path, key) AS (VALUES {marks})
            SELECT i.path, i.key, size, mtime_ns, gone, data, {_STALE} FROM asked CROSS JOIN images i
            ON i.source = ? AND i.path = asked.path AND i.key = asked.key""",  # noqa: S608
            (*chain.from_iterable(places), *self.limits.for_stale, self._source),
        )
        return [_Known((path, key), (size, mtime), *rest) for path, key, size, mtime, *rest in rows]

    def _tell(self, db: sqlite3.Connection, told: Sequence[tuple["_Known", str | None]]) -> None:
        """These are there again, or their samples have other fields now."""
        self._count(db, [known.data for known, _ in told if not known.gone], [data for _, data in told])
        db.executemany(
            "UPDATE images SET gone = 0, data = ? WHERE source = ? AND path = ? AND key = ?",
            [(data, self._source, *known.place) for known, data in told],
        )

    def _present(self, after: _Place) -> list[_Place]:
        with self._store.using() as db:
            return db.execute(
                "SELECT path, key FROM images WHERE source = ? AND (path, key) > (?, ?) AND NOT gone"
                " ORDER BY path, key LIMIT ?",
                (self._source, *after, _SWEPT),
            ).fetchall()

    def _set_gone(self, db: sqlite3.Connection, places: Sequence[_Place]) -> None:
        self._count(db, [one.data for one in self._found(db, places)], [])
        db.executemany(
            "UPDATE images SET gone = 1 WHERE source = ? AND path = ? AND key = ?",
            [(self._source, *place) for place in places],
        )

    def _count(
        self, db: sqlite3.Connection, before: Sequence[str | None], after: Sequence[str | None]
    ) -> None:
        """Keep the numbers of fields, where images that had `before` now have `after`."""
        counts = count_kinds(map(parsed, after))
        counts.subtract(count_kinds(map(parsed, before)))
        db.executemany(
            "INSERT INTO fields VALUES (?, ?, ?, ?)"
            " ON CONFLICT (source, name, kind) DO UPDATE SET images = images + excluded.images",
            [(self._source, name, kind, n) for (name, kind), n in counts.items() if n],
        )

    def _row(self, looked: Looked) -> tuple[object, ...]:
        item, found, place = looked.item, looked.found, looked.item.place
        return (
            *(self._source, *_place(item)),
            *(item_uid(self.label, item.path, item.key), 0, *item.version),
            *(place.offset, place.length, place.row, valid(place.column)),
            *(_measured(found) if isinstance(found, Measures) else self._unmeasured(found)),
            _kept(item.data),
        )

    def _unmeasured(self, found: Unmeasured) -> tuple[object, ...]:
        reason = found.reason
        return reason.code, valid(found.detail), self.limits.allowed(reason), *[None] * 7


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of an image, as far as listing asks."""

    place: _Place
    version: Version
    gone: int
    data: str | None
    stale: int


def _measured(found: Measures) -> tuple[object, ...]:
    text = (found.format, found.mode, found.hash_kind, pack(found), valid(found.exif))
    return 0, "", None, found.width * found.height, found.bytes, *text


def _place(item: Item) -> _Place:
    return shown(item.path), shown(item.key or "")


def _kept(data: str | None) -> str | None:
    """The fields as they are kept: nothing where there are none."""
    return valid(data) if data and parsed(data) else None
