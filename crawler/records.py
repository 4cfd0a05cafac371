"""The small frozen records that travel through a crawl.

Those of every image are named tuples, which are made in a quarter of the time of a frozen dataclass.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from curator.reasons import Reason

if TYPE_CHECKING:
    from crawler.leases import Lease


@dataclass(frozen=True, slots=True)
class Way:
    """How far redirects have led an exchange, and what is left of its clocks. Times in seconds."""

    url: str  # asked for next
    home: str  # the host of the listed URL
    hops: int  # redirects behind it, 1 or more
    left: float  # of the whole exchange
    patience: float  # that it may still wait for a robots.txt


class Link(NamedTuple):
    """One URL drawn from the ledger, to be fetched once now."""

    uid: bytes  # 16 bytes: BLAKE2b of the URL as listed
    row: int  # its rowid in the ledger's `links`
    url: str  # as listed, outer white space stripped
    host: str  # the key of politeness: crawler.urls.host_of(asked), "" when the URL is bad
    attempts: int = 0  # charged attempts before this one, all runs
    tries: int = 0  # of those, in this run
    way: Way | None = None  # where redirects have led since this attempt began

    @property
    def asked(self) -> str:
        """The URL to ask for now."""
        return self.url if self.way is None else self.way.url

    @property
    def home(self) -> str:
        """The host of the listed URL."""
        return self.host if self.way is None else self.way.home


class Fetched(NamedTuple):
    """A whole body with its share of --memory still leased."""

    link: Link
    body: tuple[bytes, ...]
    size: int  # bytes in body
    lease: "Lease"
    final_url: str
    http_status: int
    content_type: str
    etag: str
    last_modified: str
    fetched_at: float  # seconds since the epoch
    gap: float = 0.0  # seconds between two requests that the host asked wants (Crawl-delay)


@dataclass(frozen=True, slots=True)
class Failed:
    """One attempt that gave no body. `retry_after`: seconds the server asked for, if it did."""

    link: Link
    reason: Reason
    detail: str = ""
    http_status: int = 0
    retry_after: float | None = None
    final_url: str = ""
    gap: float = 0.0  # as in Fetched


@dataclass(frozen=True, slots=True)
class Later:
    """A link that was not asked for: its host wants `gap` seconds between requests, `seconds` are left."""

    link: Link
    seconds: float
    gap: float


@dataclass(frozen=True, slots=True)
class Moved:
    """A link whose host redirected it: `to` is fetched when the host it leads to has a turn for it."""

    link: Link
    to: Link
    gap: float = 0.0  # as in Fetched
