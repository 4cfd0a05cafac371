"""Names of the bench, NUMBER.bench.test, and how every contender comes to know them without being root.

    python -m bench.names       a name server on loopback: prints its port, serves until standard input ends

Ours asks that name server over UDP, as it would ask a resolver on the machine. The others resolve through the C
library, which nobody but root can teach names: in their processes `bench/shim` answers in its place, at once. That
favours them, by what a look-up and the threads waiting for it cost.
"""

import argparse
import socket
import struct
import sys
import threading
from typing import Any

ADDRESSES = tuple(f"127.0.0.{last}" for last in range(1, 17))  # several, for 28,000 ports are few for one
ZONE = ".bench.test"
_A, _NO_SUCH_NAME, _TTL_S = 1, 3, 3600


def name_of(number: int) -> str:
    """A host name."""
    return f"u{number}{ZONE}"


def address_of(name: str) -> str | None:
    """Where a name of ours leads; None for any other."""
    number = name.lower().removesuffix(ZONE).removeprefix("u")
    known = name.lower().endswith(ZONE) and number.isdecimal()
    return ADDRESSES[int(number) % len(ADDRESSES)] if known else None


def install() -> None:
    """Teach this process the names."""
    for function in ("getaddrinfo", "gethostbyname"):
        setattr(socket, function, _taught(getattr(socket, function)))


def _taught(system: Any) -> Any:
    def look_up(host: Any, *rest: Any, **named: Any) -> Any:
        name = host.decode("ascii") if isinstance(host, bytes) else host
        return system((name and address_of(name)) or host, *rest, **named)

    return look_up


def answer(question: bytes) -> bytes:
    """The answer to a question as it came (RFC 1035, section 4)."""
    labels, at = [], 12
    while length := question[at]:
        labels.append(question[at + 1 : at + 1 + length].decode("latin-1"))
        at += 1 + length
    address = address_of(".".join(labels))
    (kind,) = struct.unpack_from(">H", question, at + 1)
    record = b""
    if address and kind == _A:
        record = struct.pack(">HHHIH", 0xC00C, _A, 1, _TTL_S, 4) + socket.inet_aton(address)
    code = 0 if address else _NO_SUCH_NAME
    counts = struct.pack(">HHHHH", 0x8180 | code, 1, bool(record), 0, 0)
    return question[:2] + counts + question[12 : at + 5] + record


def _serve(on: socket.socket) -> None:
    while True:
        question, sender = on.recvfrom(4096)
        on.sendto(answer(question), sender)


def main() -> None:
    """Serve until standard input ends."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as on:
        on.bind(("127.0.0.1", 0))
        on.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)  # a burst of questions is not lost
        print(on.getsockname()[1], flush=True)
        threading.Thread(target=_serve, args=[on], daemon=True).start()
        sys.stdin.read()


if __name__ == "__main__":
    main()
