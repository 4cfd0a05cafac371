"""Ours: `curate` on a folder it has never seen: measures, near copies, decisions and the report, all in its time."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome

LABEL = "curate"


def version() -> str:
    """Ours."""
    return metadata.version("crawl-curate")


def run(job: Job) -> Outcome:
    """The whole command."""
    out = Path(job.out) / "curated"
    workers = str(job.options.get("threads", len(os.sched_getaffinity(0))))
    command = [
        sys.executable,
        "-m",
        "curator.cli",
        job.input,
        "--out",
        str(out),
        "--workers",
        workers,
        "--quiet",
    ]
    subprocess.run(command, check=True)
    summary = json.loads((out / "summary.json").read_text())
    reasons = summary["reasons"]
    unread = sum(reasons.get(one, 0) for one in ("undecodable", "not_an_image", "unsupported_format"))
    return Outcome(summary["images"] - unread, reasons, "decides and reports, too")
