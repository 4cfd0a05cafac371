"""Which addresses may be connected to.

A crawler fetches what strangers wrote, so a link can aim at the machine it runs on, at its network or at
a cloud's metadata service. The rules judge the numeric address of a connection, never a name:
names have too many spellings, and DNS can answer differently the second time it is asked.

Two halves:
- `AddressRules.forbidden` judges one numeric address. An IPv4 address carried inside an IPv6 one (mapped,
  compatible, translated, NAT64, 6to4, Teredo, ISATAP) is judged as itself: a gateway on the way may well
  unwrap it. Of IPv6 itself only 2000::/3 has ever been given out.
- `literal` finds out whether a URL's host *is* an address, in every spelling that C's `inet_aton` takes
  (`127.1`, `2130706433`, `0x7f.0.0.1`, `0177.0.0.1`): such a host never passes a resolver.

Sources: the IANA special-purpose address registries for IPv4 and IPv6, RFC 6890, 6052, 8215, 4380, 3056,
2765, 5214.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_V4 = {
    "0.0.0.0/8": "this network",
    "10.0.0.0/8": "private",
    "100.64.0.0/10": "carrier-grade NAT",
    "127.0.0.0/8": "loopback",
    "168.63.129.16/32": "cloud platform service",  # Azure's, on a public number
    "169.254.0.0/16": "link-local",  # 169.254.169.254: most clouds' metadata
    "172.16.0.0/12": "private",
    "192.0.0.0/24": "protocol assignments",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relay",
    "192.168.0.0/16": "private",
    "198.18.0.0/15": "benchmarking",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved",
}
_V6 = {
    "::/128": "unspecified",
    "::1/128": "loopback",
    "64:ff9b:1::/48": "local NAT64",  # where the IPv4 part sits is the network's own choice
    "100::/64": "discard",
    "2001::/23": "protocol assignments",
    "2001:db8::/32": "documentation",
    "3fff::/20": "documentation",
    "5f00::/16": "segment routing",
    "fc00::/7": "private",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local",
    "ff00::/8": "multicast",
}
_SPECIAL: dict[int, list[tuple[Network, str]]] = {
    4: [(ip_network(net), why) for net, why in _V4.items()],
    6: [(ip_network(net), why) for net, why in _V6.items()],
}
_UNICAST = IPv6Network("2000::/3")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_ISATAP = frozenset((0x0000_5EFE, 0x0200_5EFE))  # the upper half of an interface identifier

_CACHED = 65_536  # addresses remembered; a crawl meets the same few again and again


class AddressRules:
    """The special-purpose addresses are forbidden, except inside the networks in `allow`."""

    def __init__(self, allow: Sequence[Network] = ()) -> None:
        """Open `allow` (the user's own networks) on top of the public internet."""
        self._allow = tuple(allow)
        self._cached = lru_cache(_CACHED)(self._judge)

    def forbidden(self, address: str | bytes) -> str | None:
        """Why a numeric address (text, a zone allowed, or 4 or 16 packed bytes) is off limits, or None.

        Raises ValueError when it is no address at all.
        """
        return self._cached(address)

    def _judge(self, address: str | bytes) -> str | None:
        found = ip_address(address.partition("%")[0] if isinstance(address, str) else address)
        why = self._special(found)
        return f"{found} is {why}" if why else None

    def _special(self, address: Address) -> str | None:
        if any(address in net for net in self._allow):
            return None
        carried = list(_carried(address)) if isinstance(address, IPv6Address) else []
        for inner in carried:
            if why := self._special(inner):
                return f"{inner}, {why}"
        # what carries an allowed or public IPv4 address in place of its own is not special for its own sake
        if carried and (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP:
            return None
        why = next((why for net, why in _SPECIAL[address.version] if address in net), None)
        unknown = isinstance(address, IPv6Address) and address not in _UNICAST
        return why or ("reserved" if unknown else None)


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address carries."""
    if mapped := address.ipv4_mapped:
        yield mapped
    elif address in _NAT64 or address in _TRANSLATED or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
    elif relayed := address.sixtofour:
        yield relayed
    elif ends := address.teredo:
        yield from ends
    elif (int(address) >> 32) & 0xFFFF_FFFF in _ISATAP:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def literal(host: str) -> Address | None:
    """The address that `host` spells (ASCII; no brackets; a zone and one trailing dot are dropped).

    None when it is a name. Raises ValueError when it can only be a misspelt address: its last label is
    a number, which no domain name has.
    """
    if ":" in host:
        return IPv6Address(host.partition("%")[0])
    parts = host.removesuffix(".").split(".")
    last = parts[-1].lower()
    if not (last.isdigit() or last.startswith("0x")):
        return None
    return _inet_aton(parts)


def _inet_aton(parts: list[str]) -> IPv4Address:
    """One to four parts, each decimal, octal (0...) or hex (0x...); the last fills what is left."""
    numbers = [_number(part) for part in parts]
    if len(numbers) > 4 or any(number > 255 for number in numbers[:-1]):
        raise ValueError("not an IPv4 address")
    left = 4 - len(numbers) + 1
    if numbers[-1] >= 256**left:
        raise ValueError("not an IPv4 address")
    head = b"".join(number.to_bytes(1) for number in numbers[:-1])
    return IPv4Address(head + numbers[-1].to_bytes(left))


def _number(part: str) -> int:
    if not part.isascii() or not part.isalnum() or len(part) > 40:
        raise ValueError("not an IPv4 address")
    if part.lower().startswith("0x"):
        return int(part[2:] or "0", 16)
    return int(part, 8 if part[0] == "0" else 10)
