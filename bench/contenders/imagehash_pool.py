"""`Image.open` and `imagehash.phash` in a pool of a process a core, as people write it."""

import multiprocessing
import os
from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome

LABEL = "imagehash in a pool"


def version() -> str:
    """As installed."""
    return metadata.version("imagehash")


def run(job: Job) -> Outcome:
    """Hash a folder."""
    import imagehash as _  # noqa: F401 - the pool inherits it

    paths = sorted(Path(job.input).iterdir())
    cores = job.options.get("threads", len(os.sched_getaffinity(0)))
    with multiprocessing.get_context("fork").Pool(cores) as pool:
        hashed = sum(map(bool, pool.imap_unordered(_hashed, paths, chunksize=32)))
        pool.close()
        pool.join()
    return Outcome(hashed, note="hashes only")


def _hashed(path: Path) -> str:
    import imagehash
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return str(imagehash.phash(image))
    except (OSError, UnidentifiedImageError):
        return ""
