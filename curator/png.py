"""A PNG inflated by zlib-ng, with all else of it left to Pillow.

Inflating is half of what decoding a PNG costs. Pillow's wheels take the system's zlib for it, mostly the stock one,
which needs two to four times as long as zlib-ng, and Pillow's decoder takes nothing but deflated data. Deflate has
*stored* blocks, though (RFC 1951, 3.2.4): up to 65,535 bytes as they are, which any zlib merely copies. So what
Pillow reads of its chunks goes through zlib-ng, and then to Pillow's decoder as such blocks. They are made as it asks
for them: memory does not grow with what a file inflates to.

What comes out is what Pillow alone makes of the file, pixels and errors:
- It walks the chunks, before the picture and behind it, undoes the filters and unpacks the pixels, as ever.
- zlib-ng judges a stream by the rules of zlib. Where it has come to the end with the checksum right by the time the
  last row is full, zlib had nothing to say against any of it.
- Anything else has the file opened again, and read by Pillow alone. It is not always refused: Pillow may be done
  before it sees that something is wrong.
"""

import struct
from collections.abc import Callable, Iterator
from typing import Protocol

from PIL import features
from PIL.PngImagePlugin import PngImageFile
from zlib_ng import zlib_ng

_ZLIB_HEADER = b"\x78\x01"
_MOST_STORED = 0xFFFF
_READ = 65_536  # as much as Pillow reads at a time
_SLOW = "zlib-ng" not in (features.version_codec("zlib") or "")  # of the library that is loaded


class _Inflater(Protocol):
    eof: bool
    unconsumed_tail: bytes

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def load(image: PngImageFile) -> bool:
    """Load an image that was just opened; False where it is closed instead, for Pillow alone to open and load.

    Does nothing where Pillow's own zlib is zlib-ng.
    """
    if not _SLOW:
        return True
    inflater: _Inflater = zlib_ng.decompressobj()
    blocks = _stored(image.load_read, inflater)
    vars(image)["load_read"] = lambda _: next(blocks)  # in place of the class's, for this image
    try:
        image.load()
        clean = inflater.eof
    except Exception:  # noqa: BLE001 - hostile bytes make decoders raise anything; Pillow alone is to say what
        clean = False
    del vars(image)["load_read"]  # which refers to the image, and would keep it
    if not clean:
        image.close()
    return clean


def _stored(read: Callable[[int], bytes], inflater: _Inflater) -> Iterator[bytes]:
    """A zlib stream of stored blocks, without an end, of what `read` gives deflated."""
    yield _ZLIB_HEADER
    while not inflater.eof and (deflated := inflater.unconsumed_tail or read(_READ)):
        if inflated := inflater.decompress(deflated, _MOST_STORED):
            yield struct.pack("<BHH", 0, len(inflated), len(inflated) ^ 0xFFFF)
            yield inflated  # not joined to its head, which would copy it
