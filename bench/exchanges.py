"""What a server of the bench was asked and when, from its log: the one clock that all contenders share.

A line of the log: seconds since the epoch at which an exchange ended, how long it took, status, path. It begins with
the first byte of a request, and ends when the server has handed all of the answer to the kernel. robots.txt does not
count: not everybody asks for it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request. Times in seconds since the epoch."""

    path: str
    began: float
    ended: float
    status: int  # 0, or 499 of nginx: the client gave up


def read(log: Path, since: float = 0.0) -> list[Exchange]:
    """Those that began at `since` or later, by their ends."""
    lines = (line.split(" ", 3) for line in log.read_text().splitlines())
    every = (
        Exchange(path, float(end) - float(took), float(end), int(code)) for end, took, code, path in lines
    )
    found = [one for one in every if one.began >= since and one.path != "/robots.txt"]
    return sorted(found, key=lambda one: one.ended)


def steady_rate(exchanges: Sequence[Exchange]) -> float:
    """Answers a second between the first and the last fifth of them; 0 of too few."""
    ends = [one.ended for one in exchanges if one.status not in (0, 499)]
    first, last = len(ends) // 5, len(ends) * 4 // 5
    return (last - first) / (ends[last] - ends[first]) if last > first and ends[last] > ends[first] else 0.0


def last_begun(exchanges: Sequence[Exchange]) -> float:
    """When the last URL was asked for the first time."""
    firsts: dict[str, float] = {}
    for one in exchanges:
        firsts[one.path] = min(one.began, firsts.get(one.path, one.began))
    return max(firsts.values(), default=0.0)


def repeated(exchanges: Sequence[Exchange]) -> int:
    """Requests of what had been asked for before."""
    return sum(times - 1 for times in Counter(one.path for one in exchanges).values())
