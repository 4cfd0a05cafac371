"""A folder of images: ab/abcdef….jpg, below a folder for each split, and index.csv, one line a file.

An image that keeps its bytes is a hard link where the input's file is that image and nothing else, on the
same file system: it takes no room. Where that does not work it is a copy. Never a symbolic link, which would
dangle once the input is moved.
"""

import contextlib
import csv
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa

from curator.dataset.layout import replace_whole, sync_folder
from curator.export.card import folder_card
from curator.export.fields import Fields, lines
from curator.export.plan import Part
from curator.export.records import NewFile
from curator.settings import ExportSettings

INDEX = "index.csv"


class Folder:
    """The form. Lines of index.csv are kept part by part in `aside` until all are there."""

    FIRST = pa.field("file", pa.string())

    def __init__(self, root: Path, aside: Path, fields: Fields, settings: ExportSettings) -> None:
        self.root, self.aside, self.fields = root, aside, fields

    def begin(self, part: Part) -> "FolderWriter":
        """Begin the files of a part."""
        return FolderWriter(self, part)

    def complete(self, parts: Sequence[tuple[Part, int]]) -> None:
        """Join the lines of all parts to index.csv, and write the card."""
        index = self.root / f".{INDEX}.tmp"
        with index.open("wb") as file:
            file.write(_csv([self.fields.schema.names]))
            for part, _ in parts:
                with self.lines_of(part).open("rb") as own:
                    shutil.copyfileobj(own, file)
            file.flush()
            os.fsync(file.fileno())
        index.replace(self.root / INDEX)
        card = folder_card(list(dict.fromkeys(part.split for part, _ in parts))).encode()
        replace_whole(self.root / "README.md", lambda file: file.write(card))

    def lines_of(self, part: Part) -> Path:
        """Where the lines of a part wait."""
        return self.aside / f"{part.name}.csv"


class FolderWriter:
    """The files of one part."""

    def __init__(self, form: Folder, part: Part) -> None:
        self._form, self._part = form, part
        self._copies: list[Path] = []
        self._folders: set[Path] = set()
        self._lines = io.BytesIO()

    def add(self, indexes: Sequence[int], rows: pa.Table, files: Sequence[NewFile]) -> None:
        """Link or write files."""
        uids = rows["uid"].to_pylist()
        names = [self._name(uid, file) for uid, file in zip(uids, files, strict=True)]
        for name, file in zip(names, files, strict=True):
            self._store(self._form.root / name, file)
        table = self._form.fields.table(rows, pa.array(names, pa.string()), files)
        self._lines.write(_csv(lines(table)))

    def finish(self) -> None:
        """Sync the files that are no links, then the folders' names, then the lines that tell of them."""
        for path in self._copies:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for folder in sorted({*self._folders, *(folder.parent for folder in self._folders)}):
            sync_folder(folder)
        replace_whole(self._form.lines_of(self._part), lambda file: file.write(self._lines.getvalue()))

    def close(self) -> None:
        """Nothing is open between two calls."""

    def _name(self, uid: str, file: NewFile) -> str:
        below = f"{self._part.split}/" if self._part.split else ""
        return f"{below}{uid[:2]}/{uid}.{file.extension}"

    def _store(self, path: Path, file: NewFile) -> None:
        if path.parent not in self._folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._folders.add(path.parent)
        path.unlink(missing_ok=True)  # of a run that was killed
        if file.file is not None and _linked(file.file, path):
            return
        with path.open("xb") as copy:  # never through a name that is still an input's
            copy.write(file.body)
        self._copies.append(path)


def _linked(file: Path, path: Path) -> bool:
    """Whether `path` is now another name of `file`. Not across file systems, nor where it is not allowed."""
    with contextlib.suppress(OSError):
        os.link(file.resolve(), path)  # link(2) does not follow symbolic links
        return True
    return False


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
