"""One commit: append the batch to the open shard, sync it, then one transaction with verdicts and length.

The order is the promise. A kill before the transaction leaves bytes beyond the committed length, cut
on the next start; a kill after it leaves nothing to do. Verdicts commit in the order they were judged.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from curator.dataset.captions import later_captions, listed_again
from curator.dataset.layout import Layout, sample_key
from curator.dataset.ledger import WAITING, Ledger, Pages
from curator.dataset.records import Event, Postponed, Verdict
from curator.dataset.rows import Columns, Listed, sample_row, texts
from curator.dataset.sealing import Remembered, begin_sealing, finish_sealing
from curator.dataset.shards import BLOCK, Member, OpenShard


@dataclass(frozen=True, slots=True)
class ShardLimits:
    """When a shard is full: samples or bytes, whichever comes first."""

    samples: int
    bytes: int


class _Sample(NamedTuple):
    verdict: Verdict
    place: tuple[int, int]  # its shard, and its index there
    row: dict[str, Any]
    text: str  # of the row
    members: tuple[Member, ...]


class Committer:
    """Turns judged events into durable ones, one shard after another. Used by one thread at a time."""

    def __init__(
        self, ledger: Ledger, layout: Layout, limits: ShardLimits, columns: Columns, extension: str, run: int
    ) -> None:
        self._ledger, self._layout, self._limits, self._columns = ledger, layout, limits, columns
        self._extension, self._run = extension, run
        found = ledger.db.execute("SELECT id, length, samples FROM shards WHERE state = 'open'").fetchone()
        self.done = 0  # events of the last batch that are durable
        self._shard: OpenShard | None = OpenShard(layout, *found) if found else None
        self._remembered = Remembered(columns)  # of a shard that was found open it misses rows
        self._listed_again = listed_again(ledger)

    def commit(self, events: Sequence[Event]) -> None:
        """Make `events` durable, in order.

        Raises OSError or sqlite3.Error (a full disk among them) with the open shard cut back; the first
        `done` events are durable then, the others are as if they had never come.
        """
        self.done = 0
        saved = [event for event in events if isinstance(event, Verdict) and event.image is not None]
        listed = self._listed(saved)
        while self.done < len(events):
            self._commit_into_shard(events, listed)

    def seal(self) -> None:
        """Seal the open shard, if it holds anything."""
        if self._shard is None or self._shard.samples == 0:
            return
        shard, self._shard = self._shard, None
        shard.close()
        begin_sealing(self._ledger, shard.id)
        remembered, self._remembered = self._remembered, Remembered(self._columns)
        finish_sealing(self._ledger, self._layout, self._columns, shard.id, remembered)

    def close(self) -> None:
        """Close the open shard's file, leaving it open to be continued."""
        if self._shard is not None:
            self._shard.close()
            self._shard = None

    def _commit_into_shard(self, events: Sequence[Event], listed: dict[bytes, Listed]) -> None:
        """Commit the events that are not `done` until the shard is full."""
        samples, end = self._fitting(events, listed)
        shard, length = self._shard, 0
        try:
            if shard is not None:
                length = shard.append([member for sample in samples for member in sample.members])
            with self._ledger.transaction():
                self._record(events[self.done : end], samples, length)
        except BaseException:
            if shard is not None:
                shard.take_back()
            raise
        self.done = end
        if shard is None:
            return
        shard.committed(length, shard.samples + len(samples))
        self._remembered.add([one.row for one in samples], sum(len(one.text) for one in samples))
        if shard.samples >= self._limits.samples or end < len(events):
            self.seal()

    def _fitting(self, events: Sequence[Event], listed: dict[bytes, Listed]) -> tuple[list[_Sample], int]:
        """The samples of those events that are not `done` and fit the shard, and where these events end.

        A shard is opened for an image only: a crawl that saves nothing leaves no file.
        """
        samples: list[_Sample] = []
        length, end = 0, self.done  # bytes that are new
        while end < len(events):
            event = events[end]
            if isinstance(event, Verdict) and event.image is not None:
                shard = self._open_shard()
                place = shard.id, shard.samples + len(samples)
                sample = self._sample(place, shard.length + length, event, listed[event.uid])
                room = sum(member.room for member in sample.members)
                if place[1] and shard.length + length + room > self._limits.bytes:
                    break
                samples.append(sample)
                length += room
                if place[1] + 1 >= self._limits.samples:
                    return samples, end + 1
            end += 1
        return samples, end

    def _record(self, events: Sequence[Event], samples: Sequence[_Sample], length: int) -> None:
        places = {sample.verdict.uid: sample.place for sample in samples}
        self._move([event.uid for event in events], events)
        decided = [
            (
                *(event.uid, event.http_status, event.detail, event.final_url),
                *(event.duplicate_of, event.distance, time.time()),
                *places.get(event.uid, (None, None)),
            )
            for event in events
            if isinstance(event, Verdict)
        ]
        self._ledger.insert_many("INSERT OR REPLACE INTO verdicts", "", decided)
        self._ledger.insert_many(
            "INSERT INTO samples",
            "",
            [(*one.place, one.verdict.uid, one.text) for one in samples],
        )
        if samples:
            self._ledger.db.execute(
                "UPDATE shards SET length = ?, samples = samples + ?, ended = ? WHERE id = ?",
                (length, len(samples), time.time(), samples[0].place[0]),
            )

    def _move(self, uids: list[bytes], events: Sequence[Event]) -> None:
        """Give the links their new states, and the counters with them."""
        marks = ",".join("?" * len(uids))
        before = self._ledger.rows(
            f"SELECT json_array(state, count(*), sum(state > {WAITING} AND run = {self._run})) AS row"
            f" FROM frontier WHERE uid IN ({marks}) GROUP BY state",
            *uids,
        )
        if sum(n for _, n, _ in before) != len(uids) or any(again for _, _, again in before):
            raise AssertionError("a link was decided twice in one run, or is not in the ledger")
        deltas = Counter({state: -n for state, n, _ in before})
        rows = []
        for event in events:
            state = WAITING if isinstance(event, Postponed) else event.reason.code
            due = event.due if isinstance(event, Postponed) else None
            rows.append((event.uid, state, due, event.link, self._run, event.tries, event.attempts))
            deltas[state] += 1
        self._ledger.insert_many(
            "INSERT INTO frontier SELECT column1, column2, column3, column4, column5, column6, column7 FROM (",
            ") WHERE true ON CONFLICT (uid) DO UPDATE SET state = excluded.state, due = excluded.due,"
            " run = excluded.run, tries = excluded.tries, attempts = excluded.attempts",
            rows,
        )
        self._ledger.add_counts(deltas)

    def _open_shard(self) -> OpenShard:
        if self._shard is not None and self._shard.samples >= self._limits.samples:
            self.seal()  # a kill came between its last commit and this
        if self._shard is None:
            with self._ledger.transaction() as db:
                shard = db.execute(
                    "INSERT INTO shards (id, state, started)"
                    " SELECT coalesce(max(id), -1) + 1, 'open', ? FROM shards RETURNING id",
                    (time.time(),),
                ).fetchone()[0]
            self._shard = OpenShard(self._layout, shard, 0, 0)
        return self._shard

    def _sample(self, place: tuple[int, int], start: int, verdict: Verdict, listed: Listed) -> _Sample:
        """The sample that begins `start` bytes into the shard."""
        assert verdict.image is not None
        key = sample_key(*place, self._limits.samples)
        image = verdict.image
        row = sample_row(key, verdict.uid, verdict.attempts, listed, image, self._columns, start + BLOCK)
        kept, beside = texts(row, self._columns)
        members = [
            Member(f"{key}.{self._extension}", image.body, image.size),
            Member(f"{key}.json", (beside,), len(beside)),
        ]
        if self._columns.has_caption:
            text = (row["caption"] or "").encode("utf-8", "replace")
            members.append(Member(f"{key}.txt", (text,), len(text)))
        return _Sample(verdict, place, row, kept, tuple(members))

    def _listed(self, saved: Sequence[Verdict]) -> dict[bytes, Listed]:
        """What the lists said of the links in `saved`, other listings' captions included."""
        if not saved:
            return {}
        links = json.dumps([verdict.link for verdict in saved])
        found = {link: (url, row, data) for link, url, row, data in self._listed_rows(links)}
        others = self._other_captions(saved) if self._columns.has_caption else {}
        listed = {}
        for verdict in saved:
            url, row, data = found[verdict.link]
            captions: list[str] = []
            if self._columns.has_caption:
                own = json.loads(data)[0] if data is not None else None
                captions = list(dict.fromkeys([*([own] if own else []), *others.get(verdict.uid, [])]))
            listed[verdict.uid] = Listed(url, row, data, captions)
        return listed

    def _listed_rows(self, links: str) -> Iterator[list[Any]]:
        pages = Pages(
            self._ledger,
            "SELECT json_array(id, url, row, data) AS row FROM links"
            " WHERE id IN (SELECT value FROM json_each(?1)) AND id > ?2 ORDER BY id LIMIT ?",
            len(links),  # characters: more than there are links
        )
        after, last = 0, False
        while not last:
            rows, last = pages.page(links, after)
            yield from rows
            after = rows[-1][0] if rows else after

    def _other_captions(self, saved: Sequence[Verdict]) -> dict[bytes, list[str]]:
        """Captions of later listings. Asked for only once there is one: most lists have none."""
        self._listed_again = self._listed_again or listed_again(self._ledger)
        return later_captions(self._ledger, [one.uid for one in saved]) if self._listed_again else {}
