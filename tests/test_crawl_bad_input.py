"""What a user may get wrong: one line that names the thing and the way out, exit 2, and nothing touched."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.command import FLAGS, Ended, Here, command, refused, tree
from tests.crawling import ROOT, run_crawl, states, write_list
from tests.datasets import opened
from tests.site import Site

URL = "http://127.0.0.1:9/a.jpg"

assert_refused = partial(refused, "crawl")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture
def urls(tmp_path: Path) -> Path:
    """A list of one URL that nobody will ask for."""
    return write_list(tmp_path / "urls.txt", [URL])


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        pytest.param("nosuch.txt", None, ("nosuch.txt",), id="missing"),
        pytest.param("empty.txt", "", ("empty.txt", "empty"), id="empty"),
        pytest.param("list.xyz", URL, ("list.xyz", "--input-format"), id="unknown format"),
        pytest.param("list.csv", "a,b\n1,2\n", ("list.csv", "--url-col"), id="no URL column"),
        pytest.param("list.jsonl", '["a"]\n', ("list.jsonl", "jq"), id="not JSON lines"),
        pytest.param("list.parquet", "no Parquet", ("list.parquet", "Parquet"), id="broken Parquet"),
        pytest.param("list.txt.zst", "x", (".zst", "gzip"), id="packed"),
    ],
)
def test_a_list_that_cannot_be_used(
    tmp_path: Path, here: Here, name: str, text: str | None, words: tuple[str]
):
    """A list that is missing, unreadable, of no known format or without URLs is named; no folder is made."""
    if text is not None:
        (tmp_path / name).write_text(text)
    before = tree(tmp_path)
    assert_refused(here(tmp_path / name, "--out", tmp_path / "data"), *words)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--concurrency", 0),
        ("--concurrency", 20_001),
        ("--per-host", -1),
        ("--attempts", 0),
        ("--memory", "39M"),
        ("--memory", "much"),
        ("--connect-timeout", 0),
        ("--stall-timeout", -1),
        ("--timeout", "nan"),
        ("--timeout", 100_000),
        ("--workers", -1),
        ("--decode-timeout", 0),
        ("--worker-memory", "1M"),
        ("--max-bytes", 1),
        ("--max-pixels", 0),
        ("--min-side", -1),
        ("--max-aspect", -0.5),
        ("--max-aspect", 0.5),
        ("--user-agent", ""),
        ("--dedup", "pixels"),
        ("--radius", 17),
        ("--shard-size", 0),
        ("--shard-bytes", 0),
        ("--min-free", "-1G"),
        ("--limit", -1),
        ("--retry", "http_999"),
        ("--retry", "saved"),
        ("--header", "no colon"),
        ("--header", "X-Name: line\nbreak"),
        ("--allow-net", "10.0.0.0/40"),
        ("--ca-file", "/nosuch.pem"),
        ("--url-col", "nosuch"),
        ("--caption-col", "nosuch"),
        ("--drop-columns", "nosuch"),
        ("--input-format", "xlsx"),
    ],
)
def test_a_flag_out_of_range(tmp_path: Path, here: Here, flag: str, value: object):
    """Each flag names itself when its value cannot work."""
    (tmp_path / "list.csv").write_text(f"url,note\n{URL},x\n")
    before = tree(tmp_path)
    assert_refused(here(tmp_path / "list.csv", "--out", tmp_path / "data", flag, value), flag)
    assert tree(tmp_path) == before


def test_a_secret_header_is_not_repeated(tmp_path: Path, here: Here, urls: Path):
    """A header that is refused may hold a secret: the message does not show it."""
    ended = here(urls, "--out", tmp_path / "data", "--header", "token s3cret")
    assert_refused(ended, "--header")
    assert "s3cret" not in ended.error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["urls.txt"], ("--out",), id="no --out"),
        pytest.param(
            ["urls.txt", "--out", "data", "--concurency", "3"], ("--concurrency",), id="slip in a flag"
        ),
        pytest.param(["staus", "data"], ("staus", "status"), id="slip in a command"),
        pytest.param(["daata"], ("daata",), id="slip in a dataset"),
        pytest.param(["status", "daata"], ("daata",), id="status of nothing"),
        pytest.param(["--out", "data"], ("LIST",), id="no list"),
    ],
)
def test_a_command_that_says_too_little(
    tmp_path: Path,
    here: Here,
    urls: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: tuple[str],
):
    """A slip of the hand is named, with what was probably meant."""
    monkeypatch.chdir(tmp_path)
    before = tree(tmp_path)
    assert_refused(here(*arguments), *words)
    assert tree(tmp_path) == before


def test_more_lists_for_a_dataset_go_to_out(
    tmp_path: Path, here: Here, urls: Path, monkeypatch: pytest.MonkeyPatch
):
    """`crawl DATA LIST` is told the command that was meant, also where names need quotes; so are two datasets."""
    monkeypatch.chdir(tmp_path)
    for name in ("my data", "other"):
        with opened(tmp_path / name):
            pass
    told = "crawl urls.txt --out 'my data'"
    assert_refused(here("my data", "--concurrency", 3, "urls.txt"), "my data is a dataset", told)
    assert_refused(here("urls.txt", "my data"), told)
    assert_refused(here("my data", "other"), "one at a time")


def test_a_folder_that_is_not_ours(tmp_path: Path, here: Here, urls: Path):
    """A folder with somebody's files in it, or a file, is never written to."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    before = tree(tmp_path)
    assert_refused(here(urls, "--out", tmp_path / "photos"), "photos", "cat.jpg", "--out")
    assert_refused(here(urls, "--out", tmp_path / "file"), "file", "--out")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("flag", "value", "made_with"),
    [
        ("--min-side", 200, 64),
        ("--dedup", "phash", "none"),
        ("--shard-size", 7, 100),
        ("--max-bytes", "1M", 20 << 20),
    ],
)
def test_fixed_settings_that_differ(tmp_path: Path, flag: str, value: object, made_with: object):
    """What was fixed when the dataset was made stops a run that says otherwise, and nothing is lost by it."""
    out = tmp_path / "data"
    with Site() as site:
        lists = [write_list(tmp_path / "urls.txt", site.links(2))]
        run_crawl(lists, out, min_side=64, shard_size=100)
    before = states(out), sorted(path.name for path in out.rglob("*"))
    ended = command(out, flag, value)
    assert_refused(ended, flag, str(made_with))
    assert (states(out), sorted(path.name for path in out.rglob("*"))) == before


def test_the_real_command_line(tmp_path: Path, urls: Path):
    """The installed command says it the same way: one line, exit 2, no traceback, nothing touched."""
    before = tree(tmp_path)
    for arguments in (
        ["nosuch.txt", "--out", tmp_path / "data"],
        [urls, "--out", tmp_path / "data", "--radius", 99],
    ):
        assert_refused(command(*arguments), str(arguments[-1] if "--radius" in arguments else arguments[0]))
    assert tree(tmp_path) == before


def test_too_few_files_for_the_concurrency(tmp_path: Path):
    """A low soft limit of open files is raised; a low hard one is said, with what to do."""
    with Site() as site:
        lists = write_list(tmp_path / "urls.txt", site.links(3))
        arguments = [
            "-m",
            "crawler.cli",
            str(lists),
            "--out",
            str(tmp_path / "data"),
            *FLAGS,
            "--concurrency",
            "600",
        ]

        def limited(soft: int, hard: int) -> Callable[[], None]:
            return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        def run(soft: int, hard: int) -> Ended:
            ended = subprocess.run(
                [sys.executable, *arguments],
                cwd=ROOT,
                preexec_fn=limited(soft, hard),
                capture_output=True,
                text=True,
                timeout=60,
            )
            return Ended(ended.returncode, ended.stdout, ended.stderr)

        before = tree(tmp_path)
        assert_refused(run(128, 512), "--concurrency 600", "ulimit -Hn", "--concurrency 204")
        assert tree(tmp_path) == before
        assert run(128, 2048).code == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path, urls: Path):
    """A folder on a disk mounted read-only is named."""
    closed = tmp_path / "closed"
    closed.mkdir()
    if os.getuid() == 0:
        mounted = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs -o ro t "{closed}" && exec "$@"', "sh")
        if subprocess.run([*mounted, "true"], capture_output=True).returncode:
            pytest.skip("root may write everywhere, and this system mounts nothing")
    else:
        mounted = ()
        closed.chmod(0o500)
    assert_refused(command(urls, "--out", closed / "data", prefix=mounted), str(closed / "data"), "--out")
    assert tree(closed) == {}


LIBRARY = """
import asyncio, sys
from crawler.pipeline import crawl
from curator.dataset import Dataset

def work():
    given = dict(allow_net=("127.0.0.0/8",), per_host=0, workers=1, min_free=0)
    crawled = asyncio.run(crawl([sys.argv[1]], sys.argv[2], **given))
    assert crawled.finished and crawled.snapshot.saved == len(list(Dataset(sys.argv[2]))) == 3

{start}
"""


@pytest.mark.parametrize("guarded", [True, False])
def test_as_a_library(tmp_path: Path, guarded: bool):
    """A script can crawl and read: nothing is printed. Without the main guard it is told of it."""
    script = tmp_path / "script.py"
    script.write_text(LIBRARY.format(start='if __name__ == "__main__":\n    work()' if guarded else "work()"))
    with Site() as site:
        lists = write_list(tmp_path / "urls.txt", site.links(3))
        ended = subprocess.run(
            [sys.executable, str(script), str(lists), str(tmp_path / "data")],
            capture_output=True,
            text=True,
            timeout=60,
        )
    if guarded:
        assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    else:
        assert ended.returncode != 0
        assert '__name__ == "__main__"' in ended.stderr


def test_exit_codes_are_documented():
    """The module of the command line lists every code it may end with."""
    import crawler.cli

    told = "0 finished, 1 our own bug, 2 usage, 4 disk; resumable: 3 nearly all failed, 130 interrupted"
    assert told in (crawler.cli.__doc__ or "")
