"""Opening the user's lists: which files, which columns, and then their rows in order."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import cast

import pyarrow as pa

from crawler.lists import delimited, formats, jsonl, parquet, txt
from crawler.lists.header import Header, Picked, Roles, named, roles
from crawler.lists.rows import Chunk, ListOptions, RowBatch, Source, to_batch
from crawler.lists.schema import Found, carried_names, carried_schema, check_columns, picked
from crawler.lists.streams import Bytes, Replayed, gunzipped, open_bytes, what_failed
from curator.errors import UsageError

SAMPLED_ROWS = 10_000  # JSON rows that the types of columns come from
_LATER_ROWS = 100  # of a file behind those, which show whether it has other columns
_START = 8192  # bytes that show what a file is


@dataclass(frozen=True, slots=True)
class _File:
    source: Source
    stream: Replayed | None  # a source that can be read only once
    header: Header
    roles: Roles
    picked: Picked


class Lists:
    """The lists of one crawl; made by `open_lists`."""

    def __init__(self, files: Sequence[_File], schema: pa.Schema, described: str) -> None:
        self._files = files
        self.sources = [file.source for file in files]
        self.schema = schema  # the carried columns under their names in the dataset, caption first
        self.has_caption = "caption" in schema.names
        self.described = described  # what was guessed, one line for the user

    def read(self, source: int, from_row: int = 0) -> Iterator[RowBatch]:
        """The rows of `sources[source]` behind the first `from_row`, in bounded memory.

        A row that cannot be used stops nothing: it is in the batch's `bad`. A stream can be read once.
        Raises UsageError where the file cannot be read any further, behind every whole row in front:
        it names the file, the last row read and what is wrong.
        """
        file = self._files[source]
        row = from_row
        try:
            for chunk in _chunks(file, from_row):
                row = chunk.next_row
                yield to_batch(source, chunk)
        except OSError as error:
            stopped = f"{formats.called(file.source)}: stopped at row {row:,}"
            raise UsageError(f"{stopped}: {what_failed(error)}") from error


def open_lists(paths: Sequence[str], options: ListOptions, schema: pa.Schema | None = None) -> Lists:
    """Look at the lists' names, headers and first JSON rows, nothing more.

    `paths` are files, folders of files and "-" for standard input; `schema` is that of a dataset which
    exists already: its columns are then the ones that are read. Raises UsageError naming the file that
    is missing, unreadable, empty or of no known format, or the column, and the way out.
    """
    opened = [_opened(source) for source in formats.sources(paths, options.input_format)]
    headers: list[Header] = []
    sampled = 0
    for source, stream in opened:
        header, rows = _header(source, stream, max(SAMPLED_ROWS - sampled, _LATER_ROWS))
        sampled += rows
        headers.append(header)
    if schema is None:  # else they may be those of an earlier list
        _check_options(headers, options)
    found: list[Found] = []
    for (source, _), header in zip(opened, headers, strict=True):
        name = formats.called(source)
        found.append((name, header, roles(header, options, name)))
    names = carried_names(found)
    if schema is None:
        schema = carried_schema(found, names)
    check_columns(found, names, schema)
    files = [
        _File(source, stream, header, role, picked(role, names, schema))
        for (source, stream), (_, header, role) in zip(opened, found, strict=True)
    ]
    return Lists(files, schema, _described(files, names))


def _opened(source: Source) -> tuple[Source, Replayed | None]:
    """Look at how a text list begins; a stream is held from here on, its format settled."""
    if source.format == "parquet":
        if not source.size:
            raise UsageError(f"{source.path}: empty, or a stream, from which Parquet cannot be read")
        return source, None
    stream = None if source.size or source.mtime_ns else Replayed(_stream(source.path))
    try:
        with _bytes(source, stream) as file:
            start = file.read1(_START)
    except OSError as error:
        raise _unreadable(source, error) from error
    if not source.format:
        source = replace(source, format=formats.guessed(start))
    formats.check_start(start, formats.called(source), source.format)
    return source, stream


def _stream(path: str) -> Bytes:
    if path != formats.STDIN:
        return open_bytes(path)
    stdin = sys.stdin.buffer
    if not isinstance(stdin, io.BufferedReader):  # somebody put another stream in its place
        stdin = io.BufferedReader(cast("io.RawIOBase", stdin))
    return gunzipped(stdin)


@contextmanager
def _bytes(source: Source, stream: Replayed | None) -> Iterator[Bytes]:
    if stream is not None:
        stream.rewind()
        yield stream
    else:
        with closing(open_bytes(source.path)) as file:
            yield file


@contextmanager
def _last_bytes(file: _File) -> Iterator[Bytes]:
    """The same for the rows: from a stream they can be read this once."""
    with _bytes(file.source, file.stream) as data:
        if file.stream is not None:
            file.stream.play()
        try:
            yield data
        finally:
            if file.stream is not None and file.source.path != formats.STDIN:
                file.stream.close()


def _header(source: Source, stream: Replayed | None, sample: int) -> tuple[Header, int]:
    """The columns of a list, and how many rows were looked at for their types."""
    if source.format == "txt":
        return txt.HEADER, 0
    if source.format == "parquet":
        return parquet.header(source.path), 0
    name = formats.called(source)
    try:
        with _bytes(source, stream) as file:
            if source.format == "jsonl":
                return jsonl.header(file, name, sample)
            return delimited.header(file, name, delimited.DELIMITERS[source.format]), 0
    except OSError as error:
        raise _unreadable(source, error) from error


def _unreadable(source: Source, error: OSError) -> UsageError:
    return UsageError(f"{formats.called(source)}: cannot be read: {what_failed(error)}")


def _chunks(file: _File, skip: int) -> Iterator[Chunk]:
    if file.source.format == "parquet":
        yield from parquet.read(file.source.path, file.picked, skip)
        return
    with _last_bytes(file) as data:
        if file.source.format == "txt":
            yield from txt.read(data, skip)
        elif file.source.format == "jsonl":
            yield from jsonl.read(data, file.header, file.picked, skip)
        else:
            yield from delimited.read(data, delimited.DELIMITERS[file.source.format], file.picked, skip)


def _check_options(headers: Sequence[Header], options: ListOptions) -> None:
    """A column that the user names must be in one of the lists: it may be a slip of the hand."""
    there = list(dict.fromkeys(name for header in headers if not header.bare for name in header.columns))
    wanted = [("--drop-columns", name) for name in options.drop_columns]
    wanted += [("--caption-col", name) for name in (options.caption_col,) if name is not None]
    wanted += [("--url-col", name) for name in (options.url_col,) if name is not None]
    for flag, name in wanted:
        if all(header.bare for header in headers):
            way_out = "if it has, call it .csv, .tsv or .jsonl, or say --input-format"
            raise UsageError(f"{flag} {name}: a .txt list has no columns; {way_out}")
        if name not in there:
            raise UsageError(f"{flag} {name}: no list has such a column; there are: {named(there)}")


def _described(files: Sequence[_File], names: dict[str, str]) -> str:
    kinds = ", ".join(dict.fromkeys(file.source.format for file in files))
    count = f"({len(files)} file{'s' if len(files) > 1 else ''}, {kinds})"
    first = next((file for file in files if not file.header.bare), None)
    if first is None:
        return f"URLs one a line {count}"
    captions = f"captions from {first.roles.caption!r}" if first.roles.caption is not None else "no captions"
    carried = [name if name == new else f"{name} as {new}" for name, new in names.items()]
    carrying = f"carrying {named(carried)}" if carried else "no other columns"
    return f"URLs from column {first.roles.url!r}, {captions}, {carrying} {count}"
