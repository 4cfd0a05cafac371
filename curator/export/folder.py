"""A folder of images: ab/abcdef….jpg, below a folder for each split, and index.csv, one line a file.

The same is told in metadata.jsonl, one a split, by which `imagefolder` of `datasets` finds the columns. It takes
a metadata.csv, too, but guesses types from the first 10,000 lines: what is empty in these is a number for ever,
and a split where a caption is missing everywhere is no sister of one that has some.

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
from functools import partial
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.csv

from curator.dataset.layout import replace_whole, sync_folder
from curator.export.card import folder_card
from curator.export.fields import FIELDS, FILE_NAME, Fields, lines
from curator.export.plan import Part
from curator.export.records import NewFile
from curator.export.target import Sizes, are_there, sizes
from curator.settings import ExportSettings

INDEX = "index.csv"
METADATA = "metadata.jsonl"
_SIZE = 1 + [name for name, _ in FIELDS].index("bytes")  # which column of the index
_BLOCK = 16 << 20  # bytes of the index read at once, and of the longest line


class Folder:
    """The form. Lines of index.csv and metadata.jsonl wait part by part in `aside` until all are there."""

    FIRST = pa.field(FILE_NAME, pa.string())

    def __init__(self, root: Path, aside: Path, fields: Fields, settings: ExportSettings) -> None:
        self.root, self.aside, self.fields = root, aside, fields

    def begin(self, part: Part) -> "FolderWriter":
        """Begin the files of a part."""
        return FolderWriter(self, part)

    def complete(self, parts: Sequence[tuple[Part, int]]) -> Sizes:
        """Join the lines of all parts, and write the card."""
        names = [INDEX, "README.md"]
        self._join(INDEX, _csv([self.fields.schema.names]), [part for part, _ in parts])
        by_split: dict[str, list[Part]] = {}
        for part, _ in parts:
            by_split.setdefault(part.split, []).append(part)
        for split, members in by_split.items():
            names.append(str(Path(split, METADATA)))
            self._join(names[-1], b"", members)
        card = folder_card(list(by_split)).encode()
        replace_whole(self.root / "README.md", partial(_write, card))
        return sizes(self.root, names)

    @staticmethod
    def whole(root: Path, files: Sizes) -> bool:
        """Whether these files are there, each of its size, and the images that are told of in an index."""
        return are_there(root, files) and all(_listed(root, name) for name in files if name.endswith(INDEX))

    def lines_of(self, part: Part, kind: str) -> Path:
        """Where the lines of a part wait to be joined to one file of this kind."""
        return self.aside / f"{part.name}.{kind}"

    def _join(self, name: str, header: bytes, parts: Sequence[Part]) -> None:
        def write(file: BinaryIO) -> None:
            file.write(header)
            for part in parts:
                with self.lines_of(part, path.name).open("rb") as own:
                    shutil.copyfileobj(own, file)

        path = self.root / name
        replace_whole(path, write)
        sync_folder(path.parent)


class FolderWriter:
    """The files of one part."""

    def __init__(self, form: Folder, part: Part) -> None:
        self._form, self._part = form, part
        self._copies: list[Path] = []
        self._folders: set[Path] = set()
        self._lines = {INDEX: io.BytesIO(), METADATA: io.BytesIO()}

    def add(
        self, indexes: Sequence[int], stems: Sequence[str], rows: pa.Table, files: Sequence[NewFile]
    ) -> None:
        """Link or write files."""
        names = [f"{stem[:2]}/{stem}.{file.extension}" for stem, file in zip(stems, files, strict=True)]
        paths = [str(Path(self._part.split, name)) for name in names]
        for path, file in zip(paths, files, strict=True):
            self._store(self._form.root / path, file)
        table = self._form.fields.table(rows, pa.array(names, pa.string()), files)
        self._lines[METADATA].writelines(line + b"\n" for line in self._form.fields.sidecars(table))
        table = table.set_column(0, self._form.FIRST, pa.array(paths, pa.string()))
        self._lines[INDEX].write(_csv(lines(table)))

    def finish(self) -> Sizes:
        """Sync the files that are no links, then the folders' names, then the lines that tell of them."""
        for path in self._copies:
            with path.open("rb") as file:
                os.fsync(file.fileno())
        for folder in sorted({*self._folders, *(folder.parent for folder in self._folders)}):
            sync_folder(folder)
        if not self._folders:
            return {}
        waiting = {self._form.lines_of(self._part, kind): some for kind, some in self._lines.items()}
        for path, some in waiting.items():
            replace_whole(path, partial(_write, some.getvalue()))
        return sizes(self._form.root, [str(path.relative_to(self._form.root)) for path in waiting])

    def close(self) -> None:
        """Nothing is open between two calls."""

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


def _listed(root: Path, index: str) -> bool:
    """Whether the files that this index tells of are there, each of its size."""
    columns = ["f0", f"f{_SIZE}"]
    reading = pa.csv.ReadOptions(autogenerate_column_names=True, block_size=_BLOCK)
    converting = pa.csv.ConvertOptions(
        include_columns=columns, column_types=dict.fromkeys(columns, pa.string())
    )
    try:
        with (
            (root / index).open("rb") as file,
            pa.csv.open_csv(
                file, reading, pa.csv.ParseOptions(newlines_in_values=True), converting
            ) as batches,
        ):
            told = (pair for batch in batches for pair in zip(*batch.to_pydict().values(), strict=True))
            return all(name == FILE_NAME or (root / name).stat().st_size == int(size) for name, size in told)
    except (OSError, pa.ArrowException, ValueError):
        return False


def _write(text: bytes, file: BinaryIO) -> None:
    file.write(text)


def _csv(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
