"""Anything at all from the network, from lists and in images: an outcome of ours, never a crash.

A few examples each in the suite. By hand, for as long as wanted, N seconds for each of them:

    FUZZ_SECONDS=900 pytest -s tests/test_fuzz.py --timeout 0
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from crawler.exchange import FetchSettings
from crawler.fetch import Fetcher
from crawler.leases import Leases
from crawler.records import Failed, Fetched, Moved
from crawler.urls import host_of
from curator.errors import UsageError
from curator.measure import MeasureSettings, measure_batch
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from tests.fetching import PICTURE, link
from tests.hostile import FORMATS, sound
from tests.lists_help import opened, whole, written

SECONDS = float(os.environ.get("FUZZ_SECONDS", "0"))
QUICK = partial(settings, deadline=None, suppress_health_check=list(HealthCheck))


def run(check: Callable[[], None]) -> None:
    """A property once, or again and again with other examples until its time is over."""
    until = time.monotonic() + SECONDS
    check()
    while time.monotonic() < until:
        check()


# Answers: built of sound and unsound parts, so that many get past the first line.
TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=40)
VALUE = st.one_of(
    TEXT, st.sampled_from(["0", "5", "-1", "9" * 30, "chunked", "gzip, chunked", "close", "bytes", "\xe9"])
)
URLISH = st.lists(
    st.sampled_from(
        [
            "http",
            "https",
            ":",
            "//",
            "/",
            "..",
            "?",
            "#",
            "@",
            "[",
            "]",
            "%",
            "127.0.0.1",
            "::1",
            "a",
            "\xe9",
            " ",
            "\\",
        ]
    )
).map("".join)
NAME = st.sampled_from(
    [
        *(
            "Content-Length",
            "Transfer-Encoding",
            "Content-Encoding",
            "Content-Type",
            "Connection",
            "Location",
        ),
        *(
            "Retry-After",
            "X-Robots-Tag",
            "TDM-Reservation",
            "Upgrade",
            "Set-Cookie",
            "ETag",
            "Last-Modified",
            "X",
        ),
    ]
)
STATUS = st.one_of(
    st.sampled_from([200, 200, 200, 203, 204, 206, 301, 302, 307, 304, 403, 404, 429, 503, 100, 101, 999]),
    st.integers(),
)
FIRST = st.one_of(
    STATUS.map("HTTP/1.1 {} OK".format),
    STATUS.map("HTTP/1.0 {}".format),
    TEXT,
    TEXT.map("HTTP/1.1 200 {}".format),
)
HEADER = st.one_of(
    st.tuples(NAME, VALUE).map(": ".join), st.tuples(st.just("Location"), URLISH).map(": ".join), TEXT
)
HEAD = st.tuples(FIRST, st.lists(HEADER, max_size=8)).map(
    lambda parts: ("\r\n".join([parts[0], *parts[1]]) + "\r\n\r\n").encode("latin-1")
)
PIECE = st.one_of(
    st.just(PICTURE), st.binary(max_size=60), st.integers(0, len(PICTURE)).map(lambda n: PICTURE[:n]),
    st.binary(max_size=40).map(lambda data: b"%x\r\n%b\r\n" % (len(data), data)), st.just(b"0\r\n\r\n"),
)  # fmt: skip
ANSWER = st.tuples(st.one_of(HEAD, st.binary(max_size=80)), st.lists(PIECE, max_size=4)).map(
    lambda parts: [parts[0], *parts[1]]
)


@contextmanager
def loop() -> Iterator[asyncio.Runner]:
    """One event loop for all examples of a property."""
    with asyncio.Runner() as runner:
        yield runner


def test_any_answer_is_a_body_or_a_reason():
    """Whatever bytes a server sends: no exception but ours, no lease kept."""
    answers: list[list[bytes]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            for part in answers[0]:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
        writer.close()

    async def begin() -> tuple[asyncio.Server, Fetcher, Leases]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        limits = FetchSettings(
            connect_timeout=0.2,
            stall_timeout=0.05,
            timeout=0.2,
            allow_net=(ip_network("127.0.0.1/32"),),
            max_bytes=1 << 16,
            opt_outs=False,
        )
        leases = Leases(1 << 20, 1 << 16)
        return server, await Fetcher(limits, leases).__aenter__(), leases

    with loop() as runner:
        server, fetcher, leases = runner.run(begin())
        port = server.sockets[0].getsockname()[1]

        @QUICK(max_examples=150)
        @example([b"HTTP/1.1 301 OK\r\nLocation:0\r\n\r\n"])
        @example([b"HTTP/1.1 200 OK\r\nContent-Encoding: \x1b\r\n\r\n", b"\0"])
        @given(ANSWER)
        def check(answer: list[bytes]) -> None:
            answers[:] = [answer]
            got = runner.run(fetcher.fetch(link(f"http://127.0.0.1:{port}/")))
            if isinstance(got, Fetched):
                got.lease.release()
            elif isinstance(got, Moved):
                assert got.to.way is not None
            else:
                assert isinstance(got, Failed)
                assert got.reason in Reason
                assert got.detail.isprintable()
            assert leases.used == 0

        try:
            run(check)
        finally:
            runner.run(fetcher.__aexit__(None, None, None))
            server.close()


ROW = st.one_of(
    st.text(max_size=60),
    URLISH.map("http://{}".format),
    st.sampled_from(
        ["http://a.example/1.jpg", '"', "{", "}", "\0", "\ufeff", "url", "[]", "null", '{"url": 1}', "\udcff"]
    ),
)


@pytest.mark.parametrize("kind", ["txt", "csv", "tsv", "jsonl", "parquet", "txt.gz"])
def test_any_list_is_rows_or_a_usage_error(tmp_path: Path, kind: str):
    """Whatever is in a file: its links and bad rows are read, or a person is told what is wrong with it."""

    @QUICK(max_examples=40)
    @given(
        st.lists(ROW, max_size=8), st.sampled_from(["\n", "\r\n", ",", "\t", "\n,"]), st.binary(max_size=9)
    )
    def check(rows: list[str], between: str, last: bytes) -> None:
        content = between.join(["url,caption", *rows]).encode("utf-8", "surrogatepass") + last
        try:
            found = whole(opened(written(tmp_path, f"list.{kind}", content)))
        except UsageError:
            return
        for url in found.urls:
            host_of(url)

    run(check)


def damaged(format_: str, changes: list[tuple[str, float, bytes]]) -> bytes:
    """A sound file after some changes, each at a share of its length."""
    body = sound(format_)
    for what, share, data in changes:
        at = int(share * len(body))
        match what:
            case "flip":
                body = body[:at] + bytes(one ^ 0x80 >> at % 8 for one in body[at : at + 1]) + body[at + 1 :]
            case "put":
                body = body[:at] + data + body[at + len(data) :]
            case "insert":
                body = body[:at] + data + body[at:]
            case "cut":
                body = body[:at] + body[at + len(data) :]
            case "double":
                body = body[:at] + body[at // 2 :]
    return body


CHANGE = st.tuples(
    st.sampled_from(["flip", "flip", "put", "insert", "cut", "double"]),
    st.one_of(st.floats(0, 1), st.floats(0, 0.1)),
    st.one_of(
        st.binary(min_size=1, max_size=8),
        st.sampled_from([b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff", b"\0\1"]),
    ),
)


@pytest.mark.parametrize("format_", FORMATS)
def test_any_damage_is_a_picture_or_a_reason(monkeypatch: pytest.MonkeyPatch, format_: str):
    """Bytes changed, put in, taken out or repeated: the worker that decodes them lives on, and is never late."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)  # workers would import it

    @QUICK(max_examples=15)
    @given(st.lists(st.lists(CHANGE, min_size=1, max_size=6), min_size=1, max_size=16))
    def check(several: list[list[tuple[str, float, bytes]]]) -> None:
        bodies = [damaged(format_, changes) for changes in several]
        found = runner.run(pool.run([(body,) for body in bodies]))
        for body, one in zip(bodies, found, strict=True):
            assert isinstance(one, Measures | Unmeasured)
            assert getattr(one, "reason", None) is not Reason.DECODER_CRASH, body.hex()

    with loop() as runner:
        pool = runner.run(workers().__aenter__())
        run(check)
        runner.run(pool.__aexit__(None, None, None))


def workers() -> WorkerPool[Measures | Unmeasured]:
    """One worker, as a crawl has them."""
    return WorkerPool(
        partial(measure_batch, settings=MeasureSettings(100_000_000, False)),
        workers=1,
        timeout=10.0,
        memory=1 << 30,
        crashed=partial(Unmeasured, Reason.DECODER_CRASH),
        preload=("curator.measure",),
    )
