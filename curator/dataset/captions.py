"""Captions of later listings: a URL listed again keeps its first row, its other captions are kept beside."""

import json
from collections.abc import Sequence

from curator.dataset.ledger import Ledger


def listed_again(ledger: Ledger) -> bool:
    """Whether any URL was listed again with something new; most lists have none."""
    return ledger.db.execute("SELECT 1 FROM listings LIMIT 1").fetchone() is not None


def later_captions(ledger: Ledger, uids: Sequence[bytes]) -> dict[bytes, list[str]]:
    """The captions, in the order they were listed, of those among `uids` (a few thousand) that have any.

    Only for a dataset with captions: a listing's data then begins with its caption.
    """
    marks = ",".join("?" * len(uids))
    found: dict[bytes, list[str]] = {}
    for uid, data in ledger.rows(
        f"SELECT json_array(hex(uid), data) AS row FROM listings WHERE uid IN ({marks})"
        " ORDER BY uid, source, row",
        *uids,
    ):
        caption = json.loads(data)[0]
        if caption:
            found.setdefault(bytes.fromhex(uid), []).append(caption)
    return found
