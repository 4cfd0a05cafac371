"""faiss: an IndexBinaryMultiHash, exact since as many bits are flipped as needed; or IndexBinaryFlat, all with all.

Of 64 bits in T tables, two hashes within a radius r differ in some table by at most r // T bits: so many are
flipped. `options["bits"]` of a key in each table; of 16 to 21 the last, the most that three tables have, are the
fastest at radius 4: a million hashes lie one in every second bucket. faiss is built to be asked one by one: it finds
each pair from both sides.
"""

import os
import time

from bench.contending import Job, Outcome

LABEL = "faiss"
_BITS = 21


def version() -> str:
    """As installed."""
    import faiss  # type: ignore[import-not-found] # in an environment of its own

    return str(faiss.__version__)


def run(job: Job) -> Outcome:
    """Ask for the neighbours of each."""
    import faiss
    import numpy as np

    faiss.omp_set_num_threads(job.options.get("threads", len(os.sched_getaffinity(0))))
    hashes = np.load(job.input)
    codes = hashes.view(np.uint8).reshape(-1, 8)
    began = time.perf_counter()
    if job.options.get("index") == "flat":
        index = faiss.IndexBinaryFlat(64)
    else:
        bits = job.options.get("bits", _BITS)
        index = faiss.IndexBinaryMultiHash(64, 64 // bits, bits)
        index.nflip = job.options["radius"] // (64 // bits)
    index.add(codes)
    limits, _, _ = index.range_search(codes, job.options["radius"] + 1)  # faiss means less than
    return Outcome((int(limits[-1]) - len(codes)) // 2, work=time.perf_counter() - began)
