"""A full disk: the crawl stops with one clear line, nothing is lost, and with room again it goes on."""

import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from curator.dataset.commit import Committer
from curator.dataset.ingest import Ingest
from curator.dataset.shards import OpenShard
from curator.dataset.writer import RESERVE_BYTES
from curator.errors import DiskFull
from tests.command import FLAGS, Ended
from tests.crawling import ROOT, assert_verified, run_crawl, saved, states, write_list
from tests.site import Site, SiteProcess, behaviour, image_bytes

MIB = 1 << 20


class SmallDisk:
    """A tmpfs in a mount namespace of its own, reached from outside through /proc."""

    def __init__(self, folder: Path, mib: int) -> None:
        privileged = os.getuid() == 0
        folder.mkdir()
        script = f'mount -t tmpfs -o size={mib}m tmpfs "{folder}" && echo ready && exec cat'
        self._inside = ["nsenter", "-m", *([] if privileged else ["-U", "--preserve-credentials"])]
        self._holder = subprocess.Popen(
            ["unshare", "-m" if privileged else "-Urm", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self._holder.stdout is not None
        self.mounted = self._holder.stdout.readline() == b"ready\n"
        self.inside = folder  # for who runs there
        self.path = Path(f"/proc/{self._holder.pid}/root{folder}")

    def run(self, *command: object) -> Ended:
        """Run a command where the disk is mounted."""
        pid = str(self._holder.pid)
        ended = subprocess.run(
            [*self._inside, "-t", pid, f"--wd={ROOT}", *map(str, command)],
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
        assert self.run("mount", "-o", f"remount,size={mib}m", self.inside).code == 0

    def fill(self, leave: int) -> Path:
        """Fill it with somebody else's file, leaving so many bytes."""
        found = os.statvfs(self.path)
        file = self.path / "somebody-elses"
        with file.open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, found.f_bavail * found.f_frsize - leave)
        return file

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
        pytest.param(24, 10_000, id="in a commit"),
        pytest.param(24, 100, id="among sealings"),
        pytest.param(18, 10_000, id="at once"),
    ],
)
def test_a_disk_that_fills_up(tmp_path: Path, mib: int, shard_size: int):
    """Exit 4 with one line, a clean verify; with more room all is saved, and nothing is asked for twice."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", mib) as disk:
        wanted = images(site, 1500)
        urls = write_list(tmp_path / "urls.txt", list(wanted))
        data = disk.inside / "data"
        flags = (*FLAGS, "--concurrency", 32, "--shard-size", shard_size)
        assert_stopped_full(disk.crawl(urls, "--out", data, *flags, "--quiet"), str(data), "full", "Free some space")
        assert_verified(disk.path / "data")
        known = set(saved(disk.path / "data"))
        assert known <= wanted.keys()
        assert_stopped_full(disk.crawl(data), "full")  # still full
        assert_verified(disk.path / "data")
        disk.grow(100)
        ended = disk.crawl(urls, "--out", data)
        assert ended.code == 0, ended
        assert_verified(disk.path / "data")
        assert saved(disk.path / "data") == wanted
        assert not (disk.path / "data" / ".reserve").exists()


def test_a_disk_that_is_full_before_the_list_is_read(tmp_path: Path):
    """A list longer than the disk stops the crawl; with more room it is read on."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", 25) as disk:
        wanted = images(site, 50)
        rows = [*wanted, *(f"ftp://nobody/{n:0100}" for n in range(100_000))]
        urls = write_list(tmp_path / "urls.txt", rows)
        data = disk.inside / "data"
        assert_stopped_full(disk.crawl(urls, "--out", data, *FLAGS, "--quiet"), "full", "Free some space")
        assert_verified(disk.path / "data")
        disk.grow(200)
        assert disk.crawl(urls, "--out", data).code == 0
        assert_verified(disk.path / "data")
        assert saved(disk.path / "data") == wanted
        assert Counter(states(disk.path / "data").values()) == {"saved": 50, "bad_url": 100_000}


def test_min_free_stops_before_the_disk_is_full(tmp_path: Path):
    """With less free than --min-free: exit 4, and it goes on where there is room again."""
    with SiteProcess(tmp_path / "log") as site, small_disk(tmp_path / "disk", 64) as disk:
        wanted = images(site, 1500)
        urls = write_list(tmp_path / "urls.txt", list(wanted))
        data = disk.inside / "data"
        flags = (*FLAGS, "--min-free", "38M", "--concurrency", 32, "--quiet")
        assert_stopped_full(disk.crawl(urls, "--out", data, *flags), "--min-free")
        assert_verified(disk.path / "data")
        first = saved(disk.path / "data")
        assert 0 < len(first) < len(wanted)
        disk.grow(128)
        assert disk.crawl(data).code == 0
        assert_verified(disk.path / "data")
        assert saved(disk.path / "data") == wanted


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
        pytest.param("curator.dataset.writer", "RESERVE_BYTES", 1 << 62, 0, id="the reserve"),
    ],
)
def test_full_at_every_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: object, name: str, says: object, after: int
):
    """Wherever the disk turns out to be full, the crawl ends with DiskFull, whole, and can be continued."""
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
            broken.setattr(target, name, until_full if callable(says) else says)
            with pytest.raises(DiskFull) as error:
                run_crawl(lists, out, shard_size=20, concurrency=8)
        assert "Free some space" in str(error.value)
        assert_verified(out)
        run_crawl(lists, out, concurrency=8)
        assert_verified(out)
        assert saved(out) == wanted
    assert (out / "failures.parquet").exists()


def test_the_reserve_is_enough_for_a_batch():
    """The reserve has room for the verdicts of a batch and for its images up to half of what one may weigh."""
    from curator.dataset.writer import BATCH_BYTES

    assert RESERVE_BYTES * 2 >= BATCH_BYTES
