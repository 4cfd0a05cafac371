"""CleanVision: all its issues (dark, bright, blurry, odd sizes, copies) of a folder, with a process a core."""

import os
from importlib import metadata

from bench.contending import Job, Outcome

LABEL = "CleanVision"


def version() -> str:
    """As installed."""
    return metadata.version("cleanvision")


def run(job: Job) -> Outcome:
    """Look for every issue."""
    from cleanvision import Imagelab  # type: ignore[import-not-found] # in an environment of its own

    lab = Imagelab(data_path=job.input)
    lab.find_issues(n_jobs=job.options.get("threads", len(os.sched_getaffinity(0))), verbose=False)
    return Outcome(len(lab.issues), note="finds copies whose hash is the same")
