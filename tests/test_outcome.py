"""The folder of decisions: what else may be there, and names it cannot have."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from curator.errors import UsageError
from curator.outcome import Outcome, place
from curator.sources.opening import FILES, Input, Inputs

INPUTS = Inputs((Input("x", Path("/nowhere/x"), FILES),), ())
NAMES = ("report", "report.html")  # a folder and a file, as they are published


def published(root: Path, text: str) -> None:
    """A whole new outcome."""
    with closing(Outcome(root)) as outcome:
        new = outcome.begin()
        (new / "report").mkdir()
        (new / "report" / "page").write_text(text)
        (new / "report.html").write_text(text)
        outcome.publish(NAMES)


def linked_aside(out: Path) -> None:
    (out / ".old-report").symlink_to(out.parent / "elsewhere")


def linked_report(out: Path) -> None:
    (out / "report").symlink_to(out.parent / "elsewhere")


def file_for_new(out: Path) -> None:
    (out / ".new").write_text("x")


def file_for_report(out: Path) -> None:
    (out / "report").write_text("x")


def folder_for_page(out: Path) -> None:
    (out / "report.html" / "deep").mkdir(parents=True)


@pytest.mark.parametrize(
    "damage", [linked_aside, linked_report, file_for_new, file_for_report, folder_for_page]
)
def test_whatever_is_in_the_way_is_replaced(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    """Files, folders and links under our names give way, twice; what a link leads to stays."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "thesis").write_text("x")
    (tmp_path / "out").mkdir()
    damage(tmp_path / "out")
    for text in ("one", "two"):
        published(tmp_path / "out", text)
        assert (tmp_path / "out" / "report" / "page").read_text() == text
        assert (tmp_path / "out" / "report.html").read_text() == text
    assert {path.name for path in (tmp_path / "out").iterdir()} == {".curated", ".lock", *NAMES}
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["thesis"]


def test_a_name_too_long(tmp_path: Path) -> None:
    """A folder that no file system can have is refused with the system's words."""
    with pytest.raises(UsageError, match=r"File name too long\)\. Name another folder with --out"):
        place(INPUTS, tmp_path / ("x" * 256))
