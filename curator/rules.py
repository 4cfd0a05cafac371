"""Which measured images a dataset refuses, judged by their numbers alone: nothing is decoded again."""

from dataclasses import dataclass
from typing import Protocol

from curator.reasons import Reason


class Sized(Protocol):
    """What is judged: an image's measures, or its header."""

    @property
    def width(self) -> int:
        """Pixels, upright."""

    @property
    def height(self) -> int:
        """Pixels, upright."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an image must satisfy to be kept; 0 lifts a rule."""

    min_side: int = 0  # pixels of the shorter side
    max_aspect: float = 0.0  # longer side over shorter side


def judge(image: Sized, rules: Rules) -> Reason | None:
    """Why the image is not kept, or None. An image exactly at a limit is kept."""
    short, long = sorted((image.width, image.height))
    if short < rules.min_side:
        return Reason.TOO_SMALL
    if rules.max_aspect and long > rules.max_aspect * short:
        return Reason.BAD_ASPECT
    return None
