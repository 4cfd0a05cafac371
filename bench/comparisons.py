"""What is compared with whom, and what we want to be: one list, and the few rules by which a round is judged.

A ratio says how many times as good ours is, in one round: images a second divided by images a second (of the whole
process, or while it runs steadily), bytes of memory or CPU seconds an image the other way round. Speed counts only
for a run whose count is right. Of several rounds the median of the ratios counts, so that a machine that slows down
for all of a round does no harm.
"""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Record = Mapping[str, Any]  # of one run, as it is written to the results
Round = Mapping[str, Record]  # by contender
KINDS = {"rate": "speed", "steady": "steady", "memory": "memory", "cpu": "CPU"}


@dataclass(frozen=True, slots=True)
class Goal:
    """How many times as good as another we want to be, at least."""

    beside: str
    least: float
    kind: str = "rate"


@dataclass(frozen=True, slots=True)
class Comparison:
    """Some contenders at the same work, ours first."""

    name: str
    what: str  # as the README says it
    task: str
    site: str  # "fast" | "tls" | "web" | "hosts" | "folder" | "hashes"
    count: int  # of URLs, pictures, hashes
    quick: int
    contenders: tuple[str, ...]
    goals: tuple[Goal, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)  # of every job
    own: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of the jobs of one contender
    unit: str = "images"
    slack: float = 0.0  # share of the images that may be missing where answers are left to chance
    tail: float | None = None  # seconds at most from the start of the last URL to ours' end
    unfair: str = ""  # how, and to whom


RADIUS = 4

COMPARISONS = (
    Comparison(
        "fast",
        "crawl: original bytes, decoded, filtered, hashed, saved",
        "crawl",
        "fast",
        20_000,
        300,
        ("ours", "img2dataset", "requests_loop", "scrapy_images", "reference"),
        (
            Goal("img2dataset", 1.5),
            Goal("img2dataset", 1.3, "steady"),
            Goal("img2dataset", 3.0, "memory"),
            Goal("reference", 0.75),
        ),
        unfair="to img2dataset, which decodes fully where we reduce, and whose skip_reencode still encodes anew"
        " what is not JPEG; to us, since it takes no perceptual hash and syncs nothing; the reference has the cores"
        " for itself",
    ),
    Comparison(
        "resized",
        "crawl: resized to 256 pixels, JPEG of quality 95",
        "crawl-256",
        "fast",
        20_000,
        300,
        ("ours", "img2dataset"),
        (Goal("img2dataset", 1.5),),
        unfair="to img2dataset, which decodes fully where we reduce to no less than twice the target",
    ),
    Comparison(
        "bytes",
        "crawl: bytes only, nothing decoded",
        "crawl-bytes",
        "fast",
        20_000,
        300,
        ("ours", "img2dataset"),
        (Goal("img2dataset", 3.0),),
        unfair="to us, since img2dataset does not sync what it wrote",
    ),
    Comparison(
        "tls",
        "crawl: HTTPS, every URL on a host of its own",
        "crawl",
        "tls",
        5_000,
        150,
        ("ours", "img2dataset", "requests_loop", "scrapy_images"),
        (Goal("img2dataset", 6.0),),
        slack=0.01,
        unfair="to us, who ask a name server for names, and each host for its robots.txt"
        "; to those who check certificates, as Scrapy does not",
    ),
    Comparison(
        "web",
        "crawl: a web of slow, dead and broken answers",
        "crawl",
        "web",
        20_000,
        300,
        ("ours", "img2dataset", "requests_loop", "scrapy_images"),
        (Goal("img2dataset", 2.0),),
        slack=0.01,
        tail=12.0,  # one deadline of that site, and 2 s
        unfair="to us, who ask a name server for names, and each host for its robots.txt",
    ),
    Comparison(
        "hosts",
        "crawl: 2,000 hosts",
        "crawl",
        "hosts",
        20_000,
        300,
        ("ours", "img2dataset"),
        slack=0.01,
        unfair="to us, who ask a name server for names, and each host for its robots.txt",
    ),
    Comparison(
        "folder",
        "curate: a folder of pictures",
        "curate",
        "folder",
        5_000,
        200,
        ("ours_curate", "imagededup", "cleanvision", "imagehash_pool", "fastdup"),
        (Goal("imagededup", 2.5), Goal("cleanvision", 4.0), Goal("imagehash_pool", 1.9)),
        unfair="to us: beside imagededup and imagehash, which only hash here, we measure, decide and report;"
        " to fastdup, which runs a network",
    ),
    Comparison(
        "search",
        "search: all pairs of hashes within a radius of 4",
        "search",
        "hashes",
        1_000_000,
        20_000,
        ("ours_search", "faiss_binary"),
        (Goal("faiss_binary", 30.0),),
        {"radius": RADIUS},
        unit="pairs",
        unfair="to faiss, which is built to be asked one by one and finds each pair twice",
    ),
    Comparison(
        "search-flat",
        "search: the same pairs, beside a plain index",
        "search",
        "hashes",
        100_000,
        5_000,
        ("ours_search", "faiss_binary"),
        (),
        {"radius": RADIUS},
        {"faiss_binary": {"index": "flat"}},
        unit="pairs",
        unfair="to faiss, which is built to be asked one by one and finds each pair twice",
    ),
    Comparison(
        "search-small",
        "search: the same pairs, beside all compared with all",
        "search",
        "hashes",
        10_000,
        1_000,
        ("ours_search", "imagededup_search"),
        (Goal("imagededup_search", 1000.0),),
        {"radius": RADIUS},
        unit="pairs",
    ),
)


def rate(run: Record) -> float:
    """Images saved a second, by the whole process unless only its work is compared."""
    outcome = run["outcome"]
    return float(outcome["images"] / (outcome["work"] or run["seconds"]))


def wrong(run: Record, truth: int, slack: float = 0.0) -> str:
    """What speaks against counting a run; nothing where all is well."""
    if run["failure"]:
        return str(run["failure"])
    found = run["outcome"]["images"]
    right = truth * (1 - slack) <= found <= truth
    return "" if right else f"{found:,} of {truth:,}"


def right(name: str, rounds: Sequence[Round]) -> list[Record]:
    """A contender's runs that count."""
    return [one[name] for one in rounds if name in one and not one[name]["wrong"]]


def times(kind: str, ours: Record, theirs: Record) -> float | None:
    """How many times as good ours is in one round; None where nobody measured it."""
    if kind == "rate":
        return rate(ours) / rate(theirs)
    if kind == "steady":
        return ours["steady"] / theirs["steady"] if ours.get("steady") and theirs.get("steady") else None
    if kind == "cpu":
        ours, theirs = ({"cpu": one["cpu"] / one["outcome"]["images"]} for one in (ours, theirs))
    return float(theirs[kind] / ours[kind]) if ours[kind] else None


def ratios(rounds: Sequence[Round], first: str) -> dict[str, dict[str, float]]:
    """Medians by contender and kind, of the rounds in which ours (`first`) and the other were both right."""
    names = dict.fromkeys(name for one in rounds for name in one if name != first)
    found = {name: {kind: list(_ratios(rounds, first, name, kind)) for kind in KINDS} for name in names}
    return {
        name: {kind: statistics.median(values) for kind, values in kinds.items() if values}
        for name, kinds in found.items()
    }


def _ratios(rounds: Sequence[Round], first: str, name: str, kind: str) -> Iterator[float]:
    for one in rounds:
        if name in one and not any(one[each]["wrong"] for each in (first, name)):
            value = times(kind, one[first], one[name])
            if value is not None:
                yield value


def missed(
    comparison: Comparison,
    rounds: Sequence[Round],
    found: Mapping[str, Mapping[str, float]],
    *,
    goals: bool = True,
) -> list[str]:
    """What is not as good as it should be. Where a peer fails there is nothing to be missed."""
    first = comparison.contenders[0]
    told = [f"{first}: {one[first]['wrong']}" for one in rounds if one[first]["wrong"]]
    if goals:
        told += _short(comparison, found)
        told += _late(comparison, [one[first] for one in rounds])
    return [f"{comparison.name}: {one}" for one in told]


def _short(comparison: Comparison, found: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    for goal in comparison.goals:
        value = found.get(goal.beside, {}).get(goal.kind)
        if value is not None and value < goal.least:
            yield f"{value:.2f} times {goal.beside} by {KINDS[goal.kind]}, not {goal.least:g}"


def _late(comparison: Comparison, runs: Sequence[Record]) -> Iterator[str]:
    tails = [one["tail"] for one in runs if "tail" in one]
    if comparison.tail is not None and tails and statistics.median(tails) > comparison.tail:
        yield f"ends {statistics.median(tails):.1f} s after its last URL, not {comparison.tail:g}"
