"""Sizes as people write them on a command line, and numbers of things as they read them."""

import re

from curator.errors import UsageError

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def parse_size(text: str) -> int:
    """Bytes in "512M", "1.5 GiB" or "4096"; K, M, G and T are powers of 1024.

    Raises UsageError for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise UsageError(f"{text!r} is not a size. Write it like 512M, 1.5G or 4096.")
    return int(float(match[1]) * 1024 ** _POWERS[match[2].upper()])


def counted(n: int, noun: str) -> str:
    """So many things: "1 row", "2,600 rows". Nouns whose plural ends in s."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
