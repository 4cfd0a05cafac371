"""TLS: whom a whole crawl trusts, and what uvloop need not tell of."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

from curator.errors import UsageError


def tls_context(insecure: bool, ca_file: Path | None) -> ssl.SSLContext | bool:
    """The one TLS context of a crawl, True for the usual one: making it takes 40 ms, and aiohttp has made it already.

    Raises UsageError for a bad CA file.
    """
    if ca_file is None and not insecure:
        return True
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


def tell_of_no_handshake(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """An exception handler for loops: all as usual, but for one thing that is nobody's fault.

    A connection given up in the middle of its handshake ends as whoever waits for it is told. uvloop then finds
    that it cannot write the rest of the handshake, and prints a traceback of that.
    """
    error = context.get("exception")
    late = isinstance(error, RuntimeError) and "the handler is closed" in str(error)
    if not (late and str(context.get("message")).startswith("Fatal error on SSL protocol")):
        loop.default_exception_handler(context)
