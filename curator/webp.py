"""WebP stills straight from libwebp: the one that Pillow has loaded, asked without Pillow's detour.

Pillow decodes every WebP as an animation: libwebp blends two canvases, and the answer is copied twice. That is 17
bytes a pixel, and half as much time again as the pixels take. Here libwebp writes them once, and they become what is
asked for.
- The library is found through Pillow's own module, whose dependencies `dlsym` searches, too. Where that finds
  nothing, all is Pillow's, as is whatever moves, is transparent or is not told as Pillow tells it: see `_bitstream`.
- What libwebp does not decode to its end is Pillow's to refuse, so there is one place that names what is wrong. What it
  does decode here, it decodes there: the file is taken apart as strictly as its demuxer does, or more so, and of the
  image's own chunk it gets the same bytes.
- Nothing is allocated for a picture before its size was held against `max_pixels`.
- A picture is decoded at once where it fits into memory that the heap has at hand: 4 bytes a pixel and what is made of
  them. Of a larger one libwebp is fed a part of the file at a time; the rows that are then there are taken, and their
  pages given back. That is 1 byte a pixel for luma and a few `_BAND`, for a fifth more CPU: fresh pages, although
  huge ones. A picture that says hardly anything comes all at once, whatever it is fed. A lossless one gains little:
  libwebp holds 4 bytes a pixel of its own.
"""

import ctypes
import mmap
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import chain

import numpy as np
import numpy.typing as npt
from PIL import Image

Bytes = bytes | memoryview
_Array = npt.NDArray[np.uint8]
_Size = tuple[int, int]
_Span = tuple[int, int]

_AT_ONCE = 20 << 20  # bytes: of what a worker's heap keeps (curator.heap), all but what libwebp needs itself
_BAND = 2 << 20  # bytes of pixels: a huge page
_MADE = {"L": 1, "RGB": 4}  # bytes a pixel of Pillow's
_ABI = 0x0200  # of the decoder: libwebp compares the upper byte
_MODE_RGBA = 1
_OK, _SUSPENDED = 0, 5  # VP8StatusCode
_FEATURES = 10  # ints: width, height, has_alpha, has_animation, format, and five for later

_FIRST, _HEADER, _EXTENDED_BYTES = 12, 8, 10  # bytes: before the chunks, of a name and length, in VP8X
_VP8_HEADER = _HEADER + 10  # bytes before the first partition: the chunk's, and the frame's
_LOSSY, _LOSSLESS, _EXTENDED = b"VP8 ", b"VP8L", b"VP8X"
# the flag that announces each, and Pillow's name for it
_METADATA = {b"ICCP": (0x20, "icc_profile"), b"EXIF": (0x08, "exif"), b"XMP ": (0x04, "xmp")}
_KNOWN = {_LOSSY, _LOSSLESS, _EXTENDED, *_METADATA}


def still(body: Bytes, max_pixels: int, mode: str) -> Image.Image | None:
    """The picture of an opaque WebP that does not move, in `mode` L or RGB, with Pillow's format and metadata.

    The pixels are those that Pillow gives, in RGB and by `convert("L")`. None for whatever Pillow has to decode, or to
    refuse. Raises MemoryError.
    """
    if bytes(body[8:12]) != b"WEBP" or (library := _libwebp()) is None:
        return None
    chunks = _chunks(body)
    bitstream = _bitstream(body, chunks)
    if bitstream is None:
        return None
    file = np.frombuffer(body, np.uint8)
    size = _size(library, file)
    if size is None or size[0] * size[1] > max_pixels:
        return None
    start, end = chunks[bitstream]
    data = file[start - _HEADER : end + (end - start) % 2]  # with the padding: the last bits may lie in it
    needed = (4 + _MADE[mode]) * size[0] * size[1]
    at_once = bitstream == _LOSSLESS or needed <= _AT_ONCE
    image = (_at_once if at_once else _in_bands)(library, data, size, mode)
    if image is not None:
        image.format = "WEBP"
        for name, (_, key) in _METADATA.items():
            if name in chunks and (value := bytes(body[slice(*chunks[name])])):
                image.info[key] = value
    return image


@cache
def _libwebp() -> ctypes.CDLL | None:
    """The functions of the decoder, None where Pillow was built without one or hides it."""
    try:
        from PIL import _webp

        library = ctypes.CDLL(_webp.__file__)
        pointer, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        for name, result, *arguments in (
            ("WebPGetFeaturesInternal", number, pointer, size, pointer, number),
            ("WebPDecodeRGBAInto", pointer, pointer, size, pointer, size, number),
            ("WebPINewRGB", pointer, number, pointer, size, number),
            ("WebPIUpdate", number, pointer, pointer, size),
            ("WebPIDecGetRGB", pointer, pointer, pointer, pointer, pointer, pointer),
            ("WebPIDelete", None, pointer),
        ):
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (ImportError, OSError, AttributeError):
        return None
    return library


def _chunks(body: Bytes) -> dict[bytes, _Span]:
    """Where the contents of a file's chunks are, by name.

    Empty where they do not fill it to the byte, one comes twice, or one is of no use to a still.
    """
    found, at = dict[bytes, _Span](), _FIRST
    if body[:4] != b"RIFF" or int.from_bytes(body[4:8], "little") != len(body) - 8:
        return {}
    while at < len(body):
        name, length = bytes(body[at : at + 4]), int.from_bytes(body[at + 4 : at + 8], "little")
        start = at + _HEADER
        at = start + length + length % 2
        if name not in _KNOWN or name in found or at > len(body):
            return {}
        found[name] = start, start + length
    return found


def _bitstream(body: Bytes, chunks: dict[bytes, _Span]) -> bytes | None:
    """The name of the chunk that holds the image; None where the others do not fit to it or to what is said of them."""
    images = chunks.keys() & {_LOSSY, _LOSSLESS}
    if len(images) != 1:
        return None
    if len(chunks) > 1:
        start, end = _FIRST + _HEADER, _FIRST + _HEADER + _EXTENDED_BYTES
        flags = sum(_METADATA[name][0] for name in chunks.keys() & _METADATA.keys())
        if chunks.get(_EXTENDED) != (start, end) or body[start] != flags:
            return None
    return images.pop()


def _size(library: ctypes.CDLL, file: _Array) -> _Size | None:
    """Width and height, None where libwebp finds alpha or animation, or that canvas and image differ."""
    features = (ctypes.c_int * _FEATURES)()
    status = library.WebPGetFeaturesInternal(file.ctypes.data, file.size, features, _ABI)
    width, height, alpha, animation = features[:4]
    return None if status != _OK or alpha or animation else (width, height)


def _at_once(library: ctypes.CDLL, data: _Array, size: _Size, mode: str) -> Image.Image | None:
    stride = 4 * size[0]
    pixels = np.empty(stride * size[1], np.uint8)
    decoded = library.WebPDecodeRGBAInto(data.ctypes.data, data.size, pixels.ctypes.data, pixels.size, stride)
    return _picture(pixels, size, mode) if decoded else None


def _in_bands(library: ctypes.CDLL, data: _Array, size: _Size, mode: str) -> Image.Image | None:
    width, height = size
    stride = 4 * width
    memory = _fresh(stride * height)
    pixels = np.frombuffer(memory, np.uint8)
    image, taken, given_back = Image.new(mode, size), 0, 0
    decoder = library.WebPINewRGB(_MODE_RGBA, pixels.ctypes.data, pixels.size, stride)
    try:
        for there in _fed(library, decoder, data, bands=pixels.size // _BAND + 1):
            if there > taken:
                band = pixels[stride * taken : stride * there]
                image.paste(_picture(band, (width, there - taken), mode), (0, taken))
                taken = there
                over = stride * taken // _BAND * _BAND - given_back
                if over:
                    memory.madvise(mmap.MADV_DONTNEED, given_back, over)
                    given_back += over
    finally:
        library.WebPIDelete(decoder)
    return image if taken == height else None


def _fresh(size: int) -> mmap.mmap:
    """Memory of its own, whose pages can be given back; huge ones, where there are."""
    try:
        memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError from error  # which it is
    with suppress(AttributeError, OSError):  # another system, or a kernel without
        memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def _fed(library: ctypes.CDLL, decoder: int | None, data: _Array, bands: int) -> Iterator[int]:
    """Feed a lossy image to the decoder. Gives how many rows are there, after each part that it took.

    The first part ends with the first byte of the coefficients, behind the partition of headers and modes: arithmetic
    decoding starts there, and takes any value up to 254. At 255, which no encoder writes, what comes out depends on how
    many bytes are there at a time, so nothing is given. Neither is anything where that part is not enough: then
    coefficients are in several partitions, whose first bytes lie elsewhere.
    """
    first = _VP8_HEADER + (int.from_bytes(data[_HEADER : _HEADER + 3].tobytes(), "little") >> 5) + 1
    if first > data.size or data[first - 1] == 0xFF:
        return
    step, there = (data.size - first) // bands + 1, ctypes.c_int(0)
    for end in chain([first], range(first + step, data.size + step, step)):
        status = library.WebPIUpdate(decoder, data.ctypes.data, min(end, data.size))
        begun = library.WebPIDecGetRGB(decoder, ctypes.byref(there), None, None, None)
        if status not in (_OK, _SUSPENDED) or not begun:
            return
        yield there.value


def _picture(pixels: _Array, size: _Size, mode: str) -> Image.Image:
    return Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", 0, 1).convert(mode)
