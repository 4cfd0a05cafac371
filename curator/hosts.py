"""The host of a URL, as tables show it."""

import re
from urllib.parse import urlsplit

_PLAIN = re.compile(r"https?://([a-z0-9.-]+)(?::\d*)?(?:[/?#]|$)")  # nearly all there are; urlsplit is slow


def host_of(url: str) -> str:
    """The host's name in lower case, without port; "" where there is none."""
    if plain := _PLAIN.match(url):
        return plain[1]
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a malformed IPv6 literal, a netloc that changes under NFKC
        return ""
