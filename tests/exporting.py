"""Decisions and inputs for tests of the export: real files, real measures, a real table of decisions."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.export import pipeline
from curator.export.plan import Table
from curator.export.records import Bodies, Exported, Progress
from curator.measure import MeasureSettings, measure
from curator.settings import ExportSettings
from curator.sources.bodies import Found, Wanted
from curator.sources.items import item_uid
from curator.sources.source import LISTED, MEASURES
from tests.pictures import jpeg

LABEL = "photos"
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("uid", "source", "path", "key")),
        *(("kept", pa.bool_()), ("reason", pa.string()), ("detail", pa.string())),
        *(("duplicate_of", pa.string()), ("distance", pa.int16()), ("cluster", pa.string())),
        *((name, pa.list_(pa.string())) for name in ("stands_for", "stands_for_urls", "stands_for_captions")),
        *(pa.field(*column) for column in (*LISTED, *MEASURES)),
    ]
)
Row = dict[str, Any]


class Inputs:
    """A folder of images that were decided on, read as a curation's sources would be."""

    def __init__(self, root: Path, images: Mapping[str, bytes]) -> None:
        self.root, self.curated = root / LABEL, root / "curated"
        self.asked = 0  # images read
        for path, body in images.items():
            file = self.root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
        self.rows = [row(path, body) for path, body in images.items()]

    def decide(self, own: pa.Schema | None = None, group: int = 3, **settings: object) -> None:
        """Write `rows` as decisions, `group` a row group."""
        self.curated.mkdir(parents=True, exist_ok=True)
        here = {"label": LABEL, "path": str(self.root.absolute()), "kind": "files"}
        told = {"version": 1, "sources": [here], "against": [], "settings": settings}
        schema = pa.unify_schemas([SCHEMA, own or pa.schema([])]).with_metadata(
            {b"curate": json.dumps(told).encode()}
        )
        table = pa.Table.from_pylist(self.rows, schema=schema)
        pq.write_table(table, self.curated / "decisions.parquet", row_group_size=group)

    async def bodies(self, wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        """Read images from the folder."""
        for one in wanted:
            self.asked += 1
            file = self.root / one.path
            yield Found(file.read_bytes(), file)

    async def export(self, out: Path, **settings: Any) -> Exported:
        """Export to `out` what was decided."""
        fitting = ExportSettings(**{"workers": 1} | settings)
        return await export(self.curated, out, fitting, self.bodies, lambda done, of: None)


async def export(
    curated: Path, out: Path, settings: ExportSettings, bodies: Bodies, progress: Progress
) -> Exported:
    """Write out what is kept of the decisions in the folder `curated`."""
    with closing(Table(curated / "decisions.parquet")) as decisions:
        return await pipeline.export(decisions, out, settings, bodies, progress)


def row(path: str, body: bytes, **changes: object) -> Row:
    """The decision to keep an image."""
    measured = measure(body, MeasureSettings())
    told = {name: getattr(measured, name) for name, _ in MEASURES}
    uid = item_uid(LABEL, path, None).hex()
    kept = {"kept": True, "reason": "saved", "detail": "", "stands_for": []}
    return {"uid": uid, "source": LABEL, "path": path, **kept, **told, **changes}


def photographs(count: int, side: int = 48) -> dict[str, bytes]:
    """So many small photographs that are no copies of each other."""
    return {f"{seed % 3}/{seed}.jpg": jpeg(seed, side, side) for seed in range(count)}


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a folder and what is in it, but for what an export notes for itself."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
