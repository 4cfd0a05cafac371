"""What one exchange goes by, and what it knows of itself."""

from dataclasses import dataclass
from pathlib import Path

from crawler.address import Network
from crawler.clocks import Clock
from crawler.records import Link


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How to fetch. Times in seconds, sizes in bytes."""

    concurrency: int = 500  # exchanges at a time; whoever calls `fetch` keeps to it
    connect_timeout: float = 5.0
    stall_timeout: float = 10.0
    timeout: float = 30.0
    max_bytes: int = 20 << 20
    user_agent: str = "crawl-curate/0.1 (image dataset crawler)"
    headers: tuple[tuple[str, str], ...] = ()  # sent to the origin of the listed URL only
    insecure: bool = False  # take any TLS certificate
    ca_file: Path | None = None  # trusted on top of the system's
    allow_net: tuple[Network, ...] = ()
    max_redirects: int = 10
    nameservers: tuple[str, ...] = ()  # instead of the system's
    opt_outs: bool = True  # heed robots.txt, X-Robots-Tag and tdm-reservation
    delay: float = 0.0  # between two requests to one host, also after its robots.txt
    max_wait: float = 600.0  # the longest Crawl-delay that is obeyed
    robots_again: float = 10.0  # until a robots.txt is asked for again where the server had none to give


@dataclass(slots=True)
class Attempt:
    """What is known so far of one exchange, for the record that it will end in."""

    link: Link
    clock: Clock
    patience: float  # seconds that it may wait for a robots.txt
    final_url: str
    status: int = 0
    gap: float = 0.0  # seconds that the host wants between requests
