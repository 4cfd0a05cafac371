"""img2dataset, as a command: a process a core, and the webdataset format that it advises.

With `skip_reencode` it stores JPEG as it came and encodes the rest anew; it decodes everything, at full size (OpenCV).
"""

import json
import os
import sys
from collections import Counter
from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome, aside
from bench.crawlers import called, in_tars, taught

LABEL = "img2dataset"
_THREADS, _THREADS_WEB = 64, 256  # a process: where the machine is the limit more are no faster


def version() -> str:
    """As installed."""
    return metadata.version("img2dataset")


def run(job: Job) -> Outcome:
    """Download a list."""
    out, spent = Path(job.out) / "data", list[float]()
    command = [str(Path(sys.executable).with_name("img2dataset")), *_flags(job, out)]
    called(command, taught(job.options))
    with aside(spent):
        found, reasons = in_tars(out)["jpg"], Counter[str]()
        for path in out.glob("*_stats.json"):
            reasons.update(json.loads(path.read_text())["status_dict"])
    del reasons["success"]
    return Outcome(found, dict(reasons), aside=sum(spent))


def _flags(job: Job, out: Path) -> list[str]:
    options, processes = job.options, job.options.get("processes", len(os.sched_getaffinity(0)))
    shard = min(
        10_000, -(-job.count // processes)
    )  # its default, or as much as gives every process something
    chosen = {
        "url_list": job.input,
        "output_folder": out,
        "output_format": "webdataset",
        "processes_count": processes,
        "thread_count": options.get("threads", _THREADS_WEB if options["site"] == "web" else _THREADS),
        "number_sample_per_shard": shard,
        "retries": options["attempts"] - 1,
        "timeout": int(options["timeout"]),
    }
    task = {
        "crawl": {"resize_mode": "no", "skip_reencode": True, "min_image_size": options["min_side"]},
        "crawl-256": {"image_size": 256},
        "crawl-bytes": {"disable_all_reencoding": True},
    }
    return [f"--{name}={value}" for name, value in (chosen | task[job.task]).items()]
