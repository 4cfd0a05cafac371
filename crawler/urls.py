"""What a listed URL means on the wire, and which host it counts against.

A signed URL breaks when anybody tidies it, so a URL of printable ASCII without spaces goes out as it is
listed (only its fragment stays here). Anything else is what a browser would have to guess at, too: the
host is IDNA-encoded and each illegal byte percent-encoded, nothing more.
"""

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import urljoin

from yarl import URL

from crawler.address import Address, literal

DEFAULT_PORTS = {"http": 80, "https": 443}

_SPLIT = re.compile(r"(?i:(https?)://)([^/?#]*)([^#]*)", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
# underscores are no host name by the book, and there are millions of them
_LABEL = "[a-zA-Z0-9_][a-zA-Z0-9_-]{0,62}"
_NAME = re.compile(rf"(?=.{{1,253}}\.?\Z){_LABEL}(?:\.{_LABEL})*\.?")
# what nearly every URL of a list looks like; anything it does not match takes the slow path of `prepare`
_QUICK = re.compile(rf"(?i:https?)://((?:{_LABEL}\.)*[a-zA-Z_][a-zA-Z0-9_-]{{0,62}})(?:[/?][\x21-\x7e]*)?")
_PLAIN = re.compile(r"[\x21-\x7e]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_ILLEGAL = re.compile(rb"[^\x21-\x7e]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")


class BadUrl(Exception):
    """A URL that is never sent; the message says what is wrong with it."""


class Target(NamedTuple):
    """One URL, ready to be sent."""

    url: str  # exactly what is sent, never quoted again
    scheme: str  # "http" or "https"
    netloc: str  # host and port as they stand in the URL, a default port left out
    path: str  # what stands on the request line: path and query
    host: str  # lower case ASCII, no brackets, no trailing dot
    port: int
    address: Address | None  # the one that the host spells, None for a name

    @property
    def origin(self) -> tuple[str, str, int]:
        """What headers of the user's own are bound to."""
        return self.scheme, self.host, self.port


def prepare(url: str) -> Target:
    """Turn a URL as listed into what is sent.

    Raises BadUrl for anything but http and https, for userinfo, control characters, a missing or
    impossible host, and ports that are neither 80, 443 nor >= 1024 (below live mail, SSH and their kin).
    """
    if _CONTROL.search(url):
        raise BadUrl("control characters")
    split = _SPLIT.match(url)
    if split is None:
        raise BadUrl("not an http or https URL")
    scheme, netloc, host, port, address = _origin(split[1], split[2])
    rest = split[3]
    if not _PLAIN.fullmatch(rest):
        rest = _quote(rest)
    if rest.startswith("?"):
        rest = f"/{rest}"
    return Target(f"{scheme}://{netloc}{rest}", scheme, netloc, rest or "/", host, port, address)


def host_of(url: str) -> str:
    """The host that a URL counts against: lower case, no port, no trailing dot; "" when it is bad."""
    if (quick := _QUICK.fullmatch(url)) and len(quick[1]) <= 253:
        return quick[1].lower()
    try:
        return prepare(url).host
    except BadUrl:
        return ""


def join(base: str, location: str | None) -> str:
    """Where a redirect from `base` leads. Raises BadUrl when it names nothing or nothing sensible."""
    location = (location or "").strip(" \t")
    if not location:
        raise BadUrl("a redirect without Location")
    if _CONTROL.search(location):
        raise BadUrl("control characters in Location")
    if _SCHEME.match(location):
        return location  # urljoin would tidy it
    try:
        return urljoin(base, location)
    except ValueError as error:
        raise BadUrl(f"Location: {error}") from error


@lru_cache(16_384)
def _origin(scheme: str, authority: str) -> tuple[str, str, str, int, Address | None]:
    """Scheme, netloc, host, port and address of a target, from what stands before its path."""
    scheme = scheme.lower()
    host, port = _authority(authority, DEFAULT_PORTS[scheme])
    name, address = _judged(host)
    shown = host if address is None else f"[{name}]" if ":" in name else name
    netloc = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    return scheme, netloc, name, port, address


def _authority(authority: str, default: int) -> tuple[str, int]:
    """Split what stands between // and the path into an ASCII host (brackets kept) and a port."""
    if "@" in authority:
        raise BadUrl("user name in the URL")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise BadUrl("malformed host or port")
    host = match[1] if match[1].isascii() else _idna(match[1])
    port = int(match[2]) if match[2] and len(match[2]) <= 8 else default
    if match[2] and (len(match[2]) > 8 or port > 65_535 or (port < 1024 and port not in (80, 443))):
        raise BadUrl(f"port {match[2][:8]}")
    return host, port


def _judged(host: str) -> tuple[str, Address | None]:
    """The canonical name of a host, and its address if it spells one."""
    try:
        address = literal(host[1:-1] if host.startswith("[") else host)
    except ValueError as error:
        raise BadUrl("malformed address") from error
    if host.startswith("[") and not isinstance(address, IPv6Address):
        raise BadUrl("malformed address")
    if address is not None:
        return str(address), address
    if not _NAME.fullmatch(host):
        raise BadUrl("malformed host" if host else "no host")
    return host.lower().removesuffix("."), None


def _idna(host: str) -> str:
    try:
        return URL.build(scheme="http", host=host).raw_host or ""
    except ValueError as error:  # UnicodeError is one
        raise BadUrl("host is not valid IDNA") from error


def _quote(text: str) -> str:
    # surrogateescape: a Location header may hold bytes that are no UTF-8, and those bytes are meant
    try:
        raw = text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise BadUrl("not valid Unicode") from error
    return _ILLEGAL.sub(lambda found: b"%%%02X" % ord(found[0]), raw).decode("ascii")
