"""What the contenders of a comparison are given: a site that runs, a folder of pictures, or a file of hashes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.comparisons import Comparison
from bench.contending import Run
from bench.corpus import Corpus, pictures
from bench.dedup import Job as Planting
from bench.dedup import planted
from bench.exchanges import last_begun, read, repeated, steady_rate
from bench.site import SITES

MOST_PICTURES = 6_000  # different ones: 500 MB, made once in two minutes


@dataclass(frozen=True, slots=True)
class Input:
    """An input, how many images are in it for everybody, and what else a job is told."""

    path: Path
    count: int
    truth: int | None  # images; None: what ours finds
    options: Mapping[str, Any] = field(default_factory=dict)
    log: Path | None = None  # of the servers
    server: str = ""  # kind of it

    def seen(self, run: Run) -> dict[str, float]:
        """What the servers tell of a run: see `bench.exchanges`; `tail` in seconds, from its last URL to its end."""
        exchanges = read(self.log, run.began) if self.log and run.outcome else []
        if not exchanges or not run.outcome:
            return {}
        ended = run.began + run.seconds + run.outcome.aside
        return {
            "steady": steady_rate(exchanges),
            "tail": ended - last_begun(exchanges),
            "repeated": repeated(exchanges),
        }


def corpus(seed: int, count: int, photos: Path | None) -> Corpus:
    """Pictures in the user's cache, made once for the same words."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    count = min(count, MOST_PICTURES)
    name = f"{seed}-{count}" + (f"-{photos.resolve().name}" if photos else "")
    return pictures(cache / "crawl-curate-bench" / "corpus" / name, seed=seed, count=count, photos=photos)


@contextmanager
def given(
    comparison: Comparison, count: int, seed: int, photos: Path | None, folder: Path
) -> Iterator[Input]:
    """The input of a comparison, in `folder`, an empty one, for as long as the block lasts."""
    if comparison.site == "hashes":
        yield hashes(folder / "hashes.npy", count, seed)
        return
    made = corpus(seed, count, photos)
    if comparison.site == "folder":
        yield Input(links(made.folder, folder / "pictures", count), count, count)
        return
    with SITES[comparison.site](made, folder, count=count, seed=seed) as site:
        urls = site.write(folder / "urls.txt")
        options = {"pictures": str(made.folder), **site.options}
        yield Input(urls, count, site.expected[comparison.task], options, site.log, site.kind)


def hashes(path: Path, count: int, seed: int) -> Input:
    """Different ones, a fifth of them near copies of others."""
    found = np.unique(planted(Planting(count, 0, 0, seed))[0])
    np.save(path, found)
    return Input(path, len(found), None)


def links(pictures: Path, into: Path, count: int) -> Path:
    """A folder of so many names for the pictures of another."""
    first = []
    for picture in sorted(pictures.iterdir()):
        first.append(into.with_name(picture.name))
        first[-1].write_bytes(picture.read_bytes())
    into.mkdir()
    for number in range(count):
        picture = first[number % len(first)]
        os.link(picture, into / f"{number:06d}{picture.suffix}")
    return into
