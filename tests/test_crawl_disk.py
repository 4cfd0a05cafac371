"""A full disk: the crawl stops with one clear line, nothing is lost, and with room again it goes on."""

import errno
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from curator.dataset.commit import Committer
from curator.dataset.ingest import Ingest
from curator.dataset.shards import OpenShard
from curator.errors import DiskFull
from tests.command import FLAGS, Ended
from tests.crawling import ROOT, assert_verified, run_crawl, saved, write_list
from tests.site import Site, SiteProcess, behaviour, image_bytes

LOOK = """
import json, sys
from pathlib import Path
from curator.flags import leave_out_pandas
leave_out_pandas()
from curator.dataset.verify import verify
from tests.crawling import saved, states
out = Path(sys.argv[1])
images = {url: image.hex() for url, image in saved(out).items()}
print(json.dumps([verify(out).problems, images, states(out)]))
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What a dataset holds."""

    problems: list[str]
    saved: dict[str, bytes]
    states: dict[str, str]


class SmallDisk:
    """A tmpfs in a mount namespace of its own: whoever looks at it must run there."""

    def __init__(self, folder: Path, mib: int) -> None:
        folder.mkdir()
        script = f'mount -t tmpfs -o size={mib}m tmpfs "{folder}" && echo ready && exec cat'
        self._holder = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._holder.stdout is not None
        self.mounted = self._holder.stdout.readline() == b"ready\n"
        self.path = folder

    def run(self, *command: object) -> Ended:
        """Run a command where the disk is mounted."""
        pid = str(self._holder.pid)
        ended = subprocess.run(
            ["nsenter", "-m", "-t", pid, f"--wd={ROOT}", *map(str, command)],
            capture_output=True,
            text=True,
            timeout=100,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    def crawl(self, *arguments: object) -> Ended:
        """The command `crawl`, there."""
        return self.run(sys.executable, "-m", "crawler.cli", *arguments)

    def grow(self, mib: int) -> None:
        """Make the disk larger."""
        assert self.run("mount", "-o", f"remount,size={mib}m", self.path).code == 0

    def look(self, data: Path) -> Found:
        """Verify the dataset and read all of it."""
        ended = self.run(sys.executable, "-c", LOOK, data)
        assert ended.code == 0, ended
        problems, images, became = json.loads(ended.out)
        return Found(problems, {url: bytes.fromhex(image) for url, image in images.items()}, became)

    def close(self) -> None:
        """Let go of it."""
        self._holder.communicate()


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[SmallDisk]:
    """A disk of so many MiB. Skips where this system lets nobody mount one."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        pytest.skip("no unshare(1) here")
    disk = SmallDisk(folder, mib)
    try:
        if not disk.mounted:
            pytest.skip("this system lets us mount nothing")
        yield disk
    finally:
        disk.close()


def assert_stopped_full(ended: Ended, *words: str) -> None:
    """Exit 4 and one line about it."""
    assert ended.code == 4, ended
    assert ended.error.startswith("crawl: ")
    assert ended.error.count("\n") == 1, ended.error
    for word in words:
        assert word in ended.error


def images(site: Site | SiteProcess, count: int) -> dict[str, bytes]:
    """The first links of the site that are images, with their bytes."""
    links = site.links(2 * count)
    good = [(url, image_bytes(n)) for n, url in enumerate(links) if not behaviour(n)]
    return dict(good[:count])


@pytest.mark.parametrize(
    ("mib", "shard_size"),
    [
        pytest.param(21, 10_000, id="in a commit"),
        pytest.param(21, 50, id="among sealings", marks=pytest.mark.slow),
        pytest.param(18, 10_000, id="at once", marks=pytest.mark.slow),
    ],
)
def test_a_disk_that_fills_up(tmp_path: Path, mib: int, shard_size: int):
    """Exit 4 with one line, a clean verify; with more room all is saved, and nothing is asked for twice."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", mib) as disk:
        wanted = images(site, 800)
        urls = write_list(tmp_path / "urls.txt", list(wanted))
        data = disk.path / "data"
        flags = (*FLAGS, "--concurrency", 32, "--shard-size", shard_size)
        assert_stopped_full(
            disk.crawl(urls, "--out", data, *flags, "--quiet"), str(data), "full", "Free some space"
        )
        first = disk.look(data)
        assert first.problems == []
        assert first.saved.items() <= wanted.items()
        assert_stopped_full(disk.crawl(data, "--quiet"), "full")
        disk.grow(100)
        asked = len(site.requests())
        ended = disk.crawl(urls, "--out", data)
        assert ended.code == 0, ended
        last = disk.look(data)
        again = {urlsplit(url).path for url in first.saved} & {one.path for one in site.requests()[asked:]}
    assert (last.problems, last.saved, again) == ([], wanted, set())


def test_a_disk_that_is_full_before_the_list_is_read(tmp_path: Path):
    """A list longer than the disk stops the crawl; with more room it is read on."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", 21) as disk:
        wanted = images(site, 50)
        rows = [*wanted, *(f"ftp://nobody/{n:0400}" for n in range(12_000))]
        urls = write_list(tmp_path / "urls.txt", rows)
        data = disk.path / "data"
        assert_stopped_full(disk.crawl(urls, "--out", data, *FLAGS, "--quiet"), "full", "Free some space")
        assert disk.look(data).problems == []
        disk.grow(200)
        assert disk.crawl(urls, "--out", data).code == 0
        last = disk.look(data)
    assert (last.problems, last.saved) == ([], wanted)
    assert Counter(last.states.values()) == {"saved": 50, "bad_url": 12_000}


def test_min_free_stops_before_the_disk_is_full(tmp_path: Path):
    """With less free than --min-free: exit 4, and it goes on where there is room again."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", 64) as disk:
        wanted = images(site, 800)
        urls = write_list(tmp_path / "urls.txt", list(wanted))
        data = disk.path / "data"
        flags = (*FLAGS, "--min-free", "43M", "--concurrency", 32, "--quiet")
        assert_stopped_full(disk.crawl(urls, "--out", data, *flags), "--min-free")
        first = disk.look(data)
        assert first.problems == []
        assert 0 < len(first.saved) < len(wanted)
        disk.grow(128)
        assert disk.crawl(data).code == 0
        last = disk.look(data)
    assert (last.problems, last.saved) == ([], wanted)


def full(*_: object, **__: object) -> None:
    """What the operating system says then."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_for_sqlite(*_: object, **__: object) -> None:
    """What SQLite says then."""
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    raise error


@pytest.mark.parametrize(
    ("place", "name", "says", "after"),
    [
        pytest.param(OpenShard, "append", full, 2, id="images"),
        pytest.param(Committer, "_record", full_for_sqlite, 2, id="verdicts"),
        pytest.param(OpenShard, "finish", full, 1, id="end of an archive"),
        pytest.param("curator.dataset.sealing", "replace_whole", full, 2, id="rows of a shard"),
        pytest.param("curator.dataset.commit", "begin_sealing", full_for_sqlite, 0, id="sealing"),
        pytest.param(Ingest, "stage", full_for_sqlite, 0, id="a list"),
        pytest.param(Ingest, "step", full_for_sqlite, 0, id="merging a list"),
        pytest.param("crawler.pipeline", "write_failures", full, 0, id="the failures"),
        pytest.param("crawler.pipeline", "write_summary", full, 0, id="the summary"),
        pytest.param("crawler.opening", "write_card", full, 0, id="the card"),
        pytest.param(os, "posix_fallocate", full, 0, id="the reserve"),
    ],
)
def test_full_at_every_step(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: object,
    name: str,
    says: Callable[..., object],
    after: int,
):
    """Wherever the disk turns out to be full, the crawl ends with DiskFull, whole, and can be continued."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)
    out = tmp_path / "data"
    target = sys.modules[place] if isinstance(place, str) else place
    real, calls = getattr(target, name), Counter[str]()

    def until_full(*arguments: object, **more: object) -> object:
        calls[name] += 1
        return (real if calls[name] <= after else says)(*arguments, **more)

    with Site() as site:
        wanted = images(site, 60)
        lists = [write_list(tmp_path / "urls.txt", [*wanted, "ftp://nobody/"])]
        with monkeypatch.context() as broken:
            broken.setattr(target, name, until_full)
            with pytest.raises(DiskFull) as error:
                run_crawl(lists, out, shard_size=20, concurrency=8)
        assert "Free some space" in str(error.value)
        assert_verified(out)
        run_crawl(lists, out, concurrency=8)
        assert_verified(out)
        assert saved(out) == wanted
    assert (out / "failures.parquet").exists()
