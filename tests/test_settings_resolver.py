"""--resolver: addresses of name servers in every form, and nothing else."""

import pytest

from crawler.settings import Settings
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
