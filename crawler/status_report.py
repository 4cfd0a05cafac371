"""`crawl status` for people and for programs: running or not, what failed and where, what to do about it."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from crawler.failures import Host
from crawler.report import (
    BY_HOST,
    Step,
    failures,
    listed_as_dict,
    listed_lines,
    next_steps,
    of_kind,
    reasons_table,
    steps_lines,
)
from crawler.status import Status
from curator.reasons import Kind, Reason
from curator.text import aligned, duration, harmless, share, tell
from curator.units import counted

By = Literal["reason", "host", "http_status"]
WORST = 5  # hosts shown unless asked for hosts


def render_status(found: Status, console: Console, by: By | None = None) -> None:
    """Print how the crawl stands; `by` shows that table alone and at length."""
    tell(console, *_head(found))
    if by in (None, "reason"):
        tell(console, *reasons_table(found.counts))
    if by == "http_status":
        tell(console, *_statuses(found))
    if by in (None, "host") and found.failures.hosts:
        tell(console, *_hosts(found, by))
    tell(console, *retry_advice(found), *steps_lines(_steps(found, by)))


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
        **listed_as_dict(found.listed, found.known),
        "retryable": found.failures.retryable,
        "retryable_on_answering_hosts": found.failures.retryable_answering,
        "failing_hosts": found.failures.failing_hosts,
        "sampled": found.failures.part,  # 1 where by_host and by_http_status are exact
        **{f"by_{name}": table for name, table in tables.items() if by in (None, name)},
        "next": [asdict(step) for step in _steps(found, by)],
    }


def retry_advice(found: Status) -> list[str]:
    """Whether trying the failures again is worth it, in sentences; none before anything was decided."""
    failed, forbidden = failures(found.counts), found.counts.get(Reason.FORBIDDEN_ADDRESS, 0)
    if not failed:
        return ["Nothing failed."] if found.decided else []
    lines = _transient_advice(found)
    if forbidden:
        lines.append(
            f"{counted(forbidden, 'URL')} of a private or special address: "
            "fetched only where --allow-net opens that network."
        )
    return lines or ["Nothing failed in passing: a retry would not help."]


def _transient_advice(found: Status) -> list[str]:
    transient = of_kind(found.counts, Kind.TRANSIENT)
    if not transient:
        return []
    young, answering = found.failures.retryable, found.failures.retryable_answering
    about = "" if found.failures.part == 1 else "about "
    if not young:
        tried = f"{'it' if transient == 1 else 'each'} was tried five times or more already"
        return [f"{counted(transient, 'failure')} may yet pass, but {tried}: hardly worth a retry."]
    spent = f" (besides {transient - young:,} tried five times or more already)" if transient > young else ""
    what = f"{about}{counted(young, 'failure')} may pass when tried again{spent}"
    if not answering:
        return [f"{what}, all on hosts that never gave an image: a retry is worth little."]
    part = "all" if answering == young else f"{answering:,} of them"
    return [f"{what}, {part} on hosts that also gave images: worth a retry."]


def _head(found: Status) -> list[str]:
    of = f"{found.decided:,} of {counted(found.known, 'link')} decided ({share(found.decided, found.known)})"
    lines = [_running(found), f"{of}, {found.pending:,} pending"]
    if found.waiting:
        lines[1] += f", of those {found.waiting:,} to be tried again when their time comes"
    if found.reading:
        lines.append("A list is not read to its end yet: there will be more links.")
    return lines + listed_lines(found.listed, found.known)


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


def _statuses(found: Status) -> Iterator[Text]:
    rows = [(Text("HTTP status", "dim"), Text("failures", "dim"))]
    for answer, n in found.failures.http_status:
        rows.append((Text(str(answer) if answer else "no answer"), Text(f"{n:,}")))
    return aligned(rows, right=(1,))


def _hosts(found: Status, by: By | None) -> Iterator[Text]:
    worst = found.failures
    if worst.part < 1:
        yield Text(f"Hosts, estimated from {worst.part:.1%} of the links:")
    shown = worst.hosts if by == "host" else worst.hosts[:WORST]
    rows = [[Text(name, "dim") for name in ("host", "failed", "saved", "to retry", "mostly")]]
    for host in shown:
        numbers = (Text(f"{n:,}") for n in (host.failed, host.saved, host.retryable))
        rows.append([Text(harmless(host.name, 255) or "(none)"), *numbers, Text(_mostly(host))])
    yield from aligned(rows, right=(1, 2, 3))
    if more := worst.failing_hosts - len(shown):
        yield Text(f"and {more:,} more {'host' if more == 1 else 'hosts'} with failures", "dim")


def _mostly(host: Host) -> str:
    reason, n = host.reasons[0]
    always = "" if host.answered else ", never gave an image"
    return f"{reason.value} {share(n, host.failed)}{always}"


def _host_as_dict(host: Host) -> dict[str, Any]:
    plain = asdict(host)
    return plain | {"reasons": {reason.value: n for reason, n in host.reasons}}


def _steps(found: Status, by: By | None) -> tuple[Step, ...]:
    if found.writer:
        return ()  # it is at work: nothing to continue, retry or curate yet
    steps = next_steps(
        found.root,
        found.counts,
        found.pending,
        finished=found.finished,
        retryable=found.failures.retryable,
    )
    # whoever looks at the hosts has no need to be sent there
    return tuple(step for step in steps if by != "host" or not step.command.endswith(BY_HOST))
