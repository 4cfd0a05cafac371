"""What a dataset's ledger tells of its crawl: read in the morning, or while the crawl still runs."""

import fcntl
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from crawler.failures import SAMPLE, Failures, read_failures
from crawler.report import Listed
from curator.dataset.layout import Layout
from curator.dataset.ledger import PENDING, WAITING, Ledger
from curator.dataset.summary import first_bad_rows
from curator.errors import UsageError
from curator.reasons import BY_CODE, Reason


@dataclass(frozen=True, slots=True)
class Run:
    """One run over the dataset. Times in seconds since the epoch."""

    id: int
    started: float
    ended: float | None  # None while it runs, and after a kill
    finished: bool  # it decided all it had to
    seconds: float  # at work; its continuations added up


@dataclass(frozen=True, slots=True)
class Status:
    """A dataset's crawl at one moment."""

    root: str
    writer: str  # the process that writes it now, "" when none does
    reading: bool  # a list was not read to its end yet
    run: Run | None  # the latest
    counts: dict[Reason, int]  # exact
    pending: int  # without a verdict, waiting ones included
    waiting: int
    listed: Listed
    failures: Failures

    @property
    def decided(self) -> int:
        """URLs with a verdict."""
        return sum(self.counts.values())

    @property
    def known(self) -> int:
        """Distinct URLs read so far."""
        return self.decided + self.pending

    @property
    def finished(self) -> bool:
        """Nothing is left to decide, as far as lists were read."""
        return self.run is not None and self.run.finished


def status(root: Path, hosts: int = 30, sample: int = SAMPLE) -> Status:
    """Read the dataset at `root`, with its `hosts` worst hosts, these from at most about `sample` links.

    Raises UsageError when `root` holds no dataset, CorruptDataset when its ledger cannot be read.
    """
    layout = Layout(root)
    if not layout.ledger.is_file():
        raise UsageError(
            f"{root}: no dataset here (no {layout.ledger.name}). Name the folder given to --out."
        )
    with closing(_open(layout)) as ledger:
        return _read(ledger, layout, hosts, sample)


def listed_in(root: Path) -> Listed:
    """The rows of all lists ever read into the dataset at `root`. Raises CorruptDataset."""
    with closing(_open(Layout(root))) as ledger:
        return _listed(ledger)[0]


def _open(layout: Layout) -> Ledger:
    ledger = Ledger(layout.ledger, readonly=True)
    if ledger.version == 0:
        ledger.close()
        raise UsageError(f"{layout.root} is a dataset that was never begun; run the crawl again to make it.")
    return ledger


def writer_of(lock: Path) -> str:
    """The process that writes a dataset, as its `.lock` names it; "" when none does."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        # shared, so that two readers do not take each other for a writer
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(fd, 200, 0).decode(errors="replace").strip() or "another process"
    finally:
        os.close(fd)
    return ""


def _read(ledger: Ledger, layout: Layout, hosts: int, sample: int) -> Status:
    listed, reading = _listed(ledger)  # first: what is settled now is among the counts read after it
    by_state = ledger.counts()
    waiting = by_state.pop(WAITING, 0)
    pending = by_state.pop(PENDING, 0) + waiting
    counts = {BY_CODE[state]: n for state, n in sorted(by_state.items())}
    return Status(
        root=str(layout.root),
        writer=writer_of(layout.lock),
        reading=reading,
        run=_last_run(ledger),
        counts=counts,
        pending=pending,
        waiting=waiting,
        listed=listed,
        failures=read_failures(ledger, counts, pending, hosts, sample),
    )


def _listed(ledger: Ledger) -> tuple[Listed, bool]:
    """The rows of the lists, and whether a list was not read to its end yet."""
    rows, bad, unread = ledger.db.execute(
        "SELECT coalesce(sum(rows), 0), coalesce(sum(bad), 0), coalesce(sum(done = 0), 0) FROM sources"
    ).fetchone()
    last = ledger.db.execute("SELECT coalesce(max(id), 0) FROM links").fetchone()[0]
    settled = not unread and last <= (ledger.meta("merged") or 0)
    return Listed(rows, bad, first_bad_rows(ledger), settled), bool(unread)


def _last_run(ledger: Ledger) -> Run | None:
    row = ledger.db.execute(
        "SELECT id, started, ended, finished, seconds FROM runs ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return Run(row[0], row[1], row[2], bool(row[3]), row[4]) if row else None
