"""What images lie below a folder, one after the other, in constant memory however many there are.

How a folder is walked
- Depth first, with one open directory a level; entries come as the disk gives them and are not collected.
  Open directories are few, though: beyond so many levels those of a folder come last, and by then it is closed.
- Each folder is looked through twice. First only for names that matter to all of it: one of our markers, which
  make it no folder of images, and which kinds of sidecars there are at all, so that a folder without any costs
  no attempt to open one.
- Names that begin with a dot are hidden, and counted. Links to files are taken as the files, links to folders are not
  followed: they may lead in circles, and what they lead to can be named.
- What cannot be read is a row with its Reason, and the walk goes on.
"""

import os
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from curator.reasons import Reason
from curator.records import Unmeasured
from curator.sources.items import Item, Known, Listed, ShardEnd, Version, Warned, from_disk, shown
from curator.sources.names import HIDDEN, Tally, compressed, is_compressed_tar, may_be_image, split
from curator.sources.parquet_files import list_parquet
from curator.sources.sidecars import KINDS, data_of, read_beside
from curator.sources.source import Place
from curator.sources.tar_files import list_tar

DECIDED, EXPORTED = ".curated", ".exported"
# A folder that holds a file of this name is ours; what it is, and what is to be done to have its images.
MARKERS = {
    "ledger.sqlite": "a dataset of its own and was left out: name it as well to have it",
    DECIDED: "where a curation wrote its decisions and was left out: it holds no images",
    EXPORTED: "an export of its own and was left out: name it as well to have it",
}
LINKED_FOLDERS = "links to folders"
NO_FILES = "sockets, pipes and devices"
_OPEN = 16  # directories; a process may have 256 files open, or 1,024

_Stat = Callable[[], os.stat_result]
SHARDS = {".tar": list_tar, ".parquet": list_parquet}


def list_images(root: Path, known: Known) -> Iterator[Listed]:
    """All that lies below the folder `root`, or in the one file `root`, in the disk's order.

    A shard that is `known` is passed over whole. Raises nothing for what is on disk: it is told in records.
    """
    return _Walk(known).below(root)


class _Entries(Protocol):
    """What `os.scandir` gives: an open directory."""

    def __next__(self) -> os.DirEntry[str]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Folder:
    file: Path
    path: str  # of what is in it: "" at the top, else it ends with "/"
    kinds: tuple[str, ...]  # of sidecars


class _Walk:
    def __init__(self, known: Known) -> None:
        self._known = known
        self._tally = Tally()
        self._open: list[tuple[_Folder, _Entries]] = []

    def below(self, root: Path) -> Iterator[Listed]:
        try:
            if root.is_file():
                yield from self._file(_Folder(root.parent, "", KINDS), root.name, root.stat)
            else:
                yield from self._enter(_Folder(root, "", ()))
            while self._open:
                yield from self._step(*self._open[-1])
        finally:  # also when nobody wants the rest
            for _, entries in self._open:
                entries.close()
        yield from self._tally.records()

    def _enter(self, folder: _Folder) -> Iterator[Listed]:
        """Begin with a folder, unless it is one of ours."""
        try:
            marker, kinds = _first_look(folder.file)
            if marker and folder.path:
                yield Warned(f"{shown(str(folder.file))} is {MARKERS[marker]}.")
            else:
                entries: _Entries = os.scandir(folder.file)
                if len(self._open) >= _OPEN:
                    entries = _folders_last(entries)
                self._open.append((replace(folder, kinds=kinds), entries))
        except OSError as error:
            yield from _unread_folder(folder, error)

    def _step(self, folder: _Folder, entries: _Entries) -> Iterator[Listed]:
        """Look at the next entry of the folder, or be done with it."""
        try:
            entry = next(entries, None)
        except OSError as error:
            yield from _unread_folder(folder, error)
            entry = None
        if entry is None:
            self._open.pop()  # it closed itself
        elif not entry.name.startswith("."):
            yield from self._entry(folder, entry)
        elif entry.name not in MARKERS:
            self._tally.add(HIDDEN)

    def _entry(self, folder: _Folder, entry: os.DirEntry[str]) -> Iterator[Listed]:
        match _what_is(entry):
            case "file":
                yield from self._file(folder, entry.name, entry.stat)
            case "folder":
                path = f"{folder.path}{from_disk(entry.name)}/"
                yield from self._enter(_Folder(folder.file / entry.name, path, ()))
            case other:
                self._tally.add(other)

    def _file(self, folder: _Folder, name: str, look: _Stat) -> Iterator[Listed]:
        stem, extension = split(name)
        if may_be_image(extension):
            yield self._image(folder, name, stem, look)
        elif extension in SHARDS:
            yield from self._shard(folder, name, extension, look)
        else:
            self._tally.add(extension)
            if is_compressed_tar(name):
                file = folder.file / name
                yield Warned(f"{shown(str(file))} is {compressed(str(file))}")

    def _image(self, folder: _Folder, name: str, stem: str, look: _Stat) -> Item:
        file, path = folder.file / name, folder.path + from_disk(name)
        try:
            version = _version(look())
        except OSError as error:
            return _unread(file, path, _words(error))
        data = self._beside(f"{folder.file}/{stem}", folder.kinds) if folder.kinds else None
        return Item(path, None, version, Place(file), data)

    def _beside(self, stem: str, kinds: tuple[str, ...]) -> str | None:
        """What the sidecars of an image say, which are then not passed over."""
        sidecars = read_beside(stem, kinds)
        for kind in sidecars:
            self._tally.add(kind, -1)
        return data_of(sidecars, self._tally)

    def _shard(self, folder: _Folder, name: str, extension: str, look: _Stat) -> Iterator[Listed]:
        file, path = folder.file / name, folder.path + from_disk(name)
        try:
            version = _version(look())
        except OSError as error:
            yield _unread(file, path, _words(error))
            yield Warned(f"{shown(str(file))}: {_words(error)}.")
            return
        if self._known(path, version):
            yield ShardEnd(path, version)
        else:
            yield from SHARDS[extension](file, path, version)


def _folders_last(entries: _Entries) -> Generator[os.DirEntry[str]]:
    """The same, but closed before the first folder is given."""
    folders = []
    with closing(entries):
        while (entry := next(entries, None)) is not None:
            if _what_is(entry) == "folder":
                folders.append(entry)
            else:
                yield entry
    yield from folders


def _what_is(entry: os.DirEntry[str]) -> str:
    """`file`, `folder`, or what it is counted as. Links to files are files, also those to nowhere."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        return LINKED_FOLDERS if stat.S_ISDIR(entry.stat().st_mode) else NO_FILES
    except OSError:  # whoever reads it is told the same
        return "file"


def _first_look(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """The marker in a folder, if any, and which kinds of sidecars it holds."""
    marker, kinds = None, set()
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name in MARKERS:
                marker = name
            elif name.endswith(KINDS):
                kinds.add(split(name)[1])
    return marker, tuple(kind for kind in KINDS if kind in kinds)


def _version(found: os.stat_result) -> Version:
    return found.st_size, found.st_mtime_ns


def _words(error: OSError) -> str:
    return error.strerror or str(error)


def _unread(file: Path, path: str, words: str) -> Item:
    return Item(path, None, (0, 0), Place(file), None, Unmeasured(Reason.UNREADABLE, words))


def _unread_folder(folder: _Folder, error: OSError) -> Iterator[Listed]:
    yield _unread(folder.file, folder.path.removesuffix("/") or ".", _words(error))
    yield Warned(f"{shown(str(folder.file))}: {_words(error)}: what lies in this folder is missing.")
