"""The open shard: a tar that grows by whole batches, and of which only the committed length counts.

Tars are deterministic: USTAR headers with a fixed time, mode and owner (webdataset's 0444), members
in order of arrival, so the same samples in the same order give the same bytes.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from curator.dataset.layout import Layout, sync_folder
from curator.errors import CorruptDataset
from curator.records import Body

BLOCK = 512
RECORD = 20 * BLOCK  # an archive is padded to this, as tar(1) and tarfile do
LARGEST_MEMBER = 0o77777777777
_IOV_MAX = 1024

_HEADER = bytearray(BLOCK)
_HEADER[100:108] = b"0000444\0"
_HEADER[108:124] = b"0000000\0" * 2
_HEADER[136:148] = b"00000000000\0"
_HEADER[148:156] = b" " * 8
_HEADER[156:157] = b"0"
_HEADER[257:265] = b"ustar\x0000"
_HEADER_SUM = sum(_HEADER)


def header(name: str, size: int) -> bytes:
    """One USTAR header block for a regular file (POSIX.1-1988 ustar). `name`: at most 100 ASCII characters."""
    encoded, digits = name.encode("ascii"), b"%011o\0" % size
    if len(encoded) > 100 or size > LARGEST_MEMBER:
        raise ValueError(f"{name} of {size} bytes does not fit a USTAR header")
    block = bytearray(_HEADER)
    block[: len(encoded)] = encoded
    block[124:136] = digits
    block[148:156] = b"%06o\0 " % (_HEADER_SUM + sum(encoded) + sum(digits))
    return bytes(block)


def padding(size: int) -> bytes:
    """The zeros that fill a member's last block."""
    return bytes(-size % BLOCK)


def sealed_size(length: int) -> int:
    """Bytes of the whole archive whose members take `length`."""
    end = length + 2 * BLOCK
    return end + (-end % RECORD)


class Member(NamedTuple):
    """One file of a sample."""

    name: str
    body: Body
    size: int

    @property
    def room(self) -> int:
        """Bytes it takes in the archive."""
        return BLOCK + self.size + (-self.size % BLOCK)


def _pieces(members: Sequence[Member]) -> Iterator[bytes | bytearray]:
    """The archive bytes of `members`; neighbours that are small are joined, bodies are not copied."""
    small = bytearray()  # which grows in place: a batch of small images is all in here
    for member in members:
        small += header(member.name, member.size)
        if member.size <= BLOCK * 8:
            small += b"".join(member.body)
        else:
            yield small
            yield from member.body
            small = bytearray()
        small += padding(member.size)
    yield small


def _forget(fd: int, start: int, size: int) -> None:
    """Let the page cache drop what is on the disk now.

    Nobody reads it soon, and the next append takes the same pages again: where memory is fresh, as in a
    virtual machine, touching it first costs several times the copy itself.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(fd, start, size, os.POSIX_FADV_DONTNEED)


class OpenShard:
    """The one shard that is being written. Only its owner's transaction makes an append count."""

    def __init__(self, layout: Layout, shard: int, length: int, samples: int) -> None:
        """Open, or make, the shard's file and cut it to its committed `length` in bytes.

        Raises CorruptDataset when the file is shorter than what was committed.
        """
        self.id, self.length, self.samples = shard, length, samples
        self.path: Path = layout.part(shard)
        if length and not self.path.exists():  # opening it would make it, and hide what is gone
            raise CorruptDataset(
                f"{self.path}: missing, but {length:,} bytes were committed. Restore it from a backup."
            )
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        found = os.fstat(self._fd).st_size
        if found < length:
            os.close(self._fd)
            raise CorruptDataset(
                f"{self.path}: {found:,} bytes, but {length:,} were committed. Something outside shortened it: "
                "restore the file from a backup. Nothing was changed."
            )
        os.ftruncate(self._fd, length)
        if length == 0:
            sync_folder(layout.images)

    def append(self, members: Sequence[Member]) -> int:
        """Write and sync `members` after the committed length; the length once they are committed."""
        end = self.length
        buffers = [piece for piece in _pieces(members) if piece]
        for start in range(0, len(buffers), _IOV_MAX):
            end += self._write(buffers[start : start + _IOV_MAX], end)
        if buffers:
            os.fdatasync(self._fd)
            _forget(self._fd, self.length, end - self.length)
        return end

    def committed(self, length: int, samples: int) -> None:
        """What was appended now counts."""
        self.length, self.samples = length, samples

    def take_back(self) -> None:
        """Give the disk back what was appended and not committed."""
        os.ftruncate(self._fd, self.length)

    def finish(self) -> None:
        """Write the end of the archive and sync it; `rename` comes next."""
        self._write([bytes(sealed_size(self.length) - self.length)], self.length)
        os.fsync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _write(self, buffers: Sequence[bytes | bytearray], offset: int) -> int:
        total = sum(map(len, buffers))
        written = os.pwritev(self._fd, buffers, offset)
        if written < total:  # a signal or a nearly full disk: write the rest the plain way
            rest = memoryview(b"".join(buffers))[written:]
            while rest:
                step = os.pwrite(self._fd, rest, offset + total - len(rest))
                rest = rest[step:]
        return total
