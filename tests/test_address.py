"""Address rules: nothing special is ever connected to, in any spelling."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.address import AddressRules, literal

FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "100.100.100.200", "127.0.0.1",
    "127.255.255.255", "168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192",
    "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7",
    "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "::", "::1", "::2",
    "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "ff02::1", "2001:db8::1",
    "3fff::1", "100::1", "64:ff9b:1::808:808", "5f00::1", "2001:2::1", "2001:20::1", "::ffff:127.0.0.1",
    "::ffff:169.254.169.254", "::10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2002:a9fe:a9fe::1", "::ffff:0:127.0.0.1", "::ffff:0:0:0", "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:10.0.0.1", "fe80::5efe:808:808", "4000::1", "200::1", "2001:1ff::1",
    "2001:0:7f00:1:0:0:f7f7:f7f7", "2001:0:808:808:0:0:80ff:fffe",
]  # fmt: skip
OPEN = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255",
    "198.17.255.255", "198.20.0.0", "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::1",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1", "::ffff:0:8.8.8.8", "2606:4700::5efe:808:808",
    "2001:200::1", "3ffe::1", "2001:0:808:808:0:0:f7f7:f7f7",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN)
def test_special_addresses_are_forbidden(address):
    """Every special-purpose address is refused, also when an IPv6 address only carries it."""
    rules = AddressRules()
    assert rules.forbidden(address)
    assert rules.forbidden(ip_address(address.partition("%")[0]).packed)


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses_are_open(address):
    """The public internet begins right beside each special network."""
    assert AddressRules().forbidden(address) is None


def test_the_reason_names_the_address_and_its_kind():
    """A user sees which address a name led to."""
    assert AddressRules().forbidden("64:ff9b::10.0.0.1") == "64:ff9b::a00:1 is 10.0.0.1, private"


def test_allowed_networks_are_open_and_nothing_else():
    """--allow-net opens exactly what it names, mapped addresses included."""
    rules = AddressRules([ip_network("10.1.0.0/16"), ip_network("fd00::/8")])
    assert [rules.forbidden(one) for one in ("10.1.2.3", "::ffff:10.1.2.3", "fd12::1")] == [None] * 3
    assert all(rules.forbidden(one) for one in ("10.2.0.1", "::ffff:10.2.0.1", "fc00::1", "127.0.0.1"))


@given(
    st.ip_addresses(v=4),
    st.sampled_from(["::ffff:{}", "64:ff9b::{}", "::{}", "::ffff:0:{}", "2606::5efe:{}"]),
)
def test_carried_addresses_are_judged_as_themselves(inner, form):
    """An IPv4 address fares no better inside an IPv6 one."""
    rules = AddressRules()
    assert bool(rules.forbidden(form.format(inner))) == bool(rules.forbidden(str(inner)))


def spellings(packed: int) -> list[str]:
    """Ways in which C's inet_aton reads one address."""
    a, b, c, d = packed.to_bytes(4)
    return [
        str(packed), hex(packed), f"0{packed:o}", f"{a}.{b}.{c}.{d}", f"{a}.{b}.{c << 8 | d}",
        f"{a}.{b << 16 | c << 8 | d}", f"0{a:o}.{b:#x}.{c:#X}.{d}", f"000{a:o}.{b}.{c}.{d:#x}.",
    ]  # fmt: skip


@given(st.integers(0, 2**32 - 1))
def test_every_spelling_is_the_same_address(packed):
    """Decimal, octal, hex, short forms and a trailing dot do not hide an address."""
    assert {literal(spelling) for spelling in spellings(packed)} == {IPv4Address(packed)}


@pytest.mark.parametrize("host", ["::1", "0:0:0::1", "::1%25eth0"])
def test_ipv6_literals_are_read_in_any_form(host):
    """Long forms and zones spell the same address."""
    assert literal(host) == IPv6Address("::1")


@pytest.mark.parametrize("host", ["example.com", "1.example", "a.0b1", "x", "127.0.0.1.nip.io", ""])
def test_names_are_not_addresses(host):
    """A name whose last label is no number goes to the resolver."""
    assert literal(host) is None


@pytest.mark.parametrize(
    "host", ["1.2.3.4.5", "256.1", "1.2.3.256", "4294967296", "09", "0xg", "a.1", "1..2", "::1::", "1" * 99]
)
def test_misspelt_addresses_are_errors(host):
    """What can only be meant as an address, and is none, is not handed to a resolver either."""
    with pytest.raises(ValueError):  # noqa: PT011
        literal(host)
