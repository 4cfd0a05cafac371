"""From a uniform sample of a list to the whole of it: what a full crawl will save, weigh and take.

The sample is uniform because links are drawn in the order of a hash of their URL. The share saved is told
with the Wilson score interval, which holds for small samples and for shares near 0 and 1, where the
textbook margin promises what it cannot keep.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959964  # the normal quantile that leaves 2.5 % on either side
SLOWEST = 5


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole list, as a sample of it lets expect."""

    links: int  # of the whole list
    sampled: int  # links decided in the sample
    share: float  # saved, 0 to 1, within [low, high] with 95 % confidence
    low: float
    high: float
    stored_bytes: float  # of images saved
    received_bytes: float
    seconds: float  # at the pace of the sample
    slowest: tuple[
        tuple[str, float], ...
    ]  # hosts, and the seconds each would take on its own, where that shows


class HostClock:
    """For how long each host had a request under way, however many at a time. Seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._under_way: dict[str, tuple[int, float]] = {}  # how many, and since when any

    def begin(self, host: str, now: float) -> None:
        """A request to `host` begins."""
        count, since = self._under_way.get(host, (0, now))
        self._under_way[host] = count + 1, since

    def end(self, host: str, now: float) -> None:
        """A request to `host` ended."""
        count, since = self._under_way.pop(host)
        if count > 1:
            self._under_way[host] = count - 1, since
        else:
            self.seconds[host] = self.seconds.get(host, 0.0) + now - since


def wilson(successes: int, trials: int, z: float = Z95) -> tuple[float, float]:
    """The Wilson score interval of a share: (low, high), both within [0, 1]; (0, 1) without trials."""
    if trials == 0:
        return 0.0, 1.0
    share, spread = successes / trials, z * z / trials
    middle = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / trials + spread / trials / 4) / (1 + spread)
    # rounding may leave a bound an ulp on the wrong side of the share itself
    return max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share))


def forecast(
    links: int,
    saved: int,
    decided: int,
    stored_bytes: int,
    received_bytes: int,
    seconds: float,
    hosts: Mapping[str, float] | None = None,
) -> Forecast:
    """What `links` links come to, when `decided` of them, drawn uniformly, came to the rest.

    `seconds`: wall time of the sample. `hosts`: seconds during which each host of the sample had a request
    under way, as far as known.
    """
    low, high = wilson(saved, decided)
    scale = links / decided if decided else 0.0
    # a malformed URL has no host
    took = [(host, spent * scale) for host, spent in (hosts or {}).items() if host and round(spent * scale)]
    return Forecast(
        links=links,
        sampled=decided,
        share=saved / decided if decided else 0.0,
        low=low,
        high=high,
        stored_bytes=stored_bytes * scale,
        received_bytes=received_bytes * scale,
        seconds=seconds * scale,
        slowest=tuple(sorted(took, key=lambda pair: (-pair[1], pair[0]))[:SLOWEST]),
    )
