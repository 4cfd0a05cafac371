"""What the name of a file, or of a member of a tar, tells; and counts of the names that are passed over."""

from collections import Counter
from collections.abc import Iterator

from curator.sources.items import PassedOver

_IMAGES = """
    jpg jpeg jpe jfif jif pjpeg pjp mpo png apng webp gif bmp dib tif tiff avif avifs
    heic heif hif jp2 j2k jpf jpx jpm jxl jxr wdp svg svgz ico cur icns psd psb xcf eps wmf emf tga pcx sgi dds
    exr hdr pbm pgm ppm pnm pam pfm xbm xpm qoi bpg flif djvu jng mng cr2 cr3 nef arw dng orf rw2 raf pef srw
"""
# Every extension that an image is known by. What none of our decoders takes is listed all the same, so that
# it gets its Reason and does not just go missing.
IMAGE_EXTENSIONS = frozenset(f".{name}" for name in _IMAGES.split())
COMPRESSED_TARS = (
    ".tar.gz",
    ".tgz",
    ".tar.bz2",
    ".tbz2",
    ".tar.xz",
    ".txz",
    ".tar.zst",
    ".tar.lz4",
    ".tar.z",
)

_KINDS = 100  # counted apart, so that a folder of random names takes no memory
_LONGEST = 12  # characters of an extension; longer ones are just names with dots
OTHER = "other names"


def split(name: str) -> tuple[str, str]:
    """The name (of one path component or many) without its extension, and the extension in lower case.

    The extension is "" where there is none.
    """
    stem, dot, extension = name.rpartition(".")
    if not dot or "/" in extension or not stem or stem[-1] == "/":
        return name, ""
    return stem, dot + extension.lower()


def may_be_image(extension: str) -> bool:
    """Whether a file with this extension is looked into: also one that has none."""
    return extension in IMAGE_EXTENSIONS or not extension


class Tally:
    """How many names of which kind were passed over; counts of at most a hundred kinds are kept apart."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str, count: int = 1) -> None:
        """Count an extension, or something in words; a negative count takes back."""
        odd = what.startswith(".") and (len(what) > _LONGEST or not what.isprintable())
        if odd or (what not in self._counts and len(self._counts) >= _KINDS):
            what = OTHER
        self._counts[what] += count

    def records(self) -> Iterator[PassedOver]:
        """What was counted, the most frequent first."""
        return (PassedOver(what, count) for what, count in self._counts.most_common() if count > 0)
