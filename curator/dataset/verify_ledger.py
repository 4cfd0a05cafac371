"""What must hold inside the ledger: one state per URL, a verdict per decided one, counts that add up.

Every check is one walk along a table in its own order with point look-ups beside it, so that memory
does not grow with the ledger: no sort, no set of uids.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from curator.dataset.ingest import uid_of
from curator.dataset.ledger import PENDING, WAITING, Ledger
from curator.dataset.problems import Problems
from curator.reasons import Reason

_SAVED = Reason.SAVED.code

# What is wrong, and what selects the subjects it is wrong with.
_CHECKS = {
    "uid {}: its state is none that exists": (
        "SELECT lower(hex(uid)) FROM frontier WHERE state NOT IN (SELECT code FROM states)"
    ),
    "uid {}: waits for a retry that is never due": (
        f"SELECT lower(hex(uid)) FROM frontier WHERE state = {WAITING} AND due IS NULL"
    ),
    "uid {}: decided, but its verdict is missing": (
        "SELECT lower(hex(f.uid)) FROM frontier f LEFT JOIN verdicts v ON v.uid = f.uid"
        f" WHERE f.state > {WAITING} AND v.uid IS NULL"
    ),
    "uid {}: has a verdict, but is not in the frontier": (
        "SELECT lower(hex(v.uid)) FROM verdicts v LEFT JOIN frontier f ON f.uid = v.uid WHERE f.uid IS NULL"
    ),
    "uid {}: saved, but its verdict names no sample": (
        "SELECT lower(hex(f.uid)) FROM frontier f JOIN verdicts v ON v.uid = f.uid"
        f" LEFT JOIN shards s ON s.id = v.shard WHERE f.state = {_SAVED}"
        " AND (s.id IS NULL OR v.idx IS NULL OR v.idx < 0 OR v.idx >= s.samples)"
    ),
    "uid {}: not saved, but its verdict names a sample": (
        "SELECT lower(hex(f.uid)) FROM frontier f JOIN verdicts v ON v.uid = f.uid"
        f" WHERE f.state <> {_SAVED} AND v.shard IS NOT NULL"
    ),
    "uid {}: its row in links is missing or holds another URL": (
        "SELECT lower(hex(f.uid)) FROM frontier f LEFT JOIN links l ON l.id = f.link"
        " WHERE l.id IS NULL OR uid_of(l.url) <> f.uid"
    ),
    "links row {}: not in the frontier": (
        "SELECT l.id FROM links l LEFT JOIN frontier f ON f.uid = uid_of(l.url)"
        " WHERE f.link IS NOT l.id"
        " AND l.id <= (SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'merged')"
    ),
    "shard {}: rows in the ledger, but the shard is sealed or does not exist": (
        "SELECT DISTINCT p.shard FROM samples p LEFT JOIN shards s ON s.id = p.shard"
        " WHERE s.state IS NULL OR s.state = 'sealed'"
    ),
    "list {}: its count of bad rows is not the number of bad rows kept": (
        "SELECT s.path FROM sources s WHERE s.bad <> (SELECT count(*) FROM bad_rows b WHERE b.source = s.id)"
    ),
}


@dataclass(frozen=True, slots=True)
class Totals:
    """Distinct URLs in the frontier, and rows of lists not yet merged into it."""

    links: int
    unmerged: int


def check_ledger(ledger: Ledger, problems: Problems) -> Totals:
    """Add what is wrong inside the ledger to `problems`."""
    ledger.db.create_function("uid_of", 1, uid_of, deterministic=True)
    links = unmerged = 0
    with _told(problems):
        _check_pages(ledger, problems)
    for problem, query in _CHECKS.items():
        with _told(problems):
            _check_rows(ledger, query, problem, problems)
    with _told(problems):
        links = _check_counts(ledger, problems)
        unmerged = _unmerged(ledger)
    return Totals(links, unmerged)


@contextmanager
def _told(problems: Problems) -> Iterator[None]:
    """A damaged page ends the check that meets it, and is told; the other checks go on."""
    try:
        yield
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        problems.add(f"ledger.sqlite: {error}")
    except Exception as error:  # damage that was told already may turn any value into any other
        if not problems.found:
            raise
        problems.add(f"ledger.sqlite: {error!r}")


def _check_pages(ledger: Ledger, problems: Problems) -> None:
    for (line,) in ledger.db.execute("PRAGMA integrity_check(20)"):
        if line != "ok":
            problems.add(f"ledger.sqlite: {line}")


def _check_rows(ledger: Ledger, query: str, problem: str, problems: Problems) -> None:
    for (subject,) in ledger.db.execute(query):
        problems.add(f"ledger.sqlite: {problem.format(subject)}")


def _check_counts(ledger: Ledger, problems: Problems) -> int:
    """The counters against a recount; how many links there are."""
    names = {PENDING: "pending", WAITING: "waiting"} | {reason.code: reason.value for reason in Reason}
    counted = ledger.counts()
    found = dict(ledger.db.execute("SELECT state, count(*) FROM frontier GROUP BY state"))
    for state in sorted(counted.keys() | found.keys()):
        if counted.get(state, 0) != found.get(state, 0):
            problems.add(
                f"ledger.sqlite: counts {counted.get(state, 0):,} links {names.get(state, state)},"
                f" but {found.get(state, 0):,} are"
            )
    samples = ledger.db.execute("SELECT coalesce(sum(samples), 0) FROM shards").fetchone()[0]
    if samples != found.get(_SAVED, 0):
        problems.add(
            f"ledger.sqlite: {found.get(_SAVED, 0):,} links are saved, but shards hold {samples:,} samples"
        )
    return sum(found.values())


def _unmerged(ledger: Ledger) -> int:
    merged = ledger.meta("merged") or 0
    count: int = ledger.db.execute(
        "SELECT count(*) FROM links l LEFT JOIN frontier f ON f.uid = uid_of(l.url)"
        " WHERE l.id > ? AND f.link IS NOT l.id",
        (merged,),
    ).fetchone()[0]
    return count
