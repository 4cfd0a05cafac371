"""The last report of a crawl: what became of everything, where it is, and what to type next."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crawler.forecast import Forecast
from crawler.snapshot import Snapshot
from crawler.text import duration, harmless, rate, share, size
from curator.reasons import Kind, Reason

FAILED = (Kind.PERMANENT, Kind.TRANSIENT)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a crawl ended."""

    root: str  # the dataset's folder, as the user would type it
    finished: bool  # every link has its verdict
    stopped_by: str = ""  # why it is not finished, for people: "interrupted", "the disk is nearly full"
    forecast: Forecast | None = None  # of the whole list, when only a sample was crawled


@dataclass(frozen=True, slots=True)
class Step:
    """Something to type next, and why one would."""

    command: str
    why: str


def next_steps(
    root: str, counts: Mapping[Reason, int], pending: int, *, finished: bool, retryable: int | None = None
) -> tuple[Step, ...]:
    """What makes sense after a crawl of `root` that left `counts` and `pending` links.

    `retryable`: transient failures that a retry would try; None takes all of them for it.
    """
    if retryable is None:
        retryable = of_kind(counts, Kind.TRANSIENT)
    where = shlex.quote(root)
    steps = []
    if not finished:
        why = f"continue: {pending:,} links are pending" if pending else "continue where it stopped"
        steps.append(Step(f"crawl {where}", why))
    elif retryable:
        why = f"try again: {retryable:,} failures may have passed"
        steps.append(Step(f"crawl {where} --retry transient", why))
    if failed := sum(of_kind(counts, kind) for kind in FAILED):
        steps.append(Step(f"crawl status {where} --by host", f"see where the {failed:,} failures are"))
    if counts.get(Reason.SAVED):
        steps.append(Step(f"curate verify {where}", "read every image, row and count back"))
    return tuple(steps)


def of_kind(counts: Mapping[Reason, int], kind: Kind) -> int:
    """How many verdicts are of one family."""
    return sum(n for reason, n in counts.items() if reason.kind is kind)


def render_report(snapshot: Snapshot, ending: Ending, console: Console) -> None:
    """Print the report."""
    console.print(_headline(snapshot, ending))
    console.print(reasons_table(snapshot.counts))
    if snapshot.bad_rows:
        console.print(Text(f"{snapshot.bad_rows:,} rows of the lists hold no URL"))
    console.print(Text(_rates(snapshot)))
    if ending.forecast is not None:
        render_forecast(ending.forecast, console)
    console.print(steps_table(_steps(snapshot, ending)))


def report_as_dict(snapshot: Snapshot, ending: Ending) -> dict[str, Any]:
    """The report as JSON values; bytes and seconds plain numbers."""
    return {
        "event": "report",
        "dataset": ending.root,
        "finished": ending.finished,
        "stopped_by": ending.stopped_by,
        "seconds": round(snapshot.seconds, 3),
        "known": snapshot.known,
        "decided": snapshot.decided,
        "pending": snapshot.pending,
        "bad_rows": snapshot.bad_rows,
        "counts": {reason.value: n for reason, n in snapshot.counts.items()},
        "kinds": {kind.value: of_kind(snapshot.counts, kind) for kind in Kind},
        "decided_now": snapshot.decided_now,
        "saved_now": snapshot.saved_now,
        "requests_now": snapshot.attempts_now,
        "received_bytes_now": snapshot.bytes_now,
        "urls_per_second": _per_second(snapshot.decided_now, snapshot),
        "images_per_second": _per_second(snapshot.saved_now, snapshot),
        "stored_bytes": snapshot.stored,
        "shards": snapshot.shards,
        "worker_restarts": snapshot.restarts,
        "forecast": asdict(ending.forecast) if ending.forecast else None,
        "next": [asdict(step) for step in _steps(snapshot, ending)],
    }


def reasons_table(counts: Mapping[Reason, int]) -> Table:
    """Every Reason that occurs, by family, the most frequent first, with its share."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    total = sum(counts.values())
    for family, reason, n in _by_family(counts):
        style = "green" if reason is Reason.SAVED else ""
        table.add_row(Text(family), Text(reason.value, style), Text(f"{n:,}", style), Text(share(n, total)))
    return table


def steps_table(steps: tuple[Step, ...]) -> Table:
    """Commands and why, one per line; a narrow terminal folds the reasons, never a command."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for step in steps:
        table.add_row(Text(harmless(step.command, 400), "bold"), Text(step.why))
    return table


def render_forecast(expected: Forecast, console: Console) -> None:
    """Print what the whole list will come to."""
    if not expected.sampled:
        console.print(Text("No forecast: no link of the sample was decided."))
        return
    margin = f"{expected.low:.1%} to {expected.high:.1%}"
    images = f"{expected.low * expected.links:,.0f} to {expected.high * expected.links:,.0f} images"
    head = f"Expected of all {expected.links:,} links, from a sample of {expected.sampled:,}:"
    console.print(Text(head, "bold"))
    console.print(Text(f"  saved {expected.share:.1%} (95 % sure: {margin}), {images}"))
    console.print(Text(f"  {size(expected.stored_bytes)} on disk, {size(expected.received_bytes)} received"))
    console.print(Text(f"  {duration(expected.seconds)} at the pace of the sample"))
    if expected.slowest:
        hosts = ", ".join(f"{harmless(host, 60)} {duration(spent)}" for host, spent in expected.slowest)
        console.print(Text(f"  slowest hosts: {hosts}"))


def _by_family(counts: Mapping[Reason, int]) -> Iterator[tuple[str, Reason, int]]:
    for kind in Kind:
        label = kind.value.replace("_", " ")
        members = [(reason, n) for reason, n in counts.items() if reason.kind is kind and n]
        for reason, n in sorted(members, key=lambda pair: (-pair[1], pair[0].code)):
            yield label, reason, n
            label = ""


def _headline(snapshot: Snapshot, ending: Ending) -> Text:
    state = "finished" if ending.finished else ending.stopped_by or "not finished"
    style = "bold green" if ending.finished else "bold yellow"
    numbers = (
        f" after {duration(snapshot.seconds)}: {snapshot.decided:,} of {snapshot.known:,} links decided, "
        f"{snapshot.saved:,} images saved, {size(snapshot.stored)} in {harmless(ending.root)}"
    )
    return Text.assemble((harmless(state), style), numbers)


def _rates(snapshot: Snapshot) -> str:
    urls, images = (_per_second(n, snapshot) for n in (snapshot.decided_now, snapshot.saved_now))
    return f"{rate(urls)} URL/s, {rate(images)} images/s, {size(snapshot.bytes_now)} received this time"


def _per_second(n: int, snapshot: Snapshot) -> float | None:
    return n / snapshot.seconds if snapshot.seconds > 0 else None


def _steps(snapshot: Snapshot, ending: Ending) -> tuple[Step, ...]:
    steps = next_steps(ending.root, snapshot.counts, snapshot.pending, finished=ending.finished)
    if ending.forecast is None or not ending.finished:
        return steps
    return Step(f"crawl {shlex.quote(ending.root)}", "crawl the whole list"), *steps
