"""Whom to trust: the one TLS context that a whole crawl shares."""

import ssl
from pathlib import Path

from curator.errors import UsageError


def tls_context(insecure: bool, ca_file: Path | None) -> ssl.SSLContext:
    """The one TLS context of a crawl (making one takes 20 ms). Raises UsageError for a bad CA file."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(("http/1.1",))
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(f"--ca-file {ca_file}: {error}") from error
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
