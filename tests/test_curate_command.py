"""`curate` at a terminal and in a pipe: what it prints, how it ends, and that it can be stopped and gone on with."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curator.pipeline import Watched, curate_with
from curator.settings import Settings
from tests.command import Ended
from tests.crawling import wait_until
from tests.curating import ROOT, Here, album, curated, decisions, filled, moved, picture, reasons
from tests.hostile import many_scans


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def decided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder `pics` with a few pictures of all kinds, and the decisions on them in `out`."""
    root = tmp_path_factory.mktemp("decided")
    curated(filled(root / "pics", album()), out=root / "out", workers=1)
    return root


def test_the_last_lines(decided: Path, tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch):
    """They name what was kept, every reason with its number, the report, the decisions, and a command that exports."""
    pics, out = moved(decided, tmp_path / "it's")
    ended = here(pics, "--out", out, "--workers", 1)
    summary = json.loads((out / "summary.json").read_text())
    assert (ended.code, ended.error) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0].startswith(f"{summary['kept']} of {summary['images']} images kept (")
    for reason, count in summary["reasons"].items():
        assert any(line.split()[:2] == [reason, str(count)] for line in lines), reason
    assert lines[-3:-1] == [f"report     {out}/report.html", f"decisions  {out}/decisions.parquet"]
    assert all((out / name).is_file() for name in ("report.html", "decisions.parquet"))

    told = lines[-1].removeprefix("write out  curate ")
    monkeypatch.chdir(tmp_path)
    ended = here(*shlex.split(told))
    assert (ended.code, ended.error) == (0, "")
    assert f"exported   {summary['kept']} images" in ended.out
    assert (tmp_path / "clean" / "00000.tar").is_file()


def test_no_chance_is_told_where_nothing_is_compared(tmp_path: Path, here: Here):
    """A picture that is alone meets nobody by chance; two may."""
    for count in (1, 2):
        pics = filled(tmp_path / f"pics{count}", {f"{n}.jpg": picture(n) for n in range(count)})
        ended = here(pics, "--out", tmp_path / f"out{count}", "--workers", 1)
        assert ended.code == 0
        assert ("chance: about" in ended.out) == (count == 2)


def test_json_and_quiet(decided: Path, tmp_path: Path, here: Here):
    """--json is one line, the same as summary.json; --quiet is nothing at all; exporting adds to the one line."""
    pics, out = moved(decided, tmp_path)
    flags = ("--out", out, "--workers", 1)
    assert here(pics, *flags, "--export", tmp_path / "a", "--quiet") == Ended(0, "", "")
    assert (tmp_path / "a" / "00000.tar").is_file()
    ended = here(pics, *flags, "--json")
    assert (ended.code, ended.error, ended.out.count("\n")) == (0, "", 1)
    assert json.loads(ended.out) == json.loads((out / "summary.json").read_text())
    ended = here(pics, *flags, "--export", tmp_path / "a", "--json")
    assert (ended.code, ended.error, ended.out.count("\n")) == (0, "", 1)
    both = json.loads(ended.out)
    assert both.pop("exported")["images"] == both["kept"]
    assert both == json.loads((out / "summary.json").read_text())
    ended = here("export", out, "--out", tmp_path / "b", "--as", "folder", "--json")
    assert (ended.code, ended.error, ended.out.count("\n")) == (0, "", 1)
    assert json.loads(ended.out)["images"] == sum(one == "saved" for one in reasons(out).values())


def test_nothing_is_kept(decided: Path, tmp_path: Path, here: Here):
    """Rules that leave nothing are no error: which took how many is said, and no export is offered."""
    pics, out = moved(decided, tmp_path)
    ended = here(pics, "--out", out, "--workers", 1, "--min-side", 5000)
    assert ended.code == 0
    assert "nothing is kept: too_small alone took 26 of 28 images" in ended.out
    assert json.loads((out / "summary.json").read_text())["warnings"][0] in ended.out
    assert "curate export" not in ended.out
    ended = here("export", out, "--out", tmp_path / "clean")
    assert (ended.code, ended.out) == (2, "")
    assert "no image is kept" in ended.error


def test_where_nearly_all_are_placeholders(tmp_path: Path, here: Here):
    """The flag that takes them for copies is named, here and in summary.json; where fewer are, it is not."""
    files = {f"{n}.jpg": picture(0) for n in range(20)}
    files |= {f"{n}.json": json.dumps({"url": f"http://a.example/{n}"}).encode() for n in range(20)}
    for count, told in ((2, True), (3, False)):
        pics, out = tmp_path / f"pics{count}", tmp_path / f"out{count}"
        filled(pics, files | {f"other{n}.jpg": picture(n) for n in range(1, count + 1)})
        ended = here(pics, "--out", out, "--workers", 1)
        warnings = json.loads((out / "summary.json").read_text())["warnings"]
        assert ended.code == 0
        assert (f"warning: 20 of {20 + count} images are taken for placeholders" in ended.out) == told
        assert any("--placeholder-from 0 " in one for one in warnings) == told


def test_control_c(tmp_path: Path):
    """Interrupted, it ends with 130, says so and how to go on, and leaves no decisions and no process behind."""
    out = tmp_path / "out"
    pics = filled(tmp_path / "pics", {"endless.jpg": many_scans(20_000)})  # it is not over before the signal
    command = [
        sys.executable,
        "-m",
        "curator.cli",
        str(pics),
        "--out",
        str(out),
        "--workers",
        "1",
        "--decode-timeout",
        "60",
    ]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert wait_until((out / "measures.sqlite").exists, process)
        process.send_signal(signal.SIGINT)
        told, error = process.communicate(timeout=30)
    assert (process.returncode, told) == (130, "")
    assert error == "Stopped. What was measured is remembered: run the same command again to go on.\n"
    assert not (out / "decisions.parquet").exists()
    deadline = time.monotonic() + 30
    while is_group(process.pid):  # the server that workers are forked from hears of it a moment later
        assert time.monotonic() < deadline, "a process is left behind"
        time.sleep(0.01)


def is_group(number: int) -> bool:
    """Whether a group of processes has any left."""
    try:
        os.killpg(number, 0)
    except ProcessLookupError:
        return False
    return True


async def test_what_was_measured_is_gone_on_from(tmp_path: Path):
    """Stopped in the middle, it has kept what was measured until then: the next run measures only the rest."""
    files = {f"{n}.jpg": picture(n % 50) + bytes(n) for n in range(256)}
    folder, out = filled(tmp_path / "pics", files), tmp_path / "out"
    settings, first, then = Settings(workers=1), Watched(), Watched()
    work = asyncio.create_task(curate_with([folder], out, settings, first))
    while not first.measuring.measured:  # noqa: ASYNC110 - it is only looked at
        await asyncio.sleep(0.001)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    measured = first.measuring.measured
    await curate_with([folder], out, settings, then)
    assert 0 < measured < len(files)
    assert (then.measuring.known, then.measuring.measured) == (measured, len(files) - measured)
    assert len(decisions(out)) == len(files)
