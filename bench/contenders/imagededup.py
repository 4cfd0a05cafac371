"""imagededup: `PHash().encode_images` with a process a core, as it does by itself; its copies are not looked for.

PyTorch, which only its CNN needs, is not installed: something empty stands in its place.
"""

import sys
from importlib import metadata
from typing import Any
from unittest.mock import MagicMock

from bench.contending import Job, Outcome

LABEL = "imagededup PHash"
_OF_CNN = ("imagededup.methods.cnn", "imagededup.utils.models")  # modules that import PyTorch


def version() -> str:
    """As installed."""
    return metadata.version("imagededup")


def run(job: Job) -> Outcome:
    """Hash a folder."""
    return Outcome(len(hasher().encode_images(image_dir=job.input)), note="hashes only")


def hasher() -> Any:
    """Its PHash, without PyTorch."""
    sys.modules |= {name: MagicMock() for name in _OF_CNN}
    from imagededup.methods import PHash  # type: ignore[import-not-found] # in an environment of its own

    return PHash(verbose=False)
