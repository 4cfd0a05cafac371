"""What the C heap does with memory that is freed: glibc's alone to set, other C libraries do without."""

import contextlib
import ctypes

_KEPT = 24 << 20  # bytes: what all but one picture in fifty need
_TRIMMED = 32 << 20  # bytes of the heap's end that make giving back worth it
_LARGEST = 32 << 20  # bytes of one piece: as much as glibc takes
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -2, -3, -8  # malloc.h


def keep_freed_memory() -> None:
    """Let all threads of this process reuse what was freed by any of them, up to `_KEPT` bytes.

    Only what a large image took beyond that goes back to the system. Otherwise pixels and bodies do with every
    image, and the next one faults in the same number of zeroed pages: a tenth of a worker's time.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, _LARGEST)
        mallopt(_M_TRIM_THRESHOLD, _TRIMMED)
        mallopt(_M_TOP_PAD, _KEPT)
        mallopt(_M_ARENA_MAX, 1)
