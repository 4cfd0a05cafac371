"""What servers do wrong: each behaviour and the Reason of a link to it, attempted once.

Limits are those of whoever plays them. Two Reasons stand where it depends on the network: nonsense that
comes in one piece with what precedes it spoils that, too.
"""

import gzip
import zlib

from tests import faults
from tests.faults import (
    CHUNKED,
    PICTURE,
    Behaviour,
    Peer,
    chunk,
    floods,
    head,
    leads,
    length,
    page,
    reset_late,
    says,
    then,
)
from tests.pages import HTML

HALF = PICTURE[: len(PICTURE) // 2]
LOGIN = b"<html><form action=/login method=post><input name=user><input type=password></form></html>"
CHALLENGE = b"<!DOCTYPE html><title>Just a moment...</title><script>challenge()</script>"
SWITCHING = head("Upgrade: h2c", "Connection: Upgrade", status="101 Switching Protocols")
TRAILING = head(CHUNKED) + chunk(PICTURE) + b"0\r\n" + b"a: b\r\n" * 999
GZIPPED = chunk(gzip.compress(PICTURE))

FAULTS: dict[str, tuple[str, Behaviour]] = {
    "a sound image": ("saved", page(PICTURE, "Content-Type: image/jpeg")),
    # what is no image
    "a page with status 200": ("not_an_image", page(HTML, "Content-Type: image/jpeg")),
    "a login page": ("not_an_image", page(LOGIN, "Content-Type: text/html", "Set-Cookie: s=1")),
    "a challenge with status 200": ("not_an_image", page(CHALLENGE, "Server: cloudflare")),
    "a challenge with status 403": ("http_403", page(CHALLENGE, "cf-mitigated: challenge", status="403 Forbidden")),
    "a challenge with status 503": ("http_5xx", page(CHALLENGE, status="503 Service Unavailable")),
    "a page that never ends": ("not_an_image", floods(HTML, head())),
    "json": ("not_an_image", page(b'{"error": "not found"}', "Content-Type: image/png")),
    "a wrong Content-Type": ("saved", page(PICTURE, "Content-Type: text/html; charset=utf-8")),
    "a Content-Type of nonsense": ("saved", page(PICTURE, "Content-Type: ;;/\x7f\udcff; charset=\udce9")),
    "no Content-Type": ("saved", page(PICTURE)),
    "0 bytes": ("bad_response", page(b"", "Content-Type: image/jpeg")),
    "0 bytes without a length": ("bad_response", says(head())),
    "0 bytes in chunks": ("bad_response", says(head(CHUNKED), b"0\r\n\r\n")),
    # less or more than promised
    "truncated": ("truncated", says(head(length()), HALF)),
    "truncated without a length": ("undecodable", says(head(), HALF)),
    "truncated in a chunk": ("truncated", says(head(CHUNKED), b"%x\r\n" % len(PICTURE), HALF)),
    "truncated between chunks": ("truncated", says(head(CHUNKED), chunk(PICTURE))),
    "falls silent in its body": ("stalled", then(Peer.silence, head(length()), HALF)),
    "falls silent without a length": ("stalled", then(Peer.silence, head(), HALF)),
    "more than promised": ("saved or bad_response", says(head(length()) + PICTURE, b"more" * 999, pause=0.1)),
    "more than promised at once": ("bad_response", says(head(length()) + PICTURE + b"more")),
    "more than promised without end": ("bad_response", floods(b"more" * 999, head(length()) + PICTURE + b"more")),
    "a second answer nobody asked for": ("saved", says(head(length()) + PICTURE + head(length(4)) + b"evil")),
    "half promised": ("undecodable or bad_response", says(head(length(len(HALF))) + HALF, PICTURE, pause=0.1)),
    "a length of gigabytes": ("too_many_bytes", then(Peer.silence, head(length(10**12)), PICTURE)),
    "a length beyond numbers": ("bad_response", then(Peer.silence, head(length(10**40)), PICTURE)),
    "a negative length": ("bad_response", says(head(length(-5)), PICTURE)),
    "a length in words": ("bad_response", says(head("Content-Length: some"), PICTURE)),
    "two lengths": ("bad_response", says(head(length(), length(5)), PICTURE)),
    "an endless body": ("too_many_bytes", floods(bytes(1 << 16), head(), PICTURE)),
    # chunks
    "sound chunks": ("saved", says(head(CHUNKED), chunk(HALF), chunk(PICTURE[len(HALF) :]), b"0\r\n\r\n")),
    "chunks without end": ("too_many_bytes", floods(chunk(bytes(1 << 14)), head(CHUNKED), chunk(PICTURE))),
    "chunks that stop coming": ("stalled", then(Peer.silence, head(CHUNKED), chunk(PICTURE))),
    "chunks of one byte without end": ("timeout", floods(chunk(b"x"), head(CHUNKED), chunk(PICTURE), pause=0.1)),
    "a chunk of no number": ("bad_response", says(head(CHUNKED) + chunk(HALF) + b"some\r\n")),
    "a late chunk of no number": ("timeout or bad_response", says(head(CHUNKED) + chunk(HALF), b"some\r\n", pause=0.1)),
    "a chunk of a negative size": ("bad_response", says(head(CHUNKED) + chunk(HALF) + b"-5\r\n")),
    "a chunk beyond numbers": ("bad_response", says(head(CHUNKED) + chunk(HALF) + b"f" * 40)),
    "an endless chunk size": ("bad_response", floods(b"f" * 4096, head(CHUNKED) + b"f" * 4096)),
    "trailers without end": ("bad_response", floods(b"a: b\r\n" * 99, TRAILING)),
    # slowness
    "one byte at a time": ("timeout", floods(b"\0", head(length(10**6)), PICTURE, pause=0.1)),
    "a head one byte at a time": ("timeout", floods(b"x", b"HTTP/1.1 200 OK\r\nX-Slow: ", pause=0.1)),
    "accepts and says nothing": ("stalled", faults.never_reads),
    "reads and says nothing": ("stalled", then(Peer.silence)),
    "continues for ever": ("timeout", floods(head(status="100 Continue"), pause=0.1)),
    # heads
    "100 KB of headers in one line": ("bad_response", says(head(f"X-A: {'x' * 100_000}", length()), PICTURE)),
    "100 KB of headers in a thousand": ("bad_response", says(head(*[f"X-{n}: {'x' * 95}" for n in range(999)]))),
    "headers without end": ("bad_response", floods(b"X-A: " + b"x" * 900 + b"\r\n", b"HTTP/1.1 200 OK\r\n")),
    "a header without end": ("bad_response", floods(b"x" * 9000, b"HTTP/1.1 200 OK\r\nX-A: ")),
    "a status of words": ("bad_response", says(b"HTTP/1.1 fine thanks\r\n\r\n", PICTURE)),
    "a status of 2 digits": ("bad_response", says(b"HTTP/1.1 20 OK\r\n\r\n", PICTURE)),
    "a status of 7 digits": ("bad_response", says(b"HTTP/1.1 2000000 OK\r\n\r\n", PICTURE)),
    "no status": ("bad_response", says(b"HTTP/1.1\r\n\r\n", PICTURE)),
    "another protocol": ("bad_response", says(b"ICY 200 OK\r\n\r\n", PICTURE)),
    "HTTP/0.9": ("bad_response", says(PICTURE)),
    "HTTP/9.9": ("bad_response", says(head(length(), version="HTTP/9.9"), PICTURE)),
    "HTTP/1.0": ("saved", says(head(version="HTTP/1.0"), PICTURE)),
    "a mail server": ("bad_response", faults.speaks_first),
    "a header without a colon": ("bad_response", says(head("nonsense", length()), PICTURE)),
    "a NUL in a header": ("bad_response", says(head("X-A: a\0b", length()), PICTURE)),
    "an unknown Transfer-Encoding": ("saved", says(head("Transfer-Encoding: magic"), PICTURE)),
    "an answer that is continued": ("saved", says(head(status="100 Continue"), head(length()), PICTURE)),
    "another protocol is switched to": ("http_other", then(Peer.silence, SWITCHING)),
    # redirects
    "redirects in a loop": ("too_many_redirects", leads(*["/?hop=0"])),
    "11 hops": ("too_many_redirects", leads(*[f"/?hop={n}" for n in range(1, 12)])),
    "10 hops": ("saved", leads(*[f"/?hop={n}" for n in range(1, 11)])),
    "to another scheme": ("bad_url", leads("ftp://example.com/a.jpg")),
    "to data": ("bad_url", leads("data:image/gif;base64,R0lGODlhAQABAAAAACw=")),
    "to a file": ("bad_url", leads("file:///etc/passwd")),
    "to a password": ("bad_url", leads("http://me:secret@127.0.0.1/")),
    "to port 22": ("bad_url", leads("http://127.0.0.1:22/")),
    "to this network": ("forbidden_address", leads("http://192.168.1.1/")),
    "relative": ("saved", leads("a/../b?hop=1")),
    "with spaces": ("saved", leads("/a b c?hop=1&x= y")),
    "non-ASCII": ("saved", leads("/b\u00fccher/\u65e5\u672c?hop=1")),
    "bytes that are no UTF-8": ("saved", leads("/caf\udce9?hop=1")),
    "without Location": ("http_other", page(HTML, status="302 Found")),
    "an empty Location": ("http_other", leads("")),
    "a Location of 20 KB": ("saved", leads(f"/{'x' * 20_000}?hop=1")),
    "a Location that is no URL": ("bad_url", leads("http://[::1")),
    "with a page that never ends": ("saved", leads("/?hop=1", body=HTML * 9999)),
    # statuses
    "204": ("http_other", says(head(status="204 No Content"))),
    "204 with a body": ("http_other or bad_response", says(head(status="204 No Content"), PICTURE, pause=0.1)),
    "206": ("http_other", page(HALF, "Content-Range: bytes 0-5/10", status="206 Partial Content")),
    "300": ("http_other", page(HTML, status="300 Multiple Choices")),
    "304": ("http_other", says(head(status="304 Not Modified"))),
    "305": ("http_other", page(HTML, "Location: http://127.0.0.1:9/", status="305 Use Proxy")),
    "401": ("http_403", page(LOGIN, 'WWW-Authenticate: Basic realm="x"', status="401 Unauthorized")),
    "404 with an image": ("http_404", page(PICTURE, status="404 Not Found")),
    "407": ("http_other", page(b"", "Proxy-Authenticate: Basic", status="407 Proxy Authentication Required")),
    "429": ("http_429", page(b"", status="429 Too Many Requests")),
    "429 with Retry-After": ("http_429", page(b"", "Retry-After: 1", status="429 Too Many Requests")),
    "503": ("http_5xx", page(b"", status="503 Service Unavailable")),
    "503 with a date": ("http_5xx", page(b"", "Retry-After: Thu, 01 Jan 2070 00:00:00 GMT", status="503 Busy")),
    "503 with nonsense": ("http_5xx", page(b"", "Retry-After: \u0661\u0662\u0663 soon", status="503 Busy")),
    "999": ("http_other", page(b"", status="999 Request Denied")),
    # encodings nobody asked for
    "gzip": ("bad_response", page(gzip.compress(PICTURE), "Content-Encoding: gzip")),
    "deflate": ("bad_response", page(zlib.compress(PICTURE), "Content-Encoding: deflate")),
    "gzip in name only": ("saved", page(PICTURE, "Content-Encoding: gzip")),
    "an unknown encoding": ("saved", page(PICTURE, "Content-Encoding: \udcff\udcfe, magic")),
    "gzip in transfer": ("not_an_image", says(head("Transfer-Encoding: gzip, chunked"), GZIPPED, b"0\r\n\r\n")),
    # connections that break
    "resets when connected": ("connect", faults.resets_at_once),
    "closes when connected": ("connect", faults.closes_at_once),
    "resets when asked": ("connect", then(Peer.reset)),
    "closes when asked": ("connect", says()),
    "resets in the status": ("connect", reset_late(b"HTTP/1.1 20")),
    "closes in the status": ("connect", says(b"HTTP/1.1 20")),
    "resets in the headers": ("connect", reset_late(head(length())[:-6])),
    "closes in the headers": ("connect", says(head(length())[:-6])),
    "resets behind the head": ("truncated", reset_late(head(length()))),
    "resets in the body": ("truncated", reset_late(head(length()), HALF)),
    "resets in a body without a length": ("truncated", reset_late(head(), HALF)),
    "resets in a chunk": ("truncated", reset_late(head(CHUNKED), b"%x\r\n" % len(PICTURE), HALF)),
    "resets between chunks": ("truncated", reset_late(head(CHUNKED), chunk(PICTURE))),
    "dies between two requests": ("saved", faults.dies_between),
    "closes between two requests": ("saved", faults.closes_between),
}  # fmt: skip

# the same behaviours, where a link says https
TLS_FAULTS = {
    "a mail server": "tls",
    "a sound image": "connect",
    "resets when connected": "connect",
    "accepts and says nothing": "connect",
}
