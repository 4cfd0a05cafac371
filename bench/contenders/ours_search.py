"""Ours: `group_identical` and `pairs` of `curator.neighbours`; importing and reading are not in its work."""

import os
import time
from importlib import metadata

from bench.contending import Job, Outcome

LABEL = "curator.neighbours"


def version() -> str:
    """Ours."""
    return metadata.version("crawl-curate")


def run(job: Job) -> Outcome:
    """Exactly all pairs."""
    from curator.simd import import_numpy

    import_numpy()  # as `curate` does
    import numpy as np

    from curator.neighbours import group_identical, pairs

    hashes = np.load(job.input)
    began = time.perf_counter()
    distinct, _ = group_identical(hashes)
    near = pairs(
        distinct, job.options["radius"], workers=job.options.get("threads", len(os.sched_getaffinity(0)))
    )
    return Outcome(len(near.first), work=time.perf_counter() - began)
