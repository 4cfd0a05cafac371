"""The records of an export: what it asks for, what it is given, what it makes of an image and what it tells."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from curator.reasons import Reason
from curator.sources.bodies import Found, Wanted

Progress = Callable[[int, int], None]  # images done, images in all


class Bodies(Protocol):
    """Reads images."""

    def __call__(self, wanted: Sequence[Wanted], /) -> AsyncIterator[Found]:
        """The bytes of all these images, in this order. Raises UsageError where one is gone."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """An image as it will be stored. Sizes in pixels, None where they are those that were recorded."""

    body: bytes
    extension: str  # that tells the truth
    sha256: str
    size: tuple[int, int] | None  # None: these are the bytes that were decided on
    file: Path | None  # holds the same bytes and nothing else


@dataclass(frozen=True, slots=True)
class Refusal:
    """A kept image that could not be encoded."""

    uid: str
    source: str
    path: str
    key: str | None
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export wrote. `bytes` of images, `shards` of any form; `refused` by Reason, told in refused.csv.

    `splits`: images on each side of `--split`.
    """

    images: int
    bytes: int
    shards: int
    refused: dict[str, int]
    splits: dict[str, int] = field(default_factory=dict)
