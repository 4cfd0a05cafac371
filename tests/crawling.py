"""Crawls for tests: in this process, or in one of their own that can be killed."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from crawler.pipeline import Crawled, crawl
from curator.dataset.reader import Dataset
from curator.dataset.verify import verify

ROOT = Path(__file__).parents[1]
# the test server is on loopback, waits are short, and small disks may run the tests
LOCAL: dict[str, Any] = {
    "allow_net": ("127.0.0.0/8",),
    "per_host": 0,
    "backoff": 0.02,
    "workers": 2,
    "min_free": 0,
}


def write_list(path: Path, urls: Sequence[str]) -> Path:
    """A .txt list of `urls`."""
    path.write_text("".join(f"{url}\n" for url in urls))
    return path


def run_crawl(lists: Sequence[Path | str], out: Path, **given: Any) -> Crawled:
    """Crawl in this process, to its end."""
    return asyncio.run(crawl(list(lists), out, **(LOCAL | given)))


@contextmanager
def crawl_process(lists: Sequence[Path | str], out: Path, **given: Any) -> Iterator[subprocess.Popen[str]]:
    """A crawl in a process group of its own; what is left of the group is killed at the end."""
    arguments = json.dumps([[str(one) for one in lists], LOCAL | given])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.crawling_alone", str(out), arguments],
        cwd=ROOT,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        kill_group(process)
        process.communicate()


def kill_group(process: subprocess.Popen[str]) -> None:
    """kill -9 for the process and all it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(true: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 60.0) -> bool:
    """Whether `true` came, at the end of the process at the latest. Fails the test when neither happens."""
    deadline = time.monotonic() + seconds
    while not true():
        if process.poll() is not None:
            return true()
        assert time.monotonic() < deadline, "neither came in time"
        time.sleep(0.01)  # some look by reading a whole log
    return True


def ledger(out: Path, query: str, *arguments: object) -> list[Any]:
    """Rows of the dataset's ledger."""
    with closing(sqlite3.connect(f"file:{out / 'ledger.sqlite'}?mode=ro", uri=True, timeout=30)) as db:
        return db.execute(query, arguments).fetchall()


def states(out: Path) -> dict[str, str]:
    """What became of every URL."""
    return dict(ledger(out, "SELECT url, state FROM urls"))


def saved(out: Path) -> dict[str, bytes]:
    """The stored bytes of every image by the URL it was listed under. Fails when a URL is there twice."""
    images: dict[str, bytes] = {}
    for sample in Dataset(out):
        url = sample.fields["url"]
        assert url not in images, f"{url} was saved twice"
        images[url] = sample.image
    return images


def assert_verified(out: Path) -> None:
    """`curate verify` finds nothing."""
    problems = verify(out).problems
    assert problems == (), problems


def members(out: Path) -> list[str]:
    """The names in all sealed shards."""
    names: list[str] = []
    for path in sorted((out / "images").glob("*.tar")):
        with tarfile.open(path) as tar:
            names += tar.getnames()
    return names
