"""CSV and TSV: records of named fields, quoted as in RFC 4180. All columns are text.

How a stray quote is survived
- A quote at the start of a field opens it up to the closing quote, also over line ends: a caption such
  as `"5 inch` swallows the rows behind it, until the next quote or the end of the file.
- So records are read strictly: text behind a closing quote, an end of file inside quotes, a field over
  the limit, or a wrong number of fields over several lines all say that the quote was no quoting.
- Then the first line of the record is read again with quotes as plain characters, and reading goes on
  with its second line. One stray quote costs nothing, and at worst the one row it is in.

The number of a row is that of its record, from 1; the header and blank lines have none. What has been
read of a slow pipe is given before more is waited for.
"""

import csv
import io
from collections.abc import Iterator
from operator import itemgetter

import pyarrow as pa

from crawler.lists.fit import fit_values
from crawler.lists.header import Header, Picked, unique
from crawler.lists.rows import MAX_CHARS, MAX_ROWS, BadRow, Chunk, is_unicode, not_text, shown
from crawler.lists.streams import Bytes, line_blocks
from curator.errors import UsageError

DELIMITERS = {"csv": ",", "tsv": "\t"}
MAX_FIELD = 1 << 22  # characters

Numbered = tuple[int, list[str]]  # a record behind its number


def header(file: Bytes, path: str, delimiter: str) -> Header:
    """The column names in the first line. Raises OSError, and UsageError if they are not text."""
    names = next(filter(None, _records(_Lines(file), delimiter)), [])
    if any("\0" in name or not is_unicode(name) for name in names):
        raise UsageError(f"{path}: its first line is no header line in UTF-8: {shown(delimiter.join(names))}")
    return Header({name: pa.string() for name in unique(names)})


def read(file: Bytes, delimiter: str, picked: Picked, skip: int) -> Iterator[Chunk]:
    """The records behind the first `skip`. Raises OSError behind all that could be read."""
    lines = _Lines(file)
    records = _records(lines, delimiter)
    names = unique(next(filter(None, records), []))
    for group in _groups(records, lines, skip):
        yield _chunk(group, names, delimiter, picked)


def _groups(records: Iterator[list[str]], lines: "_Lines", skip: int) -> Iterator[list[Numbered]]:
    """Records with their numbers: as many as a batch takes, or as there are before more must be read."""
    group: list[Numbered] = []
    number = chars = 0
    try:
        for record in records:
            number += bool(record)
            if record and number > skip:
                group.append((number, record))
                chars += sum(map(len, record))
            if group and (len(group) == MAX_ROWS or chars > MAX_CHARS or not lines.ahead):
                yield group  # the last one, too: nothing is ahead behind the last line
                group, chars = [], 0
    except OSError:
        if group:
            yield group
        raise


def _chunk(group: list[Numbered], names: list[str], delimiter: str, picked: Picked) -> Chunk:
    whole = [(number, record) for number, record in group if len(record) == len(names)]
    fields = [record for _, record in whole]
    chunk = Chunk(group[-1][0], [number for number, _ in whole])
    if len(whole) < len(group):
        others = ((number, record) for number, record in group if len(record) != len(names))
        chunk.bad = [BadRow(number, _fault(record, len(names), delimiter)) for number, record in others]
    chunk.urls = [*map(itemgetter(names.index(picked.url)), fields)]
    columns = []
    for name, field in zip(picked.columns, picked.schema, strict=True):
        values = [None] * len(fields) if name is None else [*map(itemgetter(names.index(name)), fields)]
        fitting, misfits = fit_values(values, field.type)
        columns.append(fitting)
        chunk.misfits += misfits
    chunk.columns = columns
    return chunk


def _fault(record: list[str], width: int, delimiter: str) -> str:
    line = delimiter.join(record)
    number = "1 field" if len(record) == 1 else f"{len(record)} fields"
    return not_text(line) or f"{number} instead of {width}: {shown(line)}"


class _Lines:
    """The lines of a file with their ends; remembers those of the record being read, to read them again."""

    def __init__(self, file: Bytes) -> None:
        self._blocks = line_blocks(file)
        self.ahead: list[str] = []  # what has been read already, the next one last
        self.record: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if not self.ahead:
            # StringIO cuts at LF, CRLF and CR like the csv module, and nowhere else.
            self.ahead = io.StringIO(next(self._blocks).text, newline="").readlines()[::-1]
        self.record.append(self.ahead.pop())
        return self.record[-1]

    def back_to_second_line(self) -> str:
        """The first line of the record; those behind it will come again."""
        first, *others = self.record
        self.ahead.extend(reversed(others))
        return first


def _records(lines: _Lines, delimiter: str) -> Iterator[list[str]]:
    """All records, a blank line as an empty one."""
    csv.field_size_limit(MAX_FIELD)  # the module knows only this one limit for the whole process
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
        width = width or len(record)
        yield record
