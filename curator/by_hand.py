"""What a person said of pairs of images, in `pairs.csv`: read, and told what follows from it.

How it is obeyed
- `neither`: both are dropped. `a` or `b`: the other is dropped as a duplicate of it. `both`: the two are never
  each other's duplicate, whatever else they are duplicates of.
- Who is preferred to another goes ahead of all that a person said nothing of: it is kept, and a third copy
  that looks better is not kept in its place.
- Who is dropped for an image that is dropped for another one itself follows that other one. There are no
  circles, `read` refuses them: leaders are known before their followers are asked.
- Where no image to follow is there any more, because a rule took it, nothing was said: who prefers one copy
  does not want both gone.
- Two images are as different as those they follow: a copy does not come in again by the back door.
- What another dataset has is never dropped here; who was preferred to it is different from it.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise, product
from pathlib import Path
from typing import NamedTuple

from curator.errors import UsageError

_HEADER = ["uid_a", "uid_b", "verdict"]
_VERDICTS = ("both", "a", "b", "neither")
_LINE = 1_000  # characters: a file of one endless line ends as one that is no pairs.csv
_SWAPPED = {"a": "b", "b": "a"}


class Said(NamedTuple):
    """One pair of uids, the lesser first."""

    a: bytes
    b: bytes
    verdict: str  # both, a, b, neither
    line: int  # of the file

    @property
    def winner_and_loser(self) -> tuple[bytes, bytes] | None:
        """Which is kept rather than which, where one is."""
        return {"a": (self.a, self.b), "b": (self.b, self.a)}.get(self.verdict)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """What follows for the rows of a census."""

    excluded: list[int]
    follows: dict[int, int]  # row: the row it is a duplicate of, which follows nobody
    different: list[tuple[int, int]]  # rows that are neither excluded nor follow


def read_all(paths: Sequence[Path]) -> list[Said]:
    """The pairs in several such files: of one pair the last file's word holds.

    Raises UsageError that names file and line: where one is malformed, or they contradict each other.
    """
    said: dict[tuple[bytes, bytes], Said] = {}
    for path in paths:
        said |= {(one.a, one.b): one for one in read(path)}
    if len(paths) > 1:
        _check(Path(", ".join(map(str, paths))), list(said.values()))
    return list(said.values())


def read(path: Path) -> list[Said]:
    """The pairs in a CSV file with the columns uid_a, uid_b, verdict, each once.

    Raises UsageError that names the line: where it is malformed, or contradicts another.
    """
    said: dict[tuple[bytes, bytes], Said] = {}
    for one in _parsed(path):
        before = said.setdefault((one.a, one.b), one)
        if before.verdict != one.verdict:
            raise _contradiction(
                path, f"lines {before.line} and {one.line} say two things of the same images"
            )
    _check(path, list(said.values()))
    return list(said.values())


def preferred(said: Sequence[Said]) -> set[bytes]:
    """The uids that a person wants kept rather than another, and none rather than them."""
    over = [one.winner_and_loser for one in said if one.winner_and_loser]
    return {winner for winner, _ in over} - {loser for _, loser in over}


def obey(
    said: Sequence[Said], rows_of: Mapping[bytes, Sequence[int]], place: Mapping[int, int], ours: int
) -> Obeyed:
    """What becomes of the rows of a census, of which those below `ours` are decided on.

    `rows_of`: the rows of each uid, those that are still there. `place`: where each of these stands in the order,
    best first. Raises UsageError where two images are different by one pair and the same by others.
    """
    dropped = {uid for one in said if one.verdict == "neither" for uid in one[:2]}
    excluded = {row for uid in dropped for row in rows_of.get(uid, ()) if row < ours}
    left = {uid: [row for row in rows if row not in excluded] for uid, rows in rows_of.items()}
    leaders = _leaders(said, left, place, ours)
    follows = {row: leader for uid, leader in leaders.items() for row in left.get(uid, ()) if row < ours}
    different = {pair for one in said for pair in _different(one, left, follows, ours)}
    return Obeyed(sorted(excluded), follows, sorted(different))


def _parsed(path: Path) -> Iterator[Said]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(iter(lambda: file.readline(_LINE), ""))
            header = next(lines, [])
            if [name.strip() for name in header] != _HEADER:
                raise UsageError(f"{path}: its first line is not {','.join(_HEADER)}.")
            yield from (_said(path, lines.line_num, fields) for fields in lines if any(fields))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: cannot be read as CSV ({error}).") from error


def _said(path: Path, line: int, fields: list[str]) -> Said:
    try:
        a, b, verdict = (field.strip() for field in fields)
        uids = bytes.fromhex(a), bytes.fromhex(b)
    except ValueError:
        uids, verdict = (b"", b""), ""
    if {len(uid) for uid in uids} != {16} or uids[0] == uids[1] or verdict not in _VERDICTS:
        raise UsageError(
            f"{path}: line {line} is not two different uids of 32 hex digits and one of {', '.join(_VERDICTS)}."
        )
    if uids[0] < uids[1]:
        return Said(*uids, verdict, line)
    return Said(uids[1], uids[0], _SWAPPED.get(verdict, verdict), line)


def _check(path: Path, said: Sequence[Said]) -> None:
    """Raise UsageError where one image is both kept and dropped, or each of several is dropped for the next."""
    lines = {one.winner_and_loser: one.line for one in said}
    drops = {uid: one.line for one in said if one.verdict == "neither" for uid in one[:2]}
    for one in said:
        if one.winner_and_loser and (winner := one.winner_and_loser[0]) in drops:
            raise _contradiction(
                path, f"line {one.line} keeps {winner.hex()}, which line {drops[winner]} drops"
            )
    try:
        TopologicalSorter(_winners(said)).prepare()
    except CycleError as error:
        circle = sorted(lines[pair] for pair in pairwise(error.args[1]))
        raise _contradiction(
            path, f"lines {', '.join(map(str, circle))} drop each image for another"
        ) from error


def _contradiction(path: Path, what: str) -> UsageError:
    return UsageError(f"{path}: {what}. Correct or remove one of them.")


def _winners(said: Sequence[Said]) -> dict[bytes, list[bytes]]:
    """For each uid that is dropped for others, these."""
    winners: dict[bytes, list[bytes]] = {}
    for one in said:
        if one.winner_and_loser:
            winner, loser = one.winner_and_loser
            winners.setdefault(loser, []).append(winner)
    return winners


def _leaders(
    said: Sequence[Said], left: Mapping[bytes, Sequence[int]], place: Mapping[int, int], ours: int
) -> dict[bytes, int]:
    """For each uid that is dropped for others, the best row it is dropped for."""
    winners = _winners(said)
    leaders: dict[bytes, int] = {}
    for uid in TopologicalSorter(winners).static_order():
        rows = left.get(uid, ())
        led = [(leaders[one],) if one in leaders else left.get(one, ()) for one in winners.get(uid, ())]
        standing = [row for those in led for row in those]
        # what is gone itself still tells those that follow it whom to follow; what is not ours stays
        if standing and (not rows or min(rows) < ours):
            leaders[uid] = min(standing, key=place.__getitem__)
    return leaders


def _different(
    one: Said, left: Mapping[bytes, Sequence[int]], follows: Mapping[int, int], ours: int
) -> Iterator[tuple[int, int]]:
    """Rows that are not to be each other's duplicates by this pair."""
    if one.verdict == "both":
        rows = left.get(one.a, ()), left.get(one.b, ())
    elif one.winner_and_loser:
        winner, loser = one.winner_and_loser
        rows = left.get(winner, ()), [row for row in left.get(loser, ()) if row >= ours]
    else:
        return
    for pair in product(*rows):
        first, second = sorted(follows.get(row, row) for row in pair)
        if first != second:
            yield first, second
        elif first in pair:
            raise UsageError(
                f"By line {one.line} of the pairs {one.a.hex()} and {one.b.hex()} are different, by others one is"
                " a copy of the other. Correct or remove one of them."
            )
