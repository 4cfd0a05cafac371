"""The report of a curation: report.html and the folder `report/` beside it, static files for any browser."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curator.report.facts import read_facts
from curator.report.render import FOLDER, PLACEHOLDERS, THUMBS, Known, pages
from curator.report.thumbs import Bodies, make_thumbs
from curator.settings import Settings


async def write_report(
    out: Path, decisions: Path, summary: Mapping[str, Any], bodies: Bodies, settings: Settings
) -> None:
    """Write the report of `decisions` (decisions.parquet) and `summary` (summary.json) into `out`, a folder.

    `out` holds no report yet; what it holds is whole when this returns, and not synced. `bodies` is asked for
    the bytes of some 4,000 images at most. Raises OSError, WorkersFailed.
    """
    thumbs = out / FOLDER / THUMBS
    thumbs.mkdir(parents=True)
    stand_ins = [placeholder["uid"] for placeholder in summary["placeholders"][:PLACEHOLDERS]]
    facts = await asyncio.to_thread(read_facts, decisions, stand_ins)
    made = await make_thumbs(thumbs, facts.pictures(), bodies, settings)
    for name, text in pages(Known(summary, facts, made, settings)):
        (out / name).write_text(text, "utf-8")
