"""imagededup's `find_duplicates` of hashes by name: compares all with all, with a process a core."""

import os
import time

from bench.contenders.imagededup import hasher, version
from bench.contending import Job, Outcome

LABEL = "imagededup find_duplicates"
__all__ = ["LABEL", "run", "version"]


def run(job: Job) -> Outcome:
    """Each pair is found from both sides."""
    import numpy as np

    finder = hasher()
    encodings = {str(row): f"{one:016x}" for row, one in enumerate(np.load(job.input).tolist())}
    began = time.perf_counter()
    found = finder.find_duplicates(
        encoding_map=encodings,
        max_distance_threshold=job.options["radius"],
        num_dist_workers=job.options.get("threads", len(os.sched_getaffinity(0))),
    )
    return Outcome(sum(map(len, found.values())) // 2, work=time.perf_counter() - began)
