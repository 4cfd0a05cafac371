"""`crawl status` for people and for programs: running or not, what failed and where, what to do about it."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crawler.failures import Host
from crawler.report import Step, next_steps, of_kind, reasons_table, steps_table
from crawler.status import Status
from crawler.text import duration, harmless, share
from curator.reasons import Kind

By = Literal["reason", "host", "http_status"]
WORST = 5  # hosts shown unless asked for hosts


def render_status(found: Status, console: Console, by: By | None = None) -> None:
    """Print how the crawl stands; `by` shows that table alone and at length."""
    for line in _head(found):
        console.print(Text(line))
    if by in (None, "reason"):
        console.print(reasons_table(found.counts))
    if by == "http_status":
        console.print(_statuses(found))
    if by in (None, "host") and found.failures.hosts:
        _print_hosts(found, console, by)
    for line in retry_advice(found):
        console.print(Text(line))
    console.print(steps_table(_steps(found)))


def status_as_dict(found: Status, by: By | None = None) -> dict[str, Any]:
    """The status as JSON values; with `by` of the three tables only that one."""
    tables: dict[By, Any] = {
        "reason": {reason.value: n for reason, n in found.counts.items()},
        "host": [_host_as_dict(host) for host in found.failures.hosts],
        "http_status": {str(answer): n for answer, n in found.failures.http_status},
    }
    return {
        "dataset": found.root,
        "running": bool(found.writer),
        "writer": found.writer,
        "reading": found.reading,
        "run": asdict(found.run) if found.run else None,
        "known": found.known,
        "decided": found.decided,
        "pending": found.pending,
        "waiting": found.waiting,
        "bad_rows": found.bad_rows,
        "retryable": found.failures.retryable,
        "retryable_on_answering_hosts": found.failures.retryable_answering,
        "failing_hosts": found.failures.failing_hosts,
        "sampled": found.failures.part,  # 1 where by_host and by_http_status are exact
        **{f"by_{name}": table for name, table in tables.items() if by in (None, name)},
        "next": [asdict(step) for step in _steps(found)],
    }


def retry_advice(found: Status) -> list[str]:
    """Whether trying the failures again is worth it, in sentences; none when nothing failed in passing."""
    transient = of_kind(found.counts, Kind.TRANSIENT)
    if not transient:
        return ["Nothing failed in passing: a retry would not help."] if found.decided else []
    young, answering = found.failures.retryable, found.failures.retryable_answering
    about = "" if found.failures.part == 1 else "about "
    if not young:
        return [f"{transient:,} failures may pass, but each was tried five times already: not worth a retry."]
    spent = f" (besides {transient - young:,} tried five times already)" if transient > young else ""
    what = f"{about}{young:,} failures may pass when tried again{spent}"
    if not answering:
        return [f"{what}, all on hosts that never gave an image: a retry is worth little."]
    part = "all" if answering == young else f"{answering:,} of them"
    return [f"{what}, {part} on hosts that also gave images: worth a retry."]


def _head(found: Status) -> list[str]:
    of = f"{found.decided:,} of {found.known:,} links decided ({share(found.decided, found.known)})"
    lines = [_running(found), f"{of}, {found.pending:,} pending"]
    if found.waiting:
        lines[1] += f", of those {found.waiting:,} wait to be tried again"
    if found.reading:
        lines.append("A list is not read to its end yet: there will be more links.")
    if found.bad_rows:
        lines.append(f"{found.bad_rows:,} rows of the lists hold no URL")
    return lines


def _running(found: Status) -> str:
    run, name = found.run, harmless(found.root)
    if run is None:
        return f"{name}: {harmless(found.writer)} begins" if found.writer else f"{name}: no crawl has begun"
    began = f"run {run.id}, begun {_moment(run.started)}"
    if found.writer:
        return f"{name}: running, {began} (written by {harmless(found.writer)})"
    if run.ended is None:
        return f"{name}: stopped without a word (killed?), {began}"
    how = "finished" if run.finished else "interrupted"
    return f"{name}: {how} {_moment(run.ended)}, {began}, {duration(run.seconds)} at work"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M")


def _statuses(found: Status) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("HTTP status", style="dim")
    table.add_column("failures", justify="right")
    for answer, n in found.failures.http_status:
        table.add_row(str(answer) if answer else "no answer", f"{n:,}")
    return table


def _print_hosts(found: Status, console: Console, by: By | None) -> None:
    failures = found.failures
    if failures.part < 1:
        console.print(Text(f"Hosts, estimated from {failures.part:.1%} of the links:"))
    shown = failures.hosts if by == "host" else failures.hosts[:WORST]
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("host", style="dim")
    for name in ("failed", "saved", "to retry"):
        table.add_column(name, justify="right")
    table.add_column("mostly")
    for host in shown:
        numbers = (f"{n:,}" for n in (host.failed, host.saved, host.retryable))
        table.add_row(Text(harmless(host.name, 60) or "(none)"), *numbers, Text(_mostly(host)))
    console.print(table)
    if more := failures.failing_hosts - len(shown):
        console.print(Text(f"and {more:,} more hosts with failures", "dim"))


def _mostly(host: Host) -> str:
    reason, n = host.reasons[0]
    always = "" if host.answered else ", never gave an image"
    return f"{reason.value} {share(n, host.failed)}{always}"


def _host_as_dict(host: Host) -> dict[str, Any]:
    plain = asdict(host)
    return plain | {"reasons": {reason.value: n for reason, n in host.reasons}}


def _steps(found: Status) -> tuple[Step, ...]:
    if found.writer:
        return ()  # it is at work: nothing to continue, retry or curate yet
    return next_steps(
        found.root,
        found.counts,
        found.pending,
        finished=found.finished,
        retryable=found.failures.retryable,
    )
