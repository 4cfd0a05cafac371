"""What the report shows, read from decisions.parquet: counts, histograms, and which images stand for the rest.

How it stays quick at any size
- DuckDB reads only the columns it is asked for, and nothing of what it counts comes to Python.
- Images are chosen first, as numbers of rows, and all that is shown of them is read in one last pass.
- A uid is a digest, so the least uids of a reason are a uniform sample of it: no dice, and the same pictures
  again when a curation is repeated with other settings.

The most doubtful clusters are those with a copy farthest from its survivor, thus nearest the radius; those
that a person has judged already come last. Among equals the order of uids is a uniform sample, too, so that a
person who begins at the first page judges the radius fairly.

The file is opened here and handed to DuckDB by its number: its path may hold anything, also a `*`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import duckdb

from curator.reasons import Reason

SURVIVORS = 60  # pictures in their sheet
SAMPLE = 24  # pictures in the sheet of each reason
SHEETS = 30
CLUSTERS = 1000
COPIES = 12  # of a cluster that are shown
CLUSTER_PICTURES = 3200  # which may be fewer clusters, where they are large

_VIEWS = """
CREATE VIEW copies AS
    SELECT file_row_number AS row, uid, duplicate_of, distance, reason, detail FROM decisions
    WHERE reason IN ('same_bytes', 'near_duplicate') AND duplicate_of IS NOT NULL
        AND NOT starts_with(detail, 'against ');
-- steps of an octave, so that the axes are logarithmic
CREATE VIEW steps AS
    SELECT kept,
        floor(log2(least(width, height)) * 4)::INT AS side,
        floor(log2(greatest(least(width / height, 16), 0.0625)) * 8 + 0.5)::INT AS aspect,
        floor(log2(bytes) * 4)::INT AS weight
    FROM decisions WHERE width > 0 AND height > 0 AND bytes > 0;
"""


@dataclass(frozen=True, slots=True)
class Image:
    """One row of decisions.parquet, as much of it as is shown. Sizes in pixels and bytes, None if unmeasured."""

    row: int
    uid: str
    source: str
    path: str
    key: str | None
    url: str | None
    kept: bool
    reason: str
    detail: str
    width: int | None
    height: int | None
    format: str | None
    bytes: int | None
    distance: int | None

    @property
    def name(self) -> str:
        """Its URL, or where it is where it has none."""
        return self.url or "/".join(part for part in (self.source, self.path, self.key) if part)


@dataclass(frozen=True, slots=True)
class Group:
    """Images with one reason, and `against`, the dataset that has them already, if it is that."""

    reason: str
    against: str
    images: int
    bytes: int
    by_hand: int
    sample: Sequence[Image]


@dataclass(frozen=True, slots=True)
class Cluster:
    """A survivor, the least certain of what it stands for, and how many more it stands for."""

    survivor: Image
    copies: Sequence[Image]
    more: int


@dataclass(frozen=True, slots=True)
class Count:
    """How many images fall into one step of a histogram."""

    step: int
    kept: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it. `distances`: how many copies lie how many bits from their survivor, None for the same bytes."""

    groups: Sequence[Group]
    histograms: Mapping[str, Sequence[Count]]
    distances: Sequence[tuple[int | None, int]]
    clusters: Sequence[Cluster]
    placeholders: Mapping[str, Image]  # by uid

    def pictures(self) -> list[Image]:
        """Each image that is shown, once, in the order of the rows."""
        shown = {image.row: image for group in self.groups for image in group.sample}
        for cluster in self.clusters:
            shown |= {image.row: image for image in (cluster.survivor, *cluster.copies)}
        shown |= {image.row: image for image in self.placeholders.values()}
        return [shown[row] for row in sorted(shown)]


def read_facts(decisions: Path, placeholders: Sequence[str]) -> Facts:
    """Read what the report shows. `placeholders`: the uids of those to be shown."""
    with _opened(decisions) as db:
        groups, clusters = _groups(db), _clusters(db)
        stand_ins = _rows_of(db, placeholders, among="all")
        chosen = {row for _, rows in groups for row in rows} | set(stand_ins.values())
        chosen |= {row for survivor, copies, _ in clusters for row in (survivor, *copies)}
        images = _images(db, chosen)
        return Facts(
            [_group(counts, [images[row] for row in rows]) for counts, rows in groups],
            _histograms(db),
            _distances(db),
            [Cluster(images[one], [images[row] for row in rows], more) for one, rows, more in clusters],
            {uid: images[row] for uid, row in stand_ins.items()},
        )


@contextmanager
def _opened(decisions: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    config: dict[str, Any] = {
        "memory_limit": "2GB",
        "temp_directory": "",  # else it would spill into the folder one happens to be in
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    with decisions.open("rb") as file, duckdb.connect(config=config) as db:
        db.read_parquet(f"/dev/fd/{file.fileno()}", file_row_number=True).create_view("decisions")
        db.execute(_VIEWS)
        yield db


def _groups(db: duckdb.DuckDBPyConnection) -> list[tuple[Sequence[Any], list[int]]]:
    """What a Group holds, and the rows of its sample, of each reason: the kept first, then by number."""
    found = db.execute(
        "SELECT reason, CASE WHEN starts_with(detail, 'against ') THEN detail[9:] ELSE '' END AS against,"
        " count(*) AS n, coalesce(sum(bytes), 0)::BIGINT, count(*) FILTER (detail = 'by_hand'),"
        " arg_min(file_row_number, (uid, file_row_number), ?)"
        " FROM decisions GROUP BY reason, against ORDER BY reason <> 'saved', n DESC, reason, against",
        [SURVIVORS],
    ).fetchall()
    return [
        (counts, rows[: (SURVIVORS if counts[0] == Reason.SAVED else SAMPLE) if place < SHEETS else 0])
        for place, (*counts, rows) in enumerate(found)
    ]


def _group(counts: Sequence[Any], sample: Sequence[Image]) -> Group:
    reason, against, images, nbytes, by_hand = counts
    return Group(reason, against, images, nbytes, by_hand, sample)


def _clusters(db: duckdb.DuckDBPyConnection) -> list[tuple[int, list[int], int]]:
    """(row of the survivor, rows of copies, how many more) of the most doubtful clusters, these first."""
    found = db.execute(
        "SELECT duplicate_of, count(*),"
        " max(CASE WHEN detail = 'by_hand' THEN -1 ELSE coalesce(distance, 0) END) AS doubt"
        " FROM copies GROUP BY duplicate_of ORDER BY doubt DESC, duplicate_of LIMIT ?",
        [CLUSTERS],
    ).fetchall()
    pictures = accumulate(1 + min(copies, COPIES) for _, copies, _ in found)
    sizes = {uid: n for (uid, n, _), total in zip(found, pictures, strict=True) if total <= CLUSTER_PICTURES}
    survivors = _rows_of(db, list(sizes), among="kept")
    copies = _rows_of_copies(db, list(survivors))
    return [
        (survivors[uid], copies[uid], n - len(copies[uid])) for uid, n in sizes.items() if uid in survivors
    ]


def _rows_of_copies(db: duckdb.DuckDBPyConnection, survivors: list[str]) -> dict[str, list[int]]:
    """The copies of each survivor that are shown, the farthest first."""
    found = db.execute(
        "SELECT duplicate_of, list(row ORDER BY place) FROM ("
        "SELECT duplicate_of, row, row_number() OVER"
        " (PARTITION BY duplicate_of ORDER BY distance DESC NULLS LAST, uid, row) AS place"
        " FROM copies WHERE duplicate_of IN (SELECT unnest(?::VARCHAR[])) QUALIFY place <= ?) GROUP BY duplicate_of",
        [survivors, COPIES],
    ).fetchall()
    return dict(found)


def _rows_of(
    db: duckdb.DuckDBPyConnection, uids: Sequence[str], *, among: Literal["kept", "all"]
) -> dict[str, int]:
    """The first row of each uid: two sources may have the same image."""
    found = db.execute(
        "SELECT uid, min(file_row_number) FROM decisions"
        " WHERE uid IN (SELECT unnest(?::VARCHAR[])) AND (kept OR ?) GROUP BY uid",
        [list(uids), among == "all"],
    ).fetchall()
    return dict(found)


def _images(db: duckdb.DuckDBPyConnection, rows: Iterable[int]) -> dict[int, Image]:
    found = db.execute(
        "SELECT file_row_number, uid, source, path, key, url, kept, reason, detail, width, height, format, bytes,"
        " distance FROM decisions WHERE file_row_number IN (SELECT unnest(?::BIGINT[]))",
        [sorted(rows)],
    ).fetchall()
    return {values[0]: Image(*values) for values in found}


def _histograms(db: duckdb.DuckDBPyConnection) -> dict[str, list[Count]]:
    """For "side", "aspect" and "weight", all from one pass, each by its steps."""
    found = db.execute(
        "SELECT side, aspect, weight, count(*) FILTER (kept), count(*) FILTER (NOT kept) FROM steps"
        " GROUP BY GROUPING SETS ((side), (aspect), (weight)) ORDER BY ALL"
    ).fetchall()
    names = ("side", "aspect", "weight")
    return {
        name: [Count(row[at], *row[3:]) for row in found if row[at] is not None]
        for at, name in enumerate(names)
    }


def _distances(db: duckdb.DuckDBPyConnection) -> list[tuple[int | None, int]]:
    return db.execute(
        "SELECT CASE WHEN reason = 'near_duplicate' THEN coalesce(distance, 0) END AS bits, count(*)"
        " FROM copies GROUP BY bits ORDER BY bits NULLS FIRST"
    ).fetchall()
