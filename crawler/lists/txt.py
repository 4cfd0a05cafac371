"""Plain text: one URL a line, taken as it is. It is never parsed as CSV: URLs hold commas and quotes."""

from collections.abc import Iterator

import pyarrow as pa

from crawler.lists.header import Header
from crawler.lists.rows import Chunk
from crawler.lists.streams import Bytes, text_lines

HEADER = Header({"url": pa.string()}, bare=True)


def read(file: Bytes, skip: int) -> Iterator[Chunk]:
    """The lines behind the first `skip`; blank ones and `#` comments are no rows."""
    for before, lines in text_lines(file, skip):
        urls = [line.strip() for line in lines]
        rows = [row for row, url in enumerate(urls, before + 1) if url and url[0] != "#"]
        if len(rows) < len(urls):
            urls = [url for url in urls if url and url[0] != "#"]
        yield Chunk(before + len(lines), rows, urls)
