"""A real name server on loopback, for the few names that a test gives it."""

import socket
import struct
import threading
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Self

NXDOMAIN, SERVFAIL = 3, 2
SILENT: tuple[str, ...] = ("silent",)

# what a name answers: addresses, an error code, or nothing at all
Answers = Mapping[str, Sequence[str] | int]


class Names:
    """Answers A and AAAA questions over UDP from a thread; other names do not exist."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.asked: list[str] = []

    def __enter__(self) -> Self:
        """Serve on a free port, which is part of `address`."""
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop: an empty datagram wakes the thread up."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            question, sender = self._socket.recvfrom(4096)
            if not question:
                return
            if reply := self._reply(question):
                self._socket.sendto(reply, sender)

    def _reply(self, question: bytes) -> bytes | None:
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        asked, (kind, _) = question[12 : at + 5], struct.unpack(">HH", question[at + 1 : at + 5])
        name = ".".join(labels).lower()
        self.asked.append(name)
        answer = self._answers.get(name, NXDOMAIN)
        if answer == SILENT:
            return None
        code = answer if isinstance(answer, int) else 0
        found = [] if isinstance(answer, int) else [ip_address(one).packed for one in answer]
        records = [one for one in found if len(one) == (4 if kind == 1 else 16)]
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        # c00c points back at the name asked for
        return head + asked + b"".join(_record(kind, one) for one in records)


def _record(kind: int, packed: bytes) -> bytes:
    # time to live 0: what is not asked again was kept by the resolver itself
    return b"\xc0\x0c" + struct.pack(">HHIH", kind, 1, 0, len(packed)) + packed
