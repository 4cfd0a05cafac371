"""The folder that holds what was decided: whose it is, and how new decisions replace older ones.

    OUT/.curated            this marker: never taken for images, never for a stranger's folder
    OUT/measures.sqlite     measures of what is no dataset of ours
    OUT/decisions.parquet   OUT/report.html   OUT/report/   OUT/summary.json

New ones are made whole in OUT/.new and then renamed, the summary last: where it was killed before, the older
ones still stand, and what is in .new is made again.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from curator.dataset.layout import sync_folder
from curator.dataset.lock import WriterLock
from curator.dataset.space import is_full, why_not_written
from curator.errors import UsageError
from curator.sources.opening import DATASET, Inputs

MARKER = ".curated"
DEFAULT = "curated"  # in the folder of a dataset
MEASURES = "measures.sqlite"
REPORT = "report.html"
PAGES = "report"
SUMMARY = "summary.json"
_LOCK = ".lock"


class Outcome:
    """The folder, held by one process between its making and `close`."""

    def __init__(self, root: Path) -> None:
        """Take the folder, which `place` has found fit. Raises UsageError where another process has it."""
        self.root = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(root / _LOCK, advice="")
            (root / MARKER).touch()
        except OSError as error:
            if is_full(error, root.parent):
                raise
            raise UsageError(
                f"{root}: cannot be written ({error.strerror}). Name another folder with --out."
            ) from error

    @property
    def measures(self) -> Path:
        """Where measures are remembered."""
        return self.root / MEASURES

    @property
    def new(self) -> Path:
        """Where what will replace the older decisions is made."""
        return self.root / ".new"

    def begin(self) -> Path:
        """An empty folder for new decisions."""
        shutil.rmtree(self.new, ignore_errors=True)
        self.new.mkdir()
        return self.new

    def publish(self, names: Sequence[str]) -> None:
        """Put files and folders from `new` in the place of older ones, in this order."""
        for name in names:
            old, new = self.root / name, self.new / name
            if old.is_dir():
                aside = self.root / f".old-{name}"
                shutil.rmtree(aside, ignore_errors=True)
                old.replace(aside)
                new.replace(old)
                shutil.rmtree(aside, ignore_errors=True)
            else:
                new.replace(old)
        sync_folder(self.root)
        shutil.rmtree(self.new, ignore_errors=True)

    def close(self) -> None:
        """Let the next one in."""
        self._lock.close()


def place(inputs: Inputs, out: Path | None) -> Path:
    """The folder for decisions on these inputs. Raises UsageError where it is none that they can be written to."""
    if out is None:
        if len(inputs.ours) > 1 or inputs.ours[0].kind != DATASET:
            raise UsageError(
                "Where should the decisions go? Name a folder with --out: only for one dataset that crawl made "
                "they go to its folder `curated`."
            )
        out = inputs.ours[0].path / DEFAULT
    _check_free(out, [one.path for one in (*inputs.ours, *inputs.against)])
    return out


def _check_free(root: Path, inputs: Sequence[Path]) -> None:
    if root.resolve() in inputs:
        raise UsageError(
            f"{root} is one of the inputs, which are never changed. Name another folder with --out."
        )
    if not root.exists():
        return
    if not root.is_dir():
        raise UsageError(f"{root} is a file. Name a folder with --out.")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(
            f"{root}: cannot be written ({why_not_written(root)}). Name another folder with --out."
        )
    names = sorted(set(os.listdir(root)) - {_LOCK})  # noqa: PTH208 - names
    if names and MARKER not in names:
        raise UsageError(
            f"{root} is not empty and not made by curate (it holds {names[0]}). Name another folder with --out; "
            "a new one is made."
        )
