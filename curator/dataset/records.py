"""What the stages before it hand to the writer, and what it hands back.

Records of every image are named tuples, which are made in a quarter of the time of a frozen dataclass.
"""

from dataclasses import dataclass
from typing import NamedTuple

from curator.reasons import Reason
from curator.records import Body, Measures, Stored, Undecoded


class Image(NamedTuple):
    """A picture to be saved: its bytes in pieces, and what is known of it."""

    body: Body
    size: int  # bytes in body
    measures: Measures | Undecoded  # of the bytes that the server sent
    final_url: str = ""
    http_status: int = 0
    content_type: str = ""
    etag: str = ""
    last_modified: str = ""
    fetched_at: float = 0.0  # seconds since the epoch
    stored: Stored | None = None  # of body, where that is not what the server sent


class Verdict(NamedTuple):
    """What became of one link in this run. `image` exactly when the reason is `saved`."""

    uid: bytes
    link: int  # rowid in `links`
    reason: Reason
    attempts: int  # charged in all
    tries: int  # of those, in this run
    http_status: int = 0
    detail: str = ""
    final_url: str = ""
    duplicate_of: bytes | None = None  # uid
    distance: int | None = None  # bits
    image: Image | None = None


@dataclass(frozen=True, slots=True)
class Postponed:
    """A failed attempt that will be tried again in this run, not before `due` (epoch seconds)."""

    uid: bytes
    link: int
    due: float
    attempts: int
    tries: int


Event = Verdict | Postponed


class Drawn(NamedTuple):
    """A link as the ledger holds it."""

    uid: bytes
    link: int
    url: str
    attempts: int
    tries: int
