"""What a curation says at its end: what was kept, what was not and why, and how to go on."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from curator.decisions import FILE
from curator.outcome import REPORT
from curator.report.words import about, explained
from curator.settings import Settings
from curator.text import aligned, duration, harmless, share, size
from curator.units import counted

_SHOWN = 5  # placeholders and warnings; the report has them all


def ending(summary: Mapping[str, Any], settings: Settings, out: Path) -> Iterator[Text | str]:
    """The lines, of the summary as `summary.json` has it."""
    images, kept = summary["images"], summary["kept"]
    yield (
        f"{kept:,} of {counted(images, 'image')} kept ({share(kept, images)}), "
        f"{size(summary['kept_bytes'])} of {size(summary['bytes'])}, in {duration(summary['seconds'])}"
    )
    yield from _reasons(summary["reasons"], images, settings)
    yield from _placeholders(summary["placeholders"])
    yield from _chance(summary["chance"])
    yield from _since(summary["since"])
    yield from _pairs(summary["pairs"])
    if passed := summary["passed_over"]:
        yield "passed over: " + ", ".join(f"{n:,} {harmless(what, 40)}" for what, n in sorted(passed.items()))
    for warning in summary["warnings"][:_SHOWN]:
        yield Text(f"warning: {harmless(warning, 1000)}", "yellow")
    if (more := len(summary["warnings"]) - _SHOWN) > 0:
        yield f"... and {counted(more, 'warning')} more in {out / REPORT}"
    yield f"report     {out / REPORT}"
    yield f"decisions  {out / FILE}"
    if kept:
        yield f"write out  curate export {shlex.quote(str(out))} --out clean/ --as webdataset"


def _reasons(reasons: Mapping[str, int], images: int, settings: Settings) -> Iterator[Text]:
    if not reasons:
        return
    by_number = sorted(reasons.items(), key=lambda one: (-one[1], one[0]))
    rows = [
        [Text(f"  {name}"), Text(f"{n:,}"), Text(share(n, images)), Text(explained(name, settings), "dim")]
        for name, n in by_number
    ]
    yield from aligned(rows, right={1, 2})


def _placeholders(found: list[dict[str, Any]]) -> Iterator[str]:
    for one in found[:_SHOWN]:
        yield f"placeholder: {harmless(one['host'], 80)} gave one picture for {one['urls']:,} URLs ({one['uid']})"
    if (more := len(found) - _SHOWN) > 0:
        yield f"... and {counted(more, 'placeholder')} more in the report"


def _chance(chance: Mapping[str, Any] | None) -> Iterator[str]:
    if chance is not None:
        yield (
            f"chance: about {about(chance['pairs'])} pairs of different pictures would be within radius "
            f"{chance['radius']} of {counted(chance['images'], 'image')} by chance alone"
        )


def _since(since: dict[str, Any] | None) -> Iterator[str]:
    if since is None:
        return
    lost = ", ".join(f"{n:,} {reason}" for reason, n in sorted(since["lost_by_reason"].items()))
    yield f"since the earlier decision: {since['added']:,} added, {since['lost']:,} lost" + (
        f" ({lost})" if lost else ""
    )


def _pairs(pairs: dict[str, Any] | None) -> Iterator[str]:
    if pairs is None:
        return
    known = pairs["pairs"] - pairs["unknown"]
    told = f"pairs: {known:,} of {counted(pairs['pairs'], 'pair')} obeyed, the others name images that are not here"
    if not pairs["unknown"]:
        told = f"pairs: {counted(known, 'pair')} obeyed"
    rates = [
        f"{name} {100 * pairs[name]:.1f} %" for name in ("precision", "recall") if pairs[name] is not None
    ]
    yield f"{told}; of the radius on these: {' and '.join(rates)}" if rates else told
