"""Documented or it fails: the README names every command, flag, Reason and exit code, and its code runs."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from crawler.cli import commands as crawl_commands
from crawler.cli import run as crawl_command
from crawler.settings import USER_AGENT, Settings
from curator import errors
from curator.cli import commands as curate_commands
from curator.cli import run as curate_command
from curator.dataset.layout import Layout
from curator.reasons import TRANSIENT, Reason
from curator.sources.source import MEASURES
from tests.site import Site

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
SHELL = [block.strip() for language, block in BLOCKS if language == "sh"]
PYTHON = [block for language, block in BLOCKS if language == "python"]
DEMO, TESTS = SHELL[:2]


def table(head):
    """The cells of the README's table under this head, row by row."""
    rows = README.partition(f"{head}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def flags(command):
    """The flags of one command."""
    return [flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")]


FLAGS = {
    command: {row[0].strip("`"): row[1] for row in table(f"| flag of `{command}` | default | |")}
    for command in ("crawl", "curate")
}
RUNS = {"crawl": crawl_command, "curate": curate_command}
REASONS = {row[0].strip("`"): row[1:] for row in table("| Reason | | what to do about it |")}


@pytest.mark.parametrize("command", RUNS)
def test_the_readme_names_every_flag(command):
    """The tables have the flags of `crawl` and `curate`, all and no others, in the order of --help."""
    assert list(FLAGS[command]) == flags(RUNS[command])


@pytest.mark.parametrize(
    ("command", "parameter"),
    [(name, parameter) for name, command in RUNS.items() for parameter in command.params],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_readme_has_the_defaults(command, parameter):
    """What the help gives as default is what the table gives."""
    if isinstance(parameter, click.Option):
        shown = re.search(r"\[default: (.*)\]", parameter.help or "")
        assert FLAGS[command][parameter.opts[0]] == (shown[1] if shown else "")


@pytest.mark.parametrize(
    ("program", "command"),
    [("crawl", one) for one in crawl_commands.commands.values()]
    + [("curate", one) for one in curate_commands.commands.values()],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_readme_names_every_command(program, command):
    """Each command stands in the README, with each of its flags."""
    if command is crawl_command:
        assert "`crawl LIST... --out DATA`" in README
        assert "`crawl DATA`" in README
    elif command is curate_command:
        assert "`curate DATA...`" in README
    else:
        assert re.search(rf"^\| `{program} {command.name}( DATA| CURATED)?` \|", README, re.MULTILINE)
        told = re.search(rf"`{program} {command.name}` takes ([^;.]*)", README)[1]
        assert set(re.findall(r"`(--[a-z-]+)`", told)) == set(flags(command))


@pytest.mark.parametrize(
    "command",
    [one for group in (crawl_commands, curate_commands) for one in group.commands.values() if not one.hidden],
    ids=lambda command: command.name,
)
def test_the_list_of_commands_has_whole_sentences(command):
    """What --help says of a command fits a terminal of 80 columns."""
    told = command.get_short_help_str(limit=68)
    assert told.endswith(".")
    assert not told.endswith("..")
    assert len(told) <= 68


def test_the_readme_names_every_reason():
    """The table has the Reasons, all and no others, in the order of the enum: transient ones last."""
    assert list(REASONS) == [reason.value for reason in Reason]
    assert f"From `{min(TRANSIENT, key=lambda reason: reason.code)}` on they are transient" in README


def test_not_yet_means_not_yet():
    """Exactly those Reasons are said to be for later that no line of the code gives."""
    given = {
        node.attr
        for package in ("crawler", "curator")
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "Reason"
    }
    later = {reason for reason in Reason if reason.name not in given}
    assert {name for name, (what, _) in REASONS.items() if what.startswith("not yet: ")} == later


def test_the_readme_names_every_exit_code():
    """The table has 0, 1 and the exit codes of all errors."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {0, 1} | {kind.exit_code for kind in kinds if issubclass(kind, errors.CurateError)}
    assert [int(row[0]) for row in table("| exit code | |")] == sorted(codes)


def test_the_readme_names_every_file():
    """Each file of a dataset stands in the listing."""
    layout = Layout(Path("data"))
    shown = [layout.tar(0), layout.parquet(0), layout.stats(0), layout.part(1)]
    for path in (*shown, layout.card, layout.failures, layout.summary, layout.ledger):
        assert f"\n  {path.relative_to('data')} " in README.replace("\n", " \n")


def test_the_readme_names_every_measure():
    """Whoever writes a condition finds the columns there are for it."""
    told = README.partition("which `--where` and `--keep` know")[2].partition("own columns.")[0]
    assert re.findall(r"`(\w+)`", told) == [name for name, _ in MEASURES]


def test_the_readme_says_who_we_are():
    """The User-Agent that it gives is ours."""
    assert f"`{USER_AGENT}`" in README


def test_the_first_lines_are_what_ci_and_make_run():
    """Whoever pastes a line of the README runs what CI runs."""
    script, makefile = (ROOT / ".ci" / "run").read_text(), (ROOT / "Makefile").read_text()
    assert script.endswith(f"\n{TESTS}\n")
    assert f"\ntest:\n\t{TESTS}\n" in makefile
    assert f"\ndemo:\n\t{DEMO}\n" in makefile
    assert "pytest" in TESTS
    assert DEMO.endswith("crawl demo")
    for check in re.search(r"^check:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)[1].split("\n\t"):
        assert f"\n{check.strip()}\n" in script


def test_make_targets_are_those_of_the_readme():
    """The README names each target."""
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert all(re.search(rf"`make {target}\b", README) for target in targets)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder in which the README's script has crawled a list."""
    folder = tmp_path_factory.mktemp("readme")
    (script,) = [block for block in PYTHON if "__main__" in block]
    with Site() as site:
        rows = [f"{site.url(f'/n/{number}.jpg')},picture {number}" for number in range(8)]
        (folder / "urls.csv").write_text("\n".join(["url,caption", *rows, f"{site.url('/gone')},none", ""]))
        small = script.replace(
            "min_side=64", 'allow_net=["127.0.0.0/8"], workers=1, min_free=0, backoff=0.01'
        )
        assert small != script
        printed = run(small, folder)
    assert "True {" in printed
    return folder


def run(code, folder):
    """Run a script of the README in `folder`; what it printed."""
    script = folder / "script.py"
    script.write_text(code, encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, str(script)],
        cwd=folder,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "hf")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(block, id=re.findall(r"^(?:from|import) (\w+)", block, re.MULTILINE)[-1])
        for block in PYTHON
        if "__main__" not in block
    ],
)
def test_the_code_of_the_readme_runs(code, place):
    """Each piece that reads a dataset reads the one that the README's script makes."""
    assert run(code, place) != ""


def test_settings_by_name():
    """What the README's script names are settings."""
    (script,) = [block for block in PYTHON if "__main__" in block]
    (call,) = [
        node
        for node in ast.walk(ast.parse(script))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "crawl"
    ]
    assert {keyword.arg for keyword in call.keywords} <= set(Settings.__dataclass_fields__)
