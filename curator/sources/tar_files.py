"""The images in a tar: where each lies, and what its sample says of it, by WebDataset's conventions.

- A sample is a run of members whose names are the same up to the first dot of their last part; what is the
  same is its key, folders included. Members of a sample come in any order.
- One image in a sample has the sample's key. Of several (`7.left.jpg 7.right.jpg`, or photographs whose names
  have dots), each is called by its name without the extension; a key that the tar has had before gives way to
  the whole name, that one to the name and a number. So no key comes twice in a tar, and each depends on
  nothing but the tar.
- A sidecar belongs to the images that are called as it is, else to all images of its sample.
- The bytes of images are not read. Memory is that of one sample, and some 70 bytes for each key of the tar.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from curator.reasons import Reason
from curator.records import Unmeasured
from curator.sources.items import Item, Listed, ShardEnd, Version, Warned, shown
from curator.sources.names import HIDDEN, Tally, may_be_image, split
from curator.sources.sidecars import KINDS, MOST_BYTES, data_of
from curator.sources.source import Place
from curator.sources.tar_headers import Damaged, Member, members

NOT_PLAIN = "links, devices and sparse files"
_MOST_IMAGES = 1_000  # a longer run of one key is no sample, but a folder of names with dots


@dataclass(slots=True)
class _Sample:
    key: str
    images: list[Member] = field(default_factory=list)
    sidecars: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by stem, then extension
    room: int = MOST_BYTES  # for sidecars


def list_tar(file: Path, path: str, version: Version) -> Iterator[Listed]:
    """The images of the tar `file`, called `path` below its source.

    Damage ends it with a row and a warning of its own; what came before it counts.
    """
    tally, keys, items = Tally(), _Keys(), 0
    try:
        with file.open("rb") as tar:
            for sample in _samples(tar, tally):
                for key, data, image in _images(sample, keys, tally):
                    items += 1
                    yield Item(path, key, version, Place(file, image.offset, image.size), data)
    except (Damaged, OSError) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        yield Item(path, None, version, Place(file), None, Unmeasured(Reason.UNREADABLE, words))
        yield Warned(f"{shown(str(file))}: {words}.")
        yield from tally.records()
    else:
        yield ShardEnd(path, version, items, tally.counts())


class _Keys:
    """The keys that a tar has had, as hashes: a wrong "had it" in 10^19 costs a longer key."""

    def __init__(self) -> None:
        self._had: set[int] = set()
        self._again: Counter[str] = Counter()

    def new(self, key: str, name: str) -> str:
        """`key`, or else `name`, or else that with the first number that makes it new."""
        for wanted in (key, name):
            if self._add(wanted):
                return wanted
        while True:
            self._again[name] += 1
            if self._add(numbered := f"{name}#{self._again[name] + 1}"):
                return numbered

    def _add(self, key: str) -> bool:
        before = len(self._had)
        self._had.add(hash(key))
        return len(self._had) > before


def _samples(tar: BinaryIO, tally: Tally) -> Iterator[_Sample]:
    """The samples, also the one that damage cut short. Raises Damaged after it, OSError."""
    sample = _Sample("")
    try:
        for member in members(tar):
            if _is_hidden(member.name):
                tally.add(HIDDEN)
                continue
            key = _sample_key(member.name)
            if key != sample.key or len(sample.images) >= _MOST_IMAGES:
                yield sample
                sample = _Sample(key)
            _put(tar, member, sample, tally)
    except Damaged:
        yield sample
        raise
    yield sample


def _put(tar: BinaryIO, member: Member, sample: _Sample, tally: Tally) -> None:
    stem, extension = split(member.name)
    if not member.plain or not member.name:
        tally.add(NOT_PLAIN)
    elif may_be_image(extension):
        sample.images.append(member)
    elif extension in KINDS and member.size <= sample.room:
        tar.seek(member.offset)
        sample.room -= member.size
        sample.sidecars.setdefault(stem, {})[extension] = tar.read(member.size)
    else:
        tally.add(extension)


def _images(sample: _Sample, keys: _Keys, tally: Tally) -> Iterator[tuple[str, str | None, Member]]:
    """Each image of a sample with its key and what is said of it."""
    if not sample.images:
        for found in sample.sidecars.values():
            for extension in found:
                tally.add(extension)
    for image in sample.images:
        stem, _ = split(image.name)
        data = data_of(sample.sidecars.get(stem) or sample.sidecars.get(sample.key, {}), tally)
        yield keys.new(sample.key if len(sample.images) == 1 else stem, image.name), data, image


def _sample_key(name: str) -> str:
    """The name up to the first dot of its last part."""
    last = name.rfind("/") + 1
    dot = name.find(".", last)
    return name if dot < 0 else name[:dot]


def _is_hidden(name: str) -> bool:
    """Whether any part of it begins with a dot, as what macOS adds (`._a.jpg`); "./" says nothing."""
    if not name.startswith(".") and "/." not in name:
        return False
    return any(part[:1] == "." and part not in (".", "..") for part in name.split("/"))
