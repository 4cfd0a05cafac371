"""Other programs that hash a folder of pictures, each in a process and, where need be, an environment of its own.

    python -m bench.peers imagededup|imagehash|measuring FOLDER

Prints JSON: images hashed, seconds of wall time from the call to its end, imports left out, and CPU seconds.

- imagededup: `PHash().encode_images`, with a process a core, as it does by itself. PyTorch, which only
  its CNN needs, is not installed: something empty stands in the place of that.
- imagehash: `Image.open` and `imagehash.phash` in a pool of a process a core, as people write it.
- measuring: ours, everything that `curate` records of an image, into its file of measures.

Environments lie in `crawl-curate-bench` in the user's cache and are made by pip once; where it cannot, a peer is
skipped with a word.
"""

import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from bench.tree import Watch

ROOT = Path(__file__).parents[1]
NEEDED: dict[str, list[list[str]]] = {  # what pip is asked for, call by call
    "imagededup": [
        ["--no-deps", "imagededup==0.3.3.post2"],
        ["numpy", "pillow", "scipy", "PyWavelets", "scikit-learn", "tqdm", "matplotlib"],
    ],
    "faiss": [["faiss-cpu", "numpy>=2"]],
}

_OF_CNN = ("imagededup.methods.cnn", "imagededup.utils.models")  # modules that import PyTorch
Work = Callable[[], int]  # does it, and tells how many images were hashed


def python_for(peer: str) -> str | None:
    """The interpreter that runs a peer, its environment made where there is none; None where that fails."""
    if peer not in NEEDED:
        return sys.executable
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "crawl-curate-bench" / peer
    python, whole = folder / "bin" / "python", folder / "whole"
    if not whole.exists():
        print(f"making an environment for {peer} in {folder}", file=sys.stderr)
        venv.create(folder, clear=True, with_pip=True)
        for wanted in NEEDED[peer]:
            command = [str(python), "-m", "pip", "install", "--quiet", *wanted]
            if subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
                print(f"{peer} skipped: pip cannot install {' '.join(wanted)}", file=sys.stderr)
                return None
        whole.touch()
    return str(python)


def run_peer(peer: str, module: str, *arguments: object) -> dict[str, float] | None:
    """What a module of the bench prints as JSON in the environment of a peer; None where there is none."""
    python = python_for(peer)
    if python is None:
        return None
    found: dict[str, float] = json.loads(
        subprocess.check_output([python, "-m", f"bench.{module}", *map(str, arguments)], cwd=ROOT)
    )
    return found


def imagededup_alone() -> Any:
    """Its PHash, without PyTorch."""
    sys.modules |= {name: MagicMock() for name in _OF_CNN}
    from imagededup.methods import PHash  # type: ignore[import-not-found] # in an environment of its own

    return PHash(verbose=False)


def imagededup(folder: Path) -> Work:
    """By imagededup."""
    hasher = imagededup_alone()
    return lambda: len(hasher.encode_images(image_dir=folder))


def imagehash(folder: Path) -> Work:
    """By imagehash in a pool."""
    import imagehash as _  # noqa: F401 - the pool inherits it

    paths = sorted(folder.iterdir())

    def work() -> int:
        cores = len(os.sched_getaffinity(0))
        with multiprocessing.get_context("fork").Pool(cores) as pool:
            count = sum(1 for _ in pool.imap_unordered(_hashed, paths, chunksize=32))
            pool.close()
            pool.join()
        return count

    return work


def _hashed(path: Path) -> str:
    import imagehash
    from PIL import Image

    with Image.open(path) as image:
        return str(imagehash.phash(image))


def measuring(folder: Path) -> Work:
    """By us."""
    from curator.measuring import Listing, Progress, measure_sources
    from curator.settings import Settings
    from curator.sources.listing import list_images
    from curator.sources.measures import MeasureStore

    def work() -> int:
        progress = Progress()
        with tempfile.TemporaryDirectory(prefix="bench-") as out:
            store = MeasureStore(Path(out) / "measures.sqlite")
            listings = [Listing("photos", partial(list_images, folder))]
            asyncio.run(measure_sources(listings, store, Settings(), progress))
            store.close()
        return progress.measured

    return work


PEERS: dict[str, Callable[[Path], Work]] = {
    "imagededup": imagededup,
    "imagehash": imagehash,
    "measuring": measuring,
}


def main(peer: str, folder: str) -> None:
    """Run one and print what it took."""
    work = PEERS[peer](Path(folder))
    began, before = time.perf_counter(), time.process_time()
    with Watch(os.getpid()) as watch:
        images = work()
        seconds = time.perf_counter() - began
    cpu = time.process_time() - before + watch.children
    print(json.dumps({"images": images, "seconds": seconds, "cpu": cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])
