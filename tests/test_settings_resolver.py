"""--resolver and --allow-net: addresses in every form, and nothing else."""

import json
from ipaddress import ip_network

import pytest

from crawler.settings import Settings, merge
from curator.errors import UsageError


@pytest.mark.parametrize(
    ("given", "server"),
    [
        ("10.0.0.2", "10.0.0.2:53"),
        ("10.0.0.2:5353", "10.0.0.2:5353"),
        ("fd00::2", "[fd00::2]:53"),
        ("[fd00::2]", "[fd00::2]:53"),
        ("[FD00:0::2]:5353", "[fd00::2]:5353"),
    ],
)
def test_a_name_server_is_an_address_with_or_without_a_port(given, server):
    """The port is 53 unless it is given; what fetches is handed one form."""
    assert Settings(resolver=(given,)).fetching().nameservers == (server,)


@pytest.mark.parametrize(
    "given", ["dns.example", "10.0.0", "10.0.0.2:0", "10.0.0.2:99999", "10.0.0.2:x", "[::1", ""]
)
def test_anything_else_is_refused_by_name(given):
    """A name would have to be looked up first."""
    with pytest.raises(UsageError, match="--resolver takes addresses"):
        Settings(resolver=(given,))


NETWORK = ip_network("10.1.0.0/16")


@pytest.mark.parametrize("given", [NETWORK, (NETWORK,), [str(NETWORK)], str(NETWORK)])
def test_networks_are_taken_as_text_and_as_objects(given):
    """One or several; they are stored as text."""
    merged = merge({}, {"allow_net": given})
    assert merged.networks() == (NETWORK,)
    assert merge(json.loads(json.dumps(merged.stored())), {}).networks() == (NETWORK,)


@pytest.mark.parametrize("given", [(7,), 7, (None,), (b"10.1.0.0/16",), b"10.1.0.0/16"])
def test_what_is_no_network_is_named(given):
    """With the flag and an example of what it takes."""
    with pytest.raises(UsageError, match=r"--allow-net takes .* such as '?10.1.0.0/16"):
        merge({}, {"allow_net": given})
