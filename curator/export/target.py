"""The folder of an export: whose it is, and how far an export into it has come.

OUT/.exported          this marker: of which decisions, with which settings; in the end also what was written
OUT/.parts/NAME.json   of a part that is whole: how many images, which were refused, its files; gone at the end
OUT/refused.csv        kept images that could not be encoded, if there are any

What these notes claim is held against the files that are there: a part is written again where one is missing or
has another size, or where its note cannot be read.
"""

import csv
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from curator.dataset.layout import replace_whole, sync_folder
from curator.dataset.lock import WriterLock
from curator.dataset.space import is_full, why_not_written
from curator.errors import UsageError
from curator.export.records import Exported, Refusal
from curator.reasons import BY_NAME
from curator.settings import ExportSettings
from curator.sources.listing import EXPORTED

REFUSED = "refused.csv"
_PARTS = ".parts"
_LOCK = ".lock"
_VERSION = 2
_OF_THE_RUN = (
    "workers",
    "decode_timeout",
    "worker_memory",
)  # settings that change nothing of what is written


Sizes = Mapping[str, int]  # bytes of files, by their paths in the folder
Whole = Callable[[Path, Sizes], bool]  # whether files in the folder are as a form wrote them


def sizes(root: Path, names: Sequence[str]) -> Sizes:
    """How large these files are."""
    return {name: (root / name).stat().st_size for name in names}


def are_there(root: Path, files: Sizes) -> bool:
    """Whether these files are there, each of its size."""
    try:
        return sizes(root, list(files)) == files
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a part that is whole."""

    images: int
    bytes: int
    refused: tuple[Refusal, ...]
    files: Sizes


class Target:
    """The folder, held by one process between its making and `close`."""

    def __init__(self, root: Path, decisions: str, settings: ExportSettings, whole: Whole) -> None:
        """Take the folder, which `check_free` has found fit, for these decisions (their digest) and settings.

        Raises UsageError where another process has it, or it was begun for others.
        """
        self.root, self.aside, self._whole = root, root / _PARTS, whole
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._lock = WriterLock(root / _LOCK, advice="")
        except OSError as error:
            if is_full(error, root.parent):
                raise
            raise UsageError(
                f"{root}: cannot be written ({error.strerror}). Name another folder to export to."
            ) from error
        try:
            self._told = self._begin(
                {"version": _VERSION, "decisions": decisions, "settings": _told(settings)}
            )
        except BaseException:
            self.close()
            raise

    def earlier(self) -> Exported | None:
        """What an earlier run wrote, if it came to its end and all of it is there."""
        found = self._told.get("exported")
        if found is None or not self._whole(self.root, self._told["files"]):
            return None
        shutil.rmtree(self.aside, ignore_errors=True)
        return Exported(**found)

    def done(self, part: str) -> Done | None:
        """What became of the part, None where it is not whole."""
        try:
            note = self.aside / f"{part}.json"
            found = json.loads(note.read_bytes()) if note.exists() else self._told["parts"][part]
            refused = (Refusal(**one | {"reason": BY_NAME[one["reason"]]}) for one in found["refused"])
            done = Done(found["images"], found["bytes"], tuple(refused), found["files"])
        except (KeyError, TypeError, ValueError):
            return None
        return done if self._whole(self.root, done.files) else None

    def note(self, part: str, done: Done) -> None:
        """The part is whole: a later run passes it over."""
        self._write(self.aside / f"{part}.json", asdict(done))

    def finish(self, parts: Mapping[str, Done], files: Sizes) -> Exported:
        """All is written, `files` beside those of the parts: tell what was refused, then that this is the end."""
        refused = [one for done in parts.values() for one in done.refused]
        if refused:
            text = io.StringIO(newline="")
            rows = [[field.name for field in fields(Refusal)], *map(astuple, refused)]
            csv.writer(text).writerows(rows)
            replace_whole(self.root / REFUSED, lambda file: file.write(text.getvalue().encode()))
            files = {**files, **sizes(self.root, [REFUSED])}
        for done in parts.values():
            files = {**files, **done.files}
        exported = Exported(
            images=sum(done.images for done in parts.values()),
            bytes=sum(done.bytes for done in parts.values()),
            shards=sum(done.images > 0 for done in parts.values()),
            refused=dict(sorted(Counter(one.reason.value for one in refused).items())),
            splits={
                side: sum(done.images for name, done in parts.items() if name.startswith(f"{side}-"))
                for side, _ in self._told["settings"]["split"]
            },
        )
        self._told |= {
            "exported": asdict(exported),
            "files": {name: size for name, size in files.items() if not name.startswith(_PARTS)},
            "parts": {name: asdict(done) for name, done in parts.items()},
        }
        sync_folder(self.root)
        self._write(self.root / EXPORTED, self._told)
        shutil.rmtree(self.aside, ignore_errors=True)
        return exported

    def close(self) -> None:
        """Let the next one in."""
        self._lock.close()
        with suppress(OSError):
            (self.root / _LOCK).unlink()

    def _begin(self, told: dict[str, Any]) -> dict[str, Any]:
        """What the marker says, which is written where there is none."""
        marker = self.root / EXPORTED
        if not marker.exists():
            self._write(marker, told)
        try:
            found: dict[str, Any] = json.loads(marker.read_bytes())
            difference = _difference(found, told)
            if "exported" in found:
                Exported(**found["exported"])
        except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
            raise UsageError(
                f"{marker} is not what an export wrote ({error}), so nobody knows what is in {self.root}. Name "
                "another folder, or delete that one."
            ) from error
        if difference is not None:
            raise UsageError(
                f"{self.root} holds an export of {difference}. Name another folder, or delete that one."
            )
        self.aside.mkdir(exist_ok=True)
        return found

    def _write(self, path: Path, told: dict[str, Any]) -> None:
        replace_whole(path, lambda file: file.write(json.dumps(told, indent=2).encode()))
        sync_folder(path.parent)


def check_free(root: Path, inputs: Sequence[Path]) -> None:
    """Raise UsageError where nothing can be exported to `root`: in an input, or a folder that is not ours."""
    for one in inputs:
        if root.resolve().is_relative_to(one.resolve()):
            raise UsageError(
                f"{root} is in {one}, an input, which is never changed. Name a folder outside of it to export to."
            )
    try:
        there, folder = root.exists(), root.is_dir()
    except OSError as error:  # such as a name that is too long for any file
        raise UsageError(
            f"{root}: cannot be a folder ({error.strerror}). Name another to export to."
        ) from error
    if there and not folder:
        raise UsageError(f"{root} is a file. Name a folder to export to.")
    if not there:
        return
    if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        raise UsageError(
            f"{root}: cannot be written ({why_not_written(root)}). Name another folder to export to."
        )
    names = sorted(set(os.listdir(root)) - {_LOCK})  # noqa: PTH208 - names
    if names and EXPORTED not in names and names != [f".{EXPORTED}.tmp"]:
        raise UsageError(
            f"{root} is not empty and no export (it holds {names[0]}). Name another folder to export to; "
            "a new one is made."
        )


def _told(settings: ExportSettings) -> dict[str, Any]:
    """Settings as JSON gives them back."""
    told = {name: value for name, value in asdict(settings).items() if name not in _OF_THE_RUN}
    return dict(json.loads(json.dumps(told)))


def _difference(found: dict[str, Any], told: dict[str, Any]) -> str | None:
    """What makes the folder that of another export, in words; None where it is this one's."""
    if found.get("version") != told["version"]:
        return "another version"
    if found["decisions"] != told["decisions"]:
        return "other decisions"
    for name, value in told["settings"].items():
        if found["settings"].get(name) != value:
            return (
                f"other settings ({name}: {json.dumps(found['settings'].get(name))}, now {json.dumps(value)})"
            )
    return None
