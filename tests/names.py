"""A real name server on loopback, for the few names that a test gives it."""

import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Self

NXDOMAIN, SERVFAIL, REFUSED = 3, 2, 5
SILENT: tuple[str, ...] = ("silent",)
_ADDRESS_KINDS = {1: 4, 28: 16}  # A and AAAA: bytes of each

# what a name answers: addresses, the name it is an alias of, an error code, or nothing at all...
Answer = Sequence[str] | int
# ...or what it answers to its first, second, ... question of a kind, A and AAAA apart
Answers = Mapping[str, Answer | Callable[[int], Answer]]


class Names:
    """Answers A and AAAA questions over UDP from a thread; other names do not exist."""

    def __init__(self, answers: Answers, ttl: int = 0) -> None:
        """Give every record a time to live of `ttl` seconds. 0: what is not asked again was kept by us."""
        self._answers, self._ttl = answers, ttl
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._times: Counter[tuple[str, int]] = Counter()
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
        self._times[name, kind] += 1
        answer = self._answer(name, kind)
        if answer == SILENT:
            return None
        code = answer if isinstance(answer, int) else 0
        records = [] if isinstance(answer, int) else self._records(answer, kind)
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return head + asked + b"".join(records)

    def _answer(self, name: str, kind: int) -> Answer:
        answer = self._answers.get(name, NXDOMAIN)
        return answer(self._times[name, kind]) if callable(answer) else answer

    def _records(self, answer: Sequence[str], kind: int) -> list[bytes]:
        if isinstance(answer, str):  # an alias, and what it stands for
            target = self._answer(answer, kind)
            wire = b"".join(bytes([len(label)]) + label.encode() for label in answer.split(".")) + b"\0"
            assert not isinstance(target, int)
            return [self._record(b"\xc0\x0c", 5, wire), *self._addresses(wire, target, kind)]
        return self._addresses(b"\xc0\x0c", answer, kind)  # c00c points back at the name asked for

    def _addresses(self, owner: bytes, answer: Sequence[str], kind: int) -> list[bytes]:
        found = [ip_address(one).packed for one in answer]
        return [self._record(owner, kind, one) for one in found if len(one) == _ADDRESS_KINDS[kind]]

    def _record(self, owner: bytes, kind: int, data: bytes) -> bytes:
        return owner + struct.pack(">HHIH", kind, 1, self._ttl, len(data)) + data
