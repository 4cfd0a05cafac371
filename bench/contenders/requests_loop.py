"""`requests.get`, Pillow and a file for each, in a pool of processes: what people write first.

No session, since a pool's function is given a URL and nothing else; no robots.txt; no way to go on.
"""

import hashlib
import io
import multiprocessing
import os
from collections import Counter
from functools import partial
from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome, aside
from bench.crawlers import in_files, taught
from bench.names import install

LABEL = "requests in a pool"
_PROCESSES = 16


def version() -> str:
    """As installed."""
    return metadata.version("requests")


def run(job: Job) -> Outcome:
    """Download a list."""
    os.environ.update(taught(job.options))
    install()
    import requests  # noqa: F401 - the pool inherits it
    from PIL import Image  # noqa: F401

    out, spent = Path(job.out) / "data", list[float]()
    out.mkdir()
    urls = Path(job.input).read_text().split()
    with multiprocessing.get_context("fork").Pool(job.options.get("processes", _PROCESSES)) as pool:
        reasons = Counter(pool.imap_unordered(partial(_download, job, out), urls, chunksize=8))
    del reasons[""]
    with aside(spent):
        found = in_files(out)
    return Outcome(found, dict(reasons), "processes, no threads", aside=sum(spent))


def _download(job: Job, out: Path, url: str) -> str:
    """What went wrong in the end; empty for nothing."""
    wrong = ""
    for _ in range(job.options["attempts"]):
        wrong = _try(job, out, url)
        if not wrong or wrong == "too small":
            break
    return wrong


def _try(job: Job, out: Path, url: str) -> str:
    import requests
    from PIL import Image

    name = hashlib.sha256(url.encode()).hexdigest()
    try:
        response = requests.get(url, timeout=job.options["timeout"])
        response.raise_for_status()
        if job.task == "crawl-bytes":
            (out / name).write_bytes(response.content)
            return ""
        image = Image.open(io.BytesIO(response.content))
        image.load()
        if job.task == "crawl-256":
            image.convert("RGB").resize((256, 256)).save(out / f"{name}.jpg", quality=95)
        elif min(image.size) < job.options["min_side"]:
            return "too small"
        else:
            (out / f"{name}.{(image.format or 'jpeg').lower()}").write_bytes(response.content)
    except (requests.RequestException, OSError) as error:
        return type(error).__name__
    return ""
