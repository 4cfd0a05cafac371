"""The folder that holds what was decided: whose it is, and how new decisions replace older ones.

    OUT/.curated            this marker: never taken for images, never for a stranger's folder
    OUT/measures.sqlite     measures of what is no dataset of ours
    OUT/decisions.parquet   OUT/report.html   OUT/report/   OUT/summary.json

New ones are made whole in OUT/.new and then renamed, the summary last: where it was killed before, the older
ones still stand, and what is in .new is made again.
"""

import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from curator.dataset.layout import Layout, sync_folder
from curator.dataset.lock import WriterLock
from curator.dataset.space import is_full, why_not_written
from curator.errors import UsageError
from curator.sources.listing import DECIDED
from curator.sources.opening import DATASET, Input, Inputs

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
        with self._told():
            root.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(root / _LOCK, advice="")
            (root / DECIDED).touch()

    @property
    def measures(self) -> Path:
        """Where measures are remembered."""
        return self.root / MEASURES

    @property
    def new(self) -> Path:
        """Where what will replace the older decisions is made."""
        return self.root / ".new"

    def begin(self) -> Path:
        """An empty folder for new decisions. Raises UsageError."""
        with self._told():
            _remove(self.new)
            self.new.mkdir()
        return self.new

    def publish(self, names: Sequence[str]) -> None:
        """Put files and folders from `new` in the place of whatever there is, in this order. Raises UsageError."""
        with self._told():
            for name in names:
                self._put(name)
            sync_folder(self.root)
            _remove(self.new)

    def close(self) -> None:
        """Let the next one in."""
        self._lock.close()

    def _put(self, name: str) -> None:
        old, new, aside = self.root / name, self.new / name, self.root / f".old-{name}"
        if old.is_dir() or new.is_dir():  # only a file takes another's place by a rename
            _remove(aside)
            with suppress(FileNotFoundError):
                old.replace(aside)
        new.replace(old)
        _remove(aside)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Raise UsageError where the folder cannot be written."""
        try:
            yield
        except OSError as error:
            if is_full(error, self.root.parent):
                raise
            raise UsageError(
                f"{self.root}: cannot be written ({error.strerror}). Name another folder with --out."
            ) from error


def place(inputs: Inputs, out: Path | None) -> Path:
    """The folder for decisions on these inputs. Raises UsageError where it is none that they can be written to."""
    if out is None:
        if len(inputs.ours) > 1 or inputs.ours[0].kind != DATASET:
            raise UsageError(
                "Where should the decisions go? Name a folder with --out: only for one dataset that crawl made "
                "they go to its folder `curated`."
            )
        out = inputs.ours[0].path / DEFAULT
    for one in (*inputs.ours, *inputs.against):
        _check_apart(out, one)
    _check_free(out)
    return out


def _check_apart(root: Path, one: Input) -> None:
    """Refuse what would change an input; a folder of its own beside what makes a dataset is no part of that."""
    whole = root.resolve()
    beside = one.kind == DATASET and whole.parent == one.path and whole != Layout(one.path).images
    inside, around = whole.is_relative_to(one.path), one.path.is_relative_to(whole)
    if around or (inside and not beside):
        how = "is" if inside and around else "is in" if inside else "holds"
        raise UsageError(
            f"{root} {how} the input {one.path}, and inputs are never changed. Name another folder with --out."
        )


def _remove(path: Path) -> None:
    """Whatever is there; a link, not what it leads to."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check_free(root: Path) -> None:
    try:
        mode = root.stat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:  # a name too long, a file where a folder should be
        raise UsageError(
            f"{root}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error
    if not stat.S_ISDIR(mode):
        raise UsageError(f"{root} is a file. Name a folder with --out.")
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(
            f"{root}: cannot be written ({why_not_written(root)}). Name another folder with --out."
        )
    names = sorted(set(os.listdir(root)) - {_LOCK})  # noqa: PTH208 - names
    if names and DECIDED not in names:
        raise UsageError(
            f"{root} is not empty and not made by curate (it holds {names[0]}). Name another folder with --out; "
            "a new one is made."
        )
