"""How fast a whole crawl is, beside what decoding alone would cost.

    python -m bench.crawl --photos FOLDER [--urls 10000] [--rounds 3] [--json] [-- FLAGS OF CRAWL]

Crawls the pictures of a folder from nginx on loopback into a temporary folder (on the disk of TMPDIR), with
decoding, hashing and saving on, and in turn runs the frozen reference over the same bytes (`bench.reference`).
The gate: images saved a second, divided by images decoded a second in the same run, medians of both. A crawl
counts from the start of its process to its end; `steady` is from its first commit to its last, for diagnosis.

Then the parts of a crawl, each alone (`bench.parts`): were nothing lost between them, an image would cost the
sum of their CPU seconds, with the server's. `share` is how much of that speed the crawl reaches.

On a machine that others use as well, wall time says little: compare CPU seconds, of the reference and of all
that a crawl needs (`by CPU seconds`), and look at `others`.

Bias: server and crawl share the machine's cores, as the reference has them to itself; loopback has no latency
and loses nothing, and bodies come from the page cache.
"""

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.record import append, cores, environment, say_missed  # noqa: E402
from bench.serving import Server, serving  # noqa: E402
from bench.tree import Watch, cpu_seconds, machine_seconds  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "crawl.jsonl"


@dataclass(frozen=True, slots=True)
class Crawl:
    """One crawl. CPU in seconds."""

    seconds: float
    steady: float  # images a second from the first commit to the last
    loop: float  # CPU of the event loop's thread
    threads: float  # of the other threads of that process
    workers: float  # of all processes below it
    server: float
    others: float  # of everything else on the machine
    memory: int  # bytes at the peak, leased bodies included

    @property
    def cpu(self) -> float:
        """CPU seconds of all that a crawl needs."""
        return self.loop + self.threads + self.workers + self.server


def crawl(urls: Path, server: Server, out: Path, count: int, flags: list[str]) -> Crawl:
    """Crawl all `urls` into `out`. Ends the bench when not every one of them is saved."""
    command = [sys.executable, "-m", "crawler.cli", str(urls), "--out", str(out), "--quiet"]
    allowed = ["--allow-net", "127.0.0.0/8", "--per-host", "0", *flags]
    serving_before, machine_before = sum(map(cpu_seconds, server.pids)), machine_seconds()
    started = time.perf_counter()
    # an installed package is compiled once, not at every start
    compiled = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([*command, *allowed], cwd=ROOT, env=compiled)
    with Watch(process.pid) as watch:
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    saved = json.loads((out / "summary.json").read_text())["saved"] if not process.returncode else 0
    if saved != count:
        raise SystemExit(f"{saved} of {count} images saved, exit code {process.returncode}")
    served = sum(map(cpu_seconds, server.pids)) - serving_before
    root = used.ru_utime + used.ru_stime
    return Crawl(
        seconds,
        steady_rate(out),
        loop=watch.loop,
        threads=watch.threads,
        workers=watch.children,
        server=served,
        others=max(0.0, machine_seconds() - machine_before - root - watch.children - served),
        memory=watch.peak,
    )


def steady_rate(out: Path) -> float:
    """Images a second between the first commit and the last."""
    with contextlib.closing(sqlite3.connect(out / "ledger.sqlite")) as ledger:
        first, last, count = ledger.execute(
            "SELECT (SELECT min(decided_at) FROM verdicts) AS first, max(decided_at), count(*) FROM verdicts"
            " WHERE decided_at > first"
        ).fetchone()
    return float(count / (last - first)) if count else 0.0


def measured(module: str, *arguments: object) -> dict[str, float]:
    """What a bench module prints as JSON, run in a process of its own."""
    command = [sys.executable, "-m", f"bench.{module}", *map(str, arguments)]
    found: dict[str, float] = json.loads(subprocess.check_output(command, cwd=ROOT))
    return found


def parts(photos: Path, count: int, urls: Path, server: Server, folder: Path) -> dict[str, dict[str, float]]:
    """Each part alone; the network's CPU includes the server's."""
    found = {"kernel": measured("parts", "kernel", photos, count)}
    before = sum(map(cpu_seconds, server.pids))
    found["network"] = measured("parts", "network", photos, count, urls)
    found["network"]["cpu"] += sum(map(cpu_seconds, server.pids)) - before
    found["disk"] = measured("parts", "disk", photos, count, urls, folder)
    (folder / "copied").unlink()
    return found


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Server up, rounds in turn, parts, server down."""
    references: list[dict[str, float]] = []
    crawls: list[Crawl] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        server = stack.enter_context(serving(args.photos, folder, args.server))
        urls = folder / "urls.txt"
        urls.write_text("\n".join(server.urls(args.photos, args.urls)) + "\n")
        for _ in range(args.rounds):
            references.append(measured("reference", args.photos, args.urls))
            with tempfile.TemporaryDirectory(dir=folder) as out:
                crawls.append(crawl(urls, server, Path(out), args.urls, args.flags))
        alone = {} if args.no_parts else parts(args.photos, args.urls, urls, server, folder)
    return {
        "environment": environment(server.kind),
        "urls": args.urls,
        "flags": args.flags,
        "references": references,
        "crawls": [asdict(one) for one in crawls],
        "parts": alone,
        **summary(args.urls, references, crawls, alone),
    }


def summary(
    count: int, references: list[dict[str, float]], crawls: list[Crawl], alone: dict[str, dict[str, float]]
) -> dict[str, float]:
    """The numbers that count, from medians."""
    reference = count / statistics.median(one["seconds"] for one in references)
    whole = count / statistics.median(one.seconds for one in crawls)
    steady = statistics.median(one.steady for one in crawls)
    found = {
        "reference": reference,
        "whole": whole,
        "steady": steady,
        "ratio": whole / reference,
        "steady_ratio": steady / reference,
        "cpu_ratio": statistics.median(one["cpu"] for one in references)
        / statistics.median(one.cpu for one in crawls),
        "memory_mib": max(one.memory for one in crawls) / 2**20,
    }
    if alone:
        found["parts_together"] = count * cores() / sum(one["cpu"] for one in alone.values())
        found["share"] = whole / found["parts_together"]
    return found


def show(record: dict[str, Any]) -> None:
    """The table."""
    count = record["urls"]
    print("  ".join(f"{name} {value}" for name, value in record["environment"].items()))
    print(f"\n{'round':>5} {'reference/s':>12} {'crawl/s':>8} {'ratio':>6} {'steady/s':>9}  CPU ms/image:"
          f" {'reference':>9} {'loop':>5} {'threads':>7} {'workers':>7} {'server':>6} {'others':>6}  MiB")  # fmt: skip
    for i, (reference, one) in enumerate(zip(record["references"], record["crawls"], strict=True), 1):
        shares = [one[name] / count * 1e3 for name in ("loop", "threads", "workers", "server", "others")]
        print(
            f"{i:5} {count / reference['seconds']:12.0f} {count / one['seconds']:8.0f}"
            f" {reference['seconds'] / one['seconds']:6.3f}"
            f" {one['steady']:9.0f}  {'':13}"
            f" {reference['cpu'] / count * 1e3:9.2f} {shares[0]:5.2f} {shares[1]:7.2f} {shares[2]:7.2f}"
            f" {shares[3]:6.2f} {shares[4]:6.2f} {one['memory'] / 2**20:4.0f}"
        )
    for name, part in record["parts"].items():
        per_image = part["cpu"] / count * 1e3
        print(f"{name:>8} alone: {count / part['seconds']:6.0f}/s, {per_image:.2f} CPU ms an image")
    print(
        f"\ncrawl {record['whole']:.0f}/s, steady {record['steady']:.0f}/s; reference {record['reference']:.0f}/s"
    )
    print(
        f"ratio {record['ratio']:.3f} (steady {record['steady_ratio']:.3f},"
        f" by CPU seconds {record['cpu_ratio']:.3f})"
    )
    if record["parts"]:
        print(f"share {record['share']:.2f} of the {record['parts_together']:.0f}/s of its parts together")


def failures(record: dict[str, Any], floor: float) -> list[str]:
    """What the run misses."""
    missed = []
    if record["ratio"] < floor:
        missed.append(f"ratio {record['ratio']:.3f} is below {floor}")
    return missed


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs")
    parser.add_argument("--urls", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", choices=("nginx", "own"), help="default: nginx where it is installed")
    parser.add_argument("--floor", type=float, default=0.70, help="the ratio below which the exit code is 1")
    parser.add_argument("--no-parts", action="store_true", help="leave the diagnosis out")
    parser.add_argument("--quick", action="store_true", help="500 URLs, one round, no floor: does it work?")
    parser.add_argument(
        "--json", action="store_true", help=f"append the record to {RESULTS.relative_to(ROOT)}"
    )
    parser.add_argument("flags", nargs="*", help="flags of crawl, after --")
    args = parser.parse_args()
    if args.quick:
        args.urls, args.rounds, args.floor = 500, 1, 0.0
    return args


def main() -> int:
    """Measure, print, and say whether it is fast enough."""
    args = arguments()
    record = run(args)
    show(record)
    if args.json:
        append(RESULTS, record)
    return say_missed(failures(record, args.floor))


if __name__ == "__main__":
    sys.exit(main())
