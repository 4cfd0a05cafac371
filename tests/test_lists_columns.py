"""Columns of lists: which one is what, how they are called and typed, and how several files agree."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.dataset.columns import OWN_COLUMNS_KEY
from curator.errors import UsageError
from tests.lists_help import numbered, opened, tables, whole, written

URL = "http://host.example/a.jpg"


def csv_with(folder, *names, name="a.csv", row=None):
    """A CSV with these columns; a column's value is its name, the URL column's a URL."""
    cells = row or [URL if "ur" in cell.casefold() or cell == "link" else cell for cell in names]
    return written(folder, name, ",".join(names) + "\n" + ",".join(cells) + "\n")


def jsonl_with(folder, *objects, name="a.jsonl"):
    """JSON lines, each with a URL."""
    return written(folder, name, "".join(json.dumps({"url": URL} | row) + "\n" for row in objects))


@pytest.mark.parametrize(
    ("names", "options", "url", "caption"),
    [
        (("url", "caption"), {}, "url", "caption"),
        (("URL", "TEXT"), {}, "URL", "TEXT"),
        (("image_url", "alt"), {}, "image_url", "alt"),
        (("Image_URL", "Alt"), {}, "Image_URL", "Alt"),
        (("URL", "url", "alt", "text"), {}, "url", "text"),
        (("url", "link", "caption", "title"), {"url_col": "link", "caption_col": "title"}, "link", "title"),
        (("url", "caption"), {"drop_columns": ("caption",)}, "url", None),
        (("url", "title"), {}, "url", None),
        ((" url ", "text"), {}, "url", "text"),
    ],
)
def test_url_and_caption_are_found(tmp_path, names, options, url, caption):
    """By the usual names as they stand, then in any case; what the user says goes first."""
    lists = opened(csv_with(tmp_path, *names), **options)

    assert numbered(lists) == [(1, URL)]
    assert f"URLs from column {url!r}" in lists.described
    assert (caption is not None) == lists.has_caption
    if caption is not None:
        assert f"captions from {caption!r}" in lists.described
        assert caption == tables(lists)[0]["caption"]


def test_all_other_columns_are_carried_under_names_that_do_not_collide(tmp_path):
    """Ours, the URL and caption, another input column in another case, repeated and empty names."""
    names = ("url", "URL", "WIDTH", "nsfw", "NSFW", "x", "x", "", "caption", "text", "drop me")
    lists = opened(csv_with(tmp_path, *names), drop_columns=("drop me",))

    assert lists.schema.names == [
        *("caption", "input_URL", "input_WIDTH", "nsfw", "input_NSFW", "x", "x_2", "column_8", "text"),
    ]
    assert {"caption": "caption", "x_2": "x"}.items() <= tables(lists)[0].items()
    assert "carrying URL as input_URL, WIDTH as input_WIDTH, nsfw" in lists.described


def test_the_guess_is_one_line(tmp_path):
    """Where URLs and captions are, what is carried, from how many files of which kind."""
    pq.write_table(
        pa.table({"URL": [URL], "TEXT": ["a"], "NSFW": ["b"], "similarity": [0.5]}), tmp_path / "a.parquet"
    )
    expected = "URLs from column 'URL', captions from 'TEXT', carrying NSFW, similarity (1 file, parquet)"

    assert expected == opened(tmp_path).described
    assert opened(written(tmp_path, "b.txt", URL)).described == "URLs one a line (1 file, txt)"


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        pytest.param([True, None], pa.bool_(), id="bool"),
        pytest.param([1, -(1 << 63)], pa.int64(), id="int"),
        pytest.param([1, 0.5, None], pa.float64(), id="int and float"),
        pytest.param(["a", None], pa.string(), id="text"),
        pytest.param([None, None], pa.string(), id="never a value"),
        pytest.param([[1], [], None, [2, 3]], pa.list_(pa.int64()), id="list"),
        pytest.param([[1], [0.5]], pa.list_(pa.float64()), id="list of ints and floats"),
        pytest.param([[], None], pa.list_(pa.string()), id="empty lists"),
        pytest.param([["a"], [None]], pa.list_(pa.string()), id="list with null"),
    ],
)
def test_json_types_come_from_the_rows(tmp_path, values, kind):
    """A column's type is what holds all its values, which come back as they were."""
    lists = opened(jsonl_with(tmp_path, *({"x": value} for value in values)))

    assert kind == lists.schema.field("x").type
    assert values == [row["x"] for row in tables(lists)]


@pytest.mark.parametrize(
    "values",
    [
        [1, "a"],
        [{"a": 1}, {"b": [2]}],
        [1 << 63, 1],
        [[1], ["a"]],
        [[1], 1],
        [[[1]], [[2]]],
        [True, 1],
        ["a", [1]],
    ],
    ids=str,
)
def test_json_of_no_one_type_is_kept_as_text(tmp_path, values):
    """Objects and mixtures lose nothing: what is not text is its JSON."""
    lists = opened(jsonl_with(tmp_path, *({"x": value} for value in values)))

    assert pa.string() == lists.schema.field("x").type
    found = [row["x"] for row in tables(lists)]
    assert values == [
        old if isinstance(old, str) else json.loads(new) for old, new in zip(values, found, strict=True)
    ]
    assert whole(lists).misfits == 0


def test_a_later_misfit_is_null_and_counted(tmp_path):
    """Beyond the first 10,000 rows types are fixed; a name that is new there is a misfit too."""
    later = [
        {"n": "x"},
        {"n": 1.5},
        {"n": 1 << 63},
        {"n": 7},
        {"n": "8"},
        {"n": None},
        {"other": 1},
        {"l": [{}]},
    ]
    rows = [{"n": 1, "t": "a", "l": [1]}] * 10_000 + later
    lists = opened(jsonl_with(tmp_path, *rows))

    assert [row["n"] for row in tables(lists)[10_000:]] == [None, None, None, 7, 8, None, None, None]
    assert whole(lists).misfits == 5
    assert len(whole(lists).urls) == 10_008


def test_files_may_lack_columns_and_name_their_urls_otherwise(tmp_path):
    """A missing column is null; a list of bare URLs has none."""
    pq.write_table(pa.table({"URL": [URL], "TEXT": ["t"], "n": [1]}), tmp_path / "a.parquet")
    written(tmp_path, "b.csv", f"url,n\n{URL},2\n{URL},two\n")
    written(tmp_path, "c.txt", URL)
    lists = opened(tmp_path)

    assert [source.format for source in lists.sources] == ["parquet", "csv", "txt"]
    assert tables(lists, 0) == [{"caption": "t", "n": 1}]
    assert tables(lists, 1) == [{"caption": None, "n": 2}, {"caption": None, "n": None}]
    assert whole(lists, 1).misfits == 1
    assert tables(lists, 2) == [{"caption": None, "n": None}]


def test_parquet_files_that_differ_in_width_take_the_wider_type(tmp_path):
    """int32 and int64, a column of nulls and one of text, large_string and string."""
    for name, n, text, big in [
        ("a", pa.int32(), pa.null(), pa.string()),
        ("b", pa.int64(), pa.string(), pa.large_string()),
    ]:
        value = [None] if text == pa.null() else ["t"]
        columns = {"url": [URL], "n": pa.array([1], n), "t": pa.array(value, text), "b": pa.array(["b"], big)}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")
    lists = opened(tmp_path)

    assert [pa.int64(), pa.string(), pa.string()] == lists.schema.types
    assert tables(lists, 0) + tables(lists, 1) == [
        {"n": 1, "t": None, "b": "b"},
        {"n": 1, "t": "t", "b": "b"},
    ]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("new", ["similarity", "caption"])
def test_a_column_that_is_new_in_a_later_file_is_an_error(tmp_path, kind, new):
    """It names the file, the column and the way out, which works."""
    csv_with(tmp_path, "url", "n", row=[URL, "1"])
    later = tmp_path / f"b.{kind}"
    if kind == "csv":
        csv_with(tmp_path, "url", new, name=later.name)
    elif kind == "jsonl":
        jsonl_with(tmp_path, {new: "x"}, name=later.name)
    else:
        pq.write_table(pa.table({"url": [URL], new: ["x"]}), later)

    with pytest.raises(UsageError, match=rf"b\.{kind}: column '{new}'.*--drop-columns {new}"):
        opened(tmp_path)
    assert tables(opened(tmp_path, drop_columns=(new,)), 1) == [{"n": None}]


def test_a_dataset_that_exists_keeps_its_columns(tmp_path):
    """Its schema says what is read and as what; a column it has not is an error."""
    schema = pa.schema([("caption", pa.string()), ("n", pa.int64()), ("gone", pa.float64())])
    lists = opened(csv_with(tmp_path, "url", "n", "text", row=[URL, "5", "t"]), schema=schema)

    assert schema == lists.schema
    assert tables(lists) == [{"caption": "t", "n": 5, "gone": None}]
    with pytest.raises(UsageError, match="column 'm'"):
        opened(csv_with(tmp_path, "url", "n", "m"), schema=schema)


def test_a_table_of_ours_is_a_list(tmp_path):
    """Its URL and caption are used, the columns marked as ours are not carried, the others are."""
    own = json.dumps(["url", "host", "reason", "http_status", "detail", "attempts"]).encode()
    columns = {"url": [URL], "host": ["h"], "reason": ["dns"], "caption": ["c"], "input_WIDTH": ["7"]}
    table = pa.table(columns).replace_schema_metadata({OWN_COLUMNS_KEY: own})
    pq.write_table(table, tmp_path / "failures.parquet")
    lists = opened(tmp_path / "failures.parquet")

    assert tables(lists) == [{"caption": "c", "input_WIDTH": "7"}]
    assert numbered(lists) == [(1, URL)]


def test_parquet_columns_of_every_kind_are_read(tmp_path):
    """Values are what pyarrow would read, whatever their encoding."""
    columns = {
        "url": pa.array([URL, URL], pa.large_string()),
        "when": pa.array([0, None]).cast(pa.timestamp("ms", "UTC")),
        "tags": pa.array([["a"], None], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
        "box.x": pa.array([0.5, float("inf")], pa.float32()),
        "raw": pa.array([b"\xff\0", None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    lists = opened(tmp_path / "a.parquet")

    assert lists.schema.names == ["when", "tags", "box.x", "raw"]
    assert tables(lists)[0] == {
        "when": "1970-01-01 00:00:00.000Z",
        "tags": ["a"],
        "box.x": 0.5,
        "raw": "/wA=",
    }
    assert {"when": None, "tags": None, "box.x": float("inf"), "raw": None} == tables(lists)[1]


class TestErrors:
    """What the user can put right is said with the file and the way out."""

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("a.txt", b"", "empty"),
            ("a.parquet", b"", "empty"),
            ("a.jsonl", b"", "empty"),
            ("a.list", b"x", "--input-format"),
            ("a.csv.zst", b"x", "unpack it"),
            ("a.txt", b"\x89PNG\r\n\x1a\n\0\0", "binary"),
            ("a.txt", "http://h/ä".encode("utf-16"), "iconv"),
            ("a.txt", b"PAR1\0", "parquet"),
            ("a.csv", b"\xff\xd8\xff\xe0\n", "no header line"),
            ("a.csv", b"link,b\n", "no column looks like URLs; there are: link, b. Name it with --url-col"),
            ("a.csv", b"http://h/a,cat\n", "give it a header line"),
            ("a.parquet", b"no parquet at all", "not a readable Parquet"),
            ("a.json", b'[{"url": "http://h/a"}]', "jq"),
            ("a.json", b'[\n{"url": "http://h/a"}]', "jq"),
            ("a.jsonl", b"http://h/a\n", "no JSON objects"),
            ("a.jsonl", b'{"link": 1}\n', "there are: link"),
            ("a.jsonl", b"\n\n", "there are none"),
            ("a.csv.gz", b"\x1f\x8b\x08", "cannot be read: the compressed data end here"),
            ("a.txt.gz", b"garbage", "not gzip data"),
            ("a.txt.gz", b"", "empty"),
        ],
    )
    def test_a_list_that_is_none_is_refused(self, tmp_path, name, content, said):
        """Before anything is touched."""
        with pytest.raises(UsageError, match=said) as error:
            opened(written(tmp_path, name, content))
        assert str(tmp_path / name) in str(error.value)

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"url_col": "link"}, "--url-col link: no list has such a column; there are: url, text$"),
            (
                {"caption_col": "titel"},
                "--caption-col titel: no list has such a column; there are: url, text$",
            ),
            ({"drop_columns": ("nfsw",)}, "--drop-columns nfsw: no list has such .* there are: url, text$"),
            ({"drop_columns": ("url",)}, "--drop-columns url"),
            ({"input_format": "xml"}, "--input-format xml"),
        ],
    )
    def test_an_option_that_fits_nothing_is_refused(self, tmp_path, options, said):
        """A slip of the hand is not taken for a wish."""
        with pytest.raises(UsageError, match=said):
            opened(csv_with(tmp_path, "url", "text"), **options)

    def test_an_option_is_judged_before_the_columns_are_guessed(self, tmp_path):
        """The error is about what the user said, also where the URLs are not found either."""
        with pytest.raises(UsageError, match=r"--caption-col titel.*there are: link, text$"):
            opened(csv_with(tmp_path, "link", "text"), caption_col="titel")

    @pytest.mark.parametrize(
        ("options", "flag"),
        [
            ({"url_col": "a"}, "--url-col"),
            ({"caption_col": "a"}, "--caption-col"),
            ({"drop_columns": ("a",)}, "--drop-columns"),
        ],
    )
    def test_a_list_of_bare_urls_has_no_columns_to_name(self, tmp_path, options, flag):
        """An option that cannot mean anything is refused, unless it is for another list beside it."""
        written(tmp_path, "a.txt", URL)
        with pytest.raises(UsageError, match=f"{flag} a: a .txt list has no columns.*--input-format"):
            opened(tmp_path, **options)
        csv_with(tmp_path, "a", "url", name="b.csv", row=[URL, URL])
        assert numbered(opened(tmp_path, **options), 0) == [(1, URL)]

    def test_each_file_needs_the_column_of_urls_that_is_named(self, tmp_path):
        """The error names the file without it."""
        csv_with(tmp_path, "link", name="a.csv")
        csv_with(tmp_path, "url", name="b.csv")
        with pytest.raises(UsageError, match=r"b\.csv: no column 'link'; there are: url"):
            opened(tmp_path, url_col="link")

    @pytest.mark.parametrize("url", ["https://h.example/a.jpg", "http:/h.example/a.txt", "s3://bucket/a.csv"])
    def test_a_url_is_no_list(self, url):
        """It is told from a file that is not there."""
        with pytest.raises(UsageError, match=f"{url}: that is a URL, not a list: put URLs into a file"):
            opened(url)

    def test_a_type_that_cannot_be_carried_can_be_dropped(self, tmp_path):
        """The error names the column and the flag, which works."""
        tags = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
        pq.write_table(pa.table({"url": [URL], "tags": tags}), tmp_path / "a.parquet")

        with pytest.raises(UsageError, match=r"'tags' holds map.*--drop-columns tags"):
            opened(tmp_path)
        assert opened(tmp_path, drop_columns=("tags",)).schema.names == []

    def test_missing_files_and_folders_without_lists_are_refused(self, tmp_path):
        """Also a dataset given as a list, and standard input given twice."""
        written(tmp_path, "README.md", "no list")
        with pytest.raises(UsageError, match=r"gone\.txt: cannot be read"):
            opened(tmp_path / "gone.txt")
        with pytest.raises(UsageError, match="no list in it"):
            opened(tmp_path)
        written(tmp_path, "ledger.sqlite", "")
        with pytest.raises(UsageError, match=r"failures\.parquet"):
            opened(tmp_path)
        with pytest.raises(UsageError, match="twice"):
            opened("-", "-")

    def test_a_folder_gives_its_lists_by_name(self, tmp_path):
        """What lies beside lists is passed over, a list that cannot be read is not."""
        for name in ("b.txt", "a.TXT", "README.txt", "_SUCCESS", ".hidden.txt", "picture.png"):
            written(tmp_path, name, URL)

        assert [source.path.rsplit("/", 1)[1] for source in opened(tmp_path).sources] == ["a.TXT", "b.txt"]
        written(tmp_path, "c.txt.xz", b"x")
        with pytest.raises(UsageError, match=r"c\.txt\.xz"):
            opened(tmp_path)
