"""What the name of a file, or of a member of a tar, tells; and counts of the names that are passed over."""

import shlex
from collections import Counter
from collections.abc import Iterator

from curator.sources.items import PassedOver, shown

_IMAGES = """
    jpg jpeg jpe jfif jif pjpeg pjp mpo png apng webp gif bmp dib tif tiff avif avifs
    heic heif hif jp2 j2k jpf jpx jpm jxl jxr wdp svg svgz ico cur icns psd psb xcf eps wmf emf tga pcx sgi dds
    exr hdr pbm pgm ppm pnm pam pfm xbm xpm qoi bpg flif djvu jng mng cr2 cr3 nef arw dng orf rw2 raf pef srw
"""
# Every extension that an image is known by. What none of our decoders takes is listed all the same, so that
# it gets its Reason and does not just go missing.
IMAGE_EXTENSIONS = frozenset(f".{name}" for name in _IMAGES.split())
_UNPACK = {
    "gunzip": (".tar.gz", ".tgz", ".tar.z"),
    "bunzip2": (".tar.bz2", ".tbz2"),
    "unxz": (".tar.xz", ".txz"),
    "unzstd": (".tar.zst",),
    "unlz4": (".tar.lz4",),
}
HIDDEN = "hidden files"

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


def is_compressed_tar(name: str) -> bool:
    """Whether a file of this name is a tar that cannot be read by place."""
    return _unpacker(name) is not None


def compressed(name: str) -> str:
    """What is said of such a file: `name` is as a shell should find it."""
    return f"compressed: unpack it first: {_unpacker(name)} {shlex.quote(shown(name))}"


def _unpacker(name: str) -> str | None:
    found = (program for program, endings in _UNPACK.items() if name.lower().endswith(endings))
    return next(found, None)


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

    def counts(self) -> dict[str, int]:
        """What was counted, the most frequent first."""
        return {what: count for what, count in self._counts.most_common() if count > 0}

    def records(self) -> Iterator[PassedOver]:
        """The same, as a listing tells it."""
        return (PassedOver(*one) for one in self.counts().items())
