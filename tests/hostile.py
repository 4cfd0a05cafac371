"""Images made to hurt whoever opens them, each with the outcomes that are right.

An outcome is a Reason, or "measured" where the picture is sound for all its hostility.
"""

import random
import struct
import zlib
from collections.abc import Iterator
from functools import cache

from tests.pictures import encoded, flat, photo

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "MPO")
PNG = b"\x89PNG\r\n\x1a\n"
FINE = {"measured"}
BAD = {"undecodable"}
EITHER = {"measured", "undecodable"}
BIG = {"too_many_pixels"}
ROWS = zlib.compress(bytes(72))  # 8 x 8 black pixels and their filter bytes
PAGE = b"<html><script>alert(document.cookie)</script></html>"


@cache
def sound(format_: str) -> bytes:
    """A small valid file."""
    return encoded(photo(3, 64, 48), format_)


def chunk(name: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, pixels: bytes, *extra: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG of any claim; `pixels` are compressed rows, `extra` whole chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG + chunk(b"IHDR", header) + b"".join(extra) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def zeros(mebibytes: int) -> bytes:
    """So many MiB of zeros, compressed: one block that refers to nothing before it, repeated."""
    packer = zlib.compressobj(9, wbits=-15)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = ((mebibytes << 20) % 65_521) << 16 | 1  # Adler-32 of zeros
    return b"\x78\xda" + block * mebibytes + b"\x03\0" + struct.pack(">I", checksum)


def gif(frames: int, width: int = 1, height: int = 1) -> bytes:
    """A GIF of so many frames of one pixel."""
    frame = b"!\xf9\x04\0\1\0\0\0" + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2D\1\0"
    return (
        b"GIF89a"
        + struct.pack("<HH", width, height)
        + b"\x80\0\0"
        + b"\0\0\0\xff\xff\xff"
        + frame * frames
        + b";"
    )


def tiff(*tags: tuple[int, int, int, int], rest: bytes = b"") -> bytes:
    """A little-endian TIFF of one directory: (tag, type, count, value) each, `rest` behind it."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4) + rest


def with_segment(marker: int, data: bytes, times: int = 1) -> bytes:
    """A JPEG with one more segment, right behind its first marker."""
    body = sound("JPEG")
    return body[:2] + (b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data) * times + body[2:]


def exif(*entries: tuple[int, int, int, int], following: int = 0) -> bytes:
    """A JPEG with an EXIF block of those entries."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    block = (
        b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)
    )
    return with_segment(0xE1, block)


def lying_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    body = sound("JPEG")
    at = body.index(b"\xff\xc0") + 5
    return body[:at] + struct.pack(">HH", height, width) + body[at + 4 :]


def many_scans(scans: int) -> bytes:
    """A progressive JPEG whose last scan is repeated: each costs a pass over all its pixels."""
    body = encoded(flat(width=2000, height=2000), "JPEG", progressive=True)
    last = body.rindex(b"\xff\xda")
    return body[:last] + body[last:-2] * scans + body[-2:]


def bombs() -> dict[str, tuple[bytes, set[str]]]:
    """Small files that would become large, or take long."""
    return {
        "169 megapixels in 20 KB": (png(13_000, 13_000, zeros(21), depth=1), BIG),
        "a claim of 2^31 x 2^31": (png(2**31 - 1, 2**31 - 1, zlib.compress(b"")), BIG | BAD),
        "a GIF of 100,000 frames": (gif(100_000), FINE),
        "a GIF of 65535 x 65535": (gif(1, 65_535, 65_535), BIG),
        "a JPEG that claims 65500 x 65500": (lying_jpeg(65_500, 65_500), BIG),
        "a JPEG that claims more than it has": (lying_jpeg(6000, 4000), EITHER),
        "a JPEG that claims no height": (lying_jpeg(64, 0), BAD),
        "a text chunk of 1 GB": (text_bomb(1024), EITHER),
        "a hundred text chunks of 1 MB": (text_bomb(1, 100), EITHER),
        "an ICC profile of 1 GB": (png(8, 8, ROWS, chunk(b"iCCP", b"x\0\0" + zeros(1024))), EITHER),
        "100,000 chunks": (png(8, 8, ROWS, chunk(b"teSt", b"x") * 100_000), EITHER),
        "rows without end": (png(8, 8, zeros(1024)), EITHER),
        "a TIFF of many strips": (tiff((256, 4, 1, 60_000), (257, 4, 1, 1600), (273, 4, 1 << 28, 8)), BAD),
        "a TIFF of 2^32 pixels": (tiff((256, 4, 1, 65_536), (257, 4, 1, 65_536), (258, 3, 1, 8)), BIG | BAD),
        "a TIFF whose directory leads to itself": (tiff((256, 4, 1, 8), (257, 4, 1, 8), (330, 4, 1, 8)), BAD),
        "16,000 segments": (with_segment(0xE2, b"ICC_PROFILE\0" + bytes(40), 16_000), EITHER),
    }


def text_bomb(mebibytes: int, times: int = 1) -> bytes:
    """A PNG with compressed text."""
    return png(8, 8, ROWS, chunk(b"zTXt", b"Comment\0\0" + zeros(mebibytes)) * times)


def malformed() -> dict[str, tuple[bytes, set[str]]]:
    """Metadata that leads astray."""
    return {
        "EXIF that points outside": (exif((0x8769, 4, 1, 0x7FFF_FFFF)), FINE),
        "EXIF that points to itself": (exif((0x8769, 4, 1, 8), (0x8825, 4, 1, 8), (0xA005, 4, 1, 8)), FINE),
        "EXIF of a directory without end": (exif((0x112, 3, 1, 6), following=8), FINE),
        "EXIF of 2^32 values": (exif((0x10F, 2, 0xFFFF_FFFF, 8)), FINE),
        "EXIF of an orientation of 99": (exif((0x112, 3, 1, 99)), FINE),
        "EXIF of an orientation in text": (exif((0x112, 2, 4, 0x363636)), FINE),
        "EXIF of no known type": (exif((0x112, 99, 1, 6)), FINE),
        "EXIF divided by 0": (exif((0x829A, 5, 1, 0)), FINE),
        "EXIF of 5,000 entries": (exif(*[(n, 2, 4, 0) for n in range(5000)]), FINE),
        "half an EXIF": (with_segment(0xE1, b"Exif\0\0II*\0"), FINE),
        "an MPO index of nonsense": (
            with_segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 99),
            EITHER,
        ),
        "an ICC profile of nonsense": (with_segment(0xE2, b"ICC_PROFILE\0\0\0" + b"\xff" * 999), FINE),
        "a resolution of nonsense": (with_segment(0xED, b"Photoshop 3.0\x008BIM" + b"\xff" * 99), FINE),
        "XMP of nonsense": (with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"<x:" * 9999), FINE),
        "a PNG text without end": (png(8, 8, ROWS, chunk(b"iTXt", b"x" * 99)), EITHER),
        "a PNG of a wrong palette": (png(8, 8, ROWS, chunk(b"PLTE", b"x"), colour=3), EITHER),
        "a PNG EXIF of nonsense": (png(8, 8, ROWS, chunk(b"eXIf", b"\xff" * 99)), EITHER),
        "a PNG of a depth of 99": (png(8, 8, ROWS, depth=99), BAD),
    }


def polyglots() -> dict[str, tuple[bytes, set[str]]]:
    """Images that are something else as well, and what only says it is an image."""
    archive = b"PK\3\4" + bytes(26) + b"PK\5\6" + bytes(18)
    return {
        "a JPEG and an archive": (sound("JPEG") + archive, FINE),
        "a JPEG and a page": (with_segment(0xFE, PAGE), FINE),
        "a PNG and a page": (png(8, 8, ROWS, chunk(b"tEXt", b"x\0" + PAGE)), FINE),
        "a GIF that is a script": (b"GIF89a=1;/*" + bytes(100) + b"*/alert(1)", BAD | BIG),
        "a BMP that is a page": (b"BM" + bytes(12) + b"\x28\0\0\0" + PAGE * 9, BAD | BIG),
        "a GIF and a PDF": (sound("GIF") + b"%PDF-1.7 trailer", FINE),
        "a page that ends in a JPEG": (PAGE + sound("JPEG"), {"not_an_image"}),
        "a PDF that holds a JPEG": (b"%PDF-1.4\n" + sound("JPEG"), {"not_an_image"}),
        "EPS in the name of BMP": (b"%!PS-Adobe-3.0 EPSF\n" + PAGE, {"unsupported_format"}),
        "an SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', {"unsupported_format"}),
        "a WebP that is a sound": (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), {"not_an_image"}),
        "a HEIC in the name of AVIF": (b"\0\0\0\x1cftypavif\0\0\0\0heicmif1" + bytes(99), BAD),
        "a JPEG inside a TIFF's name": (b"II*\0" + sound("JPEG"), BAD),
        "nothing": (b"", {"not_an_image"}),
    }


def everything() -> dict[str, tuple[bytes, set[str]]]:
    """All of the above by name."""
    return {**bombs(), **malformed(), **polyglots()}


def prefixes(format_: str, most: int = 60) -> Iterator[bytes]:
    """A valid file cut short: at every byte of its head, then evenly up to its last byte."""
    body = sound(format_)
    step = max(1, len(body) // most)
    yield from (
        body[:end] for end in sorted({*range(min(40, len(body))), *range(40, len(body), step), len(body) - 1})
    )


def flips(format_: str, count: int, seed: int = 0) -> Iterator[bytes]:
    """A valid file with one to eight bits turned over; half of them in its head, where it says what it is."""
    chosen = random.Random(f"{format_} {seed}")
    body = sound(format_)
    for number in range(count):
        changed = bytearray(body)
        reach = min(len(body), 200) if number % 2 else len(body)
        for _ in range(chosen.randint(1, 8)):
            changed[chosen.randrange(reach)] ^= 1 << chosen.randrange(8)
        yield bytes(changed)
