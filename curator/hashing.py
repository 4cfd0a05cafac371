"""What stands in for the worker processes where nothing is decoded: one thread that hashes bodies.

Hashing costs a fiftieth of decoding, so carrying a body to another process would cost more than it saves. A
thread costs a hop a batch, and hashes beside the event loop, since hashlib lets go of the interpreter.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from types import TracebackType
from typing import Self

from curator.records import Body, Undecoded


class Hasher:
    """Hashes batches of bodies, open between `async with` and its end. What callers of a WorkerPool use of it."""

    workers = 1
    restarts = 0

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(self.workers, "hash")

    async def __aenter__(self) -> Self:
        """The thread starts with the first batch."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Hash nothing more; waits for one batch at most."""
        self._thread.shutdown(cancel_futures=True)

    async def run(self, bodies: Sequence[Body]) -> list[Undecoded]:
        """What is known of a batch without decoding it, in order."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, _hashed, bodies)


def _hashed(bodies: Sequence[Body]) -> list[Undecoded]:
    return [_undecoded(body) for body in bodies]


def _undecoded(body: Body) -> Undecoded:
    digest = sha256()
    for piece in body:
        digest.update(piece)
    return Undecoded(sum(map(len, body)), digest.hexdigest())
