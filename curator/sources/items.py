"""What a listing of images tells, one record after the other, and how names of any bytes are written down.

How names are written down
- A name on disk, or of a member of a tar, is any bytes. Here it is a `str` of UTF-8 with surrogateescape,
  whatever the locale; a uid is made of exactly these bytes. `os` has its own idea of the encoding (ASCII in
  the locale C): `from_disk` and `on_disk` stand between the two.
- Parquet and SQLite hold valid text only. `shown` writes a byte that is no UTF-8 as \\xNN and, so that two
  names never become one, a backslash as two; every other name stays as it is. `true_name` is its inverse.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curator.records import Unmeasured
from curator.sources.source import SOURCE_SCHEMA, Place

Version = tuple[int, int]  # size in bytes and mtime in ns of the file that holds an image
# Whether the shard `path` of this version has nothing left to measure, so that it need not be opened.
Known = Callable[[str, Version], bool]

_OURS = frozenset(SOURCE_SCHEMA.names) | {
    *("source", "kept", "reason", "duplicate_of", "distance", "cluster"),
    *("stands_for", "stands_for_urls", "stands_for_captions"),
}
_ESCAPED = re.compile(r"\\(?:\\|x([0-9a-f]{2}))")
_SURROGATE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Item:
    """One image, or what would have been one.

    `unmeasured` says why nothing can be read there at all: a file or folder that cannot be opened, a shard
    that is damaged from some byte on (then `path` is the shard's and `key` is null). Such an item is tried
    again in every run, so its `version` may be (0, 0).
    """

    path: str  # below the source with "/" between its parts; of the file, or of the shard
    key: str | None  # of the sample, unique in its shard and never ""; None where the file is the image
    version: Version
    place: Place
    data: str | None = None  # JSON object of the sample's own fields; `caption` and `url` are known
    unmeasured: Unmeasured | None = None


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """A shard was read to its undamaged end, after all its `items`; or, alone, a known one is passed over."""

    path: str
    version: Version
    items: int = 0  # images listed of it; not looked at where it is passed over,
    passed_over: Mapping[str, int] = field(default_factory=dict)  # nor are these: see PassedOver


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should read, naming the file or folder."""

    text: str


@dataclass(frozen=True, slots=True)
class PassedOver:
    """So many things that are no images, in no shard that has a ShardEnd; the same `what` is added up."""

    what: str  # an extension (".txt"), or in words
    count: int


Listed = Item | ShardEnd | Warned | PassedOver


def item_uid(label: str, path: str, key: str | None) -> bytes:
    """The 16 bytes by which an image of a folder or a foreign shard is known."""
    name = f"{label}/{path}" if key is None else f"{label}/{path}/{key}"
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def file_of(root: Path, path: str) -> Path:
    """The file that `path` names below a source at `root`, which may itself be the one file there is."""
    return root if root.is_file() else root / on_disk(path)


def from_disk(name: str) -> str:
    """A name that `os` gave, as names are here."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def on_disk(name: str) -> str:
    """A name as `os` takes it."""
    return os.fsdecode(name.encode("utf-8", "surrogateescape"))


def shown(name: str) -> str:
    """A name of any bytes as valid text, no two alike."""
    if "\\" not in name and name.isascii():
        return name
    doubled = name.replace("\\", "\\\\")
    return _SURROGATE.sub(lambda match: f"\\x{ord(match[0]) - 0xDC00:02x}", doubled)


def true_name(text: str) -> str:
    """The name that `shown` wrote as `text`."""
    return _ESCAPED.sub(lambda match: chr(0xDC00 + int(match[1], 16)) if match[1] else "\\", text)


def own_name(name: str, taken: Collection[str]) -> str:
    """The name of a source's own column: `name`, or `input_NAME` where that collides in any case.

    It may collide with what every source has, with what `decisions.parquet` adds, and with those `taken`.
    """
    used = _OURS | {other.casefold() for other in taken}
    while name.casefold() in used:
        name = f"input_{name}"
    return name
