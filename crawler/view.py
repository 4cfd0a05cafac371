"""What people see while a crawl runs: one live view on a terminal, one plain line every 10 s into a pipe.

Why the event loop never writes
- A terminal stopped with Ctrl-S, or a pipe whose reader sleeps, blocks whoever writes to it. So the loop
  only takes the numbers (it owns them, so that needs no lock) and leaves them as one frozen Snapshot; a
  daemon thread renders and writes. When the reader has gone away, the crawl goes on unseen.
Cost: a frame is a millisecond, four times a second; it is plain Text, since tables cost three times that.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Self, TextIO

from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from crawler.rates import Gauge, Rates
from crawler.snapshot import Queue, Snapshot
from curator.reasons import Reason
from curator.text import duration, harmless, json_line, rate, share, size
from curator.units import counted

Take = Callable[[], Snapshot]
FRAMES = 4  # a second
REASONS = 12  # shown while it runs, the most frequent first; the report at the end has every one
_MARGIN = 11  # columns of names before the values
MEGA = 1e6  # MB/s, as network people count


class _Ticker:
    """Calls `tick` from the running event loop, every `every` seconds until stopped."""

    def __init__(self, every: float, tick: Callable[[], None]) -> None:
        self._every, self._tick = every, tick
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_later(every, self._run)

    def _run(self) -> None:
        self._handle = self._loop.call_later(self._every, self._run)
        self._tick()

    def stop(self) -> None:
        """No `tick` is called after this."""
        self._handle.cancel()


class LiveView:
    """The live view, for a terminal. Entered and left where an event loop runs; `title` heads it."""

    def __init__(self, console: Console, take: Take, title: str = "") -> None:
        self._take, self._title = take, harmless(title, 60)
        self._gauge = Gauge()
        self._frame: tuple[Snapshot, Rates, str] | None = None  # replaced as a whole: a thread reads it
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=FRAMES)

    def __enter__(self) -> Self:
        self._look()
        self._ticker = _Ticker(1 / FRAMES, self._look)
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()
        self._look()
        with suppress(OSError):  # the terminal is gone; nobody is left to be told
            self._live.stop()

    def _look(self) -> None:
        snapshot = self._take()
        self._gauge.add(snapshot)
        self._frame = snapshot, self._gauge.rates(), self._gauge.bottleneck()

    def _render(self) -> RenderableType:
        return render(*self._frame, title=self._title) if self._frame else Text()


class PlainLines:
    """One line every `every` seconds to `stream`: plain words, or with `as_json` one JSON object.

    Entered and left where an event loop runs.
    """

    def __init__(self, stream: TextIO, take: Take, every: float = 10.0, *, as_json: bool = False) -> None:
        self._stream, self._take, self._every = stream, take, every
        self._line = json_progress if as_json else plain_line
        self._gauge = Gauge()
        # one line waits at most: what a slow reader has missed is old news
        self._lines: queue.Queue[str | None] = queue.Queue(maxsize=1)
        self._writer = threading.Thread(target=self._write, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._gauge.add(self._take())
        self._ticker = _Ticker(self._every, self._look)
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ticker.stop()
        if self._writer.is_alive():
            with suppress(queue.Full):  # the reader sleeps: the daemon thread is left to its write
                self._lines.put(None, timeout=1.0)
                self._writer.join(timeout=1.0)

    def _look(self) -> None:
        snapshot = self._take()
        self._gauge.add(snapshot)
        with suppress(queue.Full):
            self._lines.put_nowait(self._line(snapshot, self._gauge.rates(), self._gauge.bottleneck()))

    def _write(self) -> None:
        with suppress(OSError):  # the reader has gone away; the crawl goes on
            while (line := self._lines.get()) is not None:
                self._stream.write(f"{line}\n")
                self._stream.flush()


def plain_line(snapshot: Snapshot, rates: Rates, bottleneck: str) -> str:
    """The crawl in one line of plain text."""
    parts = (
        f"{duration(snapshot.seconds)}: {_progress(snapshot)}",
        f"saved {snapshot.saved:,}",
        f"{rate(rates.urls)} URL/s",
        f"{rate(rates.images)} images/s",
        f"{_megabytes(rates)} MB/s",
        f"in flight {snapshot.in_flight:,}",
        f"ETA {_eta(snapshot, rates)}",
        f"limit {bottleneck}",
    )
    return ", ".join(parts)


def json_progress(snapshot: Snapshot, rates: Rates, bottleneck: str) -> str:
    """The crawl as one line of JSON. Rates are per second, null while unknown."""
    return json_line(
        {
            "event": "progress",
            "seconds": round(snapshot.seconds, 1),
            "known": snapshot.known,
            "reading": snapshot.reading,
            "decided": snapshot.decided,
            "pending": snapshot.pending,
            "waiting": snapshot.waiting,
            "bad_rows": snapshot.bad_rows,
            "counts": {reason.value: n for reason, n in snapshot.counts.items()},
            "in_flight": snapshot.in_flight,
            "urls_per_second": rates.urls,
            "images_per_second": rates.images,
            "requests_per_second": rates.requests,
            "bytes_per_second": rates.bytes,
            "eta_seconds": rates.eta,
            "lookups": {
                "found": snapshot.lookups.found,
                "missing": snapshot.lookups.missing,
                "failed": snapshot.lookups.failed,
                "under_way": snapshot.lookups.under_way,
                "seconds": round(snapshot.lookups.seconds, 1),
            },
            "robots_txt": asdict(snapshot.robots),
            "queues": {one.name: [one.filled, one.bound] for one in snapshot.queues},
            "memory": [snapshot.leased, snapshot.memory],
            "workers_busy": snapshot.workers_busy,
            "loop_busy": snapshot.loop_busy,
            "writer_busy": snapshot.writer_busy,
            "restarts": snapshot.restarts,
            "shards": snapshot.shards,
            "stored_bytes": snapshot.stored,
            "silent_since": snapshot.silent_since or None,
            "bottleneck": bottleneck,
        }
    )


def render(snapshot: Snapshot, rates: Rates, bottleneck: str, title: str = "") -> RenderableType:
    """One frame of the live view."""
    head = Text.assemble(
        (title, "bold"), "  " if title else "", duration(snapshot.seconds), f"  ETA {_eta(snapshot, rates)}"
    )
    body = Text()
    for name, value in _rows(snapshot, rates, bottleneck):
        body.append(f"{name:<{_MARGIN}}", "dim").append_text(value).append("\n")
    body.rstrip()
    return Group(head, Bar(max(snapshot.known, 1), 0, snapshot.decided, color="green"), body)


def _rows(snapshot: Snapshot, rates: Rates, bottleneck: str) -> list[tuple[str, Text]]:
    rows = [
        ("decided", Text(_progress(snapshot))),
        ("rates", Text(_rates(rates))),
        ("in flight", Text(f"{snapshot.in_flight:,} of {snapshot.concurrency:,}")),
        ("queues", _queues(snapshot)),
        ("workers", Text(_work(snapshot))),
        ("limit", Text(bottleneck, style="yellow")),
        ("reasons", _reasons(snapshot)),
    ]
    if snapshot.lookups.ended or snapshot.lookups.under_way:
        rows.insert(3, ("names", Text(_lookups(snapshot))))
    if snapshot.robots.asked:
        rows.insert(3, ("robots.txt", Text(_robots(snapshot))))
    if snapshot.waiting:
        rows.insert(3, ("retries", Text(f"{snapshot.waiting:,} wait for their time")))
    return rows


def _progress(snapshot: Snapshot) -> str:
    of = f"{snapshot.decided:,} of {counted(snapshot.known, 'link')} ({share(snapshot.decided, snapshot.known)})"
    return f"{of} and reading" if snapshot.reading else of


def _eta(snapshot: Snapshot, rates: Rates) -> str:
    if rates.eta is None:
        return "unknown"
    # what is still to be read comes on top
    return f"{'over ' if snapshot.reading else ''}{duration(rates.eta)}"


def _megabytes(rates: Rates) -> str:
    return rate(None if rates.bytes is None else rates.bytes / MEGA)


def _rates(rates: Rates) -> str:
    return (
        f"{rate(rates.urls)} URL/s   {rate(rates.images)} images/s   {_megabytes(rates)} MB/s"
        f"   {rate(rates.requests)} requests/s"
    )


def _queues(snapshot: Snapshot) -> Text:
    memory = Queue("memory", snapshot.leased, snapshot.memory)
    text = Text()
    for one in (*snapshot.queues, memory):
        full = min(1.0, one.filled / one.bound) if one.bound else 0.0  # a bound may be passed for a moment
        style = "red" if full >= 0.9 else "yellow" if full >= 0.5 else "green"
        text.append(f"{one.name} ").append(f"{full:.0%}", style).append("   ")
    return text


def _work(snapshot: Snapshot) -> str:
    parts = [
        f"{'hashing' if snapshot.undecoded else f'{snapshot.workers} measuring'}, {snapshot.workers_busy:.0%} busy",
        f"writer {snapshot.writer_busy:.0%} busy",
        f"{counted(snapshot.shards, 'shard')} sealed, {size(snapshot.stored)}",
    ]
    if snapshot.restarts:
        parts.append(f"{snapshot.restarts:,} replaced")
    if snapshot.index_bytes:
        parts.append(f"duplicates index {size(snapshot.index_bytes)}")
    return "   ".join(parts)


def _lookups(snapshot: Snapshot) -> str:
    looked = snapshot.lookups
    parts = [
        f"{looked.ended:,} looked up in {1000 * looked.seconds / max(1, looked.ended):,.0f} ms each",
        f"{looked.missing:,} missing, {looked.failed:,} failed",
        f"{looked.under_way:,} under way",
    ]
    return "   ".join(parts)


def _robots(snapshot: Snapshot) -> str:
    robots = snapshot.robots
    return f"{robots.asked:,} asked for   {robots.failed:,} failed   {robots.under_way:,} under way"


def _reasons(snapshot: Snapshot) -> Text:
    """The most frequent reasons, three a line, and the sum of the others."""
    ranked = sorted(snapshot.counts.items(), key=lambda pair: (pair[0] is not Reason.SAVED, -pair[1]))
    shown = [f"{reason.value} {n:,}" for reason, n in ranked[:REASONS]]
    if rest := sum(n for _, n in ranked[REASONS:]):
        shown.append(f"{len(ranked) - REASONS} others {rest:,}")
    if snapshot.bad_rows:
        shown.append(f"{counted(snapshot.bad_rows, 'row')} not read")
    lines = ("".join(f"{one:<25} " for one in shown[i : i + 3]) for i in range(0, len(shown), 3))
    return Text(("\n" + " " * _MARGIN).join(lines))
