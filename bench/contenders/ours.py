"""`crawl`, as a command. Opt-outs are honoured as by default, so that it asks every host for its robots.txt, too."""

import json
import sys
from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome, aside
from bench.crawlers import called, in_tars

LABEL = "crawl"
_PICTURES = ("jpg", "png", "webp")


def version() -> str:
    """As installed."""
    return metadata.version("crawl-curate")


def run(job: Job) -> Outcome:
    """Crawl a list."""
    out, spent = Path(job.out) / "data", list[float]()
    command = [sys.executable, "-m", "crawler.cli", job.input, "--out", str(out), "--quiet", *_flags(job)]
    called(command)
    with aside(spent):
        found = in_tars(out)
        reasons = json.loads((out / "summary.json").read_text())["reasons"]
    return Outcome(sum(found[one] for one in _PICTURES), reasons, aside=sum(spent))


def _flags(job: Job) -> list[str]:
    options, timeout = job.options, str(job.options["timeout"])
    flags = ["--allow-net", "127.0.0.0/8", "--attempts", str(options["attempts"])]
    flags += ["--stall-timeout", timeout, "--timeout", timeout, "--resolver", options["nameserver"]]
    if options["site"] == "fast":
        flags += ["--per-host", "0"]  # that host is ours; the others ask for as much without saying so
    if "threads" in options:
        flags += ["--concurrency", str(options["threads"])]
    if "ca" in options:
        flags += ["--ca-file", options["ca"]]
    task = {
        "crawl": ["--min-side", str(options["min_side"])],
        "crawl-256": ["--resize", "256"],
        "crawl-bytes": ["--no-decode"],
    }
    return flags + task[job.task]
