"""The frozen decode loop (`bench.reference`) over the pictures that a crawl would fetch: only its own seconds count.

Small pictures are decoded and not counted, as a crawl leaves them out.
"""

from importlib import metadata
from pathlib import Path

from bench.contending import Job, Outcome

LABEL = "bare decode loop"


def version() -> str:
    """Pillow's."""
    return metadata.version("pillow")


def run(job: Job) -> Outcome:
    """Decode from memory, with a process a core."""
    from PIL import Image

    from bench.reference import decode_all, on_all_cores, photos

    paths = photos(Path(job.options["pictures"]))
    found = on_all_cores(decode_all, [path.read_bytes() for path in paths], job.count)
    sizes = []
    for path in paths:
        with Image.open(path) as image:
            sizes.append(image.size)
    kept = sum(min(sizes[at % len(sizes)]) >= job.options["min_side"] for at in range(job.count))
    return Outcome(kept, note="decodes only, from memory", work=found["seconds"])
