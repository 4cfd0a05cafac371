"""Datasets whose writer was killed with SIGKILL right before each durable step it takes, one per step.

`python -m tests.killed SCENARIO FOLDER` runs the scenario again and again in forked processes, each
killed one step later than the one before, until one survives; it prints the step each died at. A
process of its own does it, because a forked test runner would carry its threads' locks along.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from curator.dataset.store import Store
from curator.flags import leave_out_pandas
from tests.datasets import CAPTIONED, committer, drawn, ingest, lost, opened, picture, postponed, saved, url

LINKS = 11


@dataclass(frozen=True)
class Killed:
    """What a kill left, and the step that never happened."""

    step: str
    root: Path


def prepare(root: Path) -> None:
    """A run over links that are all still to be fetched."""
    with opened(root, CAPTIONED) as store:
        ingest(store, [url(n) for n in range(LINKS)], [f'["caption {n}",{n}]' for n in range(LINKS)])
        store.begin_run((), {})


def commit_batches(store: Store, run: int) -> None:
    """Three batches, over the end of a shard of four: images, losses, a retry; the last shard stays open."""
    links = drawn(store, run)
    with closing(committer(store, run)) as writing:
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:3])])
        writing.commit([lost(links[3]), *(saved(link, picture(i)) for i, link in enumerate(links[4:7], 4))])
        writing.commit([postponed(links[7], due=0.0), saved(links[8], picture(8))])


def seal_a_shard(store: Store, run: int) -> None:
    """One shard of three samples, sealed."""
    links = drawn(store, run)
    with closing(committer(store, run)) as writing:
        writing.commit([saved(link, picture(i)) for i, link in enumerate(links[:3])])
        writing.seal()


SCENARIOS: dict[str, Callable[[Store, int], None]] = {"commit": commit_batches, "seal": seal_a_shard}


def killed_at_each_step(scenario: str, folder: Path) -> list[Killed]:
    """What is left in `folder` by the scenario, killed at each of its steps; the last one survived."""
    result = subprocess.run(
        [sys.executable, "-m", "tests.killed", scenario, str(folder)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Killed(step, folder / str(n)) for n, step in enumerate(result.stdout.splitlines(), 1)]


def _run_armed(root: Path, scenario: str, deadly: int, report: int) -> None:
    """In the forked process: the scenario, with death at its step number `deadly`."""
    with opened(root, CAPTIONED) as store:
        count = 0

        def step(name: str, before: Callable[[], object] = lambda: None) -> None:
            nonlocal count
            count += 1
            if count == deadly:
                os.write(report, f"{name}\n".encode())
                before()
                os.kill(os.getpid(), signal.SIGKILL)

        sync, datasync, replace, write = os.fsync, os.fdatasync, os.replace, os.pwritev

        def half(fd: int, buffers: list[bytes], at: int) -> int:
            whole = b"".join(buffers)
            step("write", lambda: os.pwrite(fd, whole[: len(whole) // 2], at))
            return write(fd, buffers, at)

        os.fsync = lambda fd: (step(f"sync {_name(fd)}"), sync(fd))[1]
        os.fdatasync = lambda fd: (step(f"sync {_name(fd)}"), datasync(fd))[1]
        os.replace = lambda a, b: (step(f"rename {Path(b).name}"), replace(a, b))[1]
        os.pwritev = half
        store.ledger.db.set_trace_callback(lambda sql: step("commit") if sql == "COMMIT" else None)
        SCENARIOS[scenario](store, 1)
    os.write(report, b"survived\n")


def _name(fd: int) -> str:
    return Path(f"/proc/self/fd/{fd}").readlink().name


def main(scenario: str, folder: Path) -> None:
    """Kill one process per step."""
    deadly, survived = 0, False
    leave_out_pandas()
    pa.array(["what Arrow imports at its first use is imported here, not by every child"])
    template = folder / "template"
    prepare(template)
    while not survived:
        deadly += 1
        shutil.copytree(template, folder / str(deadly))
        child = os.fork()
        if child == 0:
            _run_armed(folder / str(deadly), scenario, deadly, report=1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        survived = os.WIFEXITED(status)
        if survived and os.WEXITSTATUS(status):
            raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
