"""The sites that crawlers are compared on: each serves a corpus to whoever asks, and knows what must come of it.

    with web(corpus, folder, count=20_000, seed=1) as site: ...

- fast: one host, nginx where it is installed. The machine is the limit, not the network.
- tls: HTTPS by a certificate authority of its own, each URL on a host name of its own: a handshake and a look-up each.
- web: some hundred milliseconds to an answer, and what fails on the web (`bench.answering`); ten URLs a host.
- hosts: as fast, with 2,000 host names.

All are on loopback, without its losses and its distance, and share the machine with those that ask. Names are taught
without root (`bench.names`). Every URL is asked for once: pictures come again under other URLs.
"""

import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.answering import fate
from bench.corpus import Corpus, Picture
from bench.names import ADDRESSES, ZONE, name_of
from bench.peers import ROOT
from bench.serving import serving

MIN_SIDE = 100  # px, of the task "crawl"
# attempts and seconds that everybody has: on the web, where faults last, the deadline is img2dataset's own; elsewhere
# all goes well, unless a contender is too busy with itself
WEB, ELSEWHERE = (1, 10.0), (3, 60.0)
HOSTS = 2_000
_PER_HOST = 10  # URLs on the web site
_REASONS = {"never": "timeout", "missing": "http_404", "truncated": "truncated", "html": "not_an_image"}


@dataclass(frozen=True, slots=True)
class Site:
    """A site that runs."""

    name: str
    urls: list[str]
    expected: Mapping[str, int]  # images saved, by task
    reasons: Mapping[str, int]  # what becomes of the others in the task "crawl", in our words
    options: dict[str, Any]  # of a Job
    log: Path  # see `bench.exchanges`
    pids: tuple[int, ...]
    kind: str  # of server

    def write(self, path: Path) -> Path:
        """The URLs as a list."""
        path.write_text("".join(f"{url}\n" for url in self.urls))
        return path


@contextmanager
def fast(corpus: Corpus, state: Path, *, count: int, seed: int = 0) -> Iterator[Site]:
    """One host, no waiting."""
    plan = _Plan("fast", lambda _: ADDRESSES[0], addresses=ADDRESSES[:1])
    with _running(plan, corpus, state, count) as site:
        yield site


@contextmanager
def hosts(corpus: Corpus, state: Path, *, count: int, seed: int = 0) -> Iterator[Site]:
    """2,000 names."""
    with _running(_Plan("hosts", lambda n: name_of(n % HOSTS)), corpus, state, count) as site:
        yield site


@contextmanager
def tls(corpus: Corpus, state: Path, *, count: int, seed: int = 0) -> Iterator[Site]:
    """HTTPS, a name a URL."""
    with _running(_Plan("tls", name_of, authority=_certified(state)), corpus, state, count) as site:
        yield site


@contextmanager
def web(corpus: Corpus, state: Path, *, count: int, seed: int = 0) -> Iterator[Site]:
    """Waiting and faults."""
    names = -(-count // _PER_HOST)
    with _running(_Plan("web", lambda n: name_of(n % names), seed=seed), corpus, state, count) as site:
        yield site


SITES = {"fast": fast, "hosts": hosts, "tls": tls, "web": web}


@dataclass(frozen=True, slots=True)
class _Authority:
    """PEM files of a throw-away certificate authority."""

    certificate: Path  # for all names of the bench, and its key
    itself: Path
    bundle: Path  # itself, after those that this machine trusts


@dataclass(frozen=True, slots=True)
class _Plan:
    """How a site differs from the others."""

    name: str
    host: Callable[[int], str]  # of a URL, by its number
    addresses: Sequence[str] = ADDRESSES
    authority: _Authority | None = None
    seed: int | None = None  # of faults


@contextmanager
def _running(plan: _Plan, corpus: Corpus, state: Path, count: int) -> Iterator[Site]:
    state.mkdir(parents=True, exist_ok=True)
    log, authority = state / "exchanges.log", plan.authority
    certificate = authority.certificate if authority else None
    attempts, timeout = ELSEWHERE if plan.seed is None else WEB
    options: dict[str, Any] = {
        "site": plan.name,
        "timeout": timeout,
        "attempts": attempts,
        "min_side": MIN_SIDE,
    }
    if authority:
        options |= {"ca": str(authority.itself), "bundle": str(authority.bundle)}
    with (
        serving(
            corpus.folder, state, addresses=plan.addresses, log=log, certificate=certificate, seed=plan.seed
        ) as server,
        _name_server() as nameserver,
    ):
        pictures = [corpus.pictures[n % len(corpus.pictures)] for n in range(count)]
        origins = (f"http{'s' if authority else ''}://{plan.host(n)}:{server.port}" for n in range(count))
        urls = [f"{at}/{one.name}?i={n}" for n, (at, one) in enumerate(zip(origins, pictures, strict=True))]
        yield Site(
            plan.name,
            urls,
            *_truth(plan, pictures),
            options | {"nameserver": nameserver},
            log,
            (*server.pids,),
            server.kind,
        )


def _truth(plan: _Plan, pictures: Sequence[Picture]) -> tuple[dict[str, int], dict[str, int]]:
    """Images saved, by task, and what becomes of the others in the task "crawl"."""
    faults = ["" if plan.seed is None else fate(plan.seed, n).fault for n in range(len(pictures))]
    small = [min(one.width, one.height) < MIN_SIDE for one in pictures]
    became = Counter(
        _REASONS.get(fault) or ("too_small" if tiny else "saved")
        for fault, tiny in zip(faults, small, strict=True)
    )
    sound = became["saved"] + became["too_small"]
    return {"crawl": became.pop("saved"), "crawl-256": sound, "crawl-bytes": sound}, dict(became)


@contextmanager
def _name_server() -> Iterator[str]:
    """Its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.names"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate(timeout=30)


def _certified(state: Path) -> _Authority:
    import trustme  # of the extra "bench"

    state.mkdir(parents=True, exist_ok=True)
    made = _Authority(*(state / name for name in ("server.pem", "ca.pem", "bundle.pem")))
    authority = trustme.CA()
    authority.issue_cert(f"*{ZONE}").private_key_and_cert_chain_pem.write_to_path(made.certificate)
    authority.cert_pem.write_to_path(made.itself)
    # who trusts the web reads its 140 authorities, too, and for each request anew where it does so
    system = ssl.get_default_verify_paths().cafile
    made.bundle.write_bytes((Path(system).read_bytes() if system else b"") + made.itself.read_bytes())
    return made
