"""Digests as text and as bytes, and Reasons as text, thousands at a time."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.reasons import BY_CODE

_DIGITS = np.frombuffer(b"".join(b"%02x" % byte for byte in range(256)), np.uint16)
_NO_DIGIT = 255
_VALUES = np.full(256, _NO_DIGIT, np.uint8)  # of hex digits
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _VALUES[np.frombuffer(_digits, np.uint8)] = np.arange(16)


def to_hex(digests: npt.NDArray[np.uint8], told: npt.NDArray[np.bool_] | None = None) -> pa.StringArray:
    """Digests of shape (n, bytes) as hex digits; null where `told`, of shape (n,), is False."""
    width = 2 * digests.shape[1]
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * np.int32(width)
    validity = None if told is None else pa.py_buffer(np.packbits(told, bitorder="little"))
    text = pa.py_buffer(np.ascontiguousarray(_DIGITS[digests]))
    return pa.Array.from_buffers(pa.string(), len(digests), [validity, pa.py_buffer(offsets), text])


def from_hex(column: pa.Array, width: int) -> npt.NDArray[np.uint8]:
    """A column of n strings of hex digits as digests of shape (n, width) bytes; zeros where it is null.

    Raises ValueError where one is something else.
    """
    filled = column.cast(pa.string()).fill_null("0" * (2 * width))
    _, offsets, text = filled.buffers()
    ends = (
        np.frombuffer(offsets, np.int32)[filled.offset :][: len(filled) + 1]
        if len(filled)
        else np.zeros(1, int)
    )
    if (np.diff(ends) != 2 * width).any():
        raise ValueError(f"not {2 * width} hex digits")
    digits = _VALUES[np.frombuffer(text or b"", np.uint8)[ends[0] : ends[-1]]]
    if (digits == _NO_DIGIT).any():
        raise ValueError("not hex digits")
    digests = digits[0::2] << np.uint8(4) | digits[1::2]
    return digests.reshape(-1, width)


def reason_names(codes: npt.NDArray[np.uint8]) -> pa.StringArray:
    """The names of Reasons by their codes, of shape (n,); null for 0."""
    names = [BY_CODE[code].value if code in BY_CODE else None for code in range(256)]
    return pa.array(names, pa.string()).take(pa.array(codes))
