"""The images in Parquet files: img2dataset's and Hugging Face's, rows without one, and files that hold none."""

import json
import os
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.sources.items import Item, ShardEnd
from curator.sources.parquet_files import list_parquet
from curator.sources.reading import Reader
from tests.pictures import encoded, flat
from tests.test_sources_tar import counts, damage

PICTURE = encoded(flat(width=8, height=8), "PNG")


def write(path, columns, **options):
    """A Parquet file of these columns."""
    pq.write_table(pa.table(columns), path, **options)
    return path


def listed(path):
    """Everything that the listing of a Parquet file tells."""
    found = path.stat()
    return list(list_parquet(path, path.name, (found.st_size, found.st_mtime_ns)))


def images(records):
    """The items that are images: key, column and what is said of it."""
    return {
        one.key: (one.place.column, json.loads(one.data) if one.data else None)
        for one in records
        if isinstance(one, Item) and one.unmeasured is None
    }


def read_place(place):
    """The bytes there, read the plain way."""
    value = pq.read_table(place.file).column(place.column)[place.row].as_py()
    return value["bytes"] if isinstance(value, dict) else value


@pytest.mark.parametrize("statistics", [True, False], ids=["with statistics", "without"])
@pytest.mark.parametrize("with_status", [True, False], ids=["with status", "without"])
def test_parquet_of_img2dataset(statistics, with_status, tmp_path):
    """Each row that has bytes is an image with its row as data; the others are counted; nothing else is lost."""
    there = [n % 3 != 1 for n in range(20)]
    columns = {
        "url": [f"http://a/{n}" for n in range(20)],
        "status": ["success" if has else "failed_to_download" for has in there],
        "width": pa.array([8 if has else None for has in there], pa.int32()),
        "jpg": [PICTURE + b"%d" % n if has else None for n, has in enumerate(there)],
    }
    if not with_status:
        del columns["status"]
    path = write(tmp_path / "00000.parquet", columns, row_group_size=6, write_statistics=statistics)
    *items, end = records = listed(path)
    assert [item.place.row for item in items] == [n for n in range(20) if there[n]]
    assert [read_place(item.place) for item in items] == [body for body in columns["jpg"] if body]
    expected = {"url": "http://a/2", "width": 8} | ({"status": "success"} if with_status else {})
    assert images(records)["000000002"] == ("jpg", expected)
    assert end == ShardEnd("00000.parquet", items[0].version, 13, {"rows without an image": 7})
    assert counts(records) == {"rows without an image": 7}


def test_a_status_that_does_not_fit_is_not_believed(tmp_path):
    """Where another tool's `status` counts otherwise than the bytes do, the bytes decide."""
    path = write(tmp_path / "a.parquet", {"status": ["success", "success"], "jpg": [None, PICTURE]})
    assert list(images(listed(path))) == ["000000001"]


def test_parquet_of_hugging_face(tmp_path):
    """A struct of bytes and path is an image; one without bytes, or null itself, is none."""
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": PICTURE, "path": "a.png"}, {"bytes": None, "path": "b.png"}, None]
    records = listed(write(tmp_path / "a.parquet", {"image": pa.array(rows, kind), "label": [1, 2, 3]}))
    assert images(records) == {"000000000": ("image", {"label": 1})}
    assert read_place(records[0].place) == PICTURE
    assert counts(records) == {"rows without an image": 2}


def test_several_columns_of_images(tmp_path):
    """Each image of a row has a key of its own; a row is without an image when all of them are."""
    columns = {"before": [PICTURE, None, None], "after": [PICTURE, PICTURE, None]}
    records = listed(write(tmp_path / "a.parquet", columns))
    assert images(records) == {
        "000000000": ("before", None),
        "000000000.after": ("after", None),
        "000000001.after": ("after", None),
    }
    assert counts(records) == {"rows without an image": 1}


def test_columns_of_one_name(tmp_path):
    """Of two columns with one name the first is meant, and each row is one image."""
    table = pa.table([[PICTURE, PICTURE], [PICTURE + b"2"] * 2], ["jpg", "jpg"])
    path = tmp_path / "a.parquet"
    pq.write_table(table, path)
    assert images(listed(path)) == {"000000000": ("jpg", None), "000000001": ("jpg", None)}


async def test_a_path_of_any_bytes(tmp_path):
    """A file in a folder whose name is no UTF-8 is listed and read like any other."""
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    write(tmp_path / "a.parquet", {"jpg": [PICTURE]}).rename(folder / os.fsdecode(b"\xfe.parquet"))
    item, _ = listed(folder / os.fsdecode(b"\xfe.parquet"))
    async with Reader(1 << 20) as reader:
        assert await reader.read([item.place]) == [PICTURE]


def test_bytes_that_are_no_images(tmp_path):
    """Hashes and audio are bytes, too: a file of such columns holds no images, and is no shard."""
    audio = pa.array(
        [{"bytes": b"ID3" + bytes(50), "path": ""}], pa.struct([("bytes", pa.binary()), ("path", "str")])
    )
    records = listed(write(tmp_path / "a.parquet", {"hash": [bytes(8)], "audio": audio, "url": ["http://a"]}))
    assert len(records) == 1
    assert counts(records) == {".parquet": 1}


def test_values_of_every_kind_are_json(tmp_path):
    """What a row says of its image is valid JSON, whatever its types; bytes and nulls are left out."""
    columns = {
        "image": [PICTURE],
        "when": pa.array([datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("s", "UTC")),
        "score": [float("nan")],
        "tags": [["a", "b"]],
        "box": [{"x": 1, "inner": b"\xff"}],
        "hash": [b"12345678"],
        "nothing": pa.array([None], pa.string()),
        "large": pa.array(["text"], pa.large_string()),
        "coded": pa.array(["one"]).dictionary_encode(),
        "pairs": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "bad": pa.array([b"caf\xe9"]).view(pa.string()),
        "bads": pa.array([[b"caf\xe9"]]).view(pa.list_(pa.string())),
    }
    ((_, data),) = images(listed(write(tmp_path / "a.parquet", columns))).values()
    assert data == {
        "when": "2026-01-02 00:00:00.000Z",
        "score": None,
        "tags": ["a", "b"],
        "box": {"x": 1, "inner": "/w=="},
        "large": "text",
        "coded": "one",
        "bad": "caf\ufffd",
    }


def test_a_row_that_is_too_long(tmp_path):
    """A row with a megabyte of text is an image without fields, and is counted."""
    records = listed(write(tmp_path / "a.parquet", {"image": [PICTURE], "text": ["x" * (1 << 20)]}))
    assert images(records) == {"000000000": ("image", None)}
    assert counts(records) == {"rows whose other columns are too long": 1}


def test_damage_in_the_middle(tmp_path):
    """Rows before the damage count; the file is a row and a warning that name it."""
    columns = {"image": [PICTURE] * 4, "text": [f"some text {n}" * 20 for n in range(4)]}
    path = write(tmp_path / "a.parquet", columns, row_group_size=2, compression="zstd")
    at = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    body = bytearray(path.read_bytes())
    body[at : at + 40] = bytes(40)
    path.write_bytes(body)
    records = listed(path)
    assert list(images(records)) == ["000000000", "000000001"]
    assert str(path) in damage(records)[1]


@pytest.mark.parametrize("body", [b"", b"PAR1" + bytes(100), b"text" * 100], ids=["empty", "cut", "text"])
def test_what_is_no_parquet(body, tmp_path):
    """A file that is only called so is one row and one warning."""
    path = tmp_path / "a.parquet"
    path.write_bytes(body)
    records = listed(path)
    assert not images(records)
    assert str(path) in damage(records)[1]
