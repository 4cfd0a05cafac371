"""fastdup: its own features of a folder and who is near whom, with a thread a core."""

import os
from importlib import metadata

from bench.contending import Job, Outcome

LABEL = "fastdup"


def version() -> str:
    """As installed."""
    return metadata.version("fastdup")


def run(job: Job) -> Outcome:
    """Everything that `run` does."""
    os.environ["SENTRY_OPT_OUT"] = "1"  # it would report each run to its makers
    import fastdup  # type: ignore[import-not-found] # in an environment of its own

    found = fastdup.create(work_dir=job.out, input_dir=job.input)
    found.run(num_threads=job.options.get("threads", len(os.sched_getaffinity(0))), overwrite=True)
    return Outcome(int(found.annotations()["is_valid"].sum()), note="features of a network, not hashes")
