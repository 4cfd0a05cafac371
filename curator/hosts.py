"""The host of a URL, as tables show it."""

from urllib.parse import urlsplit


def host_of(url: str) -> str:
    """The host's name in lower case, without port; "" where there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # a malformed IPv6 literal, a netloc that changes under NFKC
        return ""
