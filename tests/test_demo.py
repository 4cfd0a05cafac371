"""`crawl demo`, for real: a site of its own, a crawl, and a report that tells the truth."""

import csv
import json
import os
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from crawler.demo import tour
from crawler.demo.plan import LOTS, demo_plan
from curator.dataset.reader import Dataset
from curator.dataset.verify import verify
from curator.errors import UsageError
from curator.reasons import Reason
from tests.command import Here

ROOT = Path(__file__).parents[1]


def demo(out, *, timeout=60):
    """The command as a user runs it."""
    return subprocess.run(
        [sys.executable, "-m", "crawler.cli", "demo", "--out", str(out)],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120", "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=timeout,
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(folder, what was printed) of a demo that ran once."""
    out = tmp_path_factory.mktemp("demo") / "data"
    run = demo(out)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""
    return out, run.stdout


def test_the_demo_comes_to_its_plan(done):
    """Every planted link came to what it was planted for, and the dataset reads back whole."""
    out, _ = done
    assert Counter(tour.outcomes(out).values()) == Counter(demo_plan("phash"))
    assert verify(out).problems == ()
    assert len(Dataset(out)) == demo_plan("phash")[Reason.SAVED]


def test_the_demo_tells_of_every_lot(done):
    """The report names each kind of link with its number, and every file that it points at is there."""
    out, printed = done
    for lot in LOTS:
        assert f"{lot.n:>5} {lot.what}" in printed
    assert "NOT as planned" not in printed
    for name in ("README.md", "images/", "failures.parquet", "summary.json"):
        assert f"{out}/{name}" in printed
        assert (out / name).exists()


def test_what_the_demo_says_to_try_works(done):
    """Each command that it proposes for its own dataset ends well."""
    out, printed = done
    lines = [line.strip() for line in printed.partition("Try next:")[2].splitlines() if str(out) in line]
    tried = [line for line in lines if "  (" not in line]  # those with a remark crawl again
    assert [Path(line.split()[0]).name for line in tried] == ["crawl", "curate", "python"]
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    for line in tried:
        ran = subprocess.run(line, shell=True, env=os.environ | {"PATH": path}, capture_output=True)
        assert ran.returncode == 0, (line, ran.stderr)


def test_the_demo_a_second_time(done):
    """In the same folder it says so, asks only for what may have passed, and ends as well."""
    out, _ = done
    again = demo(out)
    assert (again.returncode, again.stderr) == (0, "")
    assert "there already" in again.stdout
    assert len(tour.outcomes(out)) == sum(lot.n for lot in LOTS)  # the same URLs, not as many new ones
    summary = json.loads((out / "summary.json").read_text())
    assert (summary["runs"], summary["saved"]) == (2, demo_plan("phash")[Reason.SAVED])


def test_a_foreign_folder_is_left_alone(tmp_path, monkeypatch, capsys):
    """A folder that holds something else is refused in one line, and no list is left beside it."""
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("precious")
    ended = Here(monkeypatch, capsys)("demo", "--out", out)
    assert ended.code == 2
    assert ended.error.startswith("crawl: ")
    assert len(ended.error.splitlines()) == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_a_dataset_of_another_crawl_is_refused(tmp_path):
    """Without the demo's list beside it, a dataset is not the demo's to write into."""
    (tmp_path / "ledger.sqlite").touch()
    with pytest.raises(UsageError, match="not the demo's"), tour.serving(tmp_path):
        pass


def test_a_list_that_is_not_the_demos_is_kept(tmp_path):
    """A file that happens to have the list's name is neither crawled nor written over."""
    mine = tmp_path / "data-urls.csv"
    mine.write_text("url\nhttp://example.com/1.jpg\n")
    with pytest.raises(UsageError, match="not a list of the demo's"), tour.serving(tmp_path / "data"):
        pass
    assert mine.read_text() == "url\nhttp://example.com/1.jpg\n"


def test_a_port_that_is_taken_is_told(tmp_path, capfd):
    """Where the site cannot be what it was, the user hears it in plain words."""
    with tour.serving(tmp_path / "data") as urls:
        kept = urls.read_bytes()
        with urls.open(newline="") as file:
            port = int(next(csv.DictReader(file))["url"].split(":")[2].split("/")[0])
    urls.write_bytes(kept)  # as a crawl would have left it
    with (
        socket.create_server(("127.0.0.1", port)),
        pytest.raises(UsageError, match="cannot be served now"),
        tour.serving(tmp_path / "data"),
    ):
        pass
    assert "Traceback" not in capfd.readouterr().err


def test_what_goes_wrong_is_told():
    """A link that came to something else than planned is named, with what was planned."""
    found = {f"http://127.0.0.1:1/{lot.name}/{n}": lot.reason for lot in LOTS for n in range(lot.n)}
    assert all(line.as_planned for line in tour.compare(found))
    found["http://127.0.0.1:1/missing/0"] = Reason.SAVED
    (wrong,) = [line for line in tour.compare(found) if not line.as_planned]
    assert "19 http_404, 1 saved, NOT as planned: 20 http_404" in tour._told(wrong)
