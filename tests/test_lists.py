"""Lists of URLs: every format gives the same rows, numbers and errors."""

import gzip
import io
import json
import os
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.lists import delimited, parquet, streams
from crawler.lists.streams import line_blocks, text_lines
from curator.errors import UsageError
from tests.lists_help import joined, numbered, opened, tables, whole, written

URL = "http://host.example/a.jpg"


def as_txt(rows):
    """Bare URLs."""
    return "".join(f"{url}\n" for url, _, _ in rows)


def as_csv(rows):
    """CSV, URLs and captions in quotes."""
    return "url,caption,n\n" + "".join(f'"{url}","{caption}",{n}\n' for url, caption, n in rows)


def as_tsv(rows):
    """TSV."""
    return "url\tcaption\tn\n" + "".join(f"{url}\t{caption}\t{n}\n" for url, caption, n in rows)


def as_jsonl(rows):
    """JSON lines."""
    return "".join(json.dumps({"url": url, "caption": caption, "n": n}) + "\n" for url, caption, n in rows)


def as_parquet(rows, group=1000):
    """Parquet in row groups of `group`."""
    sink = io.BytesIO()
    urls, captions, numbers = zip(*rows, strict=True)
    table = pa.table({"url": urls, "caption": captions, "n": numbers})
    pq.write_table(table, sink, row_group_size=group)
    return sink.getvalue()


FORMATS = {"txt": as_txt, "csv": as_csv, "tsv": as_tsv, "jsonl": as_jsonl, "parquet": as_parquet}
ROWS = [(f"http://host.example/{n}.jpg?a=1,b='2'", f"caption {n}", n) for n in range(1, 12_346)]


def contents(name):
    """ROWS as a file of this name."""
    content = FORMATS[name.split(".")[1]](ROWS)
    content = content if isinstance(content, bytes) else content.encode()
    return gzip.compress(content) if name.endswith(".gz") else content


@pytest.mark.parametrize("name", [*(f"a.{kind}" for kind in FORMATS), "a.txt.gz", "a.csv.gz", "a.jsonl.gz"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    """URL, number, caption and columns of each row, in order, in batches of at most 5,000."""
    lists = opened(written(tmp_path, name, contents(name)))
    batches = [*lists.read(0)]

    assert [(n, url) for url, _, n in ROWS] == numbered(lists)
    assert max(len(batch.urls) for batch in batches) <= 5000
    if "txt" not in name:
        assert [(caption, str(n)) for _, caption, n in ROWS] == [
            (row["caption"], str(row["n"])) for row in tables(lists)
        ]
        assert lists.has_caption
        assert lists.schema.names[0] == "caption"


@pytest.mark.parametrize("name", [*(f"a.{kind}" for kind in FORMATS), "a.jsonl.gz"])
@pytest.mark.parametrize("row", [1, 4_999, 5_000, 7_777, 12_344, 12_345])
def test_reading_goes_on_behind_any_row(tmp_path, name, row):
    """What a killed reader had committed is not given again, and nothing is passed over."""
    lists = opened(written(tmp_path, name, contents(name)))

    rest = whole(lists, from_row=row)

    assert [n for _, _, n in ROWS[row:]] == rest.rows
    assert [url for url, _, _ in ROWS[row:]] == rest.urls


@pytest.mark.parametrize("kind", FORMATS)
def test_every_batch_says_where_to_go_on(tmp_path, kind):
    """`next_row` of any batch, given back, continues with the following one."""
    lists = opened(written(tmp_path, f"a.{kind}", contents(f"a.{kind}")))
    batches = [*lists.read(0)]

    for done in range(1, len(batches)):
        rest = whole(lists, from_row=batches[done - 1].next_row)
        assert joined(batches[done:]).rows == rest.rows


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("bom", ["", "\ufeff"], ids=["no BOM", "BOM"])
def test_txt_lines_are_urls_as_they_stand(tmp_path, end, bom):
    """Commas and quotes are part of a URL, blank lines and comments are no rows, white space goes."""
    lines = ['http://h/a,b"c.jpg', "", "# a comment", "  http://h/b  ", "\t#another", "not a url"]
    lists = opened(written(tmp_path, "a.txt", bom + end.join(lines)))

    assert numbered(lists) == [(1, 'http://h/a,b"c.jpg'), (4, "http://h/b"), (6, "not a url")]
    assert whole(lists).data == [None] * 3


def test_txt_names_the_line_that_is_not_utf8(tmp_path):
    """Bytes that are no text cost their own line."""
    lists = opened(written(tmp_path, "a.txt", b"http://h/a\nhttp://h/\xff\nhttp://h/c\n"))
    batch = whole(lists)

    assert batch.urls == ["http://h/a", "http://h/c"]
    assert [(bad.row, bad.detail) for bad in batch.bad] == [(2, r"not UTF-8: http://h/\xff")]


@given(
    st.lists(st.sampled_from(["a", "bb", "", "\u2028", "é" * 5]), max_size=8),
    st.lists(st.sampled_from(["\n", "\r\n", "\r"]), min_size=8, max_size=8),
    st.integers(1, 7),
    st.integers(0, 9),
)
def test_lines_are_the_same_however_the_file_is_cut(texts, ends, block, skip):
    """Blocks that end between CR and LF, or within a character, change no line and no number."""
    content = "".join(map("".join, zip(texts, ends, strict=False))).replace("\r\n", "\n").replace("\r", "\n")
    expected = content.removesuffix("\n").split("\n") if content else []
    raw = io.BytesIO("".join(map("".join, zip(texts, ends, strict=False))).encode())
    small = type("Small", (), {"read1": lambda _, size: raw.read(block), "close": lambda _: None})()

    lines = [(before + i, line) for before, part in text_lines(small, skip) for i, line in enumerate(part, 1)]

    assert [*enumerate(expected, 1)][skip:] == lines


@pytest.mark.parametrize("kind", ["txt", "csv", "jsonl", "parquet"])
def test_memory_does_not_grow_with_the_list(tmp_path, monkeypatch, kind):
    """What is held at any time is a few blocks and a batch, a small part of the list."""
    for module, name in [(streams, "BLOCK"), (delimited, "MAX_CHARS"), (delimited, "MAX_FIELD")]:
        monkeypatch.setattr(module, name, 1 << 16)
    monkeypatch.setattr(parquet, "MAX_CHARS", 1 << 16)
    rows = [(f"{URL}?{n:0100}", f"{n:0200}", n) for n in range(80_000 if kind == "parquet" else 20_000)]
    content = as_parquet(rows, group=len(rows)) if kind == "parquet" else FORMATS[kind](rows)
    if kind == "csv":
        content += '"' + content  # a quote that is never closed is not followed for ever
    bound = {"parquet": 10 << 20, "txt": 1 << 20}.get(kind, 2 << 20)
    path = written(tmp_path, f"a.{kind}", content)
    del content, rows
    lists = opened(path)
    next(lists.read(0))  # what is loaded once is not counted
    held = pa.total_allocated_bytes()
    arrow = 0
    tracemalloc.start()
    for _ in lists.read(0):
        arrow = max(arrow, pa.total_allocated_bytes() - held)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert arrow + python < bound


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_caption_is_kept_as_it_was(tmp_path, kind):
    """NULs, line ends, quotes, right-to-left marks and a megabyte of text."""
    captions = ["a\0b", "a\r\nb\nc", 'say "hi", or not', "\u200fאב\u202e", "🐈" * 300_000, " ", "\u2028"]
    if kind == "csv":
        quoted = [caption.replace('"', '""') for caption in captions]
        content = "url,caption\r\n" + "".join(f'{URL},"{caption}"\r\n' for caption in quoted)
    elif kind == "jsonl":
        content = as_jsonl([(URL, caption, 1) for caption in captions])
    else:
        content = as_parquet([(URL, caption, 1) for caption in captions])
    lists = opened(written(tmp_path, f"a.{kind}", content))

    assert captions == [row["caption"] for row in tables(lists)]
    assert whole(lists).bad == []


@pytest.mark.parametrize(
    ("kind", "bad", "detail"),
    [
        ("txt", "http://h/caf\udce9.jpg", r"not UTF-8: http://h/caf\xe9.jpg"),
        ("txt", "x" * 200 + "\udce9" + "y" * 200, rf"not UTF-8: ...{'x' * 40}\xe9{'y' * 39}..."),
        ("csv", ",2", "no URL"),
        ("csv", URL, f"1 field instead of 2: {URL}"),
        ("csv", f"{URL},2,3", f"3 fields instead of 2: {URL},2,3"),
        ("csv", f"{URL},\udcff", r'not UTF-8: ["\xff"]'),
        ("csv", f"\n{URL},\udcff,3", rf"not UTF-8: {URL},\xff,3"),
        (
            "jsonl",
            f'{{"url": "{URL}"',
            f'not JSON (Expecting \',\' delimiter at character 36): {{"url": "{URL}"',
        ),
        ("jsonl", "\udcff", r"not UTF-8: \xff"),
        ("jsonl", '{"url": "http://h/\udcff"}', r"not UTF-8: http://h/\xff"),
        ("jsonl", f'["{URL}"]', f'not a JSON object: ["{URL}"]'),
        ("jsonl", '{"url": null}', "no URL"),
        ("jsonl", f'{{"url": ["{URL}"]}}', "no URL"),
        ("jsonl", '{"x": 1}', "no URL"),
        ("jsonl", f'{{"url": "{URL}", "n": "\\ud83d"}}', r'not UTF-8: ["\ud83d"]'),
        ("jsonl", "[" * 100_000, f"nested too deep: {'[' * 80}..."),
        ("jsonl", "9" * 10_000, f"a number of too many digits: {'9' * 80}..."),
    ],
    ids=lambda text: text[:20],
)
def test_a_bad_row_is_named_and_stops_nothing(tmp_path, kind, bad, detail):
    """It is in `bad` with its number and what a person can do something with; the rows around it are given."""
    first, last = {
        "txt": (URL, URL),
        "csv": (f"url,n\n{URL},1", f"{URL},3"),
        "jsonl": (f'{{"url": "{URL}", "n": ""}}', f'{{"url": "{URL}"}}'),
    }[kind]
    batch = whole(opened(written(tmp_path, f"a.{kind}", f"{first}\n{bad}\n{last}\n")))

    assert batch.urls == [URL, URL]
    assert [(2, detail)] == [(bad.row, bad.detail) for bad in batch.bad]
    batch.bad[0].detail.encode()


@pytest.mark.parametrize(
    ("kind", "head"), [("txt", ""), ("csv", "url,n\n"), ("csv", "url\n"), ("jsonl", '{"url": "x"}\n')]
)
def test_a_line_without_end_takes_no_memory(tmp_path, monkeypatch, kind, head):
    """A line beyond the limit is one bad row; those around it are read."""
    monkeypatch.setattr(streams, "MAX_LINE", 1000)
    monkeypatch.setattr(streams, "BLOCK", 100)
    row = {"txt": URL, "csv": URL + ",1" * head.count(","), "jsonl": f'{{"url": "{URL}"}}'}[kind]
    lists = opened(written(tmp_path, f"a.{kind}", f"{head}{row}\n{'x' * 5000}\r\n{row}\n"))
    batch = whole(lists)

    assert batch.urls[-2:] == [URL, URL]
    assert [(batch.rows[-2] + 1, "a line over 64 MiB")] == [(bad.row, bad.detail) for bad in batch.bad]
    longest = max(len(block.data) for block in line_blocks(io.BytesIO(b"y" * 5000)))
    assert longest < 1000


def test_a_parquet_url_that_is_null_or_no_text_is_a_bad_row(tmp_path):
    """Null, white space and bytes that are not UTF-8, in a column that may be encoded as a dictionary."""
    urls = pa.array([URL, None, "  ", URL]).dictionary_encode()
    pq.write_table(pa.table({"URL": urls}), tmp_path / "a.parquet")
    raw = pa.array([URL.encode(), b"\xff", URL.encode()])
    pq.write_table(pa.table({"url": raw}), tmp_path / "b.parquet")
    lists = opened(tmp_path / "a.parquet", tmp_path / "b.parquet")

    assert (whole(lists).rows, [bad.row for bad in whole(lists).bad]) == ([1, 4], [2, 3])
    assert (whole(lists, 1).rows, [bad.row for bad in whole(lists, 1).bad]) == ([1, 3], [2])


class TestStrayQuotes:
    """A quote that opens nothing costs no row."""

    @pytest.mark.parametrize("kind", ["csv", "tsv"])
    @pytest.mark.parametrize("stray", ['"5 inch', '"a" b', '"'], ids=["open", "text behind", "alone"])
    def test_rows_behind_a_stray_quote_are_read(self, tmp_path, kind, stray):
        """The quote is a character of its row."""
        separator = {"csv": ",", "tsv": "\t"}[kind]
        rows = [["caption", "url"], ["a", URL], [stray, URL], *([f"c{n}", URL] for n in range(50))]
        content = "".join(separator.join(row) + "\n" for row in rows)
        lists = opened(written(tmp_path, f"a.{kind}", content))

        assert [row[0] for row in rows[1:]] == [row["caption"] for row in tables(lists)]
        assert [*range(1, 53)] == whole(lists).rows

    def test_two_stray_quotes_do_not_swallow_what_is_between(self, tmp_path):
        """The second one closes the first, but what follows shows that it should not."""
        content = f'caption,url\n"a,{URL}\nb,{URL}\n"c,{URL}\nd,{URL}\n'
        lists = opened(written(tmp_path, "a.csv", content))

        assert [row["caption"] for row in tables(lists)] == ['"a', "b", '"c', "d"]

    def test_a_quoted_field_may_span_lines(self, tmp_path):
        """That is what quotes are for, and it is one record."""
        lists = opened(written(tmp_path, "a.csv", f'caption,url\n"a\n\nb, ""c""",{URL}\nd,{URL}\n'))

        assert [row["caption"] for row in tables(lists)] == ['a\n\nb, "c"', "d"]
        assert whole(lists).rows == [1, 2]


class TestStandardInput:
    """`-` reads a stream once, without keeping it."""

    @pytest.fixture
    def given(self, monkeypatch):
        """Put bytes on standard input."""

        def put(content: bytes) -> None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))

        return put

    @pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.jsonl", "a.csv.gz"])
    def test_rows_looked_at_for_the_header_are_given_too(self, given, name):
        """The header, the types and the format are found in the stream, which is then read from its start."""
        given(contents(name))
        lists = opened("-")

        assert lists.sources[0].path == "-"
        assert name.split(".")[1] == lists.sources[0].format
        assert [(n, url) for url, _, n in ROWS] == numbered(lists)

    def test_a_format_can_be_named(self, given):
        """What cannot be guessed is said."""
        given(f"link\tx\n{URL}\t1\n".encode())

        assert numbered(opened("-", input_format="tsv", url_col="link")) == [(1, URL)]

    def test_a_stream_is_read_on_from_a_row(self, given):
        """Rows in front are passed over."""
        given(as_txt(ROWS).encode())

        assert ROWS[9000][0] == whole(opened("-"), from_row=9000).urls[0]

    def test_a_pipe_with_a_name_is_a_stream_too(self):
        """`crawl <(zcat a.gz)`: it can be opened once only."""
        reading, writing = os.pipe()
        os.write(writing, f"{URL}\n".encode())
        os.close(writing)
        lists = opened(f"/dev/fd/{reading}")
        os.close(reading)

        assert numbered(lists) == [(1, URL)]

    @pytest.mark.timeout(20)
    @pytest.mark.parametrize("kind", ["txt", "csv", "tsv"])
    def test_a_slow_pipe_gives_what_has_arrived(self, kind):
        """Whole rows are given before more is waited for, also behind a blank line or a row begun."""
        reading, writing = os.pipe()
        content = FORMATS[kind](ROWS[:5]).splitlines(keepends=True)
        head, rows = content[:-5], content[-5:]
        arriving = [[*head, *rows[:2], "\n"], [rows[2], rows[3][:9]], [rows[3][9:], rows[4]]]
        os.write(writing, "".join(arriving[0]).encode())
        lists = opened(f"/dev/fd/{reading}", input_format=kind)
        os.close(reading)

        batches = lists.read(0)
        assert [url for url, _, _ in ROWS[:2]] == next(batches).urls
        os.write(writing, "".join(arriving[1]).encode())
        assert [ROWS[2][0]] == next(batches).urls
        os.write(writing, "".join(arriving[2]).encode())
        assert [url for url, _, _ in ROWS[3:5]] == next(batches).urls
        os.close(writing)
        assert [*batches] == []

    @pytest.mark.parametrize(("content", "said"), [(b"", "empty"), (b"PAR1\0", "Parquet")])
    def test_what_cannot_be_read_is_said(self, given, content, said):
        """Nothing at all, and a format that needs to be read from its end."""
        given(content)

        with pytest.raises(UsageError, match=said):
            opened("-")
