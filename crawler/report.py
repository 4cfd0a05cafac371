"""The last report of a crawl: what became of everything, where it is, and what to type next."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from crawler.forecast import Forecast
from crawler.snapshot import Snapshot
from curator.reasons import Kind, Reason
from curator.text import aligned, duration, harmless, rate, share, size, tell
from curator.units import counted

BY_HOST = "--by host"  # what shows where failures are
FAILED = (Kind.OPTED_OUT, Kind.REFUSED, Kind.PERMANENT, Kind.TRANSIENT)  # no image came of it


@dataclass(frozen=True, slots=True)
class Listed:
    """The rows of all lists that were ever read into a dataset."""

    rows: int
    bad: int  # of those, rows that could not be read
    first_bad: tuple[str, ...]  # the first few of them: "latin.csv row 1: not UTF-8"
    settled: bool  # every list is read to its end, and its URLs are among the links


@dataclass(frozen=True, slots=True)
class Ending:
    """How a crawl ended."""

    root: str  # the dataset's folder, as the user would type it
    finished: bool  # every link has its verdict
    retryable: int  # transient failures that a plain rerun tries again
    listed: Listed
    stopped_by: str = ""  # why it is not finished, for people: "interrupted", "the disk is nearly full"
    forecast: Forecast | None = None  # of the whole list, when only a sample was crawled


@dataclass(frozen=True, slots=True)
class Step:
    """Something to type next, and why one would."""

    command: str
    why: str


def next_steps(
    root: str, counts: Mapping[Reason, int], pending: int, *, finished: bool, retryable: int
) -> tuple[Step, ...]:
    """What makes sense after a crawl of `root` that left `counts` and `pending` links.

    `retryable`: transient failures that a plain rerun tries again; others had their attempts.
    """
    where = shlex.quote(root)
    steps = [*_go_on(where, counts, pending, finished=finished, retryable=retryable)]
    if finished and (n := counts.get(Reason.FORBIDDEN_ADDRESS)):
        why = f"{counted(n, 'URL')} of a special address: if that network is yours"
        steps.append(Step(f"crawl {where} --allow-net CIDR --retry {Reason.FORBIDDEN_ADDRESS}", why))
    if failed := failures(counts):
        where_they_are = "where the failure is" if failed == 1 else f"where the {failed:,} failures are"
        steps.append(Step(f"crawl status {where} {BY_HOST}", f"see {where_they_are}"))
    if counts.get(Reason.SAVED):
        steps.append(Step(f"curate verify {where}", "read every image, row and count back"))
    return tuple(steps)


def _go_on(
    where: str, counts: Mapping[Reason, int], pending: int, *, finished: bool, retryable: int
) -> Iterator[Step]:
    """The one command that brings the crawl further, if any does."""
    spent = [reason for reason in _most_first(counts) if reason.kind is Kind.TRANSIENT]
    if not finished:
        left = f": {counted(pending, 'link')} pending" if pending else ""
        yield Step(f"crawl {where}", f"continue where it stopped{left}")
    elif pending:
        yield Step(f"crawl {where}", f"crawl the rest of the list: {counted(pending, 'link')} pending")
    elif retryable:
        yield Step(
            f"crawl {where} --retry transient", f"try again: {counted(retryable, 'failure')} may have passed"
        )
    elif spent:
        tried = f"{counted(of_kind(counts, Kind.TRANSIENT), 'failure')} tried five times or more each"
        yield Step(f"crawl {where} --retry {','.join(spent)}", f"{tried}; to try once more")


def of_kind(counts: Mapping[Reason, int], kind: Kind) -> int:
    """How many verdicts are of one family."""
    return sum(n for reason, n in counts.items() if reason.kind is kind)


def failures(counts: Mapping[Reason, int]) -> int:
    """How many links gave no image."""
    return sum(of_kind(counts, kind) for kind in FAILED)


def listed_lines(listed: Listed, known: int) -> list[str]:
    """How rows of lists became `known` links, where that is not plain, and the first rows that could not be read."""
    lines = []
    again = listed_again(listed, known)
    if not listed.settled:
        lines.append(f"{counted(listed.rows, 'row')} listed so far")
    elif listed.rows != known:
        parts = [f"{counted(known, 'distinct URL')}"]
        parts += [f"{again:,} listed again"] if again else []
        parts += [f"{listed.bad:,} not read"] if listed.bad else []
        lines.append(f"{counted(listed.rows, 'row')} listed: {', '.join(parts)}")
    if listed.bad:
        first = ", first" if listed.bad > 1 else ""
        told = [harmless(row) for row in listed.first_bad]
        lines.append(
            f"{counted(listed.bad, 'row')} could not be read{first}: {told[0] if told else 'unknown'}"
        )
        lines += [f"  {row}" for row in told[1:]]
    return lines


def listed_again(listed: Listed, known: int) -> int | None:
    """How many rows repeat a URL, None while that is not known."""
    return max(0, listed.rows - listed.bad - known) if listed.settled else None


def render_report(snapshot: Snapshot, ending: Ending, console: Console) -> None:
    """Print the report."""
    tell(console, _headline(snapshot, ending), *reasons_table(snapshot.counts))
    tell(console, *listed_lines(ending.listed, snapshot.known), _rates(snapshot))
    if expected := _expected(ending):
        tell(console, *forecast_lines(expected))
    tell(console, *steps_lines(_steps(snapshot, ending)))


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
        **listed_as_dict(ending.listed, snapshot.known),
        "counts": {reason.value: n for reason, n in snapshot.counts.items()},
        "kinds": {kind.value: of_kind(snapshot.counts, kind) for kind in Kind},
        "decided_now": snapshot.decided_now,
        "saved_now": snapshot.saved_now,
        "requests_now": snapshot.attempts_now,
        "robots_txt_now": asdict(snapshot.robots),
        "received_bytes_now": snapshot.bytes_now,
        "urls_per_second": _per_second(snapshot.decided_now, snapshot),
        "images_per_second": _per_second(snapshot.saved_now, snapshot),
        "stored_bytes": snapshot.stored,
        "shards": snapshot.shards,
        "worker_restarts": snapshot.restarts,
        "retryable": ending.retryable,
        "forecast": asdict(expected) if (expected := _expected(ending)) else None,
        "next": [asdict(step) for step in _steps(snapshot, ending)],
    }


def listed_as_dict(listed: Listed, known: int) -> dict[str, Any]:
    """The rows of the lists as JSON values."""
    return {
        "rows": listed.rows,
        "listed_again": listed_again(listed, known),
        "bad_rows": listed.bad,
        "first_bad_rows": list(listed.first_bad),
    }


def reasons_table(counts: Mapping[Reason, int]) -> Iterator[Text]:
    """Every Reason that occurs, by family, the most frequent first, with its share: a line each."""
    total = sum(counts.values())
    rows = []
    for family, reason, n in _by_family(counts):
        style = "green" if reason is Reason.SAVED else ""
        named = (Text(family, "dim"), Text(reason.value, style), Text(f"{n:,}", style))
        rows.append((*named, Text(share(n, total), "dim")))
    return aligned(rows, right=(2, 3))


def steps_lines(steps: tuple[Step, ...]) -> Iterator[Text]:
    """Each command whole on a line of its own, to be copied; below it why."""
    for step in steps:
        yield Text(harmless(step.command, 10_000), "bold")
        yield Text(f"    {step.why}", "dim")


def forecast_lines(expected: Forecast) -> Iterator[Text]:
    """What the whole list will come to."""
    if not expected.sampled:
        yield Text("No forecast: no link of the sample was decided.")
        return
    margin = f"{expected.low:.1%} to {expected.high:.1%}"
    images = f"{expected.low * expected.links:,.0f} to {expected.high * expected.links:,.0f} images"
    head = f"Expected of all {counted(expected.links, 'link')}, from a sample of {expected.sampled:,}:"
    yield Text(head, "bold")
    yield Text(f"  saved {expected.share:.1%} (95 % sure: {margin}), {images}")
    yield Text(f"  {size(expected.stored_bytes)} on disk, {size(expected.received_bytes)} received")
    yield Text(f"  {duration(expected.seconds)} at the pace of the sample")
    if expected.slowest:
        hosts = ", ".join(f"{harmless(host, 60)} {duration(spent)}" for host, spent in expected.slowest)
        yield Text(f"  slowest hosts: {hosts}")


def _expected(ending: Ending) -> Forecast | None:
    """The forecast, unless the sample came to be the whole list."""
    whole = ending.forecast
    return whole if whole and whole.sampled < whole.links else None


def _most_first(counts: Mapping[Reason, int]) -> list[Reason]:
    """The Reasons that occur, the most frequent first."""
    return sorted(
        (reason for reason, n in counts.items() if n), key=lambda reason: (-counts[reason], reason.code)
    )


def _by_family(counts: Mapping[Reason, int]) -> Iterator[tuple[str, Reason, int]]:
    for kind in Kind:
        label = kind.value.replace("_", " ")
        for reason in _most_first(counts):
            if reason.kind is kind:
                yield label, reason, counts[reason]
                label = ""


def _headline(snapshot: Snapshot, ending: Ending) -> Text:
    state = "finished" if ending.finished else ending.stopped_by or "not finished"
    style = "bold green" if ending.finished else "bold yellow"
    numbers = (
        f" after {duration(snapshot.seconds)}: {snapshot.decided:,} of {counted(snapshot.known, 'link')} decided, "
        f"{counted(snapshot.saved, 'image')} saved, {size(snapshot.stored)} in {harmless(ending.root)}"
    )
    return Text.assemble((harmless(state), style), numbers)


def _rates(snapshot: Snapshot) -> str:
    urls, images = (_per_second(n, snapshot) for n in (snapshot.decided_now, snapshot.saved_now))
    told = f"{rate(urls)} URL/s, {rate(images)} images/s, {size(snapshot.bytes_now)} received this time"
    asked = snapshot.robots.asked
    return f"{told}, {asked:,} robots.txt asked for" if asked else told


def _per_second(n: int, snapshot: Snapshot) -> float | None:
    return n / snapshot.seconds if snapshot.seconds > 0 else None


def _steps(snapshot: Snapshot, ending: Ending) -> tuple[Step, ...]:
    return next_steps(
        ending.root,
        snapshot.counts,
        snapshot.known - snapshot.decided,  # `pending` is of the sample, where there was one
        finished=ending.finished,
        retryable=ending.retryable,
    )
