"""The small frozen records that travel between stages. Each stage makes a new one; none is filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from curator.reasons import Reason

# An image's bytes as they came off the network, in pieces: joined by nobody, copied once into the
# worker's arena and written once into the tar.
Body = Sequence[bytes]


class Measures(NamedTuple):
    """What one reduced decode tells of an image. Sizes in pixels after EXIF orientation."""

    format: str  # "jpeg", "png", "webp", "gif", "bmp", "tiff", "avif"
    mode: str  # Pillow's mode of the stored picture: "RGB", "L", "P", "CMYK", "I;16" ...
    width: int
    height: int
    bytes: int  # of the file
    sha256: str  # 64 hex digits over the file
    phash: str  # 16 hex digits, as str(imagehash.phash(...)) prints it
    phash_mirror: str  # the same for the picture mirrored left to right
    hash_kind: str  # how the picture was reduced before hashing, e.g. "draft256-gap3"
    low_information: bool  # the hash says nothing (flat, gradient): never a duplicate by hash
    sharpness: float
    brightness: float  # 0 to 255
    contrast: float
    entropy: float  # bits, 0 to 8
    exif: str  # JSON object of the EXIF tags, "{}" when there are none


@dataclass(frozen=True, slots=True)
class Undecoded:
    """What is known of an image that nobody decoded: its bytes. All else of `Measures` is still to be found."""

    bytes: int
    sha256: str
    format: ClassVar[None] = None
    mode: ClassVar[None] = None
    width: ClassVar[None] = None
    height: ClassVar[None] = None
    phash: ClassVar[None] = None
    phash_mirror: ClassVar[None] = None
    hash_kind: ClassVar[None] = None
    low_information: ClassVar[None] = None
    sharpness: ClassVar[None] = None
    brightness: ClassVar[None] = None
    contrast: ClassVar[None] = None
    entropy: ClassVar[None] = None
    exif: ClassVar[None] = None


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """Why an image has no measures: one Reason, and what the decoder said."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file that was made of an image says of itself, in the words of `Measures`."""

    format: str  # "jpeg", "png" or "webp"
    mode: str
    width: int
    height: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Remade:
    """The measures of an image as it came, and the file that was made of it to be stored in its place."""

    measures: Measures
    stored: Stored
    body: bytes


Measured = Measures | Remade | Undecoded | Unmeasured  # what becomes of an image between network and disk
