"""Sealing: whole under the final name or not there, from whatever a kill left."""

import json
import tarfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator.dataset import Dataset
from curator.dataset.verify import verify
from tests.datasets import BARE, CAPTIONED, make, opened
from tests.killed import Killed, killed_at_each_step


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    """What is left by kills before each step."""
    return killed_at_each_step("seal", tmp_path_factory.mktemp("seal"))


def test_the_tar_is_whole_before_it_has_its_name(left: list[Killed]) -> None:
    """Parquet and stats are durable before the archive's end, that before its name, that before `sealed`."""
    steps = [killed.step for killed in left]

    assert steps[6:] == [
        "sync .00000.parquet.tmp",
        "rename 00000.parquet",
        "sync .00000_stats.json.tmp",
        "rename 00000_stats.json",
        "sync images",
        "write",
        "sync 00000.tar.part",
        "rename 00000.tar",
        "sync images",
        "commit",
        "survived",
    ]


def test_killed_at_each_step(left: list[Killed]) -> None:
    """Killed before any step of sealing, the dataset is whole; reopening finishes what was begun."""
    begun = [killed.step for killed in left].index("sync .00000.parquet.tmp")

    for at, killed in enumerate(left):
        before = [sample.image for sample in Dataset(killed.root)]
        assert verify(killed.root).problems == (), killed
        with opened(killed.root, CAPTIONED) as store:
            states = [state for (state,) in store.ledger.db.execute("SELECT state FROM shards")]
            assert store.ledger.db.execute("SELECT count(*) FROM samples").fetchone()[0] == (
                0 if "sealed" in states else len(before)
            )
        assert states == (["sealed"] if at >= begun else ["open"] if at > 0 else []), killed
        assert verify(killed.root).problems == (), killed
        assert [sample.image for sample in Dataset(killed.root)] == before, killed


def test_a_sealed_shard_is_plain_tar_parquet_and_json(tmp_path: Path) -> None:
    """The standard library reads the archive, its Parquet has a row per sample in the same order."""
    make(tmp_path / "data", samples=3, failures=0, pending=0)
    images = tmp_path / "data" / "images"

    with tarfile.open(images / "00000.tar") as archive:
        names = archive.getnames()
        sidecars = [
            json.load(archive.extractfile(f"{name[:-4]}.json")) for name in names if name.endswith(".jpg")
        ]
    rows = pq.read_table(images / "00000.parquet").to_pylist()
    stats = json.loads((images / "00000_stats.json").read_text())

    assert names == [
        f"{key}.{end}" for key in ("000000", "000001", "000002") for end in ("jpg", "json", "txt")
    ]
    assert [row["uid"] for row in rows] == [sidecar["uid"] for sidecar in sidecars]
    assert not any(None in sidecar.values() for sidecar in sidecars)
    assert any(row["caption"] is None for row in rows)
    assert (stats["count"], stats["successes"], stats["status_dict"]) == (3, 3, {"success": 3})


def test_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    """Archives are deterministic."""
    for name in ("a", "b"):
        make(tmp_path / name)
    a, b = ((tmp_path / name / "images" / "00000.tar").read_bytes() for name in ("a", "b"))
    assert a == b


def test_nothing_saved_seals_nothing(tmp_path: Path) -> None:
    """A dataset without a sample has no shard, and is whole."""
    make(tmp_path / "data", samples=0)
    assert not list((tmp_path / "data" / "images").glob("*.tar"))
    assert verify(tmp_path / "data").problems == ()
    with opened(tmp_path / "empty", BARE):
        pass
    assert verify(tmp_path / "empty").problems == ()
    assert Dataset(tmp_path / "empty").rows().num_rows == 0
