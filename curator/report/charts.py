"""Histograms as rectangles: what is kept stands above the line, what is not hangs below it.

Each half is drawn to its own scale, which its tallest bar is labelled with: otherwise a few dropped images
beside millions of kept ones would be a flat line. Lengths are in the units of a drawing WIDTH wide, which is
about as many pixels on a page, so that its letters keep their size.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from curator.report.facts import Count
from curator.text import size

WIDTH = 340.0
HALF = 76.0  # height above and below the line
_BARS = 64
_LABELS = 6


@dataclass(frozen=True, slots=True)
class Bar:
    """One step: its left edge and width, its heights above and below the line, and what it says."""

    left: float
    width: float
    kept: float
    dropped: float
    says: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A histogram to be drawn. `ticks`: (x, label); `kept` and `dropped`: what the tallest bars count."""

    title: str
    note: str
    bars: Sequence[Bar]
    ticks: Sequence[tuple[float, str]]
    kept: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis: `steps` to an octave, `label` names a value; `centred`: a step lies around its value."""

    title: str
    note: str
    steps: int
    label: Callable[[float], str]
    centred: bool = False


def ratio(value: float) -> str:
    """Width over height as people say it: "4:1", "1:1.5"."""
    return f"{value:.3g}:1" if value >= 1 else f"1:{1 / value:.3g}"


def _bytes(value: float) -> str:
    return size(value).replace(".0 ", " ")


AXES = {
    "side": Axis("Shorter side", "pixels", 4, lambda value: f"{value:,.0f}"),
    "aspect": Axis("Shape", "width to height", 8, ratio, centred=True),
    "weight": Axis("File size", "", 4, _bytes),
}


def chart(axis: Axis, counts: Sequence[Count]) -> Chart | None:
    """The histogram of `counts`, whose steps are those of the axis; None where nothing was counted."""
    if not counts:
        return None
    steps, counts = _coarser(axis.steps, counts)
    first, last = counts[0].step, counts[-1].step
    wide = WIDTH / (last - first + 1)
    kept, dropped = max(one.kept for one in counts), max(one.dropped for one in counts)
    shift = 0.5 if axis.centred else 0.0

    def bar(one: Count) -> Bar:
        low, high = (axis.label(2 ** ((one.step - shift + more) / steps)) for more in (0, 1))
        says = f"{low} to {high} {axis.note}: {one.kept:,} kept, {one.dropped:,} not"
        left = (one.step - first) * wide
        return Bar(left, max(wide - 1, 1), _height(one.kept, kept), _height(one.dropped, dropped), says)

    ticks = [
        ((octave * steps - first + shift) * wide, axis.label(2.0**octave))
        for octave in _octaves(first / steps, (last + 1) / steps)
    ]
    return Chart(axis.title, axis.note, [bar(one) for one in counts], ticks, kept, dropped)


def _coarser(steps: int, counts: Sequence[Count]) -> tuple[int, Sequence[Count]]:
    """Steps so wide that the bars can be told apart: half as many to an octave until they can."""
    while steps > 1 and counts[-1].step - counts[0].step >= _BARS:
        kept, dropped = Counter[int](), Counter[int]()
        for one in counts:
            kept[one.step // 2] += one.kept
            dropped[one.step // 2] += one.dropped
        steps, counts = steps // 2, [Count(step, kept[step], dropped[step]) for step in sorted(kept)]
    return steps, counts


def _octaves(low: float, high: float) -> range:
    """Which powers of two between two of them are labelled: at most `_LABELS`, the others left out evenly."""
    first, last = -int(-low // 1), int(high // 1)
    apart = max(1, -(-(last - first + 1) // _LABELS))
    return range(-(-first // apart) * apart, last + 1, apart)


def _height(n: int, tallest: int) -> float:
    """At least a hair's breadth for what is there at all."""
    return max(HALF * n / tallest, 1.0) if n else 0.0
