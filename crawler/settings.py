"""Every setting of a crawl, its default and its range, in one frozen record.

Light to import, hence the imports inside functions: the command line takes its defaults from here, and
worker processes import what their parent's main module imports.
"""

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curator.encoding import Encoding
from curator.errors import UsageError
from curator.fixed import Fixed
from curator.ranges import ANY, check_ranges, cores
from curator.reasons import TRANSIENT, Reason

if TYPE_CHECKING:
    from ssl import SSLContext

    from crawler.exchange import FetchSettings
    from crawler.pace import Manners
    from crawler.retry import RetryPolicy
    from curator.rules import Rules

MIB = 1 << 20
USER_AGENT = "crawl-curate/0.1 (image dataset crawler)"
# of this process's own choosing in every run, never stored
_PER_RUN = frozenset({"limit", "retry"})
_FIXED = Fixed()  # their defaults live with the dataset
_DECODING = (
    "min_side",
    "max_aspect",
    "max_pixels",
    "full_decode",
    "resize",
    "encode",
)  # need a decoded image


@dataclass(frozen=True, slots=True)
class Settings:
    """How to crawl. Times in seconds, sizes in bytes. Raises UsageError where a value is out of range."""

    # the network
    concurrency: int = 500
    per_host: int = 32
    delay: float = 0.0
    max_wait: float = 600.0
    stop_if_failing: float = 0.98  # 0: never
    attempts: int = 3
    memory: int = 1024 * MIB
    connect_timeout: float = 5.0
    stall_timeout: float = 10.0
    timeout: float = 30.0
    user_agent: str = USER_AGENT
    header: tuple[str, ...] = ()  # "Name: value"
    insecure: bool = False
    ca_file: str = ""
    allow_net: tuple[str, ...] = ()
    opt_outs: str = "honour"  # or "ignore"
    resolver: tuple[str, ...] = ()  # name servers, "ADDRESS" or "ADDRESS:PORT"; none: the system's
    backoff: float = 2.0  # before the second attempt; set from a program only
    outage: float = 20.0  # without any answer, until the network counts as down; set from a program only
    # measuring
    no_decode: bool = False
    workers: int = 0  # 0: one a core
    decode_timeout: float = 10.0
    worker_memory: int = 1024 * MIB
    # fixed when the dataset is made
    max_bytes: int = _FIXED.max_bytes
    max_pixels: int = _FIXED.max_pixels
    full_decode: bool = _FIXED.full_decode
    min_side: int = _FIXED.min_side
    max_aspect: float = _FIXED.max_aspect
    dedup: str = _FIXED.dedup
    radius: int = _FIXED.radius
    resize: int = _FIXED.resize
    resize_mode: str = _FIXED.resize_mode
    encode: str = _FIXED.encode
    quality: int = _FIXED.quality
    shard_size: int = _FIXED.shard_size
    shard_bytes: int = _FIXED.shard_bytes
    # lists
    url_col: str = ""
    caption_col: str = ""
    drop_columns: tuple[str, ...] = ()
    input_format: str = ""
    # the run
    min_free: int = 1024 * MIB
    retry: str = "transient"
    limit: int = 0  # 0: the whole list

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming the flag."""
        check_ranges(self, _RANGES)
        if self.memory < 2 * self.max_bytes:
            raise UsageError(
                f"--memory {self.memory / MIB:.0f}M is less than twice --max-bytes {self.max_bytes / MIB:.0f}M: "
                "one growing body could wait for ever. Raise --memory or lower --max-bytes."
            )
        if 0 < self.max_aspect < 1:
            raise UsageError(
                f"--max-aspect must be 0 (any) or at least 1, not {self.max_aspect}: nothing could pass."
            )
        if not self.user_agent.strip() or not self.user_agent.isprintable() or not self.user_agent.isascii():
            raise UsageError("--user-agent must say who you are, in printable ASCII.")
        if self.opt_outs not in ("honour", "ignore"):
            raise UsageError(f"--opt-outs is one of honour, ignore, not {self.opt_outs!r}.")
        if self.dedup not in ("none", "bytes", "phash"):
            raise UsageError(f"--dedup is one of none, bytes, phash, not {self.dedup!r}.")
        self._check_encoding()
        self._check_decoding()
        self.headers()
        self.networks()
        self.nameservers()
        self.retried()

    def _check_encoding(self) -> None:
        encoding = self.encoding()
        if encoding.mode != "keep-ratio-largest" and encoding.side**2 > self.max_pixels:
            raise UsageError(
                f"--resize {encoding.side} makes images of more than --max-pixels {self.max_pixels:,}: none "
                "would be saved. Raise --max-pixels or lower --resize."
            )

    def _check_decoding(self) -> None:
        """Refuse to judge or change what nobody looks at. Settings that only say how to decode do no harm."""
        changed = [name for name in _DECODING if getattr(self, name) != getattr(_FIXED, name)]
        needs = ["dedup phash"] * (self.dedup == "phash") + [name.replace("_", "-") for name in changed]
        if self.no_decode and needs:
            raise UsageError(
                f"--no-decode stores images without looking at them, and --{needs[0]} needs a look: leave one of "
                "them away. `curate` decides afterwards what such a dataset keeps."
            )

    def encoding(self) -> Encoding:
        """What is made of each image before it is stored."""
        return Encoding(self.resize, self.resize_mode, self.encode, self.quality)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """The headers given with --header, split at their first colon."""
        pairs = []
        for line in self.header:
            name, colon, value = line.partition(":")
            if not colon or not name.strip() or any(ord(c) < 32 or ord(c) > 126 for c in line):
                # the value may be a secret: it is not repeated here
                raise UsageError("--header is written 'Name: value', in printable ASCII.")
            pairs.append((name.strip(), value.strip()))
        return tuple(pairs)

    def networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        """The networks opened with --allow-net."""
        try:
            return tuple(ipaddress.ip_network(one, strict=False) for one in self.allow_net)
        except ValueError as error:
            raise UsageError(f"--allow-net takes a network such as 10.1.0.0/16: {error}.") from error

    def nameservers(self) -> tuple[str, ...]:
        """The name servers given with --resolver, each as c-ares takes it."""
        return tuple(_nameserver(one) for one in self.resolver)

    def retried(self) -> tuple[str, ...]:
        """The Reasons of older runs that are tried again."""
        if self.retry == "none":
            return ()
        if self.retry == "transient":
            return tuple(sorted(TRANSIENT))
        if self.retry == "all":
            return tuple(reason for reason in Reason if reason is not Reason.SAVED)
        names = [name.strip() for name in self.retry.split(",")]
        known = {reason.value for reason in Reason} - {Reason.SAVED.value}
        if unknown := [name for name in names if name not in known]:
            raise UsageError(
                f"--retry {unknown[0]!r} is not a Reason. It takes transient, none, all, or some of: "
                f"{', '.join(sorted(known))}."
            )
        return tuple(names)

    def worker_count(self) -> int:
        """How many processes measure."""
        return self.workers or cores()

    def fetching(self) -> "FetchSettings":
        """The part that the network needs."""
        from crawler.exchange import FetchSettings

        return FetchSettings(
            concurrency=self.concurrency,
            connect_timeout=self.connect_timeout,
            stall_timeout=self.stall_timeout,
            timeout=self.timeout,
            max_bytes=self.max_bytes,
            user_agent=self.user_agent,
            headers=self.headers(),
            insecure=self.insecure,
            ca_file=Path(self.ca_file) if self.ca_file else None,
            allow_net=self.networks(),
            opt_outs=self.opt_outs == "honour",
            delay=self.delay,
            max_wait=self.max_wait,
            robots_again=5 * self.backoff,
            nameservers=self.nameservers(),
        )

    def tls(self) -> "SSLContext | bool":
        """Whom to trust. Raises UsageError where --ca-file cannot be used."""
        from crawler.tls import tls_context

        return tls_context(self.insecure, Path(self.ca_file) if self.ca_file else None)

    def rules(self) -> "Rules":
        """The part that judges images."""
        from curator.rules import Rules

        return Rules(min_side=self.min_side, max_aspect=self.max_aspect)

    def retrying(self) -> "RetryPolicy":
        """The part that says when to try again."""
        from crawler.retry import RetryPolicy

        return RetryPolicy(attempts=self.attempts, base=self.backoff, max_wait=self.max_wait)

    def manners(self) -> "Manners":
        """The part that says how hosts are treated."""
        from crawler.pace import Manners

        return Manners(self.per_host, self.delay, self.max_wait, self.backoff)

    def stored(self) -> dict[str, Any]:
        """What the ledger keeps for `crawl DATA`."""
        return {name: value for name, value in asdict(self).items() if name not in _PER_RUN}


def merge(stored: Mapping[str, Any], given: Mapping[str, Any]) -> Settings:
    """Stored settings, overridden by what was given now. Raises TypeError for a name there is none of."""
    lists = {field.name for field in fields(Settings) if isinstance(field.default, tuple)}
    both: dict[str, Any] = {**stored, **given}
    both.update({name: _several(name, both[name]) for name in lists & both.keys()})
    return Settings(**both)


def _several(name: str, given: Any) -> tuple[str, ...]:
    """A setting that takes several values, from one or a collection; networks as objects or as text."""
    if isinstance(given, str | ipaddress.IPv4Network | ipaddress.IPv6Network):
        given = (given,)  # a network is a collection, too, of its addresses
    one_by_one = tuple(given) if isinstance(given, Iterable) else (given,)
    known = (str, ipaddress.IPv4Network, ipaddress.IPv6Network) if name == "allow_net" else (str,)
    if wrong := [one for one in one_by_one if not isinstance(one, known)]:
        flag = f"--{name.replace('_', '-')}"
        raise UsageError(f"{flag} takes texts, such as {_EXAMPLES[name]!r}, not {wrong[0]!r}.")
    return tuple(map(str, one_by_one))


def fixed_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """Of what was given, the settings that are fixed when a dataset is made."""
    names = {field.name for field in fields(Fixed)}
    return {name: value for name, value in given.items() if name in names}


_EXAMPLES = {
    "header": "Name: value",
    "allow_net": "10.1.0.0/16",
    "resolver": "10.0.0.2",
    "drop_columns": "caption",
}
_RANGES: dict[str, tuple[float, float]] = {
    "concurrency": (1, 20_000),
    "per_host": (0, ANY),
    "delay": (0.0, 3600),
    "max_wait": (0.0, 3600),
    "stop_if_failing": (0.0, 1.0),
    "outage": (0.01, 3600),
    "attempts": (1, 100),
    "memory": (MIB, ANY),
    "connect_timeout": (0.01, 3600),
    "stall_timeout": (0.01, 3600),
    "timeout": (0.01, 86_400),
    "backoff": (0.0, 3600),
    "workers": (0, 1024),
    "decode_timeout": (0.05, 3600),
    "worker_memory": (64 * MIB, ANY),
    "max_bytes": (1024, 1 << 33),
    "max_pixels": (1, 1 << 32),
    "min_side": (0, ANY),
    "max_aspect": (0, ANY),
    "radius": (0, 16),
    "shard_size": (1, 1_000_000),
    "shard_bytes": (1, 1 << 40),
    "min_free": (0, ANY),
    "limit": (0, ANY),
}


def _nameserver(text: str) -> str:
    """A name server as c-ares takes it: ADDRESS:PORT, an IPv6 address in brackets."""
    with_port = re.fullmatch(r"(?:\[(.*)\]|([^:]*))(?::([0-9]{1,5}))?", text)
    host = (with_port[1] or with_port[2] or "") if with_port else text  # an IPv6 address alone has none
    port = int(with_port[3] or 53) if with_port else 53
    try:
        address = ipaddress.ip_address(host)
        if not 0 < port < 65_536:
            raise ValueError(f"{port} is no port")
    except ValueError as error:
        raise UsageError(
            f"--resolver takes addresses of name servers, such as 10.0.0.2 or [fd00::2]:5353: {error}."
        ) from error
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
