"""The members of a tar, header by header, without their bytes.

Why not `tarfile.open`: it takes a damaged header, or an archive that was cut off, for the end, so that what
follows goes missing without a word; and it reads a name into memory however long its header says it is. The
blocks themselves are parsed by `tarfile.TarInfo.frombuf`. What is left is to follow the chain:

- a member is a header block, then its data, filled up to whole blocks;
- a GNU long name ("L") or a PAX header ("x") is a member of its own before the one that it describes;
- an old sparse file ("S") may have more blocks of its map before its data;
- the archive ends with a block of zeros: one that just stops was cut off.
"""

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

BLOCK = 512
_ZEROS = bytes(BLOCK)
_LONGEST = 1 << 20  # bytes of a name or a PAX header; a path has at most 4,096

_PLAIN = frozenset((tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE))
_NO_DATA = frozenset(
    (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE)
)
_PAX = frozenset((tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE))
_SAID_OF_NONE = frozenset(
    (tarfile.XGLTYPE, tarfile.GNUTYPE_LONGLINK)
)  # of all members, or of a link's target
_COMPRESSED = {
    b"\x1f\x8b": "gunzip",
    b"BZh": "bunzip2",
    b"\xfd7zXZ\0": "unxz",
    b"\x28\xb5\x2f\xfd": "unzstd",
}


class Damaged(Exception):
    """The archive cannot be followed beyond some byte; the words say where and why."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file in the archive."""

    name: str  # any bytes, with surrogateescape
    offset: int  # of its data, bytes
    size: int  # of its data, bytes
    plain: bool  # its data is the file: no link, device or sparse file


@dataclass(frozen=True, slots=True)
class _Said:
    """What headers before the header say of a member, which goes before what its own says."""

    name: str = ""
    size: int = -1
    sparse: bool = False


def members(file: BinaryIO) -> Iterator[Member]:
    """Everything but folders, in order, in constant memory. Raises Damaged where it cannot go on, OSError.

    The file's position is the caller's between two members.
    """
    end, at, said = os.fstat(file.fileno()).st_size, 0, _Said()
    while header := _header(file, at):
        data = at + BLOCK + _map_size(file, header, at + BLOCK)
        size = 0 if header.type in _NO_DATA else said.size if said.size >= 0 else header.size
        if size < 0:
            raise Damaged(f"a damaged header at byte {at:,}")
        if data + size > end:
            raise Damaged(f"cut off at byte {end:,}, within the member at byte {at:,}")
        if header.type == tarfile.GNUTYPE_LONGNAME:
            said = replace(said, name=_long_name(_described(file, data, size, at)))
        elif header.type in _PAX:
            said = _pax(_described(file, data, size, at), said, at)
        elif header.type not in _SAID_OF_NONE:
            if not header.isdir():
                yield Member(said.name or header.name, data, size, header.type in _PLAIN and not said.sparse)
            said = _Said()
        at = data + -(-size // BLOCK) * BLOCK


def _header(file: BinaryIO, at: int) -> tarfile.TarInfo | None:
    """The header at `at`; None at the end of the archive."""
    file.seek(at)
    block = file.read(BLOCK)
    if block == _ZEROS:
        return None
    if len(block) < BLOCK:
        raise Damaged(f"cut off at byte {at + len(block):,}" if at else "no tar archive, but a few bytes")
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as error:
        if at:
            raise Damaged(f"a damaged header at byte {at:,}") from error
        program = next((name for magic, name in _COMPRESSED.items() if block.startswith(magic)), None)
        raise Damaged(
            f"compressed: unpack it first with {program}" if program else "no tar archive"
        ) from error


def _map_size(file: BinaryIO, header: tarfile.TarInfo, at: int) -> int:
    """Bytes between the header of an old sparse file and its data: further blocks of its map."""
    if header.type != tarfile.GNUTYPE_SPARSE:
        return 0
    start, flag = at, 482
    file.seek(at - BLOCK)
    while file.read(BLOCK)[flag : flag + 1] > b"\0":
        at, flag = at + BLOCK, 504
    return at - start


def _described(file: BinaryIO, data: int, size: int, at: int) -> bytes:
    if size > _LONGEST:
        raise Damaged(f"a damaged header at byte {at:,}: a name of {size:,} bytes")
    file.seek(data)
    return file.read(size)


def _long_name(body: bytes) -> str:
    return body.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _pax(body: bytes, said: _Said, at: int) -> _Said:
    """What the records of a PAX header say: each is its own length in decimal, a blank, key=value, a newline."""
    start = 0
    while start < len(body):
        try:
            blank = body.index(b" ", start, start + 20)
            end = start + int(body[start:blank])
            key, equals, value = body[blank + 1 : end - 1].partition(b"=")
            if end > len(body) or end <= blank or not equals:
                raise ValueError
            if key == b"path":
                said = replace(said, name=_long_name(value))
            elif key == b"size":
                said = replace(said, size=int(value))
        except ValueError as error:
            raise Damaged(f"a damaged header at byte {at:,}") from error
        said = replace(said, sparse=True) if key.startswith(b"GNU.sparse.") else said
        start = end
    return said
