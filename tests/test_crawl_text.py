"""Text of strangers, stored and read back as it was: captions, URLs, headers; and no name on disk is theirs."""

import json
import re
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator.dataset.reader import Dataset
from tests.crawling import assert_verified, ledger, run_crawl
from tests.pages import image_bytes
from tests.site import Answer, Site

CAPTIONS = [
    "a\0b", "\0", "a\r\nb\nc\r", "\n", "\u2028\u2029\x85\x0b\x0c", "\u202eeuqitna\u202c \u200f\u05d0\u05d1", "\ufeff",
    "\U0001f408" * 250_000, "x" * (1 << 20), "../../etc/passwd", "\\..\\..\\", "%00%2e%2e", '"quoted", \\n, {json}',
    "e\u0301 \u00e9", "\x1b[2J\x1b]0;title\x07", "\uffff\ufffe\U0010ffff", " lead and trail ", "null", "", "\x7f\x80",
]  # fmt: skip
HOSTILE_PATHS = [
    "/../../../etc/passwd", "/..%2f..%2f..%2fetc%2fpasswd", "/%00.jpg", "/a.jpg/../../../b", "/....//....//x",
    "/C:\\Windows\\x.jpg", "/~root/.ssh/id_rsa", "/-rf.jpg", "/.jpg", "/" + "x" * 5000 + ".jpg", "/con.jpg",
    "/a;b|c&d`e`$(f).jpg", "/%2e%2e/%2e%2e/x.tar", "/00000.tar", "/ledger.sqlite", "/\u202egpj.exe", "/a\\b", "/*?.jpg",
]  # fmt: skip
# every name that a dataset may hold, and every name in a shard
NAMES = re.compile(
    r"README\.md|summary\.json|failures\.parquet|ledger\.sqlite(-wal|-shm)?|\.lock|\.reserve|images"
    r"|images/\d{5}(\.tar|\.parquet|_stats\.json)"
)
MEMBERS = re.compile(r"\d{9}\.(jpg|json|txt)")


def crawl(folder: Path, rows: list[dict[str, str]]) -> Path:
    """A dataset of a JSONL list."""
    listed = folder / "list.jsonl"
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run_crawl([listed], folder / "data", dedup="none")
    return folder / "data"


@pytest.fixture
def site():
    """A site of its own for each test."""
    with Site() as running:
        yield running


def test_text_is_stored_as_it_was(site, tmp_path):
    """In the ledger, the tar, its sidecar JSON, the Parquet file and our own reader; other columns too."""
    rows = [
        {"url": site.add_image(f"/{n}", image_bytes(n)), "caption": text, "note": text[::-1]}
        for n, text in enumerate(CAPTIONS)
    ]
    data = crawl(tmp_path, rows)
    wanted = {row["url"]: (row["caption"], row["note"]) for row in rows}
    assert {
        url: tuple(json.loads(columns)[:2]) for url, columns in ledger(data, "SELECT url, data FROM links")
    } == wanted
    (parquet,) = (data / "images").glob("*.parquet")
    table = pq.read_table(parquet).to_pylist()
    assert {row["url"]: (row["caption"], row["note"]) for row in table} == wanted
    keys = {row["key"]: row["url"] for row in table}
    with tarfile.open(data / "images" / "00000.tar") as tar:
        for member in tar:
            content = tar.extractfile(member).read()
            caption, note = wanted[keys[member.name[:9]]]
            if member.name.endswith(".txt"):
                assert content == caption.encode()
            elif member.name.endswith(".json"):
                assert (json.loads(content)["caption"], json.loads(content)["note"]) == (caption, note)
    assert {sample.fields["url"]: sample.caption for sample in Dataset(data)} == {
        url: caption for url, (caption, _) in wanted.items()
    }
    assert_verified(data)


def test_no_name_on_disk_comes_from_a_url(site, tmp_path):
    """Whatever a path says, a dataset holds the same few names, and nothing appears beside it."""
    rows = [{"url": site.url(f"{path}?{n}"), "caption": path} for n, path in enumerate(HOSTILE_PATHS)]
    for n, path in enumerate(HOSTILE_PATHS):
        sent = "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in path)
        headers = {"Content-Disposition": f'attachment; filename="../../{n}.jpg"', "ETag": '"../../etag"'}
        site.add(f"{sent}?{n}", Answer(image_bytes(n), headers=headers))
    data = crawl(tmp_path, rows)
    assert len(list(Dataset(data))) == len(rows)
    found = {str(path.relative_to(data)) for path in data.rglob("*")}
    assert not [name for name in found if not NAMES.fullmatch(name)]
    assert {path.name for path in tmp_path.iterdir()} == {"data", "list.jsonl"}
    with tarfile.open(data / "images" / "00000.tar") as tar:
        assert all(MEMBERS.fullmatch(name) for name in tar.getnames())
    assert_verified(data)
