"""Deciding which images are kept: pure, on the arrays of a census and what is said beside it.

One Reason each, the first that holds: it could not be measured, a rule, a placeholder, a person's word, what
another dataset has, a better copy. Nothing depends on the order in which images were found: of equally good
ones that with the lesser uid comes first, and of one uid from several sources that of the first source.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from curator.by_hand import Obeyed, Said, obey, preferred
from curator.clusters import Stars, best_first
from curator.earlier import Since, changes
from curator.identical import Index
from curator.near import Pictures, alike, bits_apart, follow_best, follow_others, parted, same_bytes
from curator.placeholders import Placeholder
from curator.reasons import Reason
from curator.settings import Settings
from curator.trust import Chance, Score, by_chance, score
from curator.verdicts import Census, Verdicts

_NAMED = 5  # of unknown uids
_COPY = np.array(
    [Reason.NEAR_DUPLICATE.code, Reason.SAME_BYTES.code], np.uint8
)  # by whether the bytes are the same

_Rows = npt.NDArray[np.int64]
_Mask = npt.NDArray[np.bool_]
_Uids = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of every image, and what is to be told beside it."""

    verdicts: Verdicts
    placeholders: list[Placeholder]  # those that took images, with the rows they took
    chance: Chance | None  # None where no hashes were compared
    since: Since | None
    pairs: Score | None
    warnings: list[str]


def decide(
    census: Census,
    settings: Settings,
    *,
    placeholders: Sequence[Placeholder] = (),
    said: Sequence[Said] | None = None,
    earlier: _Uids | None = None,
) -> Decided:
    """Decide on all images of a census that are ours.

    `placeholders`: what `placeholders.find` found. `said`: what `by_hand.read` read. `earlier`: the uids that an
    earlier decision kept, shape (k, 16), from `earlier.read`.
    Raises UsageError where what a person said is at odds with itself.
    """
    verdicts = _ruled(census, settings)
    took = _drop(placeholders, verdicts)
    there = census.unmeasured == 0
    there[: census.ours] = verdicts.kept
    before = None if earlier is None else Index(census.uid[: census.ours]).find(earlier)
    rows_of = _rows_of(census, said or ())
    rows = _best_first(census, np.flatnonzero(there))
    if before is not None:
        rows = _ahead(rows, before.row)
    rows = _ahead(rows, [row for uid in preferred(said or ()) for row in rows_of[uid]])
    obeyed = _obeyed(said or (), rows_of, rows, census.ours)
    chance = _cluster(census, settings, verdicts, rows, obeyed)
    _obey(census, settings, verdicts, obeyed)
    return Decided(
        verdicts,
        took,
        chance,
        since=None if before is None or earlier is None else changes(verdicts, before, len(earlier)),
        pairs=None if said is None else _score(census, settings, said, rows_of),
        warnings=list(_warnings(rows_of, chance)),
    )


def _ruled(census: Census, settings: Settings) -> Verdicts:
    """What is said of each image alone; of its sides, what `rules.judge` says."""
    ours = slice(census.ours)
    short = np.minimum(census.width[ours], census.height[ours])
    long = np.maximum(census.width[ours], census.height[ours])
    reason = np.full(census.ours, Reason.SAVED.code, np.uint8)
    reason[~census.wanted[ours]] = Reason.EXCLUDED.code
    if settings.max_aspect:
        reason[long > settings.max_aspect * short] = Reason.BAD_ASPECT.code
    reason[short < settings.min_side] = Reason.TOO_SMALL.code
    return Verdicts(
        reason=np.where(census.unmeasured[ours], census.unmeasured[ours], reason),
        leader=np.arange(census.ours),
        distance=np.full(census.ours, -1, np.int16),
        by_hand=np.zeros(census.ours, np.bool_),
    )


def _drop(placeholders: Sequence[Placeholder], verdicts: Verdicts) -> list[Placeholder]:
    """Drop the images of placeholders that are left; those that had any."""
    took = [replace(one, rows=one.rows[verdicts.kept[one.rows]]) for one in placeholders]
    for one in took:
        verdicts.reason[one.rows] = Reason.PLACEHOLDER.code
    return [one for one in took if len(one.rows)]


def _best_first(census: Census, rows: _Rows) -> _Rows:
    """The rows in their order."""
    pixels = census.width[rows].astype(np.int64) * census.height[rows]
    keep = None if census.keep is None else census.keep[rows]
    return rows[best_first(pixels, census.bytes[rows], census.sha256[rows], census.uid[rows], keep)]


def _ahead(rows: _Rows, some: _Rows | list[int]) -> _Rows:
    """The same rows, `some` of them ahead of the others: what was kept before, what a person prefers."""
    first = np.isin(rows, some)
    return np.concatenate([rows[first], rows[~first]])


def _rows_of(census: Census, said: Sequence[Said]) -> dict[bytes, list[int]]:
    """All rows of each uid that a person named."""
    uids = sorted({uid for one in said for uid in one[:2]})
    rows_of: dict[bytes, list[int]] = {uid: [] for uid in uids}
    if uids:
        found = Index(census.uid).find(np.frombuffer(b"".join(uids), np.uint8).reshape(-1, 16))
        for row, which in zip(found.row.tolist(), found.wanted.tolist(), strict=True):
            rows_of[uids[which]].append(row)
    return rows_of


def _obeyed(said: Sequence[Said], rows_of: Mapping[bytes, Sequence[int]], rows: _Rows, ours: int) -> Obeyed:
    """What follows from a person's words for the images that are there: `rows`, best first."""
    named = np.array([row for those in rows_of.values() for row in those], np.int64)
    places = np.flatnonzero(np.isin(rows, named))
    place = dict(zip(rows[places].tolist(), places.tolist(), strict=True))
    there = {uid: [row for row in those if row in place] for uid, those in rows_of.items()}
    return obey(said, there, place, ours)


def _cluster(
    census: Census, settings: Settings, verdicts: Verdicts, rows: _Rows, obeyed: Obeyed
) -> Chance | None:
    """Decide on those of `rows`, best first, that a person did not dispose of."""
    rows = rows[~np.isin(rows, [*obeyed.excluded, *obeyed.follows])]
    pictures, theirs = _pictures(census, rows), rows >= census.ours
    radius, mirrored = settings.radius, settings.mirrored
    found = alike(pictures, settings.dedup, radius, mirrored=mirrored, workers=settings.worker_count())
    if obeyed.different:
        by_row = np.argsort(rows)
        found = parted(found, by_row[rows.searchsorted(np.array(obeyed.different), sorter=by_row)])
    if theirs.any():
        _follow(verdicts, pictures, rows, follow_others(found, theirs), ~theirs)
    left = ~theirs
    left[left] = verdicts.kept[rows[left]]
    _follow(verdicts, pictures, rows, follow_best(found, left), left)
    return by_chance(pictures, theirs, radius, mirrored=mirrored) if settings.dedup == "phash" else None


def _follow(verdicts: Verdicts, pictures: Pictures, rows: _Rows, led: Stars, among: _Mask) -> None:
    """Write down who of these rows follows whom."""
    follower = np.flatnonzero(among & (led.leader != np.arange(len(rows))))
    leader = led.leader[follower]
    verdicts.reason[rows[follower]] = _COPY[same_bytes(pictures, follower, leader).astype(np.int8)]
    verdicts.leader[rows[follower]] = rows[leader]
    verdicts.distance[rows[follower]] = led.distance[follower]


def _obey(census: Census, settings: Settings, verdicts: Verdicts, obeyed: Obeyed) -> None:
    """Drop what a person dropped, now that it is known who is kept."""
    follower, leader = (np.array([*some], np.int64) for some in (obeyed.follows, obeyed.follows.values()))
    inside = leader < census.ours
    leader[inside] = verdicts.leader[leader[inside]]
    pictures = _pictures(census)
    same = same_bytes(pictures, follower, leader)
    apart = bits_apart(pictures, follower, leader, mirrored=settings.mirrored)
    verdicts.reason[follower] = _COPY[same.astype(np.int8)]
    verdicts.leader[follower] = leader
    verdicts.distance[follower] = np.where(same, 0, apart)
    verdicts.reason[obeyed.excluded] = Reason.EXCLUDED.code
    verdicts.by_hand[[*obeyed.excluded, *obeyed.follows]] = True


def _score(
    census: Census, settings: Settings, said: Sequence[Said], rows_of: Mapping[bytes, Sequence[int]]
) -> Score:
    measured = census.unmeasured == 0
    return score(said, rows_of, _pictures(census), measured, settings.radius, mirrored=settings.mirrored)


def _pictures(census: Census, rows: _Rows | slice = slice(None)) -> Pictures:
    return Pictures(
        census.sha256[rows], census.phash[rows], census.mirror[rows], census.low_information[rows]
    )


def _warnings(rows_of: Mapping[bytes, Sequence[int]], chance: Chance | None) -> Iterator[str]:
    unknown = [uid.hex() for uid, rows in rows_of.items() if not rows]
    if unknown:
        named = ", ".join(unknown[:_NAMED]) + (", ..." if len(unknown) > _NAMED else "")
        yield f"--pairs names {len(unknown):,} uids that no image here has: {named}"
    if chance and chance.per_10000 > 1:
        yield (
            f"at --radius {chance.radius} chance alone makes some {chance.pairs:,.0f} false pairs of"
            f" {chance.images:,} images. A smaller radius makes fewer."
        )
