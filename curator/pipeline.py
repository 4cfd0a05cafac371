"""From images to decisions about them: what `curate` does, in order."""

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from curator import by_hand, earlier
from curator.census import take
from curator.dataset.layout import replace_whole
from curator.dataset.space import full_disk_told
from curator.decide import Decided, decide
from curator.decisions import FILE, Provenance, origin, write_decisions
from curator.measuring import Progress
from curator.opened import Opened, open_sources
from curator.outcome import PAGES, REPORT, SUMMARY, Outcome, place
from curator.placeholders import find
from curator.report.pages import write_report
from curator.settings import Settings
from curator.sources.bodies import Bodies
from curator.sources.opening import open_inputs
from curator.sources.reading import Reader
from curator.standing import stand_for
from curator.summary import summarise
from curator.tasks import first_error, in_thread
from curator.verdicts import Census


@dataclass(frozen=True, slots=True)
class Curated:
    """How a curation ended: the folder of its decisions, and what `summary.json` there says."""

    out: Path
    summary: dict[str, Any]


@dataclass(slots=True)
class Watched:
    """What a curation is at, for whoever shows it."""

    doing: str = "looking at what there is"
    measuring: Progress = field(default_factory=Progress)


async def curate(
    paths: Sequence[str | PathLike[str]], out: str | PathLike[str] | None = None, **settings: Any
) -> Curated:
    """Decide which images of `paths` to keep; decisions and report go to the folder `out`.

    `settings` are the fields of `curator.settings.Settings`. `out` may be left away for one dataset that crawl
    made. What is measured is remembered: after an interruption the same call goes on. Raises CurateError.
    """
    folder = None if out is None else Path(out)
    return await curate_with([Path(path) for path in paths], folder, Settings(**settings), Watched())


async def curate_with(
    paths: Sequence[Path], out: Path | None, settings: Settings, watched: Watched
) -> Curated:
    """The same, watched."""
    started = time.monotonic()
    inputs = await in_thread(open_inputs, paths, settings.against)
    root = place(inputs, out)
    said = by_hand.read_all(settings.pairs) if settings.pairs else None
    before = None if settings.since is None else earlier.read(settings.since)
    with ExitStack() as stack:
        stack.enter_context(full_disk_told(root))
        outcome = Outcome(root)
        stack.callback(outcome.close)
        watched.doing = "measuring"
        opened = stack.enter_context(
            await open_sources(inputs, outcome.measures, settings, watched.measuring)
        )
        watched.doing = "deciding"
        census, decided = await in_thread(partial(_judge, opened, settings, said, before))
        watched.doing = "writing decisions"
        new = outcome.begin()
        summary = await in_thread(partial(_write, new, opened, census, decided, settings, watched.measuring))
        summary["out"] = str(root.absolute())
        watched.doing = "writing the report"
        with first_error():
            async with Reader(settings.max_bytes) as reader:
                await write_report(new, new / FILE, summary, Bodies(opened.ours, reader).read, settings)
        summary["seconds"] = round(time.monotonic() - started, 3)
        text = json.dumps(summary, indent=4).encode() + b"\n"
        replace_whole(new / SUMMARY, lambda file: file.write(text))
        outcome.publish((PAGES, REPORT, FILE, SUMMARY))
    return Curated(root, summary)


def _judge(
    opened: Opened,
    settings: Settings,
    said: list[by_hand.Said] | None,
    before: npt.NDArray[np.uint8] | None,
) -> tuple[Census, Decided]:
    census = take(opened.ours, opened.others, settings)
    found = find(
        opened.ours, census, settings.placeholder_from, opened.copies_by_host(settings.placeholder_from)
    )
    return census, decide(census, settings, placeholders=found, said=said, earlier=before)


def _write(
    folder: Path, opened: Opened, census: Census, decided: Decided, settings: Settings, progress: Progress
) -> dict[str, Any]:
    """Write the decisions; the summary."""
    standing = stand_for(opened.ours, census, decided.verdicts, opened.copies)
    told = {
        name: str(value) if isinstance(value, Path) else value for name, value in asdict(settings).items()
    }
    told |= {name: [str(path) for path in getattr(settings, name)] for name in ("against", "pairs")}
    provenance = Provenance(tuple(map(origin, opened.ours)), tuple(map(origin, opened.others)), told)
    write_decisions(folder / FILE, opened.ours, census, decided.verdicts, standing, provenance)
    return summarise(census, decided, provenance, progress, opened.warnings)
