"""What the demo site holds, kind by kind, and what is to become of each: known before anything is fetched.

A path says what the site answers ("/near/7": the seventh picture once more, scaled and re-encoded), so the
site and the list of its URLs need nothing but this table.
"""

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from curator.reasons import Reason

MIN_SIDE = 64  # pixels, the --min-side that the plan reckons with


@dataclass(frozen=True, slots=True)
class Lot:
    """`n` links of one kind."""

    name: str  # the first part of their path
    n: int
    reason: Reason  # what becomes of them
    what: str  # for people


LOTS = (
    Lot("picture", 160, Reason.SAVED, "pictures: JPEG, PNG, WebP, GIF and AVIF"),
    Lot("copy", 40, Reason.SAME_BYTES, "exact copies of other pictures"),
    Lot("near", 40, Reason.NEAR_DUPLICATE, "the same pictures scaled and re-encoded"),
    Lot("slow", 4, Reason.SAVED, "pictures that take a second to answer"),
    Lot("moved", 12, Reason.SAVED, "pictures behind two redirects"),
    Lot("busy", 6, Reason.SAVED, "pictures behind a 503 that passes"),
    Lot("tiny", 30, Reason.TOO_SMALL, "thumbnails"),
    Lot("corrupt", 15, Reason.UNDECODABLE, "files cut in half"),
    Lot("missing", 20, Reason.HTTP_404, "links that lead nowhere"),
    Lot("page", 10, Reason.NOT_AN_IMAGE, "web pages that claim to be JPEG"),
    Lot("broken", 3, Reason.HTTP_5XX, "links whose server fails every time"),
    Lot("loop", 2, Reason.TOO_MANY_REDIRECTS, "redirects that lead in a circle"),
    Lot("private", 8, Reason.ROBOTS_TXT, "links that the site's robots.txt forbids, never asked for"),
    Lot("noai", 4, Reason.X_ROBOTS_TAG, "pictures whose X-Robots-Tag says noai"),
    Lot("reserved", 3, Reason.TDM_RESERVATION, "pictures reserved from text and data mining"),
    Lot("metadata", 1, Reason.FORBIDDEN_ADDRESS, "a link to a cloud's metadata address, never connected to"),
    Lot("typo", 2, Reason.BAD_URL, "rows that hold no URL"),
)
_N = {lot.name: lot.n for lot in LOTS}
_SEEDS = {lot.name: 1000 * i for i, lot in enumerate(LOTS)}


def seed_of(lot: str, index: int) -> int:
    """The picture that a link shows. Copies show those of "picture", each another one.

    So whichever of a pair comes first, as many are duplicates of each kind.
    """
    if lot in ("copy", "near"):
        return _SEEDS["picture"] + index + (0 if lot == "near" else _N["near"])
    return _SEEDS[lot] + index


def demo_plan(dedup: str = "none") -> Mapping[Reason, int]:
    """How many links come to what, crawled with --min-side MIN_SIDE and --dedup none, bytes or phash."""
    told = {
        "none": (Reason.SAME_BYTES, Reason.NEAR_DUPLICATE),
        "bytes": (Reason.NEAR_DUPLICATE,),
        "phash": (),
    }[dedup]
    expected: Counter[Reason] = Counter()
    for lot in LOTS:
        expected[Reason.SAVED if lot.reason in told else lot.reason] += lot.n
    return expected


def links(bases: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(URL, caption) of everything, spread over the hosts of the site."""
    for lot in LOTS:
        for index in range(lot.n):
            base = bases[index % len(bases)]
            if lot.name == "metadata":
                base = "http://169.254.169.254"
            elif lot.name == "typo":
                base = "htp:/example"
            yield f"{base}/{lot.name}/{index}", f"{lot.what}, number {index + 1}"


def write_list(path: Path, bases: Sequence[str]) -> None:
    """Write the list to crawl: CSV with the columns url and caption."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("url", "caption"))
        table.writerows(links(bases))
