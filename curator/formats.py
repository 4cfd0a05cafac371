"""What the first bytes of a body tell: a format that is taken, one that is not, or no image at all.

Names and Content-Types lie, magic numbers seldom do. A wrong "yes" here costs one failed decode; a wrong
"no" costs an image, so only what is certainly something else is refused.
"""

from curator.reasons import Reason

# Enough for every signature below, and small enough to come with the first packet of any answer.
HEAD_BYTES = 32

# Pillow's names, for `Image.open(formats=...)`; its JPEG opens MPO too. What is missing is missing on
# purpose: EPS starts Ghostscript, TGA has no signature, the rarer decoders are where fuzzers find loops.
ALLOWED: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

Refusal = tuple[Reason, str]

_TAKEN = (
    b"\xff\xd8\xff",  # JPEG, MPO
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",  # TIFF, little and big endian, then BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
)
_BMP_HEADERS = frozenset((12, 16, 40, 52, 56, 64, 108, 124))

_NOT_TAKEN = (
    (b"8BPS", "psd"),
    (b"\0\0\1\0", "ico"),
    (b"\0\0\2\0", "cur"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl"),
    (b"\xff\x0a", "jxl"),
    (b"II\xbc\x01", "jxr"),
    (b"IIRO", "orf"),
    (b"IIU\0", "rw2"),
    (b"%!PS-Adobe", "eps"),
    (b"\xc5\xd0\xd3\xc6", "eps"),
    (b"\xd7\xcd\xc6\x9a", "wmf"),
    (b"\x8aMNG\r\n\x1a\n", "mng"),
    (b"\x8bJNG\r\n\x1a\n", "jng"),
    (b"\x76\x2f\x31\x01", "exr"),
    (b"#?RADIANCE", "hdr"),
    (b"DDS ", "dds"),
    (b"icns", "icns"),
    (b"qoif", "qoi"),
    (b"farbfeld", "farbfeld"),
    (b"gimp xcf", "xcf"),
    (b"AT&TFORM", "djvu"),
    (b"BPG\xfb", "bpg"),
    (b"FLIF", "flif"),
    (b"/* XPM", "xpm"),
    *((b"P%d%c" % (kind, space), "pnm") for kind in range(1, 8) for space in b"\n\r "),
)

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")

_OTHER = (
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"OggS", "application/ogg"),
    (b"ID3", "audio/mpeg"),
    (b"FLV\1", "video/x-flv"),
)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")


def refuse(head: bytes) -> Refusal | None:
    """Judge a body by its first `HEAD_BYTES` bytes (more do no harm): None when it may be decoded.

    UNSUPPORTED_FORMAT names a known image format that is not taken ("heic"); NOT_AN_IMAGE says what the
    bytes look like instead, printably. An SVG behind an XML declaration longer than the head is
    reported as XML: neither is ever decoded.
    """
    if _is_taken(head):
        return None
    name = _unsupported(head)
    if name:
        return Reason.UNSUPPORTED_FORMAT, name
    return Reason.NOT_AN_IMAGE, _describe(head)


def _is_taken(head: bytes) -> bool:
    if head.startswith(_TAKEN):
        return head[8:11] != b"CR\x02"  # Canon's raw files are TIFFs of another meaning
    if head.startswith(b"RIFF"):
        return head[8:12] == b"WEBP"
    if head.startswith(b"BM"):
        return int.from_bytes(head[14:18], "little") in _BMP_HEADERS
    brands = _brands(head)
    return b"avif" in brands or b"avis" in brands


def _unsupported(head: bytes) -> str:
    """The name of an image format that is known and not taken, or ""."""
    if head.startswith(b"II*\0"):
        return "cr2"
    for magic, name in _NOT_TAKEN:
        if head.startswith(magic):
            return name
    brands = _brands(head)
    if brands[:1] == (b"crx ",):
        return "cr3"
    if any(brand in _HEIF_BRANDS for brand in brands):
        return "heic"
    start = _text_start(head)
    return "svg" if start.startswith(b"<") and (b"<svg" in start or b"<!doctype svg" in start) else ""


def _brands(head: bytes) -> tuple[bytes, ...]:
    """Major and compatible brands of an ISO base media file, as far as the head shows them."""
    if head[4:8] != b"ftyp":
        return ()
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return (head[8:12], *(head[at : at + 4] for at in range(16, end, 4)))


def _text_start(head: bytes) -> bytes:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()


def _describe(head: bytes) -> str:
    if not head:
        return "empty"
    kind = _kind(head)
    return f"{kind}: {printable(head)}" if kind.startswith(("text/", "application/json")) else kind


def _kind(head: bytes) -> str:
    for magic, kind in _OTHER:
        if head.startswith(magic):
            return kind
    if head[4:8] == b"ftyp":
        return "video/mp4"
    start = _text_start(head)
    if start.startswith(_HTML):
        return "text/html"
    if start.startswith(b"<"):
        return "text/xml"
    if start.startswith((b"{", b"[")):
        return "application/json"
    control = sum(byte < 32 and byte not in b"\t\n\r" for byte in head)
    return f"unknown: {head[:8].hex(' ')}" if control else f"text/plain{'' if head.isascii() else '; 8bit'}"


def printable(text: bytes | str, limit: int = 200) -> str:
    """One line without control characters, cut to `limit` characters: fit for a log, JSON or Parquet."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 2 * limit]).split())[:limit]
