"""One contender does one job, in a process and, where need be, an environment of its own, and is measured.

    contend("imagededup", Job("curate", "/photos", "/tmp/out", 5000)) -> Run

The job goes to `python -m bench.contenders NAME` as JSON on standard input; the last line of standard output is
what came of it. Its wall time counts from the start of that process to its end, so that imports, pools and the
closing of files are in it; only what a contender says it spent on reading back what it wrote is taken off.
Memory and CPU seconds are of the whole tree of its processes (`bench.tree`).

What fails, hangs, or cannot be installed is a `Run` with the words of its failure: a line of the table, never the
end of the bench.
"""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import IO, Any

from bench.peers import ROOT, python_for
from bench.tree import Watch

LIMIT_S = 3600.0
_FAILURE = 160  # characters of it that a table can show


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done: JSON both ways."""

    task: str  # "crawl" | "crawl-256" | "crawl-bytes" | "curate" | "search"
    input: str  # a text file of URLs, a folder of pictures, or a .npy of uint64 hashes
    out: str  # an empty folder for it
    count: int  # of URLs, pictures or hashes
    options: dict[str, Any] = field(
        default_factory=dict
    )  # ca, nameserver, threads, timeout, radius, site ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it, read back from what was written."""

    images: int  # saved, hashed; of a search the pairs
    reasons: dict[str, int] = field(default_factory=dict)  # where the tool tells them
    note: str = ""
    aside: float = 0.0  # seconds spent on reading back, which are nobody's work
    work: float = 0.0  # seconds of the work alone, where imports and start are not what is compared


@dataclass(frozen=True, slots=True)
class Run:
    """What it took. `failure` is empty where there is an outcome."""

    name: str
    seconds: float = 0.0  # wall time of the whole process
    cpu: float = 0.0  # seconds of all its processes
    memory: int = 0  # bytes of all its processes at their peak, shared pages divided
    began: float = 0.0  # time.time()
    exit_code: int | None = None
    outcome: Outcome | None = None
    failure: str = ""


@contextmanager
def aside(spent: list[float]) -> Iterator[None]:
    """Note the seconds of reading back, for `Outcome.aside`."""
    began = time.perf_counter()
    yield
    spent.append(time.perf_counter() - began)


def contend(name: str, job: Job, limit: float = LIMIT_S) -> Run:
    """Have contender `name` do the job within `limit` seconds."""
    python = python_for(name)
    if python is None:
        return Run(name, failure="cannot be installed here")
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complaints:
        process = _start(python, name, said, complaints)
        began, started = time.time(), time.perf_counter()
        assert process.stdin is not None
        with Watch(process.pid) as watch, _limited(process, limit) as late:
            with suppress(BrokenPipeError), process.stdin as into:
                into.write(json.dumps(asdict(job)).encode())
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
        process.returncode = code = os.waitstatus_to_exitcode(status)
        found = _outcome(said) if code == 0 else None
        failure = "" if found else _words(complaints, code)
    # who is waited for is in `used`, who is orphaned or killed only where the watch has seen it
    cpu = max(used.ru_utime + used.ru_stime, watch.whole)
    if late:
        failure = f"not done after {limit:.0f} s"
    memory = watch.peak or used.ru_maxrss << 10  # what ends within a tenth of a second was never looked at
    return Run(name, seconds - (found.aside if found else 0), cpu, memory, began, code, found, failure)


@cache
def version_of(name: str) -> str:
    """What a contender says of its version; empty where it cannot be installed or asked."""
    python = python_for(name)
    command = [str(python), "-m", "bench.contenders", name, "--version"]
    asked = python and subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    return asked.stdout.strip().rpartition("\n")[2] if asked and asked.returncode == 0 else ""


def _start(python: str, name: str, said: IO[bytes], complaints: IO[bytes]) -> subprocess.Popen[bytes]:
    # an installed package is compiled once, not at every start
    compiled = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return subprocess.Popen(
        [python, "-m", "bench.contenders", name],
        cwd=ROOT,
        env=compiled,
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=complaints,
        start_new_session=True,
    )


@contextmanager
def _limited(process: subprocess.Popen[bytes], limit: float) -> Iterator[list[bool]]:
    """End the process and its group when the time is over, and what is left of the group at the end of the block."""
    late: list[bool] = []

    def end() -> None:
        late.append(True)
        _end(process)

    alarm = threading.Timer(limit, end)
    alarm.daemon = True
    alarm.start()
    try:
        yield late
    finally:
        alarm.cancel()
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _outcome(said: IO[bytes]) -> Outcome | None:
    said.seek(0)
    last = said.read().decode(errors="replace").strip().rpartition("\n")[2]
    with suppress(ValueError, TypeError):
        return Outcome(**json.loads(last))
    return None


def _words(complaints: IO[bytes], code: int) -> str:
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").strip().split("\n")
    return (lines[-1].strip() or f"exit code {code}, no word and no outcome")[:_FAILURE]
