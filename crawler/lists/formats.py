"""Which files a list is made of, and the format of each: from its name, or what a stream begins with."""

import stat
from collections.abc import Sequence
from pathlib import Path

from crawler.lists.header import URL_NAMES
from crawler.lists.rows import Source
from curator.errors import UsageError

FORMATS = ("txt", "csv", "tsv", "jsonl", "parquet")
STDIN = "-"
_SUFFIXES = {f".{name}": name for name in FORMATS} | {".json": "jsonl", ".ndjson": "jsonl"}
_PACKED = (".zst", ".xz", ".bz2", ".lz4", ".zip", ".7z", ".tar", ".tgz")
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


def sources(paths: Sequence[str], input_format: str | None) -> list[Source]:
    """The list files that `paths` name, folders as their list files by name. Raises UsageError."""
    given = None if input_format is None else _known(input_format)
    found: list[Source] = []
    for path in paths:
        if path == STDIN:
            found.append(Source(STDIN, 0, 0, given or ""))
        elif _is_url(path):
            raise UsageError(f"{path}: that is a URL, not a list: put URLs into a file, one a line")
        elif Path(path).is_dir():
            found += [_source(file, given) for file in _files(Path(path), given)]
        else:
            found.append(_source(Path(path), given))
    if sum(source.path == STDIN for source in found) > 1:
        raise UsageError("- (standard input) is given twice: it can be read once")
    return found


def guessed(start: bytes) -> str:
    """The format of a stream that begins with `start`: text unless it shows otherwise."""
    line = start.lstrip().split(b"\n", 1)[0].decode("utf-8", "replace").strip().casefold()
    if line.startswith("{"):
        return "jsonl"
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        cells = [cell.strip(' "') for cell in line.split(delimiter)]
        if len(cells) > 1 and any(usual in cells for usual in URL_NAMES):
            return name
    return "txt"


def check_start(start: bytes, path: str, name: str) -> None:
    """Raise UsageError for a list that is empty or not text."""
    if not start:
        raise UsageError(f"{path}: empty")
    if start.startswith(_UTF16):
        raise UsageError(f"{path}: UTF-16, not UTF-8: convert it with iconv -f UTF-16 -t UTF-8")
    if start.startswith(b"PAR1"):
        raise UsageError(f"{path}: a Parquet file: name it .parquet (it cannot be read from a stream)")
    if name == "txt" and b"\0" in start:
        raise UsageError(f"{path}: not text but binary data")


def called(source: Source) -> str:
    """A list in a message."""
    return "standard input" if source.path == STDIN else source.path


def _is_url(path: str) -> bool:
    # pathlib makes one slash of two
    return ("://" in path or path.startswith(("http:/", "https:/"))) and not Path(path).exists()


def _known(name: str) -> str:
    kind = _SUFFIXES.get("." + name.casefold().removesuffix(".gz"))
    if kind is None:
        raise UsageError(f"--input-format {name}: unknown; it is one of {', '.join(FORMATS)}")
    return kind


def _source(path: Path, given: str | None) -> Source:
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from error
    absolute = str(path.absolute())
    if not stat.S_ISREG(found.st_mode):
        return Source(absolute, 0, 0, given or _by_name(path) or "")
    kind = given or _by_name(path)
    if kind is None:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(f"{path}: unknown format: call it {known}, or say --input-format")
    return Source(absolute, found.st_size, found.st_mtime_ns, kind)


def _by_name(path: Path) -> str | None:
    suffixes = [suffix.casefold() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        raise UsageError(f"{path}: {suffixes[-1]} is not read: unpack it, or pack it with gzip")
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def _files(folder: Path, given: str | None) -> list[Path]:
    if (folder / "ledger.sqlite").exists():
        raise UsageError(
            f"{folder}: a dataset, not a folder of lists: what it failed to fetch is in "
            f"{folder / 'failures.parquet'}"
        )
    try:
        names = sorted(entry for entry in folder.iterdir() if entry.is_file())
    except OSError as error:
        raise UsageError(f"{folder}: cannot be read: {error.strerror}") from error
    # What job schedulers and people put beside their lists: _SUCCESS, .part-0.crc, README.txt
    beside = [file for file in names if not file.name.casefold().startswith((".", "_", "readme"))]
    lists = beside if given else [file for file in beside if _by_name(file)]
    if not lists:
        there = f"there is {beside[0].name}" if beside else "it is empty"
        raise UsageError(
            f"{folder}: no list in it ({there}); lists are called .txt, .csv, .tsv, .jsonl, .parquet"
        )
    return lists
