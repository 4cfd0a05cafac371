"""Decisions about images that were decided on before: remembered, grown, compared with others, disputed."""

import asyncio
import os
from pathlib import Path

import pytest

from curator.pipeline import Watched, curate_with
from curator.settings import Settings
from tests.curating import Here, by_path, curated, filled, moved, picture, reasons
from tests.datasets import make
from tests.pictures import jpeg


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `pics` of photographs and near copies, and the decisions on them in `out`."""
    root = tmp_path_factory.mktemp("decided")
    files = {f"{n}.jpg": picture(n) for n in range(6)} | {f"near{n}.jpg": picture(n, 60) for n in range(3)}
    watched(filled(root / "pics", files | {"small.jpg": jpeg(50, 40, 40)}), root / "out")
    return root


def spoiled(folder: Path) -> None:
    """Every file of the folder is noise now, of the size and time it had."""
    for path in folder.rglob("*"):
        if path.is_file():
            found = path.stat()
            path.write_bytes(bytes(found.st_size))
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def watched(folder: Path, out: Path, **settings: object) -> Watched:
    """Curate with one worker; how measuring went."""
    watching = Watched()
    asyncio.run(curate_with([folder], out, Settings(workers=1, **settings), watching))
    return watching


def test_other_rules_decode_nothing(decided: Path, tmp_path: Path):
    """What was measured once is decided on by other rules though it cannot be decoded any more."""
    folder, out = moved(decided, tmp_path)
    before = reasons(out)
    spoiled(folder)
    again = watched(folder, out, dedup="bytes", min_side=0).measuring
    assert (again.listed, again.known, again.measured, again.bytes) == (10, 10, 0, 0)
    assert (before["small.jpg"], before["near1.jpg"]) == ("too_small", "near_duplicate")
    assert set(reasons(out).values()) == {"saved"}


def test_what_changed_is_measured_again(decided: Path, tmp_path: Path):
    """A changed file and a new one are measured, one that is gone is no row; nothing else is looked at."""
    folder, out = moved(decided, tmp_path)
    before = by_path(out)
    spoiled(folder)
    filled(folder, {"1.jpg": jpeg(41, 200, 150), "new.jpg": picture(42)})
    (folder / "3.jpg").unlink()
    again = watched(folder, out).measuring
    assert (again.known, again.measured) == (8, 2)
    after = by_path(out)
    assert after.keys() == before.keys() - {"3.jpg"} | {"new.jpg"}
    assert (after["1.jpg"]["width"], after["1.jpg"]["uid"]) == (200, before["1.jpg"]["uid"])
    assert [after[f"{n}.jpg"] for n in (0, 4, 5)] == [before[f"{n}.jpg"] for n in (0, 4, 5)]


def test_survivors_of_an_earlier_decision_stay(decided: Path, tmp_path: Path, here: Here):
    """With --since better copies do not take a survivor's place; what was added and lost is told, also why."""
    folder, out = moved(decided, tmp_path)
    filled(folder, {"better0.jpg": jpeg(0, 512, 416), "new.jpg": picture(40), "5.jpg": b"<html>"})
    (folder / "4.jpg").unlink()
    ended = here(folder, "--out", out, "--workers", 1, "--since", out)
    assert ended.code == 0, ended.error
    assert "since the earlier decision: 1 added, 2 lost (1 gone, 1 not_an_image)" in ended.out
    rows = by_path(out)
    assert rows["better0.jpg"]["width"] > rows["0.jpg"]["width"]  # it would have been the one that is kept
    assert rows["better0.jpg"]["duplicate_of"] == rows["0.jpg"]["uid"]
    assert {path for path, row in rows.items() if row["kept"]} == {*(f"{n}.jpg" for n in range(4)), "new.jpg"}


def test_what_others_have_is_dropped(tmp_path: Path):
    """--against a folder and a dataset: what they have is named with the reason; they themselves are not decided on."""
    has = make(tmp_path / "data", samples=1, failures=0, pending=0)
    theirs = filled(tmp_path / "seen", {"a.jpg": jpeg(0, 100, 80, quality=70), "broken.jpg": b"<html>"})
    ours = {f"{n}.jpg": picture(n) for n in range(3)} | {
        "near1.jpg": picture(1, 60),
        "noise.jpg": next(iter(has.values())),
    }
    folder, out = filled(tmp_path / "pics", ours), tmp_path / "out"
    against = (theirs, tmp_path / "data")
    summary = curated(folder, out=out, workers=1, min_side=0, against=against).summary
    rows = by_path(out)
    assert rows.keys() == ours.keys()
    assert {path: (row["reason"], row["detail"]) for path, row in rows.items()} == {
        "0.jpg": ("near_duplicate", "against seen"),
        "1.jpg": ("saved", ""),
        "2.jpg": ("saved", ""),
        "near1.jpg": ("near_duplicate", ""),
        "noise.jpg": ("same_bytes", "against data"),
    }
    assert rows["0.jpg"]["duplicate_of"] not in {row["uid"] for row in rows.values()}
    assert [(one["label"], one["kind"]) for one in summary["against"]] == [
        ("data", "dataset"),
        ("seen", "files"),
    ]


def test_a_person_is_obeyed(decided: Path, tmp_path: Path, here: Here):
    """What pairs.csv says of pairs is done and marked; precision and recall of the radius on them are told."""
    folder, out = moved(decided, tmp_path)
    uid = {path: row["uid"] for path, row in by_path(out).items()}
    said = [
        ("0.jpg", "near0.jpg", "both"),  # a false pair
        ("1.jpg", "near1.jpg", "b"),
        ("3.jpg", "4.jpg", "a"),  # a pair that was missed
        ("2.jpg", "5.jpg", "neither"),
    ]
    pairs = tmp_path / "pairs.csv"
    lines = [f"{uid[a]},{uid[b]},{verdict}" for a, b, verdict in said] + [f"{'0' * 32},{uid['0.jpg']},both"]
    pairs.write_text("\n".join(["uid_a,uid_b,verdict", *lines]))
    ended = here(folder, "--out", out, "--workers", 1, "--pairs", pairs)
    assert ended.code == 0, ended.error
    assert "4 of 5 pairs" in ended.out
    assert "precision 50.0 %" in ended.out
    assert "recall 50.0 %" in ended.out
    assert "0" * 32 in ended.out
    rows = by_path(out)
    assert {path: row["detail"] for path, row in rows.items() if row["detail"]} == dict.fromkeys(
        ("1.jpg", "4.jpg", "2.jpg", "5.jpg"), "by_hand"
    )
    assert {path: row["reason"] for path, row in rows.items() if not row["kept"]} == {
        "1.jpg": "near_duplicate",
        "4.jpg": "near_duplicate",
        "2.jpg": "excluded",
        "5.jpg": "excluded",
        "small.jpg": "too_small",
    }
    assert (rows["4.jpg"]["duplicate_of"], rows["1.jpg"]["duplicate_of"]) == (uid["3.jpg"], uid["near1.jpg"])
    assert rows["near2.jpg"]["kept"]  # who led it is gone
