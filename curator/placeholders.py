"""What a host gives instead of pictures: the same bytes from many of its URLs ("image not found", a logo).

Two steps, since URLs are long and text is slow: bytes are counted first, whoever gave them, and only of those
that enough URLs gave are the URLs read and counted by host.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from curator.hosts import host_of
from curator.identical import Index, groups
from curator.sources.source import Source
from curator.verdicts import Census

_Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """One picture that stands for others that are not there."""

    host: str  # that gave it for the most URLs
    sha256: str  # hex digits
    uid: str  # of one of its images, hex digits
    urls: int  # of the host
    rows: _Rows  # of the census, of all images with these bytes


def find(
    sources: Sequence[Source],
    census: Census,
    at_least: int,
    copies: Iterable[tuple[bytes, str, int]] = (),
) -> list[Placeholder]:
    """What `at_least` URLs of one host gave byte for byte among the images of `sources`; nothing where it is 0.

    `sources` are those the census took as ours. `copies`: uid of an image, host, and how many more URLs of the
    host gave the same bytes as the image, as a crawl knows it that stored them once.
    Most URLs first. Raises CorruptDataset where a source is damaged.
    """
    rows = np.flatnonzero(census.unmeasured[: census.ours] == 0)
    if not at_least or not len(rows):
        return []
    group = groups(census.sha256[rows])
    counts = np.bincount(group)
    by_host: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for one, host, urls in _in_groups(census, rows, group, copies):
        by_host[one][host] += urls
        counts[one] += urls
    often = (counts >= at_least)[group]
    rows, group = rows[often], group[often]
    numbers = group.tolist()
    seen: dict[tuple[int, str], set[int]] = defaultdict(set)
    for at, url in _urls(sources, census, rows):
        seen[numbers[at], host_of(url)].add(hash(url))  # a URL that two sources have is one
    for (one, host), urls_seen in seen.items():
        by_host[one][host] += len(urls_seen)

    order = np.argsort(group, kind="stable")
    rows, group = rows[order], group[order]
    found = [
        _placeholder(census, rows[group.searchsorted(one) : group.searchsorted(one, "right")], hosts)
        for one, hosts in by_host.items()
        if max((urls for host, urls in hosts.items() if host), default=0) >= at_least
    ]
    return sorted(found, key=lambda one: (-one.urls, one.host, one.sha256))


def _placeholder(census: Census, rows: _Rows, hosts: dict[str, int]) -> Placeholder:
    urls, host = min((-urls, host) for host, urls in hosts.items() if host)
    uid = min(census.uid[row].tobytes() for row in rows)
    return Placeholder(host, census.sha256[rows[0]].tobytes().hex(), uid.hex(), -urls, rows)


def _in_groups(
    census: Census, rows: _Rows, group: npt.NDArray[np.uint32], copies: Iterable[tuple[bytes, str, int]]
) -> Iterator[tuple[int, str, int]]:
    """The copies with the group of their image in the place of its uid."""
    told = list(copies)
    if not told:
        return
    uids = np.frombuffer(b"".join(uid for uid, _, _ in told), np.uint8).reshape(-1, 16)
    found = Index(census.uid[rows]).find(uids)
    before = -1
    for row, which in zip(found.row.tolist(), found.wanted.tolist(), strict=True):
        if which != before:  # images of one uid have the same bytes: it is counted once
            yield int(group[row]), *told[which][1:]
        before = which


def _urls(sources: Sequence[Source], census: Census, rows: _Rows) -> Iterator[tuple[int, str]]:
    """The URLs of these rows, which ascend: the place of each among them, and its URL if it has one."""
    for source, start, end in zip(sources, census.starts, census.starts[1:], strict=False):
        at, (first, last) = int(start), rows.searchsorted((start, end))
        for batch in source.rows(["url"]) if last > first else ():
            first, last = rows.searchsorted((at, at + len(batch)))
            urls = batch["url"].take(rows[first:last] - at).to_pylist()
            yield from ((place, url) for place, url in enumerate(urls, int(first)) if url)
            at += len(batch)
