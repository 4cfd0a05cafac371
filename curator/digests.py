"""Digests and Reasons as text, thousands at a time."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.reasons import BY_CODE

_DIGITS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)


def to_hex(digests: npt.NDArray[np.uint8], told: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """Digests of shape (n, bytes) as hex digits; null where `told`, of shape (n,), is False."""
    width = 2 * digests.shape[1]
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * np.int32(width)
    validity = None if told is None else pa.py_buffer(np.packbits(told, bitorder="little"))
    text = pa.py_buffer(np.ascontiguousarray(_DIGITS[digests]))
    return pa.Array.from_buffers(pa.string(), len(digests), [validity, pa.py_buffer(offsets), text])


def reason_names(codes: npt.NDArray[np.uint8]) -> pa.StringArray:
    """The names of Reasons by their codes, of shape (n,); null for 0."""
    names = [BY_CODE[code].value if code in BY_CODE else None for code in range(256)]
    return pa.array(names, pa.string()).take(pa.array(codes))
