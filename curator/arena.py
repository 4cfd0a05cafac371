"""One batch in memory that parent and worker share: bodies one way, results back.

An anonymous file (memfd: no name, gone with its last holder, also after kill -9) laid out as

    0        8 bytes: index in the batch of the image being measured now, NOBODY between images
    HEADER   the bodies, end to end
    + sizes  the pickled results

- The parent never maps it: pwritev copies each chunk once, without joining, and grows the file by itself.
- The worker maps what a batch has, read only, and lets go before it answers; so the parent may cut the file
  back after a large batch (KEPT) without anybody faulting on a page that is gone.
- Results lie behind the bodies, not over them and not in the executor's pipe. A worker killed while it
  writes more than a page into that pipe would leave half a message there, and the executor waits for the
  other half for ever.
- The index outlives the worker: that is how the parent knows which image killed it.
"""

import mmap
import os
import sys
import weakref
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice, pairwise
from multiprocessing import reduction
from typing import Any

from curator.records import Body

HEADER = mmap.ALLOCATIONGRANULARITY
KEPT = HEADER + (4 << 20)  # bytes a free arena holds on to: a usual batch, so that its pages are reused
NOBODY = -1
_INDEX_BYTES = 8
_CHUNKS_PER_WRITE = 1024  # IOV_MAX on Linux


class Arena:
    """The shared memory of one batch at a time. Pickles only towards a process that is being started."""

    def __init__(self, fd: int | None = None) -> None:
        """Make a new one, closed with its last holder, or adopt the inherited descriptor `fd`."""
        self.fd = os.memfd_create("arena") if fd is None else fd
        if fd is None:
            weakref.finalize(self, os.close, self.fd)
            os.ftruncate(self.fd, HEADER)
            self._clear_index()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel as a duplicate of the descriptor, passed over the forkserver's socket."""
        return _adopt, (reduction.DupFd(self.fd),)

    def put(self, bodies: Sequence[Body]) -> list[int]:
        """Copy a batch in and clear the index. Returns the bytes of each body."""
        self._clear_index()
        end = HEADER
        chunks = chain.from_iterable(bodies)
        while some := list(islice(chunks, _CHUNKS_PER_WRITE)):
            end = _write(self.fd, some, end)
        return [sum(map(len, body)) for body in bodies]

    def index(self) -> int | None:
        """Index of the image that was being measured when the worker last noted one, None when nobody was."""
        number = int.from_bytes(os.pread(self.fd, _INDEX_BYTES, 0), sys.byteorder, signed=True)
        return None if number == NOBODY else number

    def _clear_index(self) -> None:
        os.pwrite(self.fd, NOBODY.to_bytes(_INDEX_BYTES, sys.byteorder, signed=True), 0)

    def note(self) -> memoryview:
        """Map the index to write: a view of one signed 8-byte number."""
        return memoryview(mmap.mmap(self.fd, HEADER)).cast("q")[:1]

    def views(self, sizes: Sequence[int]) -> list[memoryview]:
        """Map the bodies to read. The mapping lives as long as one of the views."""
        whole = memoryview(mmap.mmap(self.fd, HEADER + sum(sizes), prot=mmap.PROT_READ))
        return [whole[start:stop] for start, stop in _spans(sizes)]

    def put_results(self, results: bytes, sizes: Sequence[int]) -> None:
        """Write what the worker answers behind the bodies."""
        _write(self.fd, [results], HEADER + sum(sizes))

    def take_results(self, length: int, sizes: Sequence[int]) -> bytes:
        """Read the `length` bytes of the worker's answer."""
        return os.pread(self.fd, length, HEADER + sum(sizes))

    def shrink(self) -> None:
        """Give back what a large batch took. Only when no worker has the batch mapped."""
        if os.fstat(self.fd).st_size > KEPT:
            os.ftruncate(self.fd, KEPT)


def _adopt(duplicate: Any) -> Arena:
    return Arena(duplicate.detach())


def _spans(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    return pairwise(accumulate(sizes, initial=HEADER))


def _write(fd: int, chunks: Sequence[bytes], offset: int) -> int:
    """Write all of `chunks` at `offset`. Returns the offset behind them."""
    written, size = os.pwritev(fd, chunks, offset), sum(map(len, chunks))
    if written < size:  # one call ends at 2 GiB
        return _write(fd, [b"".join(chunks)[written:]], offset + written)
    return offset + size
