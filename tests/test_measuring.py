"""Measuring what lies in folders and foreign shards, and reading the bytes of images, beside an event loop."""

import asyncio
import io
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from curator import measuring
from curator.measure import MeasureSettings, measure
from curator.measuring import Listing, Progress, measure_sources
from curator.reasons import Reason
from curator.records import Unmeasured
from curator.settings import Settings
from curator.sources.items import Item, Known, Listed, PassedOver, ShardEnd, Warned
from curator.sources.measured import Measured
from curator.sources.measures import MeasureStore
from curator.sources.reading import Reader, read_places
from curator.sources.source import Place
from tests.pictures import encoded, jpeg

SETTINGS = Settings(workers=1, max_bytes=1 << 20)
UNREADABLE = Unmeasured(Reason.UNREADABLE, "Permission denied")


def file_item(path: Path) -> Item:
    """A plain file, as a listing has it."""
    found = path.stat()
    return Item(path.name, None, (found.st_size, found.st_mtime_ns), Place(path))


def listing(*entries: Listed) -> Listing:
    """A source that holds just this."""
    return Listing("x", lambda known: iter(entries))


async def measured(
    root: Path, *entries: Listed, settings: Settings = SETTINGS
) -> tuple[Progress, list[dict]]:
    """One run over these entries: how it went, and all rows."""
    progress = Progress()
    with closing(MeasureStore(root / "measures.sqlite")) as store:
        await measure_sources([listing(*entries)], store, settings, progress)
        source = Measured("x", root, store.path)
        rows = pa.Table.from_batches(source.rows(), source.schema).to_pylist()
    return progress, rows


def put(path: Path, body: bytes) -> Path:
    """A new file."""
    path.write_bytes(body)
    return path


def shards(root: Path, bodies: Sequence[bytes]) -> list[Place]:
    """The same images three times: as slices of a tar, in a column of bytes and in one of structs."""
    with tarfile.open(root / "a.tar", "w") as tar:
        for n, body in enumerate(bodies):
            member = tarfile.TarInfo(f"{n}.jpg")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    with tarfile.open(root / "a.tar") as tar:
        places = [Place(root / "a.tar", member.offset_data, member.size) for member in tar]
    columns = {"jpg": bodies, "image": [{"path": None, "bytes": body} for body in bodies]}
    pq.write_table(pa.table(columns), root / "a.parquet", row_group_size=3)
    for column in columns:
        places += [Place(root / "a.parquet", row=row, column=column) for row in range(len(bodies))]
    return places


async def test_everything_readable_is_measured_as_it_is(tmp_path: Path) -> None:
    """Files, members of tars and cells of Parquet get the measures of their bytes."""
    bodies = [jpeg(n, 40, 30) for n in range(7)]
    places = shards(tmp_path, bodies)
    items: list[Listed] = [file_item(put(tmp_path / f"{n}.jpg", body)) for n, body in enumerate(bodies)]
    for n, place in enumerate(places):
        items.append(Item(place.file.name, f"{n:02}", (1, 1), place))

    progress, rows = await measured(tmp_path, *items)

    expected = [measure(body, MeasureSettings()) for body in bodies]
    by_place = {(row["path"], row["key"]): row for row in rows}
    assert len(by_place) == len(items) == 28
    for n, item in enumerate(items):
        row = by_place[item.path, item.key]
        assert (row["sha256"], row["phash"], row["width"]) == (
            expected[n % 7].sha256,
            expected[n % 7].phash,
            40,
        )
    assert (progress.listed, progress.known, progress.measured, progress.complete) == (28, 0, 28, True)
    assert progress.bytes == 4 * sum(map(len, bodies))


async def test_what_cannot_be_measured_is_a_row(tmp_path: Path) -> None:
    """Each trouble with one image is its own row's Reason, with words; the others are measured."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    pq.write_table(pa.table({"jpg": pa.array([None], pa.binary())}), tmp_path / "a.parquet")
    empty = put(tmp_path / "empty.jpg", b"")
    os.truncate(
        put(tmp_path / "vast.jpg", b""), 1 << 40
    )  # of which no byte is on the disk, nor ever in memory
    items = [
        file_item(put(tmp_path / "good.jpg", jpeg(0, 40, 30))),
        file_item(put(tmp_path / "text.jpg", b"<html>no</html>")),
        file_item(empty),
        file_item(put(tmp_path / "large.jpg", bytes((1 << 20) + 1))),
        file_item(tmp_path / "vast.jpg"),
        Item("gone.jpg", None, (1, 1), Place(tmp_path / "gone.jpg")),
        Item("folder", None, (1, 1), Place(tmp_path / "folder")),
        Item("pipe.jpg", None, (1, 1), Place(tmp_path / "pipe.jpg")),
        Item("short.tar", "1", (1, 1), Place(empty, 512, 10)),
        Item("a.parquet", "0", (1, 1), Place(tmp_path / "a.parquet", row=0, column="jpg")),
        Item("a.parquet", "9", (1, 1), Place(tmp_path / "a.parquet", row=9, column="jpg")),
        Item("b.parquet", "0", (1, 1), Place(empty, row=0, column="jpg")),
        Item("closed", None, (0, 0), Place(tmp_path / "closed"), None, UNREADABLE),
    ]
    progress, rows = await measured(tmp_path, *items)
    told = {(row["path"], row["key"]): (row["unmeasured"], row["detail"]) for row in rows}
    assert {place: reason for place, (reason, _) in told.items()} == {
        ("good.jpg", None): None,
        ("text.jpg", None): "not_an_image",
        ("empty.jpg", None): "not_an_image",
        ("large.jpg", None): "too_many_bytes",
        ("vast.jpg", None): "too_many_bytes",
    } | {(item.path, item.key): "unreadable" for item in items[5:]}
    assert told["gone.jpg", None][1] == "No such file or directory"
    assert told["pipe.jpg", None][1] == "not a file"
    assert told["short.tar", "1"][1] == "the file ends after 512 bytes"
    assert told["a.parquet", "0"][1] == "no image in this row"
    assert told["closed", None][1] == "Permission denied"
    assert all(detail for reason, detail in told.values() if reason == "unreadable")
    assert progress.measured == 13


async def test_an_image_that_no_worker_can_hold_is_a_row(tmp_path: Path) -> None:
    """An image that takes more memory than a worker may have is named for it; the run goes on."""
    vast = encoded(Image.new("1", (9_000, 9_000)), "PNG")
    items = [file_item(put(tmp_path / "a.png", vast)), file_item(put(tmp_path / "b.jpg", jpeg(0, 40, 30)))]
    _, rows = await measured(tmp_path, *items, settings=Settings(workers=1, worker_memory=64 << 20))
    assert [row["unmeasured"] for row in rows] == ["decoder_crash", None]


async def test_a_second_run_starts_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is new, no image is read and no process started; shards that are known are not listed."""
    bodies = [jpeg(n, 40, 30) for n in range(2)]
    items = [Item("a.tar", f"{n}", (9, 9), place) for n, place in enumerate(shards(tmp_path, bodies)[:2])]
    asked: list[bool] = []

    def entries(known: Known) -> Iterator[Listed]:
        asked.append(known("a.tar", (9, 9)))
        if not asked[-1]:
            yield from items
        yield ShardEnd("a.tar", (9, 9), len(items))

    with closing(MeasureStore(tmp_path / "measures.sqlite")) as store:
        await measure_sources([Listing("x", entries)], store, SETTINGS, Progress())
        monkeypatch.setattr(measuring, "WorkerPool", None)
        again = Progress()
        await measure_sources([Listing("x", entries)], store, SETTINGS, again)
        assert len(Measured("x", tmp_path, store.path)) == 2
    assert asked == [False, True]
    assert (again.listed, again.known, again.measured) == (2, 2, 0)


async def test_what_a_listing_says_besides_is_passed_on(tmp_path: Path) -> None:
    """Warnings are kept in their order, what was passed over is added up."""
    said = [PassedOver(".txt", 2), Warned("one"), PassedOver(".txt", 1), PassedOver("fifo", 1), Warned("two")]
    progress, rows = await measured(tmp_path, *said, ShardEnd("a.tar", (1, 1), 0, {".txt": 1}))
    assert progress.passed_over == {".txt": 4, "fifo": 1}
    assert progress.warnings == ["one", "two"]
    assert rows == []


async def test_what_is_only_compared_with_passes_nothing_over(tmp_path: Path) -> None:
    """Of a source to compare with, warnings are kept, and what is no image is nobody's business."""
    progress, other = (
        Progress(),
        Listing("x", lambda known: iter([PassedOver(".txt", 2), Warned("one")]), True),
    )
    with closing(MeasureStore(tmp_path / "measures.sqlite")) as store:
        await measure_sources([other], store, SETTINGS, progress)
    assert (progress.passed_over, progress.warnings) == ({}, ["one"])


async def test_an_error_while_listing_ends_the_run(tmp_path: Path) -> None:
    """What a listing raises is raised as it is, and what was measured by then is kept."""
    good = file_item(put(tmp_path / "a.jpg", jpeg(0, 40, 30)))
    progress = Progress()

    def entries(known: Known) -> Iterator[Listed]:
        yield good
        while not progress.measured:
            yield Warned("still going")
        raise LookupError("ours")

    with closing(MeasureStore(tmp_path / "measures.sqlite")) as store:
        with pytest.raises(LookupError, match="ours"):
            await measure_sources([Listing("x", entries)], store, SETTINGS, progress)
        assert len(Measured("x", tmp_path, store.path)) == 1
    assert not progress.complete
    assert len(progress.warnings) <= 1_000


async def test_cancelled_it_keeps_what_was_measured(tmp_path: Path) -> None:
    """A run that is cancelled in the middle commits what was measured, and the next one does the rest."""
    items = [file_item(put(tmp_path / f"{n}.jpg", jpeg(n, 40, 30))) for n in range(3)]
    progress, loop, two = Progress(), asyncio.get_running_loop(), asyncio.Event()

    def entries(known: Known) -> Iterator[Listed]:
        yield from items[:2]
        while True:  # until it is cancelled
            if progress.measured == 2:
                loop.call_soon_threadsafe(two.set)
            yield Warned("")

    with closing(MeasureStore(tmp_path / "measures.sqlite")) as store:
        run = asyncio.create_task(measure_sources([Listing("x", entries)], store, SETTINGS, progress))
        await two.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
    again, rows = await measured(tmp_path, *items)
    assert (again.known, again.measured) == (2, 1)
    assert len(rows) == 3


KILLED = """
import asyncio, os, signal, sqlite3, sys
from pathlib import Path
from curator.measuring import Item, Listing, MeasureStore, Progress, Settings, Warned, measure_sources
from curator.sources.source import Place

def entries(known):
    for path in map(Path, sys.argv[2:]):
        found = path.stat()
        yield Item(path.name, None, (found.st_size, found.st_mtime_ns), Place(path))
    while True:
        if sqlite3.connect(sys.argv[1]).execute("SELECT count(*) FROM images").fetchone()[0] == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield Warned("")

if __name__ == "__main__":
    store = MeasureStore(Path(sys.argv[1]))
    asyncio.run(measure_sources([Listing("x", entries)], store, Settings(workers=1), Progress()))
"""


def test_killed_it_goes_on(tmp_path: Path) -> None:
    """A run killed with -9 goes on with what was not committed, and comes to the same rows."""
    paths = [put(tmp_path / f"{n}.jpg", jpeg(n, 40, 30)) for n in range(4)]
    (tmp_path / "run.py").write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, tmp_path / "run.py", tmp_path / "measures.sqlite", *paths[:3]]
    assert subprocess.run(command, env=environment, check=False).returncode == -signal.SIGKILL
    progress, rows = asyncio.run(measured(tmp_path, *map(file_item, paths)))
    assert (progress.known, progress.measured) == (3, 1)
    assert [row["sha256"] for row in rows] == [
        measure(p.read_bytes(), MeasureSettings()).sha256 for p in paths
    ]


async def test_bytes_come_in_the_order_asked_for(tmp_path: Path) -> None:
    """`read_places` gives each image's bytes, forwards, backwards and mixed, however many batches that takes."""
    bodies = [bytes([n]) * (100_000 + n) for n in range(40)]
    places = shards(tmp_path, bodies)
    wanted = [(place, bodies[n % 40]) for n, place in enumerate(places)]
    mixed = [pair for three in zip(wanted[:40], wanted[79:39:-1], wanted[80:], strict=True) for pair in three]
    async with Reader(1 << 20) as reader:
        for order in (wanted, wanted[::-1], mixed):
            read = [body async for body in read_places(reader, (place for place, _ in order))]
            assert read == [body for _, body in order]


async def test_reading_may_end_early(tmp_path: Path) -> None:
    """Whoever takes only the first leaves nothing running."""
    places = shards(tmp_path, [jpeg(0, 40, 30)] * 200)
    async with Reader(1 << 20) as reader:
        bodies = read_places(reader, places)
        assert await anext(bodies) == jpeg(0, 40, 30)
        await bodies.aclose()
        assert [task for task in asyncio.all_tasks() if task is not asyncio.current_task()] == []
