"""A web server of the bench's own, where nginx is not installed, and wherever the web's faults are wanted.

    python -m bench.answering WHAT_AS_JSON

It serves the files of a folder. With a seed it is as slow and as broken as the web: what becomes of a request is
drawn from the seed and the number that the URL ends in (`?i=17`), so that the truth is known beforehand and the same
for every contender. It logs as nginx does (`bench.exchanges`); a request that is never answered is logged when the
client gives up, with the status 0.
"""

import argparse
import asyncio
import json
import math
import os
import random
import signal
import ssl
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, cast
from urllib.parse import parse_qs, urlsplit

LATENCY_S, LATENCY_SPREAD = 0.22, 0.5  # median and sigma of the logarithm
FAULTS = {"never": 0.02, "missing": 0.03, "truncated": 0.01, "html": 0.01}
_PAGE = b"<!doctype html><title>Gone</title><p>This picture is no longer here."
_WORDS = {200: b"OK", 404: b"Not Found"}


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a request."""

    seconds: float  # until the answer begins
    fault: str  # of FAULTS; empty for none


@dataclass(frozen=True, slots=True)
class Serving:
    """What to serve, and where: JSON both ways."""

    folder: str
    port: int
    addresses: list[str]
    log: str = ""
    certificate: str = ""  # PEM file with its key; empty for plain HTTP
    seed: int | None = None  # of the faults; None for none


def fate(seed: int, number: int) -> Fate:
    """That of the request with this number."""
    rng = random.Random(f"{seed}:{number}")
    (fault,) = rng.choices([*FAULTS, ""], [*FAULTS.values(), 1 - sum(FAULTS.values())])
    return Fate(rng.lognormvariate(math.log(LATENCY_S), LATENCY_SPREAD), fault)


class _Connection(asyncio.Protocol):
    """HTTP/1.1 as far as a GET goes; requests come one after another."""

    def __init__(self, chosen: Serving, log: IO[str]) -> None:
        self._folder, self._seed, self._log = Path(chosen.folder), chosen.seed, log
        self._unread, self._asked, self._began = b"", "", 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    def connection_lost(self, exc: Exception | None) -> None:
        self._note(0)

    def data_received(self, data: bytes) -> None:
        head, end, self._unread = (self._unread + data).rpartition(b"\r\n\r\n")
        if not end:
            return
        self._asked, self._began = head.split(b" ", 2)[1].decode("latin-1"), time.time()
        found = self._fate()
        last = b"connection: close" in head.lower()
        if not found.seconds:
            self._answer("", last)
        elif found.fault != "never":
            asyncio.get_running_loop().call_later(found.seconds, self._answer, found.fault, last)

    def _fate(self) -> Fate:
        if self._seed is None:
            return Fate(0.0, "")
        number = parse_qs(urlsplit(self._asked).query).get("i")
        return (
            fate(self._seed, int(number[0])) if number else Fate(LATENCY_S, "")
        )  # of robots.txt, which is none

    def _answer(self, fault: str, last: bool) -> None:
        if self._transport.is_closing():
            return
        path = self._folder / urlsplit(self._asked).path.lstrip("/")
        status, kind, body = 200, path.suffix.removeprefix(".").replace("jpg", "jpeg"), b""
        if fault == "missing" or not path.is_file():
            status, kind, body = 404, "html", _PAGE
        elif fault == "html":
            kind, body = "html", _PAGE
        else:
            body = path.read_bytes()
        major = "text" if kind == "html" else "image"
        self._transport.write(
            b"HTTP/1.1 %d %s\r\nContent-Type: %s/%s\r\nContent-Length: %d\r\n\r\n"
            % (status, _WORDS[status], major.encode(), kind.encode(), len(body))
        )
        self._transport.write(body[: len(body) // 2] if fault == "truncated" else body)
        self._note(status)
        if last or fault == "truncated":
            self._transport.close()

    def _note(self, status: int) -> None:
        if self._asked:
            now = time.time()
            self._log.write(f"{now:.3f} {now - self._began:.3f} {status} {self._asked}\n")
        self._asked = ""


async def _serve(chosen: Serving, log: IO[str]) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, ended.set)
    await loop.create_server(
        lambda: _Connection(chosen, log), chosen.addresses, chosen.port, backlog=4096, ssl=_tls(chosen)
    )
    await ended.wait()


def _tls(chosen: Serving) -> ssl.SSLContext | None:
    if not chosen.certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(chosen.certificate)
    context.minimum_version, context.num_tickets = ssl.TLSVersion.TLSv1_3, 0  # nobody resumes a session
    return context


def command(chosen: Serving) -> list[str]:
    """What starts one."""
    return [sys.executable, "-m", "bench.answering", json.dumps(asdict(chosen))]


def main(chosen: Serving) -> None:
    """Serve until told to end."""
    import uvloop

    with Path(chosen.log or os.devnull).open("a", buffering=1) as log:
        uvloop.run(_serve(chosen, log))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("what", type=json.loads)
    main(Serving(**parser.parse_args().what))
