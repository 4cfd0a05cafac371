"""What a failed exchange counts as: one Reason for every status and every exception of the HTTP library.

- 200 and 203 carry a body; 301, 302, 303, 307 and 308 lead on; statuses with a Reason of their own are in
  `STATUS`; any other 5xx is `http_5xx` and all else (204, 206, 304, 416, ...) `http_other`;
- a connection that fails before the head of an answer is `connect`, one that fails later `truncated`.

What is in neither table is our own bug and propagates.
"""

import errno

import aiohttp

from crawler.address import AddressRules
from crawler.exchange import FetchSettings
from crawler.resolve import ForbiddenAddress, LookupFailed, NoSuchHost
from crawler.urls import BadUrl, Target, prepare
from curator.errors import UsageError
from curator.reasons import Reason

WITH_BODY = frozenset({200, 203})
REDIRECTS = frozenset({301, 302, 303, 307, 308})
STATUS = {
    401: Reason.HTTP_403,
    403: Reason.HTTP_403,
    404: Reason.HTTP_404,
    408: Reason.TIMEOUT,
    410: Reason.HTTP_410,
    425: Reason.TIMEOUT,
    429: Reason.HTTP_429,
    451: Reason.HTTP_403,
}
# The first match counts, so a subclass stands before its base.
_TRANSLATED: tuple[tuple[type[Exception], Reason], ...] = (
    (ForbiddenAddress, Reason.FORBIDDEN_ADDRESS),
    (NoSuchHost, Reason.NO_SUCH_HOST),
    (LookupFailed, Reason.DNS),
    (aiohttp.ClientConnectorCertificateError, Reason.TLS_CERTIFICATE),
    (aiohttp.ClientConnectorSSLError, Reason.TLS),
    (aiohttp.ConnectionTimeoutError, Reason.CONNECT),
    (aiohttp.SocketTimeoutError, Reason.STALLED),
    (TimeoutError, Reason.TIMEOUT),
    (aiohttp.ClientPayloadError, Reason.TRUNCATED),
    (aiohttp.ClientConnectionError, Reason.CONNECT),
    (aiohttp.ClientResponseError, Reason.BAD_RESPONSE),  # aiohttp could not parse it
)
_NO_FILES = frozenset({errno.EMFILE, errno.ENFILE})


class Refused(Exception):
    """An exchange that gives no body, for a Reason of our own finding."""

    def __init__(
        self, reason: Reason, detail: str = "", retry_after: float | None = None, status: int = 0
    ) -> None:
        """`retry_after`: seconds the server asked for, if it did; `status`: of another answer than the last."""
        super().__init__(reason, detail)
        self.reason = reason
        self.detail = detail
        self.retry_after = retry_after
        self.status = status


def judged(url: str, rules: AddressRules) -> Target:
    """A URL, listed or led to, ready to be sent. Raises Refused where it must not be."""
    try:
        target = prepare(url)
    except BadUrl as error:
        raise Refused(Reason.BAD_URL, str(error)) from error
    if target.address is not None and (why := rules.forbidden(target.host)):
        raise Refused(Reason.FORBIDDEN_ADDRESS, why)
    return target


def status_reason(status: int) -> Reason:
    """What an HTTP status that carries no image counts as."""
    other = Reason.HTTP_5XX if 500 <= status < 600 else Reason.HTTP_OTHER
    return STATUS.get(status, other)


def translate(error: Exception, answered: bool) -> tuple[Reason, str]:
    """The Reason for a foreign exception, and its text; `answered`: the head of an answer had come.

    Raises UsageError when the system grants no more sockets (no link is to blame for that), and `error`
    itself when it is unknown.
    """
    # a TimeoutError from connect(2) is an OSError inside aiohttp's own; the clocks' are not wrapped
    cause = getattr(error, "os_error", None)
    if getattr(cause, "errno", None) in _NO_FILES:
        raise UsageError("no more sockets: raise `ulimit -n` or lower --concurrency") from error
    found = cause if isinstance(cause, (ForbiddenAddress, NoSuchHost, LookupFailed)) else error
    reason = next((reason for kind, reason in _TRANSLATED if isinstance(found, kind)), None)
    if reason is None:
        raise error
    if reason is Reason.CONNECT and answered:
        reason = Reason.TRUNCATED
    text = error.message if isinstance(error, aiohttp.ClientResponseError) else str(cause or error)
    return reason, text or type(error).__name__


def explain(error: Exception, settings: FetchSettings) -> str:
    """What ran out, for those clocks whose error says nothing."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"no connection in {settings.connect_timeout:g} s"
    if isinstance(error, aiohttp.SocketTimeoutError):
        return f"no byte for {settings.stall_timeout:g} s"
    return f"not whole after {settings.timeout:g} s" if isinstance(error, TimeoutError) else ""


def clean(text: str) -> str:
    """A server's text as one printable line of valid Unicode: header bytes that are no UTF-8 come as surrogates."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    if text.isprintable():
        return text
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
