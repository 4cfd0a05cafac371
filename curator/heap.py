"""What the C heap does with memory that is freed: glibc's alone to set, other C libraries do without."""

import contextlib
import ctypes

_KEPT = (
    64 << 20
)  # bytes: four of the 16 MiB that Pillow asks for at a time, one for each picture it makes of one
_LARGEST = 32 << 20  # bytes of one piece: as much as glibc takes
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


def keep_freed_memory() -> None:
    """Let all threads of this process reuse what was freed by any of them, up to `_KEPT` bytes.

    Otherwise pixels and bodies go back to the system with every image, and the next one faults in the same number
    of zeroed pages: a tenth of a worker's time.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
        mallopt(_M_ARENA_MAX, 1)
