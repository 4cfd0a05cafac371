"""decisions.parquet: what was decided on every image, why, and all that is known of it.

How it is written without holding it
- What was decided is in arrays, one row an image. What is known of the images is read from their sources once
  more, batch by batch, and each batch is written with its slice of the arrays.
- A survivor's row names those it stands for, which may be anywhere: `standing.py` has read what of them is
  told, and of no others, before the writing begins.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.dataset.layout import replace_whole
from curator.dataset.tables import open_table, write_table
from curator.digests import reason_names, to_hex
from curator.errors import CorruptDataset, UsageError
from curator.reasons import Reason
from curator.sources.items import from_disk, on_disk
from curator.sources.source import LISTED, MEASURES, SOURCE_SCHEMA, WHERE_IT_IS, Source
from curator.sources.unify import conform, unified
from curator.standing import Standing
from curator.verdicts import Census, Verdicts

FILE = "decisions.parquet"
VERSION = 1
BY_HAND = "by_hand"
_TOLD = b"curate"  # in the schema's metadata
_DECIDED = (
    ("kept", pa.bool_()),
    ("reason", pa.string()),
    ("detail", pa.string()),
    ("duplicate_of", pa.string()),
    ("distance", pa.int16()),
    ("cluster", pa.string()),
    ("stands_for", pa.list_(pa.string())),
    ("stands_for_urls", pa.list_(pa.string())),
    ("stands_for_captions", pa.list_(pa.string())),
)


@dataclass(frozen=True, slots=True)
class Origin:
    """A source as decisions and summary name it."""

    label: str
    path: str  # absolute
    kind: str


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where decisions come from: kept in the table itself, so that it can be exported wherever it is."""

    sources: tuple[Origin, ...]
    against: tuple[Origin, ...]
    settings: dict[str, Any]


def origin(source: Source) -> Origin:
    """How a source is named."""
    return Origin(source.label, from_disk(str(source.path.absolute())), source.kind)


def own_columns(schema: pa.Schema) -> list[str]:
    """Of a table of decisions, or of a source, the input's own columns."""
    ours = {*SOURCE_SCHEMA.names, "source", *(name for name, _ in _DECIDED)}
    return [name for name in schema.names if name not in ours]


def write_decisions(
    path: Path,
    sources: Sequence[Source],
    census: Census,
    verdicts: Verdicts,
    standing: Standing,
    provenance: Provenance,
) -> None:
    """Write the table of the decided sources, whole or not at all.

    Raises CorruptDataset where a source cannot be read any more.
    """
    known = unified([source.schema for source in sources])
    schema = _schema(known, provenance)
    pages = _Pages(known, schema, census, verdicts, standing, provenance).of(sources)
    replace_whole(path, lambda file: write_table(file, schema, pages))


def read_provenance(path: Path, schema: pa.Schema | None = None) -> Provenance:
    """Where the decisions in the table `path`, whose `schema` may be known already, come from.

    Raises UsageError where it is no such table.
    """
    try:
        if schema is None:
            with open_table(path) as table:
                schema = table.schema_arrow
        told = json.loads((schema.metadata or {})[_TOLD])
        version = told.pop("version")
        names = {name: tuple(_origin(**one) for one in told[name]) for name in ("sources", "against")}
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} is not what `curate` decided: it cannot be read as such ({error})."
        ) from error
    if version != VERSION:
        raise UsageError(f"{path}: written by another version (format {version}). Run curate again.")
    return Provenance(**names, settings=told["settings"])


def _origin(label: str, path: str, kind: str) -> Origin:
    return Origin(label, on_disk(path), kind)


def _schema(known: pa.Schema, provenance: Provenance) -> pa.Schema:
    (uid, *where), decided = WHERE_IT_IS, [pa.field(*column) for column in _DECIDED]
    own = [known.field(name) for name in own_columns(known)]
    ours = [pa.field(*column) for column in (uid, ("source", pa.string()), *where)]
    measured = [pa.field(*column) for column in (*LISTED, *MEASURES)]
    told = json.dumps({"version": VERSION, **asdict(provenance)}).encode()
    return pa.schema([*ours, *decided, *measured, *own], {_TOLD: told})


@dataclass(frozen=True, slots=True)
class _Pages:
    """What was known and what was decided, joined."""

    known: pa.Schema
    schema: pa.Schema
    census: Census
    verdicts: Verdicts
    standing: Standing
    provenance: Provenance

    def of(self, sources: Sequence[Source]) -> Iterator[pa.Table]:
        """The rows of the sources one after the other, a batch at a time."""
        for source, start, end in zip(sources, self.census.starts, self.census.starts[1:], strict=False):
            at = int(start)
            for batch in source.rows():
                known = dict(zip(self.known.names, conform(batch, self.known).columns, strict=True))
                label = {"source": pa.repeat(source.label, len(batch))}
                decided = self._decided(slice(at, at + len(batch)), known["detail"])
                columns = known | label | decided
                yield pa.Table.from_arrays([columns[name] for name in self.schema.names], schema=self.schema)
                at += len(batch)
            if at != end:
                raise CorruptDataset(f"{source.path} changed while it was read. Run curate again.")

    def _decided(self, rows: slice, detail: pa.Array) -> dict[str, pa.Array]:
        verdicts, leader = self.verdicts, self.verdicts.leader[rows]
        follows = leader != np.arange(rows.start, rows.stop)
        distance, leading = verdicts.distance[rows], self.standing.leads(rows)
        uids, urls, captions = self.standing.lists(rows)
        return {
            "kept": pa.array(verdicts.reason[rows] == Reason.SAVED.code),
            "reason": reason_names(verdicts.reason[rows]),
            "detail": self._detail(rows, leader, detail),
            "duplicate_of": to_hex(self.census.uid[leader], follows),
            "distance": pa.array(distance, mask=distance < 0),
            "cluster": to_hex(self.census.uid[leader], follows | leading),
            "stands_for": uids,
            "stands_for_urls": urls,
            "stands_for_captions": captions,
        }

    def _detail(
        self, rows: slice, leader: np.ndarray[tuple[int], np.dtype[np.int64]], detail: pa.Array
    ) -> pa.Array:
        by_hand = pa.array(self.verdicts.by_hand[rows])
        others = self.census.starts[len(self.provenance.sources) : -1]
        against = [None, *(f"against {one.label}" for one in self.provenance.against)]
        theirs = pa.array(against, pa.string()).take(pa.array(np.searchsorted(others, leader, "right")))
        return pc.coalesce(pc.if_else(by_hand, BY_HAND, theirs), detail, "")
