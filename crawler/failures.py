"""Where a crawl's failures are: by host and by HTTP status, from a bounded part of the ledger.

How this stays quick at any size
- A link's URL lies anywhere in the file: a microsecond or two each, half a minute for ten million.
- The frontier is ordered by a hash of the URL, so any slice of it is a uniform sample. Of more than
  `SAMPLE` links, equally wide slices spread over the whole order are read (links are drawn in that order,
  so a single slice would be a single hour of the night) and counts are scaled up; of fewer, all are.
- Each slice is a statement of its own: a snapshot held open would stop the writer's WAL checkpoints.
Memory is bounded by the sample, whatever the number of links or hosts.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from crawler.report import FAILED
from crawler.urls import host_of
from curator.dataset.draw import MOST_ATTEMPTS
from curator.dataset.ledger import WAITING, Ledger
from curator.reasons import BY_CODE, TRANSIENT, Kind, Reason

SAMPLE = 300_000
_ANSWERED = (Kind.SAVED, Kind.FILTERED, Kind.DUPLICATE)
_SLICES = 64
_UIDS = 1 << 128
# nothing here comes from outside but the two bounds
_SLICE = f"""
    SELECT f.state, coalesce(nullif(v.final_url, ''), l.url), coalesce(v.http_status, 0),
           coalesce(f.attempts, 0) < {MOST_ATTEMPTS}
    FROM frontier f JOIN links l ON l.id = f.link LEFT JOIN verdicts v ON v.uid = f.uid
    WHERE f.uid >= ? AND f.uid < ? AND f.state > {WAITING}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Host:
    """What became of the links that ended at one host: that of the last redirect."""

    name: str  # "" holds the URLs that name none
    saved: int
    answered: int  # links that gave an image, kept or not
    failed: int  # links that gave none
    retryable: int  # the transient ones that a retry would try
    reasons: tuple[tuple[Reason, int], ...]  # of the failures, most frequent first


@dataclass(frozen=True, slots=True)
class Failures:
    """Failures of a crawl. Counts are estimates where `part` < 1."""

    part: float  # of all links read for this, 0 to 1
    hosts: tuple[Host, ...]  # that failed, most failures first
    failing_hosts: int  # how many were seen; `hosts` may hold fewer
    http_status: tuple[tuple[int, int], ...]  # (status, failures), most first; 0: no answer
    retryable: int  # transient failures that a retry would try: no fewer where none of them was read
    retryable_answering: int  # of those, on hosts that gave images


_Outcomes = Counter[tuple[Reason, int, bool]]  # (reason, HTTP status, whether a retry would try it)


def read_failures(
    ledger: Ledger, counts: Mapping[Reason, int], pending: int, hosts: int, sample: int = SAMPLE
) -> Failures:
    """Count the failures among about `sample` links, with the `hosts` worst hosts.

    `counts` and `pending` are the ledger's own, of all its links.
    """
    part = min(1.0, sample / max(sum(counts.values()) + pending, 1))
    seen = _seen(ledger, part)
    failing = [host for host in (_host(name, found, part) for name, found in seen.items()) if host.failed]
    failing.sort(key=lambda host: (-host.failed, host.name))
    retryable, answering = _retryable(seen, sum(n for reason, n in counts.items() if reason in TRANSIENT))
    return Failures(
        part=part,
        hosts=tuple(failing[:hosts]),
        failing_hosts=len(failing),
        http_status=_statuses(seen, part),
        retryable=retryable,
        retryable_answering=answering,
    )


def slices(part: float, n: int = _SLICES) -> Iterator[tuple[bytes, bytes]]:
    """`n` ranges of uids [low, high), spread evenly, that together hold `part` of all."""
    for i in range(n):
        low = _UIDS * i // n
        # the end of the last whole slice lies beyond any uid
        high = _UIDS * (i + 1) // n if part >= 1 else low + int(_UIDS * part / n)
        yield low.to_bytes(16, "big"), high.to_bytes(16, "big") if high < _UIDS else b"\xff" * 17


def _seen(ledger: Ledger, part: float) -> dict[str, _Outcomes]:
    counted: Counter[tuple[str, int, int, int]] = Counter()
    for low, high in slices(part):
        rows = ledger.db.execute(_SLICE, (low, high))
        counted.update((host_of(url), state, answer, young) for state, url, answer, young in rows)
    seen: dict[str, _Outcomes] = {}
    for (host, state, answer, young), n in counted.items():
        reason = BY_CODE[state]
        retry = bool(young) and reason.kind is Kind.TRANSIENT
        seen.setdefault(host, Counter())[reason, answer, retry] += n
    return seen


def _estimate(n: int, part: float) -> int:
    """`n` in a `part` of the links, as a number of all: no more digits than a sample can know."""
    return n if part == 1 else round(float(f"{n / part:.3g}"))


def _statuses(seen: Mapping[str, _Outcomes], part: float) -> tuple[tuple[int, int], ...]:
    statuses: Counter[int] = Counter()
    for found in seen.values():
        for (reason, answer, _), n in found.items():
            if reason.kind in FAILED:
                statuses[answer] += n
    return tuple((answer, _estimate(n, part)) for answer, n in statuses.most_common())


def _retryable(seen: Mapping[str, _Outcomes], transient: int) -> tuple[int, int]:
    """Of `transient` failures in all, those that a retry would try, and of these those on answering hosts."""
    failed = young = answering = 0
    for found in seen.values():
        answers = any(reason.kind in _ANSWERED for reason, _, _ in found)
        for (reason, _, retry), n in found.items():
            failed += n if reason in TRANSIENT else 0
            young += n if retry else 0
            answering += n if retry and answers else 0
    retryable = round(transient * young / failed) if failed else transient
    return retryable, round(retryable * answering / young) if young else retryable


def _host(name: str, found: _Outcomes, part: float) -> Host:
    reasons: Counter[Reason] = Counter()
    for (reason, _, _), n in found.items():
        reasons[reason] += n
    failed = [(reason, n) for reason, n in reasons.most_common() if reason.kind in FAILED]
    answered = sum(n for reason, n in reasons.items() if reason.kind in _ANSWERED)
    return Host(
        name=name,
        saved=_estimate(reasons[Reason.SAVED], part),
        answered=_estimate(answered, part),
        failed=_estimate(sum(n for _, n in failed), part),
        retryable=_estimate(sum(n for (_, _, retry), n in found.items() if retry), part),
        reasons=tuple((reason, _estimate(n, part)) for reason, n in failed),
    )
