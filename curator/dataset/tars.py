"""Reading shards back, member by member, as `shards.py` wrote them.

The archives are deterministic, so a header is right exactly when it is the header that would be
written for its name and size: no field of it can be damaged unseen.
"""

from dataclasses import dataclass
from typing import BinaryIO

from curator.dataset.layout import Layout
from curator.dataset.shards import BLOCK, header, padding, sealed_size

_BUFFER = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredSample:
    """The members of one sample, as they lie in the archive."""

    extension: str  # of the image member
    image: bytes
    sidecar: bytes  # JSON
    caption: bytes | None  # UTF-8; None in a dataset without captions


def open_shard(layout: Layout, shard: int) -> BinaryIO:
    """The shard's archive under whichever name it has now. Raises FileNotFoundError.

    Looked for under its sealed name first and last: it may be sealed between two looks.
    """
    for path in (layout.tar(shard), layout.part(shard)):
        try:
            return path.open("rb", buffering=_BUFFER)
        except FileNotFoundError:
            continue
    return layout.tar(shard).open("rb", buffering=_BUFFER)


def read_sample(file: BinaryIO, key: str, *, has_caption: bool) -> StoredSample:
    """The members of sample `key`, which is next in `file`. Raises ValueError saying what is there."""
    name, image = _read_member(file)
    extension = name.removeprefix(f"{key}.")
    if extension == name:
        raise ValueError(f"{name} where the image of {key} belongs")
    sidecar = _read_named(file, f"{key}.json")
    return StoredSample(extension, image, sidecar, _read_named(file, f"{key}.txt") if has_caption else None)


def read_end(file: BinaryIO) -> None:
    """The end of a sealed archive: zeros up to a whole record and no more. Raises ValueError."""
    at = file.tell()
    expected = bytes(sealed_size(at) - at)
    if file.read(len(expected) + 1) != expected:
        raise ValueError("what follows the last sample is not the end of an archive")


def _read_named(file: BinaryIO, name: str) -> bytes:
    found, body = _read_member(file)
    if found != name:
        raise ValueError(f"{found} where {name} belongs")
    return body


def _read_member(file: BinaryIO) -> tuple[str, bytes]:
    name, size = _read_header(file)
    body = file.read(size)
    filling = padding(size)
    rest = file.read(len(filling))
    if len(body) < size or len(rest) < len(filling):
        raise ValueError(f"the archive ends within {name}")
    if rest != filling:
        raise ValueError(f"what fills the block after {name} is not zeros")
    return name, body


def _read_header(file: BinaryIO) -> tuple[str, int]:
    """The name and size of the member that is next in `file`. Raises ValueError saying what is there."""
    at = file.tell()
    block = file.read(BLOCK)
    if len(block) < BLOCK:
        raise ValueError(f"the archive ends at byte {at:,}")
    try:
        name, size = block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8)
        right = block == header(name, size)
    except ValueError:
        right = False
    if not right:
        raise ValueError(f"the header at byte {at:,} is damaged")
    return name, size
