"""What is fixed when a dataset is made.

Here and not in `curator.dataset`, which imports Arrow: the command line takes its defaults from this module,
and worker processes import the command line.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fixed:
    """Settings that shape what is stored. Sizes in bytes, sides and radius in pixels and bits."""

    shard_size: int = 10_000
    shard_bytes: int = 1 << 30
    min_side: int = 0
    max_aspect: float = 0.0
    dedup: str = "none"
    radius: int = 4
    full_decode: bool = False
    max_pixels: int = 100_000_000
    max_bytes: int = 20 << 20
