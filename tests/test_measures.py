"""What is remembered of folders and foreign shards: measured once, and given back as a source."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curator.errors import CorruptDataset, UsageError
from curator.measure import MeasureSettings
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from curator.sources import fields, measured
from curator.sources.items import Item, ShardEnd, item_uid, own_name, shown, true_name
from curator.sources.measured import Measured
from curator.sources.measures import MeasureStore
from curator.sources.source import MEASURES, SOURCE_SCHEMA, Place
from curator.sources.visit import Limits, Looked, Visit
from tests.pictures import measures

LIMITS = Limits(MeasureSettings(max_pixels=1_000_000), max_bytes=1_000_000)
MEASURED = measures(hash_kind=LIMITS.measuring.hash_kind)
names = st.binary(min_size=1).map(lambda name: name.decode("utf-8", "surrogateescape"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MeasureStore]:
    """A new store."""
    with closing(MeasureStore(tmp_path / "measures.sqlite")) as opened:
        yield opened


def item(path: str, key: str | None = None, *, version: int = 1, **own: object) -> Item:
    """An image with fields of its own."""
    place = Place(Path("/x") / path, 512, 100) if key else Place(Path("/x") / path)
    return Item(path, key, (100, version), place, json.dumps(own) if own else None)


def look(
    store: MeasureStore,
    *items: Item,
    found: Measures | Unmeasured = MEASURED,
    limits: Limits = LIMITS,
    ended: ShardEnd | None = None,
) -> list[str]:
    """One whole run over these items: the paths of those that it had to measure."""
    visit = Visit(store, "x", limits)
    wanted = visit.to_measure(items)
    visit.save([Looked(one, found) for one in wanted])
    if ended is not None:
        visit.ended(ended)
    visit.end()
    return [one.path for one in wanted]


def table(store: MeasureStore, columns: list[str] | None = None) -> pa.Table:
    """All rows of the source."""
    source = Measured("x", Path("/x"), store.path)
    return pa.Table.from_batches(source.rows(columns), source.schema if columns is None else None)


@given(names, names)
@example("\\xff", "\udcff")
@example("\\", "\\\\")
def test_names_of_any_bytes_are_told_apart(one: str, other: str) -> None:
    """What is shown of a name is valid text, names it alone, and leads back to it."""
    assert true_name(shown(one)) == one
    assert (shown(one) == shown(other)) == (one == other)
    shown(one).encode()


def test_names_without_oddities_stay() -> None:
    """A name of plain text is shown as it is."""
    assert shown("ä/b c.jpg") == "ä/b c.jpg"


def test_rows_give_back_what_was_measured(store: MeasureStore) -> None:
    """Every measure comes back as it was, with uid and place, in the order of paths and keys."""
    look(store, item("b.tar", "2"), item("b.tar", "1"), item("a.jpg"))
    rows = table(store)
    assert rows.schema == SOURCE_SCHEMA
    assert rows.select(["path", "key"]).to_pylist() == [
        {"path": "a.jpg", "key": None},
        {"path": "b.tar", "key": "1"},
        {"path": "b.tar", "key": "2"},
    ]
    assert [bytes.fromhex(uid) for uid in rows["uid"].to_pylist()] == [
        item_uid("x", *place) for place in (("a.jpg", None), ("b.tar", "1"), ("b.tar", "2"))
    ]
    for row in rows.select([name for name, _ in MEASURES]).to_pylist():
        assert row == MEASURED._asdict()
    assert rows["unmeasured"].null_count == rows["detail"].null_count == 3
    assert len(Measured("x", Path("/x"), store.path)) == 3


def test_what_has_no_measures_says_why(store: MeasureStore) -> None:
    """An image that could not be measured is a row with its Reason and words, and no measures."""
    look(store, item("a.jpg"), found=Unmeasured(Reason.UNDECODABLE, "broken"))
    [row] = table(store).to_pylist()
    assert (row["unmeasured"], row["detail"]) == ("undecodable", "broken")
    assert {row[name] for name, _ in MEASURES} == {None}


def test_names_no_text_can_say_come_back(store: MeasureStore, tmp_path: Path) -> None:
    """A file whose name is no UTF-8 has a row, and is located by what the row calls it."""
    look(store, item("a\udcff.jpg"))
    source = Measured("x", tmp_path, store.path)
    [path] = table(store, ["path"])["path"].to_pylist()
    assert source.locate([path], [None]) == [Place(tmp_path / "a\udcff.jpg")]


def test_locate_gives_the_place(store: MeasureStore, tmp_path: Path) -> None:
    """A sample's place is what its listing said, below where the source is now; one that is not there is told."""
    look(
        store,
        item("b.tar", "1"),
        Item("c.parquet", "7", (1, 1), Place(Path("/x/c.parquet"), row=7, column="jpg")),
    )
    source = Measured("x", tmp_path, store.path)
    assert source.locate(["c.parquet", "b.tar"], ["7", "1"]) == [
        Place(tmp_path / "c.parquet", row=7, column="jpg"),
        Place(tmp_path / "b.tar", 512, 100),
    ]
    with pytest.raises(UsageError, match=r"b\.tar is not there any more"):
        source.locate(["b.tar"], ["2"])


UNREADABLE = Unmeasured(Reason.UNREADABLE, "")
CRASH = Unmeasured(Reason.DECODER_CRASH, "")
MANY_PIXELS = Unmeasured(Reason.TOO_MANY_PIXELS, "")
MANY_BYTES = Unmeasured(Reason.TOO_MANY_BYTES, "")
BROKEN = Unmeasured(Reason.UNDECODABLE, "")
FULL = Limits(MeasureSettings(1_000_000, full_decode=True), 1_000_000)
FEWER_PIXELS = Limits(MeasureSettings(max_pixels=640 * 480 - 1), 1_000_000)
MORE_PIXELS = Limits(MeasureSettings(max_pixels=2_000_000), 1_000_000)
FEWER_BYTES = Limits(MeasureSettings(max_pixels=1_000_000), 49_999)
MORE_BYTES = Limits(MeasureSettings(max_pixels=1_000_000), 2_000_000)


@pytest.mark.parametrize(
    ("found", "limits", "again"),
    [
        pytest.param(MEASURED, LIMITS, False, id="measured"),
        pytest.param(MEASURED, FULL, True, id="measured, another hash"),
        pytest.param(MEASURED, MORE_PIXELS, False, id="measured, more pixels allowed"),
        pytest.param(MEASURED, FEWER_PIXELS, True, id="measured, too many pixels now"),
        pytest.param(MEASURED, FEWER_BYTES, True, id="measured, too many bytes now"),
        pytest.param(BROKEN, LIMITS, False, id="broken"),
        pytest.param(BROKEN, FULL, False, id="broken, another hash"),
        pytest.param(MANY_PIXELS, FEWER_PIXELS, False, id="too many pixels, fewer allowed"),
        pytest.param(MANY_PIXELS, MORE_PIXELS, True, id="too many pixels, more allowed"),
        pytest.param(MANY_BYTES, MORE_PIXELS, False, id="too many bytes, more pixels allowed"),
        pytest.param(MANY_BYTES, MORE_BYTES, True, id="too many bytes, more allowed"),
        pytest.param(UNREADABLE, LIMITS, True, id="unreadable"),
        pytest.param(CRASH, LIMITS, True, id="crashed"),
    ],
)
def test_only_what_no_longer_holds_is_measured_again(
    store: MeasureStore, found: Measures | Unmeasured, limits: Limits, again: bool
) -> None:
    """A later run measures an image again exactly when its limits may change what came of it; so with shards."""
    end = ShardEnd("b.tar", (100, 1), 1)
    look(store, item("a.jpg"), item("b.tar", "1"), found=found, ended=end)
    assert Visit(store, "x", limits).known("b.tar", (100, 1)) is not again
    assert look(store, item("a.jpg"), limits=limits) == (["a.jpg"] if again else [])


def test_what_changed_is_measured_again(store: MeasureStore) -> None:
    """A file with another size or mtime is measured again, and only that one; the row is the new one."""
    look(store, item("a.jpg"), item("b.jpg"))
    assert look(store, item("a.jpg", version=2), item("b.jpg"), found=measures(width=7)) == ["a.jpg"]
    assert table(store, ["width"])["width"].to_pylist() == [7, 640]


def test_what_is_gone_is_no_row_and_is_remembered(store: MeasureStore) -> None:
    """What a run does not meet is no row of it; when it is back unchanged, it is not measured again."""
    look(store, item("a.jpg", n=1), item("b.jpg", m=2))
    look(store, item("a.jpg", n=1))
    rows = table(store)
    assert rows["path"].to_pylist() == ["a.jpg"]
    assert rows.column_names[len(SOURCE_SCHEMA) :] == ["n"]
    with pytest.raises(UsageError):
        Measured("x", Path("/x"), store.path).locate(["b.jpg"], [None])
    assert look(store, item("a.jpg", n=1), item("b.jpg", m=2)) == []
    assert table(store, ["path", "m"]).to_pylist() == [
        {"path": "a.jpg", "m": None},
        {"path": "b.jpg", "m": 2},
    ]
    look(store)
    assert len(Measured("x", Path("/x"), store.path)) == 0
    assert look(store, item("b.jpg", version=2, m=2)) == ["b.jpg"]
    assert table(store, ["m"]).to_pylist() == [{"m": 2}]


def test_a_run_cut_short_forgets_nothing(store: MeasureStore) -> None:
    """A visit that is not ended leaves what it did not meet."""
    look(store, item("a.jpg"), item("b.jpg"))
    Visit(store, "x", LIMITS).to_measure([item("a.jpg")])
    assert len(Measured("x", Path("/x"), store.path)) == 2


def test_other_fields_are_not_measured_again(store: MeasureStore) -> None:
    """A new caption beside an old picture is taken over without measuring."""
    look(store, item("a.jpg", caption="old", n=1))
    assert look(store, item("a.jpg", caption="new", n=0.5)) == []
    [row] = table(store, ["captions", "caption", "n"]).to_pylist()
    assert row == {"captions": ["new"], "caption": "new", "n": 0.5}
    assert look(store, item("a.jpg")) == []
    assert table(store).schema == SOURCE_SCHEMA


def test_a_shard_is_known_when_all_of_it_is(store: MeasureStore) -> None:
    """A shard is passed over when it was listed to its end, each of its images measured, and it did not change."""
    one, two, end = item("b.tar", "1"), item("b.tar", "2"), ShardEnd("b.tar", (100, 1), 2)
    look(store, one, ended=end)
    assert not Visit(store, "x", LIMITS).known("b.tar", (100, 1))
    look(store, one, two)
    visit = Visit(store, "x", LIMITS)
    assert not visit.known("b.tar", (100, 2))
    assert not visit.known("c.tar", (100, 1))
    assert visit.known("b.tar", (100, 1))
    assert visit.passed == 2
    visit.ended(end)
    visit.end()
    assert len(Measured("x", Path("/x"), store.path)) == 2
    assert not Visit(store, "y", LIMITS).known("b.tar", (100, 1))


def test_what_a_shard_holds_besides_is_remembered(store: MeasureStore) -> None:
    """What was passed over in a shard is told again where the shard itself is."""
    end = ShardEnd("b.tar", (100, 1), 1, {".cls": 2})
    look(store, item("b.tar", "1"), ended=end)
    visit = Visit(store, "x", LIMITS)
    assert visit.known("b.tar", (100, 1))
    assert visit.ended(ShardEnd("b.tar", (100, 1))) == {".cls": 2}
    assert Visit(store, "x", LIMITS).ended(end) == {".cls": 2}


def test_a_folder_in_the_place_of_a_shard(store: MeasureStore) -> None:
    """A file with the name and so the uid of a sample that is gone is one row, and the sample none."""
    look(store, item("a.tar", "b"))
    look(store, item("a.tar/b"))
    assert table(store, ["path", "key"]).to_pylist() == [{"path": "a.tar/b", "key": None}]


READ = """
import sys
from pathlib import Path
from curator.sources.measured import Measured
source = Measured("x", Path("/x"), Path(sys.argv[1]))
print(len(source), sum(map(len, source.rows())), source.locate(["b.tar"], ["1"]))
"""


def test_reading_where_nothing_may_be_written(tmp_path: Path) -> None:
    """Rows and places are read from a disk that is mounted read-only, and nothing is made beside the file."""
    closed = tmp_path / "closed"
    closed.mkdir()
    with closing(MeasureStore(closed / "m.sqlite")) as store:
        look(store, item("a.jpg"), item("b.tar", "1"))
    mounted: tuple[str, ...] = ()
    if os.getuid() == 0:
        script = f'mount --bind "{closed}" "{closed}" && mount -o remount,ro,bind "{closed}" && exec "$@"'
        mounted = ("unshare", "-m", "sh", "-c", script, "sh")
        if subprocess.run([*mounted, "true"], capture_output=True, check=False).returncode:
            pytest.skip("root may write everywhere, and this system mounts nothing")
    closed.chmod(0o500)
    read = subprocess.run(
        [*mounted, sys.executable, "-c", READ, closed / "m.sqlite"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    closed.chmod(0o700)
    assert read.stdout == f"2 2 {[Place(Path('/x/b.tar'), 512, 100)]}\n", read.stderr
    assert [path.name for path in closed.iterdir()] == ["m.sqlite"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    """A folder that is called as the file is named, with the way out."""
    (tmp_path / "m.sqlite").mkdir()
    with pytest.raises(UsageError, match=r"m\.sqlite is a folder.* Delete it"):
        MeasureStore(tmp_path / "m.sqlite")


def test_sources_do_not_mix(store: MeasureStore) -> None:
    """The same path in two sources is two images."""
    look(store, item("a.jpg"))
    other = Visit(store, "y", LIMITS)
    assert other.to_measure([item("a.jpg")])
    other.end()
    assert len(Measured("x", Path("/x"), store.path)) == 1
    assert len(Measured("y", Path("/y"), store.path)) == 0


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        pytest.param([1, None, 2], pa.int64(), [1, None, 2], id="whole numbers"),
        pytest.param([1, 0.5], pa.float64(), [1.0, 0.5], id="numbers"),
        pytest.param([True, None], pa.bool_(), [True, None], id="truth"),
        pytest.param(["a", "\ud800"], pa.string(), ["a", "?"], id="text"),
        pytest.param(["a", 1, None, [1]], pa.string(), ["a", "1", None, "[1]"], id="mixed"),
        pytest.param([{"a": "ä"}, True], pa.string(), ['{"a": "ä"}', "true"], id="nested"),
        pytest.param([1 << 63, 1], pa.string(), [str(1 << 63), "1"], id="too long for a number"),
    ],
)
def test_fields_are_columns_of_their_kind(
    store: MeasureStore, values: list[object], kind: pa.DataType, expected: list[object]
) -> None:
    """A field's column has the type of all its values, whichever image came first."""
    look(store, *(item(f"{n}.jpg", f=value) for n, value in reversed(list(enumerate(values)))))
    rows = table(store)
    assert rows.schema.field("f").type == kind
    assert rows["f"].to_pylist() == expected


def test_fields_that_every_source_has(store: MeasureStore) -> None:
    """URL and captions are known; fields that collide with a column of ours are carried as input_NAME."""
    look(
        store,
        item("a.jpg", url="http://a/", caption="c", captions=["c", "d"], width=3, Path="p", md5=None),
        item("b.jpg", url=7, caption="e"),
        item("c.jpg", caption=""),
        item("d.jpg"),
    )
    rows = table(store)
    assert rows["url"].to_pylist() == ["http://a/", None, None, None]
    assert rows["captions"].to_pylist() == [["c", "d"], ["e"], None, None]
    assert rows.column_names[len(SOURCE_SCHEMA) :] == ["input_Path", "caption", "input_width"]
    assert rows["caption"].to_pylist() == ["c", "e", "", None]
    assert table(store, ["captions"])["captions"].to_pylist() == [["c", "d"], ["e"], None, None]


def test_captions_alone(store: MeasureStore) -> None:
    """Where no sample has several captions, each has its own, or null."""
    look(
        store,
        item("a.jpg", caption="a"),
        item("b.jpg", caption=5),
        item("c.jpg", n=1),
        item("d.jpg", caption="d"),
    )
    assert table(store, ["captions"])["captions"].to_pylist() == [["a"], None, None, ["d"]]


def test_a_name_that_collides() -> None:
    """Names collide with ours and with each other in any case."""
    assert own_name("similarity", []) == "similarity"
    assert own_name("UID", []) == "input_UID"
    assert own_name("stands_for", ["INPUT_stands_for"]) == "input_input_stands_for"


def test_of_too_many_fields_the_most_frequent() -> None:
    """Names made of data do not become columns without end."""
    counts = {(f"f{n:04}", "int"): 1 for n in range(1_000)} | {("z", "int"): 2}
    found = fields.columns(counts)
    assert len(found) == fields.MOST
    assert "z" in found


def test_batches_are_bounded(store: MeasureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch ends when it has enough rows or its text is long, and nothing is lost between batches."""
    look(store, *(item(f"{n:03}.jpg", text="x" * 1_000) for n in range(300)))
    source = Measured("x", Path("/x"), store.path)
    monkeypatch.setattr(measured, "ROWS", 200)
    assert [len(batch) for batch in source.rows(["uid"])] == [200, 100]
    monkeypatch.setattr(measured, "TEXT", 100_000)
    assert [len(batch) for batch in source.rows(["text"])] == [128, 128, 44]


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    """A store that is damaged, or no store at all, is named with the way out."""
    path = tmp_path / "m.sqlite"
    with closing(MeasureStore(path)) as store:
        look(store, *(item(f"{n}.jpg") for n in range(1_000)))
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\x55" * (len(whole) - 8192))
    with (
        pytest.raises(CorruptDataset, match=r"m\.sqlite: damaged .* Delete it"),
        closing(MeasureStore(path)) as store,
    ):
        table(store)
    path.write_bytes(b"not a database, but long enough to be taken for one" * 20)
    with pytest.raises(CorruptDataset, match="Delete it"):
        MeasureStore(path)


def test_another_database_is_left_alone(tmp_path: Path) -> None:
    """A database that is not ours is refused, and not a byte of it changed."""
    path = tmp_path / "m.sqlite"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE things (a)")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="is not ours"):
        MeasureStore(path)
    assert path.read_bytes() == before
