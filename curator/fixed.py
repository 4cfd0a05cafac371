"""What is fixed when a dataset is made.

Here and not in `curator.dataset`, which imports Arrow: the command line takes its defaults from this module,
and worker processes import the command line.
"""

from dataclasses import dataclass

from curator.encoding import Encoding

_AS_IT_CAME = Encoding()


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
    resize: int = _AS_IT_CAME.side
    resize_mode: str = _AS_IT_CAME.mode
    encode: str = _AS_IT_CAME.format
    quality: int = _AS_IT_CAME.quality

    def __post_init__(self) -> None:
        """Resizing alone makes JPEGs: say so, for whoever names the format later."""
        if self.resize and not self.encode:
            object.__setattr__(self, "encode", Encoding(self.resize).extension)

    def encoding(self) -> Encoding:
        """What is made of each image. Raises UsageError where a value is out of range."""
        return Encoding(self.resize, self.resize_mode, self.encode, self.quality)
