"""A list's bytes: opened, gunzipped, cut into blocks of whole lines. Never more than a block and a line.

Lines end in LF, CRLF or CR. A block is cut behind its last LF, or its last CR where it has no LF; a CR
that ends a block waits for what follows it, which may be its LF.

Where the bytes cannot be read any further, whole lines in front are given first, then the OSError goes
through. The line that it cuts in two is not given: half a URL may be another URL. Of gzip data that are
cut, all is given; where they are damaged, the last few kilobytes in front of it are lost with it.
"""

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from crawler.lists.rows import MAX_LINE, MAX_ROWS, TOO_LONG

BLOCK = 1 << 20
BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_PIECE = 1 << 13  # bytes unpacked at a time: a piece in which damage shows is lost whole


class Bytes(Protocol):
    """What a list is read from."""

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes, as soon as there are any; empty at the end."""

    def close(self) -> None:
        """Let go of the file."""


class Damaged(OSError):
    """A list's data end early or do not check: nothing behind them can be read."""


def what_failed(error: Exception) -> str:
    """What an error of reading says, on one line and without the path: for a message that names the list."""
    told = error.strerror if isinstance(error, OSError) else None
    return " ".join((told or str(error)).split())


def open_bytes(path: str) -> Bytes:
    """The bytes of a list file, gunzipped where they are gzip. Raises OSError, also for a .gz that is not."""
    with ExitStack() as failing:
        file = failing.enter_context(Path(path).open("rb"))
        found = gunzipped(file)
        if found is file and path.casefold().endswith(".gz") and file.peek(1):
            raise Damaged("not gzip data; if it is text, give it a name without .gz")
        failing.pop_all()
    return found


def gunzipped(file: io.BufferedReader) -> Bytes:
    """`file`, or what it holds if it is gzip. Raises OSError."""
    return Gunzipped(file) if file.peek(len(_GZIP)).startswith(_GZIP) else file


class Gunzipped:
    """The contents of a gzip file; raises OSError only behind everything that could be read."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._raw = file
        self._file = gzip.GzipFile(fileobj=file)
        self._damage: OSError | None = None

    def read1(self, size: int, /) -> bytes:
        """Up to `size` bytes, unpacked piece by piece."""
        pieces: list[bytes] = []
        while size > 0 and self._damage is None:
            try:
                piece = self._file.read1(min(size, _PIECE))
            except EOFError:
                self._damage = Damaged("the compressed data end here")
                break
            except (zlib.error, gzip.BadGzipFile) as error:
                self._damage = Damaged(f"the compressed data are damaged here ({error})")
                break
            except OSError as error:
                self._damage = error
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        if not pieces and self._damage is not None:
            raise self._damage
        return b"".join(pieces)

    def close(self) -> None:
        """Close both files."""
        self._file.close()
        self._raw.close()


class Replayed:
    """A stream whose beginning can be read again, until `play`: header and types are looked at first."""

    def __init__(self, stream: Bytes) -> None:
        self._stream = stream
        self._head = bytearray()
        self._at = 0
        self._recording = True

    def read1(self, size: int, /) -> bytes:
        """What was read before, then what is new."""
        if self._at < len(self._head):
            piece = bytes(self._head[self._at : self._at + size])
        elif self._recording:
            piece = self._stream.read1(size)
            self._head += piece
        else:
            self._head.clear()
            self._at = 0
            return self._stream.read1(size)
        self._at += len(piece)
        return piece

    def rewind(self) -> None:
        """Back to the beginning."""
        self._at = 0

    def play(self) -> None:
        """Back to the beginning for the last time: nothing new is kept."""
        self._at, self._recording = 0, False

    def close(self) -> None:
        """Let go of the stream."""
        self._stream.close()


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines with their ends."""

    before: int  # lines in front of it
    lines: int
    data: bytes

    @property
    def text(self) -> str:
        """The lines decoded; bytes that are not UTF-8 become lone surrogates, which `to_batch` finds."""
        return self.data.decode("utf-8", "surrogateescape")


def line_blocks(file: Bytes) -> Iterator[LineBlock]:
    """Everything in `file` as blocks of whole lines, a byte order mark left out. Raises OSError."""
    before = 0
    for data in _without_bom(_whole_lines(file)):
        lines = _count(data)
        yield LineBlock(before, lines, data)
        before += lines


def text_lines(file: Bytes, skip: int) -> Iterator[tuple[int, list[str]]]:
    """The lines behind the first `skip`, at most MAX_ROWS at a time, with the number of lines before them."""
    for block in line_blocks(file):
        if block.before + block.lines <= skip:
            continue
        text = block.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n")
        for start in range(max(0, skip - block.before), len(lines), MAX_ROWS):
            yield block.before + start, lines[start : start + MAX_ROWS]


def _without_bom(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for first in blocks:
        if text := first.removeprefix(BOM):
            yield text
        break
    yield from blocks


def _whole_lines(file: Bytes) -> Iterator[bytes]:
    rest = bytearray()  # the beginning of a line whose end was not read yet
    too_long = False  # `rest` stands for that line, and what is left of it is passed over
    while block := file.read1(BLOCK):
        if too_long:
            end = min((at for at in map(block.find, (b"\n", b"\r")) if at >= 0), default=-1)
            if end < 0:
                continue
            block, too_long = block[end:], False
        unseen = max(0, len(rest) - 1)  # the last byte may be a CR that waited
        rest += block
        if end := _end_of_lines(rest, unseen):
            yield bytes(rest[:end])
            del rest[:end]
        if len(rest) > MAX_LINE:
            rest[:], too_long = TOO_LONG, True
    if rest:
        yield bytes(rest)


def _end_of_lines(data: bytearray, start: int) -> int:
    """The index behind the last line end at or behind `start`, 0 without one."""
    return data.rfind(b"\n", start) + 1 or data.rfind(b"\r", start, len(data) - 1) + 1


def _count(data: bytes) -> int:
    ends = data.count(b"\n")
    if b"\r" in data:
        ends += data.count(b"\r") - data.count(b"\r\n")
    return ends + (not data.endswith((b"\n", b"\r")))
