"""`verify`: whatever is damaged is told, each thing by its name, and never as a traceback."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.dataset import Dataset
from curator.dataset.columns import encode, to_values
from curator.dataset.layout import Layout
from curator.dataset.verify import LISTED, verify
from curator.errors import UsageError
from tests.curating import Here
from tests.datasets import committer, drawn, ingest, make, opened, picture, saved, url


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of two sealed shards and an open one."""
    root = tmp_path_factory.mktemp("whole") / "data"
    make(root, samples=10, seal=False)
    return root


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(whole, tmp_path / "data"))


def test_a_whole_dataset(data: Path) -> None:
    """Everything is read back and counted, and nothing is wrong."""
    report = verify(data)
    assert (report.problems, report.ok) == ((), True)
    assert (report.links, report.samples, report.shards, report.unmerged) == (15, 10, 3, 0)


def cut(path: Path) -> None:
    """Lose the second half."""
    os.truncate(path, path.stat().st_size // 2)


def lengthen(path: Path) -> None:
    """Gain some bytes."""
    path.write_bytes(path.read_bytes() + b"x")


def rewrite(column: str, value: object) -> Callable[[Path], None]:
    """Another value in one column of the first row."""

    def change(path: Path) -> None:
        table = pq.read_table(path)
        at = table.schema.get_field_index(column)
        values = [value, *table.column(column).to_pylist()[1:]]
        pq.write_table(
            table.set_column(at, table.schema.field(at), pa.array(values, table.schema.field(at).type)), path
        )

    return change


def test_a_damaged_image_is_named_with_its_shard_and_url(data: Path) -> None:
    """One byte of one image: the archive, the sample and the URL to have it from again are told."""
    first = next(iter(Dataset(data)))
    path = data / "images" / "00000.tar"
    content = path.read_bytes()
    path.write_bytes(content.replace(first.image, first.image[:-1] + b"\0", 1))
    [problem] = verify(data).problems
    assert problem.startswith(
        f"images/00000.tar: sample {first.key}: its image is not the one that was stored"
    )
    assert problem.endswith(f"from {first.fields['url']}")


def test_where_an_archive_cannot_be_followed(data: Path) -> None:
    """One byte between two members: the sample, its URL and how many were not read are told; other shards are read."""
    row = pq.read_table(data / "images" / "00000.parquet").slice(1, 1).to_pylist()[0]
    path = data / "images" / "00000.tar"
    content = bytearray(path.read_bytes())
    content[row["tar_offset"] + row["bytes"]] = 1
    path.write_bytes(content)
    report = verify(data)
    [problem] = report.problems
    assert problem == (
        f"images/00000.tar: sample {row['key']}: what fills the block after {row['key']}.jpg is not zeros,"
        f" from {row['url']}; 3 samples from there on could not be read"
    )
    assert report.samples == 7


def test_the_command_says_what_to_do(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After damage, such as a tar that is gone, the ways out are told: a backup, or another crawl."""
    here = Here(monkeypatch, capsys)
    assert "backup" not in here("verify", data).out
    (data / "images" / "00000.tar").unlink()
    ended = here("verify", data)
    assert ended.code == 1
    assert ended.out.startswith("images/00000.tar: missing")
    assert "from any backup" in ended.out
    assert "crawl the shard's URLs again" in ended.out


def drop_row(path: Path) -> None:
    """One row fewer."""
    pq.write_table(pq.read_table(path).slice(1), path)


def drop_column(path: Path) -> None:
    """One column fewer."""
    pq.write_table(pq.read_table(path).drop_columns(["mode"]), path)


FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("00000.tar", Path.unlink, "00000.tar: missing"),
    ("00000.tar", cut, "00000.tar: sample 000002: the archive ends"),
    ("00000.tar", lengthen, "not the end of an archive"),
    ("00000.parquet", Path.unlink, "00000.parquet: cannot be read"),
    ("00000.parquet", cut, "00000.parquet: cannot be read"),
    ("00000.parquet", drop_row, "3 rows for 4 samples"),
    ("00000.parquet", drop_column, "its columns are not"),
    ("00000.parquet", rewrite("width", 9999), "sample 000000: width differs"),
    ("00000.parquet", rewrite("caption", "another"), "000000.txt is not the caption"),
    ("00000.parquet", rewrite("captions", ["another"]), "captions differs"),
    ("00000.parquet", rewrite("input_WIDTH", 77), "sample 000000: input_WIDTH differs"),
    ("00000.parquet", rewrite("uid", "00" * 16), f"uid {'00' * 16}"),
    ("00000.parquet", rewrite("key", "000009"), "has the key 000009"),
    ("00000_stats.json", Path.unlink, "00000_stats.json: cannot be read"),
    (
        "00000_stats.json",
        lambda path: path.write_text(json.dumps({"count": 1, "successes": 1})),
        "does not count 4",
    ),
    ("00002.tar.part", Path.unlink, "missing"),
    ("00002.tar.part", cut, "00002.tar.part: sample 000021: the archive ends"),
    ("00009.tar", Path.touch, "00009.tar: belongs to no shard"),
    ("00000.tar.part", Path.touch, "00000.tar.part: belongs to no shard"),
    ("more.parquet", Path.touch, "more.parquet: belongs to no shard"),
]


@pytest.mark.parametrize(("name", "damage", "told"), FILES)
def test_damaged_files(data: Path, name: str, damage: Callable[[Path], object], told: str) -> None:
    """A file that is gone, cut, changed or foreign is named, and the other shards are still read."""
    damage(data / "images" / name)
    report = verify(data)
    assert told in "\n".join(report.problems)
    assert report.samples >= 6
    assert not report.ok


LEDGER = [
    ("UPDATE counts SET n = n + 1 WHERE state = 0", "counts 3 links pending, but 2 are"),
    ("UPDATE frontier SET state = 61 WHERE state = 10", "saved, but shards hold 10 samples"),
    ("UPDATE frontier SET state = 7 WHERE state = 61", "its state is none that exists"),
    ("UPDATE frontier SET state = 1 WHERE state = 0", "never due"),
    ("DELETE FROM verdicts WHERE shard IS NULL", "its verdict is missing"),
    ("DELETE FROM frontier WHERE state = 61", "has a verdict, but is not in the frontier"),
    ("UPDATE verdicts SET shard = NULL, idx = NULL", "saved, but its verdict names no sample"),
    ("UPDATE verdicts SET idx = idx + 1", "does not say that uid"),
    (
        "UPDATE verdicts SET shard = 1, idx = 1 WHERE shard = 0 AND idx = 0",
        "sample 000000: the ledger does not say",
    ),
    ("UPDATE frontier SET link = 10000", "its row in links is missing"),
    ("UPDATE links SET url = url || 'x'", "not in the frontier"),
    ("INSERT INTO links SELECT 0, 'http://new.example/', 1, 0, NULL", "links row 0: not in the frontier"),
    ("DELETE FROM samples WHERE idx = 0", "shard 2 has 2 samples, but 1 rows"),
    (
        "INSERT INTO samples VALUES (0, 0, x'00', '{}')",
        "shard 0: rows in the ledger, but the shard is sealed",
    ),
    ("UPDATE samples SET row = '{'", "00002.tar.part"),
    ("UPDATE samples SET row = '{}'", "00002.tar.part"),
    ("UPDATE shards SET length = length + 512 WHERE id = 0", "were committed"),
    ("UPDATE shards SET samples = samples - 1 WHERE id = 0", "4 rows for 3 samples"),
    ("DELETE FROM shards WHERE id = 1", "00001.tar: belongs to no shard"),
    ("UPDATE sources SET bad = 5", "count of bad rows"),
    ("DELETE FROM meta", "ledger.sqlite is empty, but images/00000.parquet is there"),
    ("UPDATE meta SET value = substr(value, 2) WHERE key = 'fixed'", "'fixed' in meta is damaged"),
    ("UPDATE meta SET value = '\"AAAA\"' WHERE key = 'columns'", "what was fixed for the dataset is damaged"),
    ("UPDATE meta SET value = replace(value, 'min_side', 'min_ride')", "unexpected keyword argument"),
    ("DROP TABLE verdicts", "no such table"),
]


@pytest.mark.parametrize(("statement", "told"), LEDGER)
def test_damaged_ledger(data: Path, statement: str, told: str) -> None:
    """Whatever in the ledger disagrees with itself or with the shards is told."""
    with sqlite3.connect(data / "ledger.sqlite") as db:
        db.execute(statement)
    db.close()
    assert told in "\n".join(verify(data).problems)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    name=st.sampled_from(["00000.tar", "00002.tar.part"]),
)
def test_any_flipped_bit_of_an_archive_is_found(whole: Path, place: float, bit: int, name: str) -> None:
    """One bit anywhere in a sealed or an open shard makes a difference that is told."""
    path = whole / "images" / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1 << bit
    path.write_bytes(bad)
    try:
        assert verify(whole).problems
    finally:
        path.write_bytes(good)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.floats(0, 1, exclude_max=True),
    bit=st.integers(0, 7),
    name=st.sampled_from(["ledger.sqlite", "images/00000.parquet"]),
)
def test_no_flipped_bit_is_a_traceback(whole: Path, place: float, bit: int, name: str) -> None:
    """One bit anywhere in the ledger or in a Parquet file gives a report, never an error of ours."""
    path = whole / name
    good = path.read_bytes()
    bad = bytearray(good)
    bad[int(place * len(bad))] ^= 1 << bit
    path.write_bytes(bad)
    try:
        verify(whole)
    except UsageError:  # the version, or what tells a dataset that was never begun
        assert name == "ledger.sqlite"
    finally:
        path.write_bytes(good)


def test_all_problems_are_counted_and_some_listed(tmp_path: Path) -> None:
    """Nothing ends the report at its first problem, and a thousand of them do not fill the screen."""
    make(tmp_path / "data", samples=150, shard_size=200, failures=0, pending=0)
    with sqlite3.connect(tmp_path / "data" / "ledger.sqlite") as db:
        db.execute("UPDATE verdicts SET idx = 149 - idx")
    db.close()
    report = verify(tmp_path / "data")
    assert (report.found, len(report.problems)) == (150, LISTED)


def test_nothing_unprintable_is_told(data: Path) -> None:
    """A file name that would steer a terminal is told without its control characters, on one line."""
    (data / "images" / "a\x1b[2J\nb").touch()
    [problem] = verify(data).problems
    assert problem == "images/a\N{REPLACEMENT CHARACTER}[2J b: belongs to no shard of this dataset"


def test_what_a_kill_leaves_is_whole(data: Path) -> None:
    """Bytes beyond the committed length and files under temporary names are nothing wrong."""
    layout = Layout(data)
    with layout.part(2).open("ab") as file:
        file.write(b"x" * 3000)
    (layout.images / ".00002.parquet.tmp").write_bytes(b"half")
    assert verify(data).problems == ()


def test_while_it_is_written(data: Path) -> None:
    """A dataset that is being written is not verified: the writer is named, and it is not disturbed."""
    with opened(data) as store:
        with pytest.raises(UsageError, match=f"process {os.getpid()} "):
            verify(data)
        store.begin_run((), {})


def test_no_dataset(tmp_path: Path) -> None:
    """Another folder is refused politely."""
    with pytest.raises(UsageError, match="not a dataset"):
        verify(tmp_path)


def test_nothing_is_changed(data: Path) -> None:
    """Verifying writes no file, and leaves none behind but SQLite's beside a ledger that was read: an empty log."""

    def files() -> dict[Path, bytes]:
        found = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
        logs = Path(f"{Layout(data).ledger}-wal"), Path(f"{Layout(data).ledger}-shm")
        return {path: body for path, body in found.items() if path not in logs or (path == logs[0] and body)}

    before = files()
    verify(data)
    assert files() == before


def test_columns_of_every_kind(tmp_path: Path) -> None:
    """Numbers that are none, dates, decimals, bytes, lists and structs are carried, read back and whole."""
    kinds = [
        pa.float64(),
        pa.timestamp("ns"),
        pa.date32(),
        pa.decimal128(9, 2),
        pa.binary(),
        pa.list_(pa.int8()),
    ]
    kinds += [pa.struct([("a", pa.string()), ("b", pa.float32())]), pa.time64("us"), pa.null(), pa.bool_()]
    schema = pa.schema([(f"column{i}", kind) for i, kind in enumerate(kinds)])
    moment = datetime(2026, 1, 2, 3, 4, 5, 678)  # noqa: DTZ001 - a list's column has no time zone
    first = [float("nan"), moment, moment.date(), Decimal("1.25"), b"\x00\xff", [1, None]]
    first += [{"a": "x", "b": 0.1}, moment.time(), None, True]
    arrays = [pa.array([value, None], kind) for value, kind in zip(first, kinds, strict=True)]
    data = [encode(row) for row in zip(*map(to_values, arrays), strict=True)]
    with opened(tmp_path / "data", schema) as store:
        ingest(store, [url(0), url(1)], data)
        store.begin_run((), {})
        writing = committer(store)
        writing.commit([saved(link, picture(i)) for i, link in enumerate(drawn(store))])
        for sealed in (False, True):
            if sealed:
                writing.seal()
            rows = Dataset(tmp_path / "data").rows(["list_row", *schema.names]).sort_by("list_row")
            for array, found in zip(arrays, rows.columns[1:], strict=True):
                assert repr(found.to_pylist()) == repr(array.to_pylist())
        writing.close()
    assert verify(tmp_path / "data").problems == ()
