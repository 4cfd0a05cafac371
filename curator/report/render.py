"""The pages as text: what is known is put into the templates beside this file, everything escaped there.

A page is one file with its style and its script inside. Its content policy allows these two, by their
digests, and the pictures beside it: whatever a hostile name may smuggle in cannot run, load or send anything.
"""

import base64
import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined

from curator.report import charts
from curator.report.facts import Cluster, Facts
from curator.report.thumbs import Thumbs
from curator.report.words import about, explained, named, shown, told
from curator.settings import Settings, as_flags
from curator.text import share, size

PLACEHOLDERS = 24  # that are shown
PER_PAGE = 50  # clusters
_PREVIEW = 6  # clusters on the first page
_SOURCES = 200
_KINDS = 20  # of files that were passed over
_NAMED = 3  # sources in the command to type
FOLDER = "report"
THUMBS = "thumbs"


class Known(NamedTuple):
    """All that pages are made of."""

    summary: Mapping[str, Any]
    facts: Facts
    thumbs: Thumbs
    settings: Settings


def pages(known: Known) -> Iterator[tuple[str, str]]:
    """(path below the folder of the report, text) of every page; the first is report.html."""
    environment = _environment(known)
    groups = _pages_of(known.facts.clusters)
    names = [page_name(number) for number in range(1, len(groups) + 1)]
    first = environment.get_template("report.html.j2")
    yield "report.html", first.render(below=f"{FOLDER}/", pages=names, **_first_page(known))
    page = environment.get_template("clusters.html.j2")
    for number, (name, clusters) in enumerate(zip(names, groups, strict=True), 1):
        yield f"{FOLDER}/{name}", page.render(below="", pages=names, number=number, clusters=clusters)


def page_name(number: int) -> str:
    """The file name of a page of clusters, from 1."""
    return f"clusters-{number:02d}.html"


def _pages_of(clusters: Sequence[Cluster]) -> list[Sequence[Cluster]]:
    return [clusters[start : start + PER_PAGE] for start in range(0, len(clusters), PER_PAGE)]


def _environment(known: Known) -> Environment:
    """The templates, with what all pages need."""
    environment = Environment(
        loader=PackageLoader("curator.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        lstrip_blocks=True,
    )
    environment.filters.update(shown=shown, size=size, named=named, about=about, told=told)
    saved = _saved(known)
    style = environment.get_template("style.css.j2").render()
    script = environment.get_template("judge.js.j2").render(saved=saved)
    environment.globals.update(
        share=share,
        summary=known.summary,
        thumbs=known.thumbs,
        thumbs_folder=THUMBS,
        per_page=PER_PAGE,
        digest=_digest(known.facts.clusters),
        command=_command(known),
        saved=saved,
        style=style,
        script=script,
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
    )
    return environment


def _first_page(known: Known) -> dict[str, Any]:
    summary, facts, settings = known.summary, known.facts, known.settings
    drawn = (charts.chart(charts.AXES[name], counts) for name, counts in facts.histograms.items())
    sources = sorted(summary["sources"], key=lambda source: -source["images"])
    passed_over = sorted(summary["passed_over"].items(), key=lambda kind: -kind[1])
    return {
        "facts": facts,
        "settings": settings,
        "explained": {group.reason: explained(group.reason, settings) for group in facts.groups},
        "charts": [one for one in drawn if one],
        "preview": facts.clusters[:_PREVIEW],
        "sources": sources[:_SOURCES],
        "more_sources": len(sources) - _SOURCES,
        "passed_over": passed_over[:_KINDS],
        "more_kinds": len(passed_over) - _KINDS,
        "placeholders": summary["placeholders"][:PLACEHOLDERS],
        "more_placeholders": len(summary["placeholders"]) - PLACEHOLDERS,
    }


def _digest(clusters: Sequence[Cluster]) -> str:
    """Names what is asked of a person: clicks are remembered for the same pairs, and for no others."""
    asked = hashlib.blake2b(digest_size=16)
    for cluster in clusters:
        asked.update(" ".join((cluster.survivor.uid, *(copy.uid for copy in cluster.copies), "\n")).encode())
    return asked.hexdigest()


def _command(known: Known) -> str:
    """What to type to have one's clicks obeyed."""
    paths = [str(source["path"]) for source in known.summary["sources"]]
    named = shlex.join(paths) if len(paths) <= _NAMED else "DATA ..."
    flags = ["--out", known.summary["out"], *as_flags(known.settings), "--pairs", _saved(known)]
    return f"curate {named} {shlex.join(flags)}"


def _saved(known: Known) -> str:
    """The name under which clicks are downloaded: another one than that of earlier clicks, which stay in force."""
    earlier = len(known.settings.pairs)
    return f"pairs-{earlier + 1}.csv" if earlier else "pairs.csv"


def _policy_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
