"""What the commands of `curate` do with a terminal: progress, last lines, signals and exit codes."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.live import Live
from rich.text import Text

from curator.decisions import FILE
from curator.ending import ending
from curator.errors import Interrupted, UsageError
from curator.export.pipeline import export
from curator.export.plan import Table
from curator.export.records import Exported
from curator.export.target import REFUSED, check_free
from curator.flags import reader_may_leave
from curator.heap import keep_freed_memory
from curator.opened import reopened
from curator.outcome import DEFAULT, MEASURES
from curator.pipeline import Curated, Watched, curate_with
from curator.settings import ExportSettings, Settings
from curator.sources.bodies import Bodies
from curator.sources.reading import Reader
from curator.tasks import in_thread
from curator.text import harmless, json_line, size, tell
from curator.units import counted

_EVERY = 10.0  # seconds between lines into a pipe
_FRAMES = 4  # a second, on a terminal


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a command prints, and how much."""

    console: Console
    quiet: bool = False
    as_json: bool = False


def run_curate(
    paths: tuple[Path, ...],
    out: Path | None,
    settings: Settings,
    exporting: tuple[Path, ExportSettings] | None,
    terminal: Terminal,
) -> int:
    """Curate as the command line asks; the exit code. Raises CurateError."""
    return _run(_curate(paths, out, settings, exporting, terminal), "What was measured is remembered")


def run_export(curated: Path, out: Path, settings: ExportSettings, terminal: Terminal) -> int:
    """Export what was decided; the exit code. Raises CurateError."""
    return _run(_export_alone(curated, out, settings, terminal), "What was written stays")


def _run(work: Coroutine[Any, Any, None], kept: str) -> int:
    keep_freed_memory()  # the process is ours
    try:
        uvloop.run(_stoppable(work))
    except (asyncio.CancelledError, KeyboardInterrupt):
        print(f"Stopped. {kept}: run the same command again to go on.", file=sys.stderr)  # noqa: T201 - also when quiet
        return Interrupted.exit_code
    return 0


async def _stoppable(work: Coroutine[Any, Any, None]) -> None:
    """The first SIGINT or SIGTERM ends the work, which keeps what is done; a second does not even wait for that."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None

    def heard() -> None:
        if task.cancelling():
            os._exit(Interrupted.exit_code)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, heard)
    await work


async def _curate(
    paths: tuple[Path, ...],
    out: Path | None,
    settings: Settings,
    exporting: tuple[Path, ExportSettings] | None,
    terminal: Terminal,
) -> None:
    if exporting is not None:  # said before the work, not after it
        check_free(exporting[0], [*paths, *settings.against, *(() if out is None else (out,))])
    watched = Watched()
    async with _shown(terminal, lambda: _doing(watched)):
        curated = await curate_with(paths, out, settings, watched)
    if exporting is not None and terminal.as_json:  # one object tells of both
        exported = await _export(curated.out, *exporting, terminal)
        curated, exporting = replace(curated, summary=curated.summary | {"exported": asdict(exported)}), None
    _tell_decided(curated, settings, terminal)
    if exporting is not None:
        await _export_alone(curated.out, *exporting, terminal)


async def _export_alone(curated: Path, out: Path, settings: ExportSettings, terminal: Terminal) -> None:
    _tell_exported(await _export(curated, out, settings, terminal), out, settings.form, terminal)


async def _export(curated: Path, out: Path, settings: ExportSettings, terminal: Terminal) -> Exported:
    folder, done = decided_in(curated), (0, 0)

    def progress(images: int, of: int) -> None:
        nonlocal done
        done = images, of

    # from one file: another curation may put its own decisions in the place of these
    with (
        closing(await in_thread(Table, folder / FILE)) as decisions,
        reopened(decisions.provenance, folder / MEASURES) as opened,
    ):
        async with (
            Reader(decisions.provenance.settings["max_bytes"]) as reader,
            _shown(terminal, lambda: f"exporting  {done[0]:,} of {done[1]:,} images"),
        ):
            return await export(decisions, out, settings, Bodies(opened.ours, reader).stream, progress)


def decided_in(curated: Path) -> Path:
    """The folder of decisions that was meant: itself, or that of the dataset. Raises UsageError."""
    try:
        for folder in (curated, curated / DEFAULT):
            if (folder / FILE).is_file():
                return folder
    except OSError as error:  # such as a name that is too long for any file
        raise UsageError(
            f"{curated}: cannot be read ({error.strerror}). Name the folder that curate wrote to."
        ) from error
    raise UsageError(f"{curated} holds no {FILE}: run curate first, and name the folder it wrote to.")


def _tell_decided(curated: Curated, settings: Settings, terminal: Terminal) -> None:
    with reader_may_leave():
        if terminal.as_json:
            print(json_line(curated.summary))  # noqa: T201 - what --json is for
        elif not terminal.quiet:
            tell(terminal.console, *ending(curated.summary, settings, curated.out))


def _tell_exported(exported: Exported, out: Path, form: str, terminal: Terminal) -> None:
    refused = sum(exported.refused.values())
    if refused and not terminal.as_json:  # also when quiet: they are missing
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(exported.refused.items()))
        line = f"curate: {counted(refused, 'image')} could not be encoded ({reasons}): see {out / REFUSED}"
        print(line, file=sys.stderr)  # noqa: T201
    with reader_may_leave():
        if terminal.as_json:
            print(json_line(asdict(exported)))  # noqa: T201 - what --json is for
        elif not terminal.quiet:
            shards = "" if form == "folder" else f", in {counted(exported.shards, 'file')}"
            told = f"{counted(exported.images, 'image')}, {size(exported.bytes)}{shards}"
            tell(terminal.console, f"exported   {told}: {out}")
            if empty := [side for side, images in exported.splits.items() if not images]:
                words = f"--split leaves {', '.join(empty)} empty: sides are met on average, and here are few images"
                tell(terminal.console, Text(f"warning: {words}.", "yellow"))


@asynccontextmanager
async def _shown(terminal: Terminal, line: Callable[[], str]) -> AsyncIterator[None]:
    """Show a line while something is done: a live one on a terminal, now and then one into a pipe."""
    if terminal.quiet or terminal.as_json:
        yield
    elif terminal.console.is_terminal:
        with Live(
            console=terminal.console,
            get_renderable=lambda: Text(harmless(line())),
            refresh_per_second=_FRAMES,
            transient=True,
        ):
            yield
    else:
        lines = asyncio.create_task(_lines(terminal.console, line))
        try:
            yield
        finally:
            lines.cancel()


async def _lines(console: Console, line: Callable[[], str]) -> None:
    while True:
        await asyncio.sleep(_EVERY)
        with reader_may_leave():
            tell(console, harmless(line()))


def _doing(watched: Watched) -> str:
    """One line about what is done now."""
    progress = watched.measuring
    if watched.doing != "measuring":
        return watched.doing
    found = f"{progress.listed:,}{'' if progress.complete else ' or more'}"
    done = progress.measured + progress.known
    return f"measuring  {done:,} of {found} images ({progress.known:,} known before), {size(progress.bytes)} read"
