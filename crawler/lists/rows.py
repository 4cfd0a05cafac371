"""The records of a list being read, and the last step that all formats share: from a chunk to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from curator.dataset.columns import encode

MAX_ROWS = 5_000  # of a batch
MAX_CHARS = 1 << 22  # of a batch, about: rows of a megabyte come a few at a time
MAX_LINE = 1 << 26  # bytes; a longer line is a bad row
_SHOWN = 80  # characters of a bad row in its detail

# Stands for a line over MAX_LINE. It begins with a byte that UTF-8 never has: a bad row in every format.
TOO_LONG = b"\xffa line over 64 MiB"
_TOO_LONG = TOO_LONG.decode("utf-8", "surrogateescape")


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What the user said of the lists; None means guess."""

    url_col: str | None = None
    caption_col: str | None = None
    drop_columns: tuple[str, ...] = ()
    input_format: str | None = None  # for lists whose name does not tell, standard input among them


@dataclass(frozen=True, slots=True)
class Source:
    """One list file. Size in bytes as stored; both numbers are 0 where the list is a stream."""

    path: str  # absolute, or "-" for standard input
    size: int
    mtime_ns: int
    format: str  # "txt", "csv", "tsv", "jsonl", "parquet"


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no link, and why, to follow "urls.csv row 7: "."""

    row: int
    detail: str


@dataclass(frozen=True, slots=True)
class RowBatch:
    """At most 5,000 rows of one list, in its order; `urls`, `rows` and `data` are parallel."""

    source: int  # index in Lists.sources
    urls: list[str]  # outer white space stripped, never empty
    rows: list[int]  # line number (txt, jsonl) or record number (csv, tsv, parquet), from 1
    data: list[str | None]  # JSON array of the values in the order of Lists.schema; None without columns
    bad: list[BadRow]
    misfits: int  # values replaced by null because they did not fit their column
    next_row: int  # rows read so far: Lists.read(source, next_row) goes on exactly here


@dataclass(slots=True)
class Chunk:
    """What a format gives: rows with their columns side by side, not yet looked at."""

    next_row: int
    rows: Sequence[int] = ()
    urls: Sequence[object] = ()
    columns: Sequence[Sequence[object]] = ()
    bad: list[BadRow] = field(default_factory=list)
    misfits: int = 0


def shown(text: str) -> str:
    """The beginning of a text that may hold anything, fit for a message."""
    return "".join(map(_printable, text[:_SHOWN])) + ("..." if len(text) > _SHOWN else "")


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    if "\udc80" <= char <= "\udcff":  # a byte that is not UTF-8, as `surrogateescape` keeps it
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("unicode_escape").decode()


def not_text(text: str) -> str:
    """What is wrong with a line or value that no file of ours can hold, as a detail; "" for any other."""
    if text == _TOO_LONG:
        return TOO_LONG[1:].decode()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        begin = max(0, error.start - _SHOWN // 2)
        return f"not UTF-8: {'...' if begin else ''}{shown(text[begin:])}"
    return ""


def to_batch(source: int, chunk: Chunk) -> RowBatch:
    """Strip and check the URLs, write the columns as JSON; rows that fail move to `bad`."""
    urls = [url.strip() if isinstance(url, str) else "" for url in chunk.urls]
    rows = list(chunk.rows)
    data: list[str | None] = (
        [*map(encode, zip(*chunk.columns, strict=True))] if chunk.columns else [None] * len(rows)
    )
    bad = chunk.bad
    if "" in urls or not is_unicode("".join(urls)) or not is_unicode("".join(filter(None, data))):
        bad = [*bad, *_bad_rows(rows, urls, data)]
        lost = {row.row for row in bad}
        keep = [i for i, row in enumerate(rows) if row not in lost]
        urls, rows, data = [urls[i] for i in keep], [rows[i] for i in keep], [data[i] for i in keep]
    bad.sort(key=lambda row: row.row)
    return RowBatch(source, urls, rows, data, bad, chunk.misfits, chunk.next_row)


def _bad_rows(rows: list[int], urls: list[str], data: list[str | None]) -> list[BadRow]:
    found = []
    for row, url, values in zip(rows, urls, data, strict=True):
        if not url:
            found.append(BadRow(row, "no URL"))
        elif fault := not_text(url) or not_text(values or ""):
            found.append(BadRow(row, fault))
    return found


def is_unicode(text: str) -> bool:
    """False if bytes that are not UTF-8 or half a surrogate pair stand in it: no file of ours can hold it."""
    return not not_text(text)
