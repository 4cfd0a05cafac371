"""How the cost of a crawl grows: with concurrency, cores, the length of the list, and the number of hosts.

    python -m bench.growth [--only concurrency,cores,length,hosts,tls] [--seconds 60] [--quick]

Every line is a crawl of its own of a site that starts with it, the clock at the server: the rate is that between the
first and the last fifth of its answers. Beside it CPU milliseconds an image (the event loop, other threads, workers,
the server) and the peak memory of all processes of the crawl.

- concurrency: tiny pictures (`bench.tiny`) of 500 hosts that take 0.2 s for an answer, so that few at a time cannot
  be fast, 50 to 5,000 at a time, with one core for the crawl and with two.
- cores: pictures as large as the web's (`bench.corpus`), one host, with one core and with two.
- length: lists of 10^4 to 10^6 tiny pictures, one host; a crawl that is not done after `--seconds` is interrupted. The
  goals: neither rate nor memory tells the longest list from the shortest.
- hosts: 20,000 tiny pictures on 1 to 20,000 hosts, each with its connection and its robots.txt.
- tls: pictures as large as the web's over HTTPS, each from a host of its own: what handshakes cost, and what
  connections hold that are kept for a while.

Ten minutes in all where nothing else runs; a quarter of an hour at most. Bias: servers use the same cores, also where
the crawl is kept to one of them; tiny pictures are the worst case for everything but decoding.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.exchanges import read, steady_rate  # noqa: E402
from bench.inputs import corpus  # noqa: E402
from bench.record import append, environment, say_missed  # noqa: E402
from bench.resume import crawl_command  # noqa: E402
from bench.site import SITES  # noqa: E402
from bench.tiny import tiny_site  # noqa: E402
from bench.tree import Watch, cpu_seconds  # noqa: E402
from curator.units import counted  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "growth.jsonl"
LATENCY_S = 0.2
HOSTS = 500
LONGEST_S = 90.0  # a line; a crawl drains after that
FLAT = 0.8  # of the rate of the shortest list
FLAT_MIB = 64  # more than with the shortest list


@dataclass(frozen=True, slots=True)
class Line:
    """What one crawl is, and what it is given."""

    part: str
    value: int  # what grows
    urls: int
    cores: int
    concurrency: int = 500
    hosts: int = 1
    latency: float = 0.0
    large: bool = False  # pictures
    tls: bool = False
    seconds: float = LONGEST_S


class Asked(Protocol):
    """A site that runs: its log, and its processes."""

    @property
    def log(self) -> Path: ...
    @property
    def pids(self) -> tuple[int, ...]: ...


def concurrency(cores: int, quick: bool) -> Iterator[Line]:
    """As many URLs as keep each busy for some ten seconds."""
    for at_a_time in (50, 500) if quick else (50, 200, 500, 1_000, 2_000, 5_000):
        urls = 1_000 if quick else min(25_000, round(at_a_time / LATENCY_S * 10))
        for used in range(1, cores + 1):
            yield Line("concurrency", at_a_time, urls, used, at_a_time, HOSTS, LATENCY_S)


def by_cores(cores: int, quick: bool) -> Iterator[Line]:
    """The work of a real crawl."""
    for used in range(1, cores + 1):
        yield Line("cores", used, 200 if quick else 4_000, used, large=True)


def length(cores: int, quick: bool, seconds: float) -> Iterator[Line]:
    """Longer and longer lists."""
    for urls in (1_000, 5_000) if quick else (10_000, 100_000, 1_000_000):
        yield Line("length", urls, urls, cores, seconds=seconds)


def hosts(cores: int, quick: bool) -> Iterator[Line]:
    """More and more hosts."""
    urls = 1_000 if quick else 20_000
    for count in (1, 100) if quick else (1, 100, 2_000, 20_000):
        yield Line("hosts", count, urls, cores, hosts=count)


def tls(cores: int, quick: bool) -> Iterator[Line]:
    """More and more HTTPS hosts."""
    for urls in (100,) if quick else (1_000, 4_000):
        yield Line("tls", urls, urls, cores, hosts=urls, large=True, tls=True)


def crawl(line: Line) -> dict[str, Any]:
    """One crawl, and what it took; `failure` says what was not saved, and nothing where all is well."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        urls, out = folder / "urls.txt", folder / "data"
        site, listed, flags = _site(line, folder, stack)
        with urls.open("w") as file:
            file.writelines(f"{url}\n" for url in listed)
        command = crawl_command(urls, "--out", out, "--concurrency", str(line.concurrency))
        served = sum(map(cpu_seconds, site.pids))
        watch, code = _run([*command, *flags], line)
        served = sum(map(cpu_seconds, site.pids)) - served
        totals = json.loads((out / "summary.json").read_text())
        lost = code not in (0, 130) or totals["reasons"] or (code == 0 and totals["pending"])
        rate = steady_rate([one for one in read(site.log) if one.status == 200])
    spent = {"loop": watch.loop, "threads": watch.threads, "workers": watch.children, "server": served}
    return {
        **asdict(line),
        "failure": f"exit code {code}, {totals['saved']:,} saved, {totals['reasons']}" if lost else "",
        "saved": totals["saved"],
        "rate": rate,
        "memory": watch.peak,
        "cpu": {name: seconds / max(totals["saved"], 1) * 1e3 for name, seconds in spent.items()},
    }


def _site(line: Line, folder: Path, stack: ExitStack) -> tuple[Asked, Iterator[str], list[str]]:
    """The site of a line, its URLs, and what a crawl must be told to reach it."""
    if not line.large:
        tiny = stack.enter_context(tiny_site(folder, line.latency))
        return tiny, tiny.urls(line.urls, line.hosts), []
    kind = SITES["tls" if line.tls else "fast"]
    site = stack.enter_context(kind(corpus(0, 500, None), folder / "site", count=line.urls))
    names = ["--resolver", site.options["nameserver"], "--ca-file", site.options["ca"]] if line.tls else []
    return site, iter(site.urls), names


def _run(command: list[str], line: Line) -> tuple[Watch, int]:
    """Run a crawl on its cores, interrupted when its time is over; its exit code."""
    cores = sorted(os.sched_getaffinity(0))[: line.cores]
    pinned = ["taskset", "--cpu-list", ",".join(map(str, cores)), *command]
    process = subprocess.Popen(pinned, cwd=ROOT)  # taskset becomes the crawl
    with Watch(process.pid) as watch:
        try:
            process.wait(line.seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
        return watch, process.wait()


def show(lines: Sequence[dict[str, Any]]) -> None:
    """A table a part."""
    part = ""
    for one in lines:
        if part != (part := one["part"]):
            print(f"\n{part:>12} cores {'images/s':>9}  CPU ms an image: loop threads workers server  MiB")
        cpu = " ".join(f"{one['cpu'][name]:6.2f}" for name in ("loop", "threads", "workers", "server"))
        print(
            f"{one['value']:12,} {one['cores']:5} {one['rate']:9,.0f} {'':15} {cpu} {one['memory'] / 2**20:6.0f}"
            f"  {one['failure']}"
        )


def missed(lines: Sequence[dict[str, Any]]) -> Iterator[str]:
    """What is not saved, or not flat."""
    yield from (f"{one['part']} {one['value']:,}: {one['failure']}" for one in lines if one["failure"])
    lengths = [one for one in lines if one["part"] == "length"]
    for one in lengths[1:]:
        if one["rate"] < FLAT * lengths[0]["rate"]:
            yield f"{one['value']:,} URLs: {one['rate'] / lengths[0]['rate']:.2f} of the rate, not {FLAT}"
        if one["memory"] > lengths[0]["memory"] + (FLAT_MIB << 20):
            yield f"{one['value']:,} URLs: {(one['memory'] - lengths[0]['memory']) / 2**20:.0f} MiB more"


def main() -> int:
    """Measure, print, write down, and say what is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", default="concurrency,cores,length,hosts,tls")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one list of the part `length`")
    parser.add_argument(
        "--quick", action="store_true", help="small, no goals, nothing recorded: does it work?"
    )
    args = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    parts: dict[str, Callable[[int, bool], Iterator[Line]]] = {
        "concurrency": concurrency,
        "cores": by_cores,
        "length": partial(length, seconds=args.seconds),
        "hosts": hosts,
        "tls": tls,
    }
    lines = []
    for line in (line for name in args.only.split(",") for line in parts[name](cores, args.quick)):
        print(f"{line.part} {line.value:,} on {counted(line.cores, 'core')} ...", file=sys.stderr)
        lines.append(crawl(line))
    show(lines)
    if args.quick:
        return 0
    append(RESULTS, {"environment": environment("own"), "lines": lines})
    return say_missed(missed(lines))


if __name__ == "__main__":
    sys.exit(main())
