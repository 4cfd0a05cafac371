"""What a user may get wrong with `curate`: one line that names the thing and the way out, exit 2, nothing touched."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from curator.outcome import Outcome
from tests.command import Ended, refused, tree
from tests.curating import Here, command, curated, filled, picture, reasons, state, tar_of
from tests.datasets import make

HEADER = b"uid_a,uid_b,verdict\n"
A, B = "a" * 32, "b" * 32

assert_refused = partial(refused, "curate")


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """The command in this process."""
    return Here(monkeypatch, capsys)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures and a dataset, each decided on, and all sorts of things that are neither."""
    root = tmp_path_factory.mktemp("house")
    pictures = {f"pics/{n}.jpg": picture(n) for n in range(3)}
    sidecar = {"pics/0.json": b'{"score": 1}'}
    others = {
        "texts/a.txt": b"x",
        "stranger/thesis.doc": b"x",
        "file": b"x",
        "urls.txt": b"http://a.example/1.jpg",
    }
    pairs = {
        "header.csv": b"a,b\n",
        "words.csv": HEADER + b"these,those,same\n",
        "both.csv": HEADER + f"{A},{B},a\n{B},{A},a\n".encode(),
    }
    filled(root, pictures | sidecar | others | pairs)
    (root / "empty").mkdir()
    make(root / "data", samples=5, failures=0, pending=0)
    curated(root / "pics", out=root / "out", workers=1)
    curated(root / "data", workers=1, min_side=0)
    return root


def everything(folder: Path) -> object:
    """Each name below the folder, and the state of each file."""
    names = [path for path in folder.rglob("*") if not path.name.endswith(("-wal", "-shm"))]
    return sorted(names), state(folder)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param("nosuch --out new", ("nosuch",), id="nothing there"),
        pytest.param("empty --out new", ("empty", "no images", "crawl LIST"), id="nothing in it"),
        pytest.param("texts --out new", ("texts", "no images", "1 .txt"), id="no images"),
        pytest.param("urls.txt --out new", ("urls.txt", "crawl LIST"), id="a list"),
        pytest.param("out --out new", ("out", "pics"), id="decisions"),
        pytest.param("data/images --out new", ("data/images", "curate"), id="part of a dataset"),
        pytest.param("pics pics --out new", ("pics", "twice"), id="twice"),
        pytest.param("pics .  --out new", ("pics", "inside", "Name one"), id="one in another"),
        pytest.param("pics", ("--out",), id="no --out"),
        pytest.param("pics data", ("--out",), id="no --out for several"),
        pytest.param("pics --out pics", ("pics", "is the input", "--out"), id="--out is the input"),
        pytest.param("pics --out pics/new", ("pics/new", "in the input", "--out"), id="--out in the input"),
        pytest.param("data --out data/images/new", ("in the input", "--out"), id="--out in the images"),
        pytest.param(
            "out/report/thumbs --out out", ("holds the input", "--out"), id="--out around the input"
        ),
        pytest.param(
            "data --out pics --against pics", ("pics", "--out"), id="--out is what is compared with"
        ),
        pytest.param("pics --out stranger", ("stranger", "thesis.doc", "--out"), id="--out is a stranger's"),
        pytest.param("pics --out file", ("file", "--out"), id="--out is a file"),
        pytest.param("pics --out file/new", ("file/new", "--out"), id="--out in a file"),
        pytest.param("pics --out new --export pics", ("pics", "input"), id="--export is the input"),
        pytest.param("pics --out new --export new/clean", ("new/clean",), id="--export in --out"),
        pytest.param("data --export data/clean", ("data/clean", "input"), id="--export in a dataset"),
        pytest.param(
            "pics --out new --export stranger", ("stranger", "thesis.doc"), id="--export is a stranger's"
        ),
        pytest.param("pics --out new --export file", ("file", "export"), id="--export is a file"),
        pytest.param("pics --out new --as folder", ("--as", "--export"), id="no --export"),
        pytest.param("pics --out new --against nosuch", ("nosuch",), id="--against nothing"),
        pytest.param("pics --out new --since nosuch", ("--since nosuch",), id="--since nothing"),
        pytest.param("pics --out new --since pics", ("--since pics", "decided"), id="--since no decision"),
        pytest.param("pics --out new --pairs nosuch.csv", ("nosuch.csv",), id="no pairs"),
        pytest.param(
            "pics --out new --pairs header.csv", ("header.csv", "uid_a,uid_b,verdict"), id="no header"
        ),
        pytest.param("pics --out new --pairs words.csv", ("words.csv", "line 2", "both"), id="no uids"),
        pytest.param(
            "pics --out new --pairs both.csv", ("both.csv", "lines 2 and 3"), id="contradicting pairs"
        ),
        pytest.param("export nosuch --out new", ("nosuch", "run curate first"), id="export nothing"),
        pytest.param("export pics --out new", ("pics", "decisions.parquet"), id="export what is not decided"),
        pytest.param("export out --out out/clean", ("out/clean",), id="export to the decisions"),
        pytest.param("export out --out pics/clean", ("pics/clean", "input"), id="export to the input"),
        pytest.param("exprt out --out new", ("exprt",), id="slip in a command"),
        pytest.param("pics --out new --min-sides 3", ("--min-side",), id="slip in a flag"),
    ],
)
def test_what_cannot_be_done(
    house: Path, here: Here, monkeypatch: pytest.MonkeyPatch, arguments: str, words: tuple[str, ...]
):
    """It is said in one line before anything is looked at or written: on disk all is as it was."""
    monkeypatch.chdir(house)
    before = everything(house)
    assert_refused(here(*arguments.split()), *words)
    assert everything(house) == before


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--min-side", -1),
        ("--max-aspect", 0.5),
        ("--dedup", "sift"),
        ("--radius", 17),
        ("--placeholder-from", -1),
        ("--workers", 2000),
        ("--decode-timeout", 0),
        ("--worker-memory", "1M"),
        ("--max-pixels", 0),
        ("--max-bytes", "much"),
        ("--resize", -1),
        ("--resize-mode", "squash"),
        ("--encode", "gif"),
        ("--quality", 101),
        ("--split", "train"),
        ("--split", "a=1,a=2"),
        ("--shard-size", 0),
        ("--shard-bytes", 0),
    ],
)
def test_a_flag_out_of_range(house: Path, here: Here, flag: str, value: object):
    """Each flag names itself when its value cannot work."""
    before = everything(house)
    given = (flag, value, "--export", house / "clean", "--out", house / "new")
    assert_refused(here(house / "pics", *given), flag)
    assert everything(house) == before


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--where", "sharpnes > 3"),
        ("--where", "width >"),
        ("--where", "avg(width) > 3"),
        ("--keep", "scores"),
        ("--keep", "-format"),
    ],
)
def test_a_wrong_expression_names_the_columns(house: Path, here: Here, flag: str, value: str):
    """What --where or --keep cannot be is told with the columns there are; older decisions stay."""
    before = state(house / "out" / "decisions.parquet", house / "out" / "summary.json")
    ended = here(house / "pics", "--out", house / "out", f"{flag}={value}")
    assert_refused(ended, flag, value, "sharpness, brightness", "score")
    assert state(house / "out" / "decisions.parquet", house / "out" / "summary.json") == before


@pytest.mark.parametrize("flags", ["--radius 6 --dedup bytes", "--mirrored --dedup none"])
def test_what_only_hashes_need(house: Path, here: Here, flags: str):
    """What is of near copies is refused where none are looked for, before anything is done."""
    before = everything(house)
    flag = flags.split()[0]
    assert_refused(here(house / "pics", "--out", house / "new", *flags.split()), flag, "--dedup phash")
    assert everything(house) == before


def cut(path: Path) -> None:
    os.truncate(path, 1000)


def junk(path: Path) -> None:
    path.write_bytes(b"junk" * 3000)


def scribble(path: Path) -> None:
    """Spoil all but its first page."""
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"junk" * 4096)


DAMAGE = [
    pytest.param("ledger.sqlite", junk, id="the ledger"),
    pytest.param("ledger.sqlite", scribble, id="pages of the ledger"),
    pytest.param("images/00000.parquet", cut, id="a table"),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGE)
def test_a_damaged_dataset(
    house: Path, tmp_path: Path, here: Here, name: str, damage: Callable[[Path], object]
):
    """The damaged file is named, and decisions that were made before it was stay whole."""
    shutil.copytree(house / "data", tmp_path / "data")
    damage(tmp_path / "data" / name)
    before = state(tmp_path / "data"), reasons(tmp_path / "data" / "curated")
    assert_refused(here(tmp_path / "data", "--min-side", 0, "--workers", 1), str(tmp_path / "data" / name))
    assert (state(tmp_path / "data"), reasons(tmp_path / "data" / "curated")) == before


@pytest.mark.parametrize("damage", [cut, Path.unlink])
def test_a_dataset_with_a_damaged_shard(
    house: Path, tmp_path: Path, here: Here, damage: Callable[[Path], object]
):
    """Images that cannot be read are decided on by what was recorded of them; this and an export name the shard."""
    shutil.copytree(house / "data", tmp_path / "data")
    shard = tmp_path / "data" / "images" / "00000.tar"
    damage(shard)
    flags = ("--min-side", 0, "--dedup", "none", "--workers", 1, "--quiet")
    assert here(tmp_path / "data", *flags) == Ended(0, "", "")
    assert set(reasons(tmp_path / "data" / "curated").values()) == {"saved"}
    (warning,) = json.loads((tmp_path / "data" / "curated" / "summary.json").read_text())["warnings"]
    assert shard.name in warning
    assert_refused(here("export", tmp_path / "data", "--out", tmp_path / "clean"), str(shard))
    assert not list((tmp_path / "clean").glob("*.tar"))


@pytest.mark.parametrize("long", [Path("x" * 300), Path("x" * 300) / "clean"])
def test_names_too_long_for_any_file(house: Path, here: Here, long: Path):
    """A name that no file can have is named, in the place of decisions and in that of an export."""
    assert_refused(here("export", long, "--out", "clean"), str(long))
    assert_refused(here("export", house / "data", "--out", long), str(long))
    assert_refused(here(house / "data", "--export", long), str(long))


def test_damaged_shards_of_others(house: Path, tmp_path: Path, here: Here):
    """A tar cut off, one that is none, and a broken table: what can be read is decided on, each damage is told."""
    tar = tar_of({f"{n}.jpg": picture(n) for n in range(4, 6)})
    shards = {"cut.tar": tar[:6000], "none.tar": b"x" * 3000, "broken.parquet": b"PAR1" * 99}
    filled(tmp_path, shards)
    ended = here(
        house / "pics", *(tmp_path / name for name in shards), "--out", tmp_path / "out", "--workers", 1
    )
    assert (ended.code, ended.error) == (0, "")
    assert all(f"warning: {tmp_path / name}: " in ended.out for name in shards)
    found = reasons(tmp_path / "out")
    assert {path for path, reason in found.items() if reason == "unreadable"} == {
        "cut.tar",
        "none.tar",
        "broken.parquet",
    }
    assert {path for path, reason in found.items() if reason == "saved"} == {
        "0.jpg",
        "1.jpg",
        "2.jpg",
        "cut.tar/4",
    }


def test_damaged_measures(house: Path, tmp_path: Path, here: Here):
    """A damaged file of measures is named, and once it is deleted the same command does all anew."""
    flags = (house / "pics", "--out", tmp_path / "out", "--workers", 1, "--quiet")
    filled(tmp_path, {"out/.curated": b"", "out/measures.sqlite": b"junk" * 3000})
    assert_refused(here(*flags), str(tmp_path / "out" / "measures.sqlite"), "Delete it")
    (tmp_path / "out" / "measures.sqlite").unlink()
    assert here(*flags) == Ended(0, "", "")
    assert reasons(tmp_path / "out") == reasons(house / "out")


def test_two_at_once(house: Path, here: Here):
    """While one curation writes to a folder, another one is refused, which names it, and changes nothing."""
    with closing(Outcome(house / "out")):
        before = everything(house / "out")
        ended = here(house / "pics", "--out", house / "out")
        assert everything(house / "out") == before
    assert_refused(ended, str(house / "out"), f"process {os.getpid()}", "Wait for it")


def test_pairs_of_unknown_images(house: Path, tmp_path: Path, here: Here):
    """Pairs whose uids no image has change nothing: they are counted and named."""
    pairs = filled(tmp_path, {"pairs.csv": HEADER + f"{A},{B},neither\n".encode()}) / "pairs.csv"
    ended = here(house / "data", "--out", tmp_path / "out", "--min-side", 0, "--workers", 1, "--pairs", pairs)
    assert (ended.code, ended.error) == (0, "")
    assert A in ended.out
    assert "0 of 1 pair" in ended.out
    assert reasons(tmp_path / "out") == reasons(house / "data" / "curated")


def test_an_export_of_what_is_not_there_any_more(tmp_path: Path, here: Here):
    """What is gone, changed or damaged since it was decided on is named, and nothing is exported."""
    pics, out, clean = tmp_path / "all" / "pics", tmp_path / "all" / "out", tmp_path / "clean"
    filled(pics, {f"{n}.jpg": picture(n) for n in range(3)})
    curated(pics, out=out, workers=1)
    shutil.copytree(tmp_path / "all", tmp_path / "whole")
    changes: list[tuple[Callable[[], object], tuple[str, ...]]] = [
        ((pics / "1.jpg").unlink, (str(pics / "1.jpg"), "No such file", "run curate again")),
        (
            lambda: (pics / "1.jpg").write_bytes(picture(9)),
            (str(pics / "1.jpg"), "changed", "Run curate again"),
        ),
        (lambda: shutil.rmtree(pics), (str(pics), "gone", "run curate again")),
        ((out / "measures.sqlite").unlink, (str(out / "measures.sqlite"), "gone", "Run curate again")),
        (lambda: junk(out / "decisions.parquet"), (str(out / "decisions.parquet"),)),
    ]
    for change, words in changes:
        change()
        assert_refused(here("export", out, "--out", clean), *words)
        assert not list(clean.glob("*.tar"))
        shutil.rmtree(tmp_path / "all")
        shutil.copytree(tmp_path / "whole", tmp_path / "all")
    assert here("export", out, "--out", clean).code == 0


@pytest.mark.parametrize("name", [pytest.param("", marks=pytest.mark.slow), "new"])
def test_a_folder_that_cannot_be_written(house: Path, tmp_path: Path, name: str):
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
    assert_refused(
        command(house / "pics", "--out", closed / name, prefix=mounted), str(closed / name), "--out"
    )
    assert tree(closed) == {}
