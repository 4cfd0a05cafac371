"""A dataset's folder and the place of its ledger: whose they are, asked before anything in them is changed.

Shards are numbered files. Where a folder is taken for new though it holds another tool's shards, or our
own without the ledger that knows them, new ones would be written over them.
"""

import os
import re
from pathlib import Path

from curator.dataset.layout import Layout
from curator.dataset.ledger import Ledger
from curator.dataset.space import is_full, why_not_written
from curator.errors import CorruptDataset, UsageError

NETWORK_FILE_SYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "lustre", "ceph"}
_OURS = {"ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", ".lock", ".reserve", "images"}
_SHARD_FILE = re.compile(r"([0-9]{5,})(\.tar|\.tar\.part|\.parquet|_stats\.json)")


def check_ledger_is_there(root: Path) -> None:
    """Raise UsageError for a dataset of ours that has lost its ledger."""
    layout = Layout(root)
    linked = layout.ledger.is_symlink() and layout.card.exists()  # the card is written after the ledger
    if not layout.ledger.exists() and (linked or any(layout.images.glob("*.tar*"))):
        raise UsageError(
            f"{root} has images, but its ledger is missing: {layout.ledger.resolve()}. Put it back from a backup, or "
            f"link it where it is now: ln -s PATH {layout.ledger}. The images stay readable without it. "
            "If they are no dataset of ours, name another folder with --out."
        )


def check_free(layout: Layout) -> None:
    """Raise UsageError for a folder without a ledger that holds anything which a start cut short does not leave."""
    names = set(os.listdir(layout.root)) if layout.root.exists() else set()  # noqa: PTH208 - names
    strangers = sorted(names - _OURS) or sorted(f"images/{name}" for name in _visible(layout.images))
    if strangers:
        raise UsageError(
            f"{layout.root} is not empty and not a dataset of ours (it holds {strangers[0]}). "
            "Name another folder with --out; a new one is made."
        )


def check_unused(layout: Layout) -> None:
    """Raise CorruptDataset where the ledger holds nothing, yet a dataset was made in the folder."""
    made = [path.name for path in (layout.card, layout.summary, layout.failures) if path.exists()]
    made += sorted(f"images/{name}" for name in _visible(layout.images))
    if made:
        raise CorruptDataset(
            f"{layout.ledger} is empty, but {made[0]} is there. Put the ledger back from a backup; the images stay "
            "readable without it. For a new dataset name another folder with --out. Nothing was changed."
        )


def check_shard_files(layout: Layout, ledger: Ledger) -> None:
    """Raise CorruptDataset where a file has the name that one of the next shards will get."""
    following, opened = ledger.db.execute(
        "SELECT coalesce(max(id), -1) + 1, (SELECT id FROM shards WHERE state = 'open') FROM shards"
    ).fetchone()
    for name in sorted(_visible(layout.images)):
        found = _SHARD_FILE.fullmatch(name)
        if found and (
            int(found[1]) >= following or (int(found[1]) == opened and layout.part(opened).name != name)
        ):
            raise CorruptDataset(
                f"{layout.images / name} is there, but the ledger knows nothing of it: it is another dataset's, or the "
                "ledger is an old copy. Put the right ledger back, or move the file away. Nothing was changed."
            )


def prepare_elsewhere(layout: Layout, elsewhere: Path) -> None:
    """Make sure that the dataset's ledger is, or can be, at `elsewhere`, which no other dataset may use.

    Raises UsageError.
    """
    if layout.ledger.exists() or layout.ledger.is_symlink():
        if layout.ledger.resolve() != elsewhere.resolve():
            raise UsageError(
                f"The ledger of {layout.root} is {layout.ledger.resolve()}. Leave --ledger away."
            )
    elif elsewhere.is_dir():
        raise UsageError(
            f"{elsewhere} is a folder. Name a file in it: --ledger {elsewhere / 'ledger.sqlite'}"
        )
    elif elsewhere.exists():
        raise UsageError(
            f"{elsewhere} exists: it may be the ledger of another dataset. Name a new path with --ledger. "
            f"If it is this dataset's own: ln -s {elsewhere.absolute()} {layout.ledger}"
        )
    else:
        _check_folder(elsewhere.parent)


def make_private(place: Path) -> None:
    """Make the file of a new ledger. Headers given with --header are stored in it: nobody else may read them.

    Raises UsageError, and OSError where the disk is full.
    """
    if place.exists():
        return
    try:
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        if is_full(error, place.parent):
            raise
        raise UsageError(f"{place}: the ledger cannot be made ({error.strerror}).") from error


def claim(layout: Layout, ledger: Ledger) -> None:
    """Keep a ledger that lies elsewhere to one dataset: a copied folder has a copy of the link, not of the ledger.

    Raises UsageError where another folder still uses it; a folder that was moved takes it along.
    """
    if not layout.ledger.is_symlink():
        return
    here, home = str(layout.root.resolve()), ledger.meta("home")
    if home is not None and home != here and Layout(Path(home)).ledger.resolve() == ledger.path.resolve():
        raise UsageError(
            f"{ledger.path} is the ledger of {home}, and {layout.root} a copy that shares it. Give the copy its own "
            f"while nothing is crawled: rm {layout.ledger} && cp {ledger.path} {layout.ledger}"
        )
    if home != here:
        ledger.set_meta("home", here)


def check_local(place: Path) -> None:
    """Raise UsageError where the ledger would be on a network file system."""
    kind = _file_system(place.parent)
    if kind in NETWORK_FILE_SYSTEMS:
        raise UsageError(
            f"{place}: SQLite's WAL does not work on {kind}. Keep the ledger on a local disk with --ledger PATH; "
            "the shards may stay where they are."
        )


def _check_folder(folder: Path) -> None:
    """Raise UsageError where no ledger can be made in it. It is not made: a slip of the pen is more likely."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder that exists. Make it, or name another path with --ledger.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(
            f"{folder}: cannot be written ({why_not_written(folder)}). Name another path with --ledger."
        )


def _visible(folder: Path) -> list[str]:
    """The names in a folder, without temporary ones and those of file managers."""
    if not folder.exists():
        return []
    return [name for name in os.listdir(folder) if not name.startswith(".")]  # noqa: PTH208 - names


def _file_system(folder: Path) -> str:
    """The type of the file system `folder` is on, "" where it cannot be told."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return ""
    best, kind = "", ""
    for line in mounts.read_text().splitlines():
        _, point, name, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, name
    return kind
