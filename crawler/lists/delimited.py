"""CSV and TSV: records of named fields, quoted as in RFC 4180. All columns are text.

How a stray quote is survived
- A quote at the start of a field opens it up to the closing quote, also over line ends: a caption such
  as `"5 inch` swallows the rows behind it, until the next quote or the end of the file.
- So records are read strictly: text behind a closing quote, an end of file inside quotes, a field over
  the limit, or a wrong number of fields over several lines all say that the quote was no quoting.
- Then the first line of the record is read again with quotes as plain characters, and reading goes on
  with its second line. One stray quote costs nothing, and at worst the one row it is in.

The number of a row is that of its record, from 1; the header and blank lines have none.
"""

import csv
import io
from collections.abc import Iterator
from operator import itemgetter

import pyarrow as pa

from crawler.lists.fit import fit_values
from crawler.lists.header import Header, Picked, unique
from crawler.lists.rows import MAX_CHARS, MAX_ROWS, BadRow, Chunk, is_unicode, shown
from crawler.lists.streams import Bytes, line_blocks
from curator.errors import UsageError

DELIMITERS = {"csv": ",", "tsv": "\t"}
MAX_FIELD = 1 << 22  # characters


def header(file: Bytes, path: str, delimiter: str) -> Header:
    """The column names in the first line. Raises UsageError if they are not text."""
    names = next(_records(file, delimiter), [])
    if any("\0" in name or not is_unicode(name) for name in names):
        raise UsageError(f"{path}: its first line is no header line: {shown(delimiter.join(names))}")
    return Header({name: pa.string() for name in unique(names)})


def read(file: Bytes, delimiter: str, picked: Picked, skip: int) -> Iterator[Chunk]:
    """The records behind the first `skip`."""
    records = _records(file, delimiter)
    names = unique(next(records, []))
    rows: list[int] = []
    fields: list[list[str]] = []
    chunk, chars = Chunk(skip), 0
    for number, record in enumerate(records, 1):
        if number <= skip:
            continue
        if len(record) == len(names):
            rows.append(number)
            fields.append(record)
        else:
            detail = f"{len(record)} fields instead of {len(names)}: {shown(delimiter.join(record))}"
            chunk.bad.append(BadRow(number, detail))
        chars += sum(map(len, record))
        chunk.next_row = number
        if len(rows) + len(chunk.bad) == MAX_ROWS or chars > MAX_CHARS:
            yield _filled(chunk, rows, fields, names, picked)
            rows, fields, chunk, chars = [], [], Chunk(number), 0
    if rows or chunk.bad:
        yield _filled(chunk, rows, fields, names, picked)


def _filled(
    chunk: Chunk, rows: list[int], fields: list[list[str]], names: list[str], picked: Picked
) -> Chunk:
    chunk.rows = rows
    chunk.urls = [*map(itemgetter(names.index(picked.url)), fields)]
    columns = []
    for name, field in zip(picked.columns, picked.schema, strict=True):
        values = [None] * len(rows) if name is None else [*map(itemgetter(names.index(name)), fields)]
        fitting, misfits = fit_values(values, field.type)
        columns.append(fitting)
        chunk.misfits += misfits
    chunk.columns = columns
    return chunk


class _Lines:
    """The lines of a file with their ends; remembers those of the record being read, to read them again."""

    def __init__(self, file: Bytes) -> None:
        # StringIO cuts at LF, CRLF and CR like the csv module, and nowhere else.
        self._lines = (line for block in line_blocks(file) for line in io.StringIO(block.text, newline=""))
        self._again: list[str] = []  # the next one last
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.pop() if self._again else next(self._lines)
        self.record.append(line)
        return line

    def back_to_second_line(self) -> str:
        """The first line of the record; those behind it will come again."""
        first, *others = self.record
        self._again.extend(reversed(others))
        return first


def _records(file: Bytes, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(MAX_FIELD)  # the module knows only this one limit for the whole process
    lines = _Lines(file)
    strict = csv.reader(lines, delimiter=delimiter, strict=True)
    width = 0  # of the header: the first record
    while True:
        lines.record.clear()
        try:
            record = next(strict)
        except StopIteration:
            return
        except csv.Error:
            record = lines.back_to_second_line().rstrip("\r\n").split(delimiter)
        else:
            if width and len(record) != width and len(lines.record) > 1:
                record = lines.back_to_second_line().rstrip("\r\n").split(delimiter)
        if record:
            width = width or len(record)
            yield record
