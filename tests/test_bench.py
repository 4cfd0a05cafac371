import ast
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.comparisons import COMPARISONS, Comparison, Goal, missed, ratios, wrong
from bench.contending import Job, Outcome, contend
from bench.show import between, latest, table

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "bench").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text()
    and path.stem != "img2dataset_resized"  # not our libraries
)


def run(images=100, seconds=10.0, truth=100, **more):
    """The record of one run."""
    outcome = {"images": images, "work": 0.0}
    record = {"failure": "", "seconds": seconds, "cpu": 8.0, "memory": 1 << 30, "outcome": outcome, **more}
    return record | {"wrong": wrong(record, truth)}


RACE = Comparison(
    "race", "a race", "crawl", "fast", 100, 10, ("ours", "theirs"), (Goal("theirs", 1.5),), unfair="to nobody"
)


@pytest.fixture
def job(tmp_path):
    """To find the pairs of ten hashes, of which two are near each other."""
    path, out = tmp_path / "hashes.npy", tmp_path / "out"
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 1 << 63, 10, dtype=np.uint64)
    hashes[9] = hashes[0] ^ np.uint64(5)
    np.save(path, np.sort(hashes))
    out.mkdir()
    return Job("search", str(path), str(out), 10, {"radius": 4})


def test_ratio_is_the_median_of_the_rounds():
    """How many times as fast ours is, is the median of its rounds' ratios, however slow one round was for both."""
    rounds = [
        {"ours": run(seconds=ours), "theirs": run(seconds=theirs)}
        for ours, theirs in ((10, 20), (100, 210), (10, 50))
    ]
    assert ratios(rounds, "ours")["theirs"]["rate"] == pytest.approx(2.1)


def test_who_misses_later_rounds_is_held_to_the_first():
    """A contender that took part in the first round only has the ratio of that round, and of no other."""
    rounds = [{"ours": run(), "theirs": run(seconds=20.0)}, {"ours": run(seconds=1.0)}]
    assert ratios(rounds, "ours")["theirs"]["rate"] == pytest.approx(2.0)


def test_wrong_count_has_no_speed():
    """Who saves fewer images than there are, or more, has no ratio, and is no goal of ours missed."""
    for images in (99, 101):
        rounds = [{"ours": run(), "theirs": run(images, seconds=1.0)}]
        assert ratios(rounds, "ours") == {"theirs": {}}
        assert missed(RACE, rounds, ratios(rounds, "ours")) == []


def test_goal_is_held():
    """Where ours is not as many times as fast as the goal says, or counts wrong, that is missed."""
    slow = [{"ours": run(), "theirs": run(seconds=14.0)}]
    assert missed(RACE, slow, ratios(slow, "ours")) == ["race: 1.40 times theirs by speed, not 1.5"]
    fast = [{"ours": run(), "theirs": run(seconds=15.1)}]
    assert missed(RACE, fast, ratios(fast, "ours")) == []
    few = [{"ours": run(99), "theirs": run(seconds=15.1)}]
    assert missed(RACE, few, ratios(few, "ours")) == ["race: ours: 99 of 100"]


def test_contender_is_measured(job):
    """A contender's outcome comes back with the time, CPU seconds and memory of its process."""
    found = contend("ours_search", job)
    assert isinstance(found.outcome, Outcome)
    assert (found.outcome.images, found.failure, found.exit_code) == (1, "", 0)
    assert found.seconds > found.outcome.work > 0
    assert found.cpu > 0
    assert found.memory > 1 << 20


def test_failure_is_told_in_words(job):
    """A contender that ends with an error, or hangs, is a run with the words for it."""
    assert "No module named 'bench.contenders.nobody'" in contend("nobody", job).failure
    assert contend("ours_search", job, limit=0.01).failure == "not done after 0 s"


def test_peer_that_cannot_be_installed_is_told(job, tmp_path, monkeypatch):
    """A peer whose environment cannot be made is a run that says so."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "hashes.npy"))  # a file
    assert contend("faiss_binary", job).failure == "cannot be installed here"


def test_table_shows_who_failed():
    """The table has a line for every contender of the last whole record, with the reason where it failed."""
    search = next(one for one in COMPARISONS if one.name == "search")
    first, other = search.contenders
    record = {
        "comparison": "search",
        "count": 100,
        "seed": 1,
        "quick": False,
        "environment": dict.fromkeys(("cpu", "cores", "python", "commit", "at"), "x"),
        "versions": {first: "1.0", other: ""},
        "rounds": [{first: run(), other: run(failure="cannot be installed here")}],
    }
    part = record | {"rounds": [{first: run()}], "versions": {first: "2.0"}}
    found = latest([record | {"ratios": {}}, part | {"ratios": {}}])
    lines = list(table(found, ()))
    assert any("curator.neighbours 1.0" in line and "10 pairs" in line for line in lines)
    assert any("faiss" in line and "cannot be installed here" in line for line in lines)


def test_table_goes_between_its_marks():
    """What stands between the marks is replaced, and nothing else."""
    text = "above\n<!-- bench -->\nold\n<!-- /bench -->\nbelow\n"
    assert between(text, ["new"]) == "above\n<!-- bench -->\nnew\n<!-- /bench -->\nbelow\n"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")  # of runpy
@pytest.mark.parametrize("name", PROGRAMS)
def test_help_is_what_the_program_is_for(name, monkeypatch, capsys, tmp_path):
    """`--help` of every program of the bench prints its docstring and does nothing."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(name, run_name="__main__")
    assert ended.value.code == 0
    path = ROOT / Path(*name.split(".")).with_suffix(".py")
    purpose = ast.get_docstring(ast.parse(path.read_text())).splitlines()[0]
    assert purpose in capsys.readouterr().out
    assert not list(tmp_path.iterdir())


def test_quick(tmp_path):
    """`python -m bench --quick` compares ours with others from end to end, and writes no results."""
    photos = tmp_path / "photos"
    photos.mkdir()
    colours = np.random.default_rng(1).integers(0, 255, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(colours).resize((1600, 1200)).save(photos / "one.png")
    command = [sys.executable, "-m", "bench", "--quick", "--images", "40", "--photos", str(photos)]
    results = ROOT / "bench" / "results" / "compared.jsonl"
    before = results.read_bytes() if results.exists() else b""
    done = subprocess.run(
        [*command, "--only", "fast,folder", "--beside", "reference,imagehash_pool"],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("crawl", "bare decode loop", "curate", "imagehash in a pool"):
        assert any(line.strip().startswith(name) for line in done.stdout.splitlines()), done.stdout
    assert (results.read_bytes() if results.exists() else b"") == before
