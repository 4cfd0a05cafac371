"""Kernels that workers import: an image's first eight bytes say what becomes of the process measuring it."""

import ctypes
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

Begin = Callable[[int], None]


def lengths(bodies: Sequence[memoryview], begin: Begin) -> list[str]:
    """Answer each body's name and length, after doing what the name asks for."""
    return [_measure(body, begin, index) for index, body in enumerate(bodies)]


def one_too_few(bodies: Sequence[memoryview], begin: Begin) -> list[str]:
    """Forget the last image."""
    return lengths(bodies[:-1], begin)


def dies_untouched(bodies: Sequence[memoryview], begin: Begin) -> list[str]:
    """Die before any image is begun."""
    os.kill(os.getpid(), signal.SIGKILL)
    return []


class Deadly:
    """A result that ends the process which pickles it."""

    def __reduce__(self) -> tuple[type, tuple[()]]:
        """Be pickled never."""
        os.kill(os.getpid(), signal.SIGKILL)
        return Deadly, ()


def answers_deadly(bodies: Sequence[memoryview], begin: Begin) -> list[Deadly]:
    """Measure every image, then die while the results are sent."""
    lengths(bodies, begin)
    return [Deadly() for _ in bodies]


class Large:
    """A result that needs more memory on its way than a kernel may have."""

    def __reduce__(self) -> tuple[type, tuple[str]]:
        """Arrive as a text."""
        return str, (f"{np.empty(1 << 30, dtype=np.uint8).size}",)


def answers_large(bodies: Sequence[memoryview], begin: Begin) -> list[Large]:
    """Measure every image and answer with something large."""
    lengths(bodies, begin)
    return [Large() for _ in bodies]


class Unimportable:
    """A kernel that does not survive the way to a worker."""

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """Be unpickled with an error."""
        return _missing_module, ()


def image(name: str, rest: bytes = b"") -> list[bytes]:
    """A body in two chunks that `lengths` answers with `name` and its length."""
    return [name.ljust(8, ".").encode(), rest]


def gated(gate: Path) -> list[bytes]:
    """A body whose measuring tells its worker's pid in the pipe `gate`.pid and waits for a line in `gate`."""
    for pipe in (gate, gate.with_suffix(".pid")):
        os.mkfifo(pipe)
    return image("gate", str(gate).encode())


def _measure(body: memoryview, begin: Begin, index: int) -> str:
    begin(index)
    name = bytes(body[:8]).rstrip(b".").decode()
    if act := _ACTS.get(name):
        act(bytes(body[8:]))
    return f"{name} {len(body)}"


def _gate(path: bytes) -> None:
    gate = Path(path.decode())
    gate.with_suffix(".pid").write_text(str(os.getpid()))
    gate.read_text()


def _hang(_: bytes) -> None:
    ctypes.PyDLL(None).pause()  # PyDLL keeps the GIL: no other thread runs, no Python handler would


def _bug(_: bytes) -> None:
    raise LookupError("this is ours")


def _missing_module() -> None:
    raise ImportError("no such module here")


_ACTS: dict[str, Callable[[bytes], object]] = {
    "gate": _gate,
    "hang": _hang,
    "bug": _bug,
    "kill": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "segv": lambda _: ctypes.string_at(0),
    "exit": lambda _: ctypes.CDLL(None).exit(3),  # as a C library does that gives up
    "grow": lambda _: np.empty(1 << 30, dtype=np.uint8),
    "bigger": lambda _: np.empty(1 << 27, dtype=np.uint8),
}
