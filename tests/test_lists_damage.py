"""Lists that cannot be read to their end: all whole rows in front are given, then what is wrong is said."""

import errno
import gzip
import io
import re
import sys
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crawler.lists.streams import open_bytes
from curator.errors import UsageError
from tests.lists_help import joined, numbered, opened, whole, written

URLS = [f"http://host.example/{n * 2654435761 % (1 << 32)}.jpg" for n in range(9000)]

# What begins a list of each kind, and what a row is; every third CSV row spans lines.
HEADS = {"txt": "", "csv": "url,caption\n", "tsv": "url\tcaption\n", "jsonl": ""}
ROWS = {
    "txt": [f"{url}\n" for url in URLS],
    "csv": [f'{url},"a\nb, ""c"""\n' if n % 3 == 0 else f"{url},a\n" for n, url in enumerate(URLS)],
    "tsv": [f"{url}\ta\n" for url in URLS],
    "jsonl": [f'{{"url": "{url}", "caption": "a"}}\n' for url in URLS],
}


def packed(kind, count):
    """A gzip file of the first `count` rows."""
    return gzip.compress((HEADS[kind] + "".join(ROWS[kind][:count])).encode(), mtime=0)


def rows_in(kind, data):
    """How many whole rows the beginning of a gzip file holds."""
    text = zlib.decompressobj(wbits=31).decompress(data)
    size, count = len(HEADS[kind]), 0
    for row in ROWS[kind]:
        size += len(row)
        if size > len(text):
            break
        count += 1
    return count


def read_until_error(lists):
    """The rows of a list that cannot be read to its end, and the error."""
    batches = []
    with pytest.raises(UsageError) as raised:
        batches.extend(lists.read(0))  # keeps what came before the error
    return joined(batches), str(raised.value)


@pytest.mark.parametrize("kind", HEADS)
def test_a_cut_gzip_file_gives_its_whole_rows_wherever_it_is_cut(tmp_path, kind):
    """Never half a row, never one too few; nor does a missing check sum pass for a whole list."""
    content = packed(kind, 20)
    for cut in range(1, len(content)):
        path = written(tmp_path, f"a.{kind}.gz", content[:cut])
        count = rows_in(kind, content[:cut])
        try:
            lists = opened(path)
        except UsageError:
            assert count == 0
            continue
        batch, error = read_until_error(lists)

        assert URLS[:count] == batch.urls
        assert error == f"{path}: stopped at row {batch.next_row:,}: the compressed data end here"
        assert batch.bad == []
    assert batch.next_row == count == 20


@pytest.mark.parametrize("kind", HEADS)
def test_a_whole_list_is_read_on_where_a_cut_one_stopped(tmp_path, kind):
    """No row is left out and none given twice."""
    content = packed(kind, 9000)
    begun, _ = read_until_error(opened(written(tmp_path, f"a.{kind}.gz", content[: len(content) // 2])))
    rest = whole(opened(written(tmp_path, f"a.{kind}.gz", content)), from_row=begun.next_row)

    assert 3000 < len(begun.urls) < 6000
    assert begun.urls + rest.urls == URLS


@pytest.mark.parametrize("kind", HEADS)
def test_reading_on_from_the_damage_says_it_again(tmp_path, kind):
    """It stays unread: nothing is given and the error names the same row."""
    content = packed(kind, 9000)
    lists = opened(written(tmp_path, f"a.{kind}.gz", content[: len(content) // 2]))
    begun, error = read_until_error(lists)

    with pytest.raises(UsageError, match=re.escape(error)):
        next(lists.read(0, begun.next_row))


@pytest.mark.parametrize("kind", HEADS)
def test_damage_within_gzip_data_stops_there(tmp_path, kind):
    """Rows in front are given, but for the few kilobytes in which the damage shows."""
    content = bytearray(packed(kind, 9000))
    middle = len(content) // 2 // 8192 * 8192 - 200  # at the end of what Python reads at a time
    content[middle : middle + 100] = b"\xff" * 100
    batch, error = read_until_error(opened(written(tmp_path, f"a.{kind}.gz", bytes(content))))
    intact = rows_in(kind, bytes(content[:middle]))
    lost = (1 << 13) // len(ROWS[kind][1]) + 1

    assert 1000 < intact - lost <= len(batch.urls) < 9000
    assert URLS[: intact - lost] == batch.urls[: intact - lost]
    assert f"stopped at row {batch.next_row:,}: the compressed data are damaged here (" in error


def test_a_wrong_check_sum_is_damage(tmp_path):
    """All rows are there, but whether they are right is not known."""
    content = bytearray(packed("txt", 10))
    content[-8] ^= 1
    batch, error = read_until_error(opened(written(tmp_path, "a.txt.gz", bytes(content))))

    assert URLS[:10] == batch.urls
    assert "stopped at row 10: the compressed data are damaged here (CRC" in error


class Failing(io.RawIOBase):
    """A disk that gives `content` and then an I/O error."""

    def __init__(self, content):
        self._content = io.BytesIO(content)

    def readable(self):
        """It is read from."""
        return True

    def readinto(self, buffer):
        """The next bytes; behind the last ones the error."""
        count = self._content.readinto(buffer)
        if not count:
            raise OSError(errno.EIO, "Input/output error", "/dev/sdx")
        return count


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("gz", [False, True], ids=["plain", "gz"])
def test_an_io_error_stops_behind_the_rows_that_were_read(monkeypatch, kind, gz):
    """The line that it cuts in two is not given, the whole ones are."""
    content = (HEADS[kind] + "".join(ROWS[kind][:7000])).encode()
    content = gzip.compress(content)[:-9] if gz else content[:-9]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Failing(content))))
    batch, error = read_until_error(opened("-", input_format=kind))

    assert 5000 < len(batch.urls) < 7000 if gz else len(batch.urls) == 6999
    assert URLS[: len(batch.urls)] == batch.urls
    assert error == f"standard input: stopped at row {batch.next_row:,}: Input/output error"


def test_an_unreadable_row_group_stops_there(tmp_path):
    """Those behind it are not read: they would be rows behind a gap that nobody asks for again."""
    pq.write_table(pa.table({"url": URLS[:3000]}), tmp_path / "a.parquet", row_group_size=1000)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    chunk = pq.ParquetFile(tmp_path / "a.parquet").metadata.row_group(1).column(0)
    content[chunk.dictionary_page_offset : chunk.data_page_offset] = bytes(
        chunk.data_page_offset - chunk.dictionary_page_offset
    )
    batch, error = read_until_error(opened(written(tmp_path, "a.parquet", bytes(content))))

    assert URLS[:1000] == batch.urls
    assert batch.bad == []
    assert f"{tmp_path / 'a.parquet'}: stopped at row 1,000: the Parquet data cannot be read here (" in error
    assert "\n" not in error


def test_a_list_that_is_gone_by_now_is_told(tmp_path):
    """Between looking at it and reading it."""
    path = written(tmp_path, "a.txt", URLS[0])
    lists = opened(path)
    path.unlink()

    assert read_until_error(lists)[1] == f"{path}: stopped at row 0: No such file or directory"


def test_gzip_is_known_by_its_bytes(tmp_path):
    """A list that is packed may be called .txt; one that is called .gz and is not packed is a mistake."""
    assert numbered(opened(written(tmp_path, "a.txt", gzip.compress(URLS[0].encode())))) == [(1, URLS[0])]
    plain = written(tmp_path, "b.txt.GZ", URLS[0])
    with pytest.raises(UsageError, match="not gzip data"):
        opened(plain)
    with pytest.raises(OSError, match="not gzip data"):
        open_bytes(str(plain))
