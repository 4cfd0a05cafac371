"""What the commands of `crawl` do with a terminal: views, reports, signals and exit codes."""

import asyncio
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console

from crawler.opening import Opened, open_crawl
from crawler.pipeline import Crawled, crawl_opened
from crawler.report import Ending, render_report, report_as_dict
from crawler.snapshot import Snapshot
from crawler.status import listed_in, status
from crawler.status_report import render_status, status_as_dict
from crawler.tls import tell_of_no_handshake
from crawler.view import LiveView, PlainLines
from curator.dataset.place import check_ledger_is_there
from curator.dataset.store import is_dataset
from curator.errors import Interrupted, NearlyAllFailed, UsageError
from curator.flags import reader_may_leave
from curator.text import harmless, json_line, tell


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a command prints, and how much."""

    console: Console
    quiet: bool = False
    as_json: bool = False

    def say(self, text: str) -> None:
        """One line for people. Text from lists and the web is made harmless."""
        if not self.quiet and not self.as_json:
            with reader_may_leave():
                tell(self.console, harmless(text, 2000))

    def view(self, take: Callable[[], Snapshot], title: str) -> AbstractContextManager[object]:
        """The view while a crawl runs."""
        if self.quiet:
            return nullcontext()
        if self.console.is_terminal and not self.as_json:
            return LiveView(self.console, take, title)
        return PlainLines(sys.stdout, take, as_json=self.as_json)


def run_crawl(
    paths: Sequence[str], out: Path | None, ledger: Path | None, terminal: Terminal, given: dict[str, Any]
) -> int:
    """Crawl as the command line asks; the exit code. Raises CurateError."""
    lists, root = which(paths, out)
    try:
        # before there is a loop: Ctrl-C then ends the wait for a pipe that says nothing
        opened = open_crawl(lists, root, given, ledger_path=ledger)
        crawled = uvloop.run(_crawl(opened, str(root), terminal))
    except (asyncio.CancelledError, KeyboardInterrupt):
        again = f"To continue: crawl {shlex.quote(str(root))}" if is_dataset(root) else "Nothing was begun."
        print(f"Stopped. {again}", file=sys.stderr)  # noqa: T201 - also when quiet
        return Interrupted.exit_code
    finally:
        with reader_may_leave():  # the view may have found nobody, with lines still in the buffer
            sys.stdout.flush()
    report(crawled, str(root), terminal)
    if crawled.gave_up:
        return NearlyAllFailed.exit_code
    return 0 if crawled.finished else Interrupted.exit_code


def which(paths: Sequence[str], out: Path | None) -> tuple[tuple[str, ...], Path]:
    """Lists and dataset of a command line: one argument without --out that holds a ledger is the dataset."""
    if out is not None:
        return tuple(paths), out
    if len(paths) == 1 and is_dataset(Path(paths[0])):
        return (), Path(paths[0])
    if len(paths) == 1:
        check_ledger_is_there(Path(paths[0]))
    if paths[0] != "-" and not Path(paths[0]).exists():
        raise UsageError(
            f"{paths[0]}: no list, no dataset, and no command (those are: crawl status DATA, crawl demo)."
        )
    datasets = [path for path in paths if path != "-" and is_dataset(Path(path))]
    if len(datasets) > 1:
        raise UsageError(f"{' and '.join(datasets)} are datasets: continue one at a time.")
    if datasets:
        lists = shlex.join(path for path in paths if path != datasets[0])
        raise UsageError(
            f"{datasets[0]} is a dataset. To crawl more lists into it, name it with --out: "
            f"crawl {lists} --out {shlex.quote(datasets[0])}"
        )
    raise UsageError(
        f"Where should the images go? crawl {shlex.join(paths)} --out data/  "
        "(without --out, the one argument is a dataset to continue)"
    )


async def _crawl(opened: Opened, title: str, terminal: Terminal) -> Crawled:
    stop = asyncio.Event()
    _heed_signals(stop, terminal)
    asyncio.get_running_loop().set_exception_handler(tell_of_no_handshake)
    return await crawl_opened(
        opened, stop=stop, view=lambda take: terminal.view(take, title), note=terminal.say
    )


def _heed_signals(stop: asyncio.Event, terminal: Terminal) -> None:
    """The first SIGINT or SIGTERM drains, the second stops at once, a third does not even tidy up."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def heard() -> None:
        if task.cancelling():
            os._exit(Interrupted.exit_code)
        if stop.is_set():
            task.cancel()
        else:
            stop.set()
            terminal.say("Stopping: requests under way are finished and saved. Again to stop at once.")

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)


def report(crawled: Crawled, root: str, terminal: Terminal) -> None:
    """Print how a crawl ended."""
    for line in crawled.broken_off:
        print(f"crawl: {harmless(line, 2000)}", file=sys.stderr)  # noqa: T201 - also when quiet
    listed = listed_in(crawled.root)
    ending = Ending(root, crawled.finished, crawled.retryable, listed, _stopped_by(crawled), crawled.forecast)
    with reader_may_leave():
        if terminal.as_json:
            print(json_line(report_as_dict(crawled.snapshot, ending)))  # noqa: T201 - what --json is for
        elif not terminal.quiet:
            render_report(crawled.snapshot, ending, terminal.console)
    if crawled.gave_up and terminal.quiet:
        print(f"crawl: {root} {_stopped_by(crawled)}", file=sys.stderr)  # noqa: T201 - an error


def _stopped_by(crawled: Crawled) -> str:
    if crawled.finished:
        return ""
    if crawled.gave_up:
        return "stopped, as nearly all requests fail (--stop-if-failing)"
    return "a list was not read to its end" if crawled.broken_off else "interrupted"


def show_status(data: Path, by: Any, *, as_json: bool) -> int:
    """Print what became of the links of a dataset. Raises CurateError."""
    found = status(data)
    with reader_may_leave():
        if as_json:
            print(json_line(status_as_dict(found, by)))  # noqa: T201 - what --json is for
        else:
            render_status(found, Console(highlight=False), by)
    return 0
