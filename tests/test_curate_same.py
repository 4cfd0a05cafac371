"""The same images are decided the same way, and exported as the same bytes, however and how often it is done."""

import random
from pathlib import Path

import pytest

from tests.curating import EXPORTS, album, curate_in, decisions, export_in, filled, picture
from tests.exporting import tree
from tests.killed_curate import killed_curate


def written(root: Path) -> dict[str, dict[str, bytes]]:
    """What the exports of a curation wrote."""
    return {name: tree(root / name) for name in EXPORTS}


def curate_and_export(root: Path, workers: int) -> None:
    """Without a pause."""
    curate_in(root, workers)
    for name in EXPORTS:
        export_in(root, name, workers)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that were curated and exported without a pause, by one worker."""
    root = tmp_path_factory.mktemp("once")
    filled(root / "pics", album())
    curate_and_export(root, workers=1)
    assert len({row["reason"] for row in decisions(root / "curated")}) == 6
    assert all(written(root).values())
    return root


def test_neither_order_nor_place_nor_workers_matter(once: Path, tmp_path: Path):
    """The same files written in another order to another place, measured by four: equal decisions, equal exports."""
    files = list(album().items())
    random.Random(1).shuffle(files)
    filled(tmp_path / "pics", dict(files))
    curate_and_export(tmp_path, workers=4)
    assert decisions(tmp_path / "curated") == decisions(once / "curated")
    assert written(tmp_path) == written(once)


def test_kills_do_not_matter(once: Path, tmp_path: Path):
    """Killed with SIGKILL four times, while measuring and while exporting, it ends as if nothing had been."""
    filled(tmp_path / "pics", album())
    killed_curate(tmp_path, kills=2, longest=0.3)
    assert decisions(tmp_path / "curated") == decisions(once / "curated")
    assert written(tmp_path) == written(once)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_many_kills_over_many_pictures(tmp_path: Path):
    """Ten kills over measuring that takes seconds and is remembered every second, and ten over exports: the same."""
    files = album() | {f"more/{number}.jpg": picture(number) for number in range(100, 1500)}
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    filled(straight / "pics", files)
    filled(killed / "pics", files)
    curate_and_export(straight, workers=2)
    killed_curate(killed, kills=10, longest=2.0)
    assert decisions(killed / "curated") == decisions(straight / "curated")
    assert written(killed) == written(straight)
