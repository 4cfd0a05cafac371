"""What the paths on a command line are: checked before anything is made, and named so that names last.

A label is what a source is called in a table of decisions, and part of each uid that is made of a name. So it is
the last part of the path, wherever that lies; of inputs that share it, each gets as many parts as tell them
apart. What is only compared with never changes the labels of what is decided on. No label goes on as another
one does after a "/": `x/b` + `c.jpg` and `x` + `b/c.jpg` would be one name, and one uid.
"""

import stat
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator.dataset.layout import Layout
from curator.dataset.store import is_dataset
from curator.decisions import FILE, read_provenance
from curator.errors import UsageError
from curator.sources.items import Item, PassedOver, ShardEnd, Version, Warned, from_disk, shown
from curator.sources.listing import DECIDED, MARKERS, SHARDS, list_images
from curator.sources.names import compressed, is_compressed_tar, may_be_image, split

DATASET, FILES = "dataset", "files"

_TAKEN = "What is curated: datasets that crawl made, folders of images, .tar and .parquet files of images."
_CRAWL = "A list of URLs is crawled first: crawl LIST --out DATA"
_NAMED = 5  # kinds of files, and folders of ours, that an error names


@dataclass(frozen=True, slots=True)
class Input:
    """One path of the command line."""

    label: str  # valid text, unique among all inputs
    path: Path  # absolute, links resolved but that of a file
    kind: str  # DATASET: one that crawl made; FILES: a folder or one file of images, which are measured


@dataclass(frozen=True, slots=True)
class Inputs:
    """All of them, sorted by label."""

    ours: tuple[Input, ...]  # decided on
    against: tuple[Input, ...]  # only compared with


def open_inputs(paths: Sequence[Path], against: Sequence[Path] = ()) -> Inputs:
    """Look at each path, no further than to its first image.

    Raises UsageError where one is not there, cannot be read, is no source of images, or comes twice.
    """
    kinds = [_kind(path) for path in (*paths, *against)]
    _check_apart((*paths, *against))
    places = [_place(path) for path in (*paths, *against)]
    labels = labels_of(places[: len(paths)])
    labels += labels_of(places[len(paths) :], taken=labels)
    inputs = [Input(*fields) for fields in zip(labels, places, kinds, strict=True)]
    return Inputs(_sorted(inputs[: len(paths)]), _sorted(inputs[len(paths) :]))


def labels_of(paths: Sequence[Path], taken: Collection[str] = ()) -> list[str]:
    """A label for each of these absolute paths, which differ, apart from each other and from those `taken`."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(path.name, []).append(path)
    found: dict[Path, str] = {}
    # names that no other input has come first: they stay as they are
    for _, group in sorted(groups.items(), key=lambda named: (len(named[1]) > 1, named[0])):
        # whole paths will do: where one holds the other, what lies in the inner one is left out of the outer
        for depth in range(1, max(len(path.parts) for path in group) + 1):
            labels = [shown(from_disk(str(Path(*path.parts[-depth:])))) for path in group]
            if _are_apart([*taken, *found.values(), *labels]):
                break
        found |= dict(zip(group, labels, strict=True))
    return [found[path] for path in paths]


def _are_apart(labels: Sequence[str]) -> bool:
    every = set(labels)
    slashes = ((label, at) for label in labels for at, character in enumerate(label) if character == "/")
    return len(every) == len(labels) and not any(label[:at] in every for label, at in slashes)


def _sorted(inputs: Sequence[Input]) -> tuple[Input, ...]:
    return tuple(sorted(inputs, key=lambda one: one.label))


def _kind(path: Path) -> str:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}.") from error
    if stat.S_ISDIR(mode):
        if is_dataset(path):
            return DATASET
        _check_folder(path)
    else:
        _check_file(path, mode)
    _check_has_images(path)
    return FILES


def _check_folder(path: Path) -> None:
    """Refuse parts of what is ours, naming the whole."""
    parent = path.resolve().parent
    decided = (path / DECIDED).exists()
    if is_dataset(parent) and (decided or path.resolve() == Layout(parent).images):
        raise UsageError(f"{path} is part of the dataset {parent}. Run: curate {parent}")
    if decided:
        raise UsageError(
            f"{path} holds what was decided, and no images. Curate what it was decided on{_origins(path)}."
        )


def _origins(curated: Path) -> str:
    try:
        return ": " + " ".join(one.path for one in read_provenance(curated / FILE).sources)
    except UsageError:
        return ""


def _check_file(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise UsageError(f"{path} is neither a file nor a folder. {_TAKEN}")
    if is_compressed_tar(path.name):
        raise UsageError(f"{path} is {compressed(str(path))}")
    _, extension = split(path.name)
    if extension not in SHARDS and not may_be_image(extension):
        raise UsageError(f"{path} is no image, .tar or .parquet file. {_TAKEN} {_CRAWL}")


def _check_has_images(path: Path) -> None:
    """Look for one image, and say what else there is."""
    counts: Counter[str] = Counter()
    left_out = list[str]()
    for record in list_images(path, _unknown):
        if isinstance(record, Item):
            if record.unmeasured and record.path == ".":  # the folder itself
                raise UsageError(f"{path}: cannot be read ({record.unmeasured.detail}).")
            return
        if isinstance(record, PassedOver):
            counts[record.what] += record.count
        elif isinstance(record, ShardEnd):
            counts.update(record.passed_over)
        elif isinstance(record, Warned) and len(left_out) < _NAMED:
            left_out.append(record.text)
    found = ", ".join(f"{number:,} {what}" for what, number in counts.most_common(_NAMED))
    words = " ".join(
        [f"{path} holds no images, {f'but {found}' if found else 'nor anything else'}.", *left_out]
    )
    raise UsageError(f"{words} {_TAKEN} {_CRAWL}")


def _unknown(path: str, version: Version) -> bool:
    return False


def _place(path: Path) -> Path:
    """Where a path leads. A file keeps its own name, since what a link leads to may have no extension."""
    return path.resolve() if path.is_dir() else path.parent.resolve() / path.name


def _check_apart(paths: Sequence[Path]) -> None:
    """Refuse what would come twice."""
    resolved = [path.resolve() for path in paths]
    had: dict[Path, int] = {}
    for at, whole in enumerate(resolved):
        if whole in had:
            raise UsageError(f"{paths[at]} is named twice{_by(paths[had[whole]], paths[at])}. Name it once.")
        had[whole] = at
    for at, whole in enumerate(resolved):
        for parent in whole.parents:
            if parent in had and not _is_left_out(whole, parent):
                outer = paths[had[parent]]
                raise UsageError(
                    f"{paths[at]} lies inside {outer}: its images would come twice. Name one of them."
                )


def _by(first: Path, second: Path) -> str:
    return "" if first == second else f", also as {first}"


def _is_left_out(inner: Path, outer: Path) -> bool:
    """Whether what lies at `inner` is passed over when `outer` is listed, since it is in a folder of ours."""
    between = [folder for folder in (inner, *inner.parents) if outer in folder.parents]
    return any((folder / marker).exists() for folder in between for marker in MARKERS)
