"""A progressive JPEG without the scans that only its colours need, for whom luma is enough.

A progressive JPEG (ITU-T T.81, G) comes in some ten scans, each a few bits of some coefficients. libjpeg decodes them
all, also when only luma is asked for: Huffman decoding is nearly all of the work. The scans of AC coefficients
belong to one component each, so those of Cb and Cr can be cut out, unread, where they stand: the luma is the same to
the last bit, a tenth sooner. Where it is decoded at 1/8 of its size, a pixel is a block's mean, which is its DC
coefficient: then luma's scans of AC coefficients are cut out, too, and it takes a quarter of the time.

- libjpeg smoothes the blocks of a picture that its scans leave unfinished, as those look whose scans are cut out. It
  does not where any quantization table has zeros, so the components that nobody looks at are given one. A picture
  that was unfinished before is left as it is: there, luma would differ.
- What libjpeg refuses in a scan before it reads its bits (its parameters, its tables) must not be in one that is cut
  out; bits that make no sense are no error to it. Truncated files have no end to be found.
- Whatever is odd is left as it is, for libjpeg to judge.

Of small pictures, which nobody compares, the colours may be block means as well (`means`).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import mul

Bytes = bytes | memoryview
_Table = tuple[Bytes, Bytes]  # of Huffman codes: how many codes have 1 to 16 bits, and what they stand for

_SOI = b"\xff\xd8"
_SOF2, _DHT, _JPG, _DAC = 0xC2, 0xC4, 0xC8, 0xCC
_EOI, _SOS, _DQT, _APP2, _APP14 = 0xD9, 0xDA, 0xDB, 0xE2, 0xEE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, _JPG, _DAC}
_WITHOUT_LENGTH = {*range(0xD0, 0xD9), 0xFF}  # restarts, the beginning of an image, filling
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # neither a stuffed byte nor a restart
_SMOOTHED = 10  # coefficients that libjpeg-turbo looks at to see whether a picture is unfinished
_MOST_SHIFT = 13  # bits, libjpeg's limit of Al
_DC, _MOST_BITS = 0, 15  # class of tables, and the most bits of a difference that their codes may name
_SHARES = tuple(1 << 16 - length for length in range(1, 17))  # of all codes, what one of this length takes
_EIGHTH = 8  # times smaller, at least, than the file: as far as libjpeg reduces
_MOST_SEGMENTS = 500  # a file with more is made to keep us busy
_MOST_TABLES = 8 * (17 + 256)  # bytes of one segment that says nothing twice


class _OddError(Exception):
    """Nothing to be cut out of this file."""


@dataclass(slots=True)
class _Frame:
    """What the scans up to here have told."""

    components: tuple[int, ...] = ()  # luma first
    means_only: bool = False  # of luma, too, the AC coefficients are not needed
    scales: set[int] = field(default_factory=set)  # numbers of the quantization tables
    tables: dict[tuple[int, int], _Table] = field(default_factory=dict)  # Huffman: class, number
    missing: dict[int, list[int]] = field(default_factory=dict)  # bits of each coefficient, by component


def luma_only(body: Bytes, least: tuple[int, int]) -> Bytes:
    """The file without its chroma, as far as that stands apart; `body` itself where it does not.

    `least`: pixels of the shorter and the longer side, below which it is not reduced while it is decoded.
    """
    try:
        return _cut(body, least)
    except (_OddError, IndexError):
        return body


def means(body: Bytes, least: tuple[int, int]) -> Bytes:
    """The file with the mean of each block only, in colour, where it is to be decoded at 1/8; else `body` itself.

    `least` as above. The luma is the same, and chroma that was stored coarser stays so. For pictures that are shown: a
    damaged file may come out otherwise than it would have.
    """
    try:
        return _means(body, least)
    except (_OddError, IndexError):
        return body


def _means(body: Bytes, least: tuple[int, int]) -> Bytes:
    kept, start, framed = list[Bytes](), 0, False
    for marker, at, end, following in _segments(body):
        if marker == _SOS and framed and body[end - 3]:  # begins with an AC coefficient
            kept.append(body[start:at])
            start = following
        elif marker == _SOF2 and not framed and _at_an_eighth(body[at:end], least):
            framed = True
        elif marker in _FRAMES:
            raise _OddError
        elif marker == _DQT:
            kept += [body[start : at + 4], _no_smoothing(body[at + 4 : end])]
            start = end
    return b"".join([*kept, body[start:]])


def _no_smoothing(tables: Bytes) -> bytes:
    """Quantization tables with zeros for all AC coefficients."""
    flat, at = bytearray(len(tables)), 0
    while at < len(tables):
        size = 1 if tables[at] < 16 else 2  # bytes of a number
        flat[at : at + 1 + size] = tables[at : at + 1 + size]
        at += 1 + 64 * size
    if at > len(tables):
        raise _OddError
    return bytes(flat)


def _at_an_eighth(header: Bytes, least: tuple[int, int]) -> bool:
    shorter, longer = sorted((header[5] << 8 | header[6], header[7] << 8 | header[8]))
    return min(shorter // least[0], longer // least[1]) >= _EIGHTH


def _cut(body: Bytes, least: tuple[int, int]) -> Bytes:
    frame, kept, start = _Frame(), list[Bytes](), 0
    for marker, at, end, following in _segments(body):
        segment = body[at + 4 : end]
        if marker == _SOS:
            if not _needed(segment, frame):
                _check(segment, frame)
                kept.append(body[start:at])
                start = following
        elif marker == _SOF2 and not frame.components:
            kept += [body[start:at], *_unsmoothed(body[at:end], frame, least)]
            start = end
        elif marker in _FRAMES or _foreign(marker, segment):
            raise _OddError
        elif marker == _DHT:
            _read_tables(segment, frame)
        elif marker == _DQT:
            if frame.components:  # it could be in place of the one that was put in
                raise _OddError
            _read_scales(segment, frame)
    if any(map(any, frame.missing.values())):  # libjpeg smoothes an unfinished picture
        raise _OddError
    return b"".join([*kept, body[start:]])


def _segments(body: Bytes) -> Iterator[tuple[int, int, int, int]]:
    """Of each up to the end of the image: marker, beginning, end, beginning of the next (a scan's bits are between)."""
    at = len(_SOI)
    for _ in range(_MOST_SEGMENTS if body[:at] == _SOI else 0):
        first, marker = body[at], body[at + 1]
        if first != 0xFF or marker < min(_FRAMES) or marker in _WITHOUT_LENGTH:
            raise _OddError
        if marker == _EOI:
            return
        length = body[at + 2] << 8 | body[at + 3]
        if length < 2:
            raise _OddError
        end = at + 2 + length
        following = _end_of_scan(body, end) if marker == _SOS else end
        yield marker, at, end, following
        at = following
    raise _OddError


def _foreign(marker: int, segment: Bytes) -> bool:
    """Whether it says that there are more pictures in the file, or that its colours are not Y, Cb, Cr."""
    if marker == _APP14 and segment[:5] == b"Adobe":
        return segment[11] != 1
    return marker == _APP2 and segment[:4] == b"MPF\0"


def _unsmoothed(header: Bytes, frame: _Frame, least: tuple[int, int]) -> Sequence[Bytes]:
    """The frame header with a table of zeros for its chroma, and before it that table."""
    given = bytearray(header)
    # marker, length, precision, height, width, number of components; of each: name, sampling, table
    frame.components = tuple(given[10::3])
    if len(given) != 19 or frame.components != (1, 2, 3):  # else libjpeg may take them for R, G, B
        raise _OddError
    if {given[14], given[17]} != {0x11}:  # one block a unit of two components: libjpeg has a limit for that
        raise _OddError
    if not {given[15], given[18]} <= frame.scales:
        raise _OddError
    frame.means_only = _at_an_eighth(header, least)
    frame.missing = {one: [-1] * _SMOOTHED for one in frame.components}
    unused = 3 if given[12] != 3 else 2
    given[15] = given[18] = unused
    return b"\xff\xdb\0\x43" + bytes([unused]) + bytes(64), bytes(given)


def _end_of_scan(body: Bytes, at: int) -> int:
    found = _END_OF_SCAN.search(body, at)
    if found is None:
        raise _OddError
    return found.start()


def _needed(scan: Bytes, frame: _Frame) -> bool:
    """Whether luma's pixels need a scan. Notes which bits of which coefficients are there after it."""
    names = [scan[1 + 2 * one] for one in range(scan[0])]
    if not names or len(scan) != 4 + 2 * len(names) or len({*names} & {*frame.components}) < len(names):
        raise _OddError
    first, last, shifts = scan[-3], scan[-2], scan[-1]
    for name in names:
        for one in range(first, min(last + 1, _SMOOTHED)):
            frame.missing[name][one] = shifts & 15
    return frame.components[0] in names and not (frame.means_only and first)


def _check(scan: Bytes, frame: _Frame) -> None:
    """Hold a scan that is cut out against what libjpeg refuses (jdphuff.c, start_pass_phuff_decoder)."""
    first, last, before, after = scan[-3], scan[-2], scan[-1] >> 4, scan[-1] & 15
    spectral = last == 0 if first == 0 else scan[0] == 1 and first <= last <= 63
    if not spectral or after > _MOST_SHIFT or (before and before - 1 != after):
        raise _OddError
    for one in range(scan[0]):
        tables = scan[2 + 2 * one]
        needed = (1, tables & 15) if first else (0, tables >> 4)
        if (first or not before) and not _decodes(frame.tables.get(needed), needed[0]):
            raise _OddError


def _decodes(table: _Table | None, kind: int) -> bool:
    """Whether there is this Huffman table, and its codes fit into their lengths (jpeg_make_d_derived_tbl)."""
    if table is None:
        return False
    counts, symbols = table
    return sum(map(mul, counts, _SHARES)) < 1 << 16 and (kind != _DC or max(symbols, default=0) <= _MOST_BITS)


def _read_tables(segment: Bytes, frame: _Frame) -> None:
    """Note the Huffman tables of a segment. Most are of scans that stay: those libjpeg looks at."""
    if len(segment) > _MOST_TABLES:
        raise _OddError
    at = 0
    while at < len(segment):
        counts = segment[at + 1 : at + 17]
        end = at + 17 + sum(counts)
        frame.tables[segment[at] >> 4, segment[at] & 15] = counts, segment[at + 17 : end]
        at = end


def _read_scales(segment: Bytes, frame: _Frame) -> None:
    """Note the quantization tables of a segment."""
    at = 0
    while at < len(segment):
        frame.scales.add(segment[at] & 15)
        at += 65 if segment[at] < 16 else 129
