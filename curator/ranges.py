"""What the settings of both commands have in common: ranges that are checked, and how many cores there are. Light."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Protocol

from curator.errors import UsageError

ANY = 1 << 62  # no upper bound


class Record(Protocol):
    """A dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


def check_ranges(settings: Record, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Refuse numbers that are out of range, among them those that are none (nan), naming the flag.

    Raises UsageError.
    """
    for name in [one.name for one in fields(settings) if one.name in ranges]:
        (low, high), value = ranges[name], getattr(settings, name)
        if not low <= value <= high:
            bounds = f"from {low:,} to {high:,}" if high < ANY else f"at least {low:,}"
            raise UsageError(f"--{name.replace('_', '-')} must be {bounds}, not {value}.")


def cores() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS
    return len(affinity(0)) if affinity else os.cpu_count() or 1
