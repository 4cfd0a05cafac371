"""What it costs to go on after a kill: seconds to the first picture asked for, and requests made twice.

    python -m bench.resume [--only continue,repeats] [--rows 1000000,5000000,10000000] [--urls 40000] [--quick]

continue: a dataset of so many links, 99 % of them decided, is made directly (`bench.interrupted`; 10 million take some
minutes and 5 GB of TMPDIR), and `crawl DATA` is started on it twice: with its ledger in the page cache, and without, as
after a reboot. The clock runs from the start of the process to the first request for a picture, taken at the server.
The goal: at most 5 s at 10 million.

repeats: a crawl of `--urls` tiny pictures is killed (`kill -9`, all its processes) when the server has been asked for
99 % of them, and run again to its end. Counted at the server's log: requests for what had been asked for before. The
goal: at most 2 x concurrency + a batch. img2dataset does the same with its incremental mode and default shards: it
fetches again every shard it had not finished, so the number is a matter of `processes_count` and
`number_sample_per_shard`, not of bad luck; with shards of 100 it would be as low, and the dataset 100 times as many
files.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.exchanges import read  # noqa: E402
from bench.exchanges import repeated as requests_again  # noqa: E402
from bench.interrupted import make  # noqa: E402
from bench.peers import python_for  # noqa: E402
from bench.record import append, environment, say_missed  # noqa: E402
from bench.tiny import Tiny, tiny_site  # noqa: E402
from bench.tree import cpu_seconds  # noqa: E402
from crawler.settings import Settings  # noqa: E402
from curator.dataset.writer import BATCH_EVENTS  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "resume.jsonl"
LONGEST_S = 5.0  # to the first request at ten million rows
MOST_REPEATS = 2 * Settings().concurrency + BATCH_EVENTS
SHARE = 0.99
_PATIENCE_S = 600.0
FLAGS = ("--quiet", "--allow-net", "127.0.0.0/8", "--per-host", "0", "--min-free", "0")
Command = list[str]


def crawl_command(*arguments: Path | str) -> Command:
    """Our crawl, of anything on this machine."""
    return [sys.executable, "-m", "crawler.cli", *map(str, arguments), *FLAGS]


@contextmanager
def killed_at_end(command: Command) -> Iterator[subprocess.Popen[bytes]]:
    """A process and those below it, which end with the block as `kill -9` ends them; what they say of that is lost."""
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, stdout=nowhere, stderr=nowhere)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_for(site: Tiny, count: int, process: subprocess.Popen[bytes]) -> None:
    """Until so many requests have come. Ends the bench where the process ends before."""
    deadline = time.monotonic() + _PATIENCE_S
    while site.count() < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"{site.count()} of {count} requests came: {process.args!r}")
        time.sleep(0.01)


def continued(rows: int) -> dict[str, Any]:
    """Continue a crawl of so many rows, with a warm ledger and with a cold one."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, tiny_site(Path(name)) as site:
        began = time.monotonic()
        made = make(Path(name), site.port, rows, SHARE)
        making = time.monotonic() - began
        ledger = made.root / "ledger.sqlite"
        size = ledger.stat().st_size
        (warm, cpu), (cold, _) = (to_first_request(site, ledger, cold=cold) for cold in (False, True))
    found = {"rows": rows, "left": made.left, "ledger": size, "making": making}
    return {**found, "warm": warm, "cold": cold, "cpu": cpu}


def to_first_request(site: Tiny, ledger: Path, *, cold: bool) -> tuple[float, float]:
    """Seconds from the start of a crawl to its first request for a picture, and CPU seconds of its process."""
    settle(ledger, forget=cold)
    before, began = site.count(), time.time()
    with killed_at_end(crawl_command(ledger.parent)) as process:
        wait_for(site, before + 1, process)
        cpu = cpu_seconds(process.pid)
    return min(one.began for one in read(site.log, since=began)) - began, cpu


def settle(ledger: Path, *, forget: bool) -> None:
    """Write what is still to be written; `forget`: out of the page cache, else read into it."""
    for path in (ledger, ledger.with_name("ledger.sqlite-wal")):
        if path.exists():
            with path.open("rb") as file:
                os.fsync(file.fileno())
                if forget:
                    os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
                while not forget and file.read(1 << 24):
                    pass


def repeated(site: Tiny, command: Command, count: int) -> dict[str, Any]:
    """Kill a crawl of `count` URLs near its end, run it again, and count what was asked for twice."""
    with killed_at_end(command) as process:
        wait_for(site, round(count * SHARE), process)
    before = site.count()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=_PATIENCE_S)
    asked = read(site.log)
    again = requests_again(asked)
    return {"urls": count, "before": before, "missed": count - len(asked) + again, "repeated": again}


def repeats(count: int) -> list[dict[str, Any]]:
    """Ours and img2dataset's, each with a site of its own."""
    found = []
    for tool in ("crawl", "img2dataset"):
        with tempfile.TemporaryDirectory(prefix="bench-") as name, tiny_site(Path(name)) as site:
            urls, out = Path(name, "urls.txt"), Path(name, "data")
            urls.write_text("".join(f"{url}\n" for url in site.urls(count)))
            command = crawl_command(urls, "--out", out) if tool == "crawl" else img2dataset_command(urls, out)
            found.append({"tool": tool, **(repeated(site, command, count) if command else {})})
    return found


def img2dataset_command(urls: Path, out: Path) -> Command | None:
    """img2dataset with a process a core and its default shards; None where it cannot be installed."""
    python = python_for("img2dataset")
    flags = {
        "url_list": urls,
        "output_folder": out,
        "output_format": "webdataset",
        "processes_count": len(os.sched_getaffinity(0)),
        "thread_count": 128,
        "skip_reencode": True,
        "resize_mode": "no",
        "incremental_mode": "incremental",
    }
    given = [f"--{name}={value}" for name, value in flags.items()]
    return [str(Path(python).with_name("img2dataset")), *given] if python else None


def missed(record: dict[str, Any]) -> Iterator[str]:
    """The goals that were not reached."""
    for one in record["continued"]:
        seconds = max(one["warm"], one["cold"])
        if seconds > LONGEST_S:
            yield f"{seconds:.1f} s to the first request at {one['rows']:,} rows, not {LONGEST_S:.0f}"
    for one in record["repeats"][:1]:
        if one["repeated"] > MOST_REPEATS or one["missed"]:
            yield f"{one['repeated']:,} repeated, not {MOST_REPEATS:,}; {one['missed']:,} never asked for"


def show(record: dict[str, Any]) -> None:
    """The tables."""
    if record["continued"]:
        times = f"first request: {'warm':>6} {'cold':>6} {'CPU':>6}"
        print(f"{'rows':>12} {'left':>9} {'ledger MiB':>10} {'bytes a row':>11}  {times}")
    for one in record["continued"]:
        size = one["ledger"]
        print(
            f"{one['rows']:12,} {one['left']:9,} {size / 2**20:10,.0f} {size / one['rows']:11.0f}"
            f"  {'':14} {one['warm']:5.1f}s {one['cold']:5.1f}s {one['cpu']:5.1f}s"
        )
    for one in record["repeats"]:
        told = (
            f"killed after {one['before']:,} requests, {one['repeated']:,} repeated"
            if len(one) > 1
            else "failed"
        )
        print(f"{one['tool']:>12}: {told}")


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="continue,repeats")
    parser.add_argument("--rows", default="1000000,5000000,10000000")
    parser.add_argument("--urls", type=int, default=40_000)
    parser.add_argument(
        "--quick", action="store_true", help="100,000 rows, 4,000 URLs, no goals, nothing recorded"
    )
    args = parser.parse_args(given)
    if args.quick:
        args.rows, args.urls = "100000", 4_000
    return args


def main() -> int:
    """Measure, print, write down, and say what is missed."""
    args = arguments()
    parts = args.only.split(",")
    record = {
        "environment": environment("own"),
        "continued": [continued(int(rows)) for rows in args.rows.split(",")] if "continue" in parts else [],
        "repeats": repeats(args.urls) if "repeats" in parts else [],
    }
    show(record)
    if args.quick:
        return 0
    append(RESULTS, record)
    return say_missed(missed(record))


if __name__ == "__main__":
    sys.exit(main())
