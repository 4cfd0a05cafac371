"""Leases on --memory: every byte of a body is leased before it is read, so bodies never outgrow it.

Two ways to lose a crawl have to be shut out. The first is memory: `used` never exceeds `capacity`, but for
what `exchange` adds. The second is a deadlock: bodies of unknown length take a little and grow, and if all
memory is held by bodies that wait for more, nobody ends. So `largest` bytes are kept back, and only one lease
may dip into them: the oldest that has asked to grow. Why that suffices:

- everybody else is granted bytes only while `used` stays within `capacity - largest`, in order of asking;
- the oldest grower stays the oldest until it is whole or gone, so among leases still growing it alone
  holds kept-back bytes, and it needs `largest` in all: once the whole bodies ahead of it have been
  stored and released, its next request fits;
- then the next one is the oldest.

Whole bodies must therefore be stored without waiting for more of them: `on_wait` tells whoever fills
batches. `capacity >= 2 * largest` makes room for one ordinary body beside the kept-back bytes.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self


@dataclass(slots=True, eq=False)
class _Waiter:
    lease: "Lease"
    size: int  # bytes wanted on top of what the lease holds
    granted: asyncio.Future[None]


class Lease:
    """A share of the memory. Used as a context manager it is released at the end."""

    __slots__ = ("_leases", "size")

    def __init__(self, leases: "Leases", size: int) -> None:
        """Made by `Leases.take` alone."""
        self._leases = leases
        self.size = size

    async def grow(self, to: int) -> None:
        """Hold `to` bytes in all (at most `largest`), waiting while there is no room."""
        if not self.try_grow(to):
            await self._leases._wait(self, to - self.size)

    def try_grow(self, to: int) -> bool:
        """Hold `to` bytes in all if that needs no waiting."""
        return self._leases._try_grow(self, to - self.size)

    def shrink(self, to: int) -> None:
        """The body is whole and `to` bytes long: give the rest back. It cannot grow again."""
        self._leases._settle(self, to)

    def exchange(self, to: int) -> None:
        """Another body of `to` bytes took the place of the whole one: hold that, even if there is no room.

        It is there already, so waiting would save nothing. It cannot grow again.
        """
        self._leases._settle(self, to)

    def release(self) -> None:
        """Give everything back. A second call does nothing."""
        self._leases._settle(self, 0)

    def __enter__(self) -> Self:
        """Nothing to do: it is held since it was taken."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.release()


class Leases:
    """All shares of `capacity` bytes, for bodies of at most `largest` bytes each."""

    def __init__(self, capacity: int, largest: int) -> None:
        """Raise ValueError when not even two of the largest bodies fit."""
        if capacity < 2 * largest:
            raise ValueError(f"{capacity} bytes cannot hold two bodies of {largest}")
        self.on_wait: Callable[[], None] | None = None  # called when a lease begins to wait
        self.used = 0
        self._capacity = capacity
        self._open = capacity - largest
        self._waiters: dict[Lease, _Waiter] = {}  # in order of asking
        self._growers: dict[Lease, None] = {}  # those that asked to grow and are not whole, oldest first

    @property
    def waiting(self) -> int:
        """How many leases wait for room."""
        return len(self._waiters)

    async def take(self, size: int) -> Lease:
        """Lease `size` bytes (at most `largest`), waiting in line while there is no room."""
        lease = self.try_take(size)
        if lease is None:
            lease = Lease(self, 0)
            await self._wait(lease, size)
        return lease

    def try_take(self, size: int) -> Lease | None:
        """Lease `size` bytes if that needs no waiting."""
        if self._waiters or self.used + size > self._open:
            return None
        self.used += size
        return Lease(self, size)

    def _try_grow(self, lease: Lease, more: int) -> bool:
        self._growers.setdefault(lease)
        if not self._fits(lease, more) or (self._waiters and not self._is_oldest(lease)):
            return False
        self.used += more
        lease.size += more
        return True

    async def _wait(self, lease: Lease, more: int) -> None:
        waiter = _Waiter(lease, more, asyncio.get_running_loop().create_future())
        self._waiters[lease] = waiter
        if self.on_wait is not None:
            self.on_wait()
        try:
            await waiter.granted
        except asyncio.CancelledError:
            # a grant may have come in the same turn of the loop; either way the lease is given up whole
            lease.release()
            raise

    def _settle(self, lease: Lease, to: int) -> None:
        """End a lease's growing (and waiting) with `to` bytes held, and serve whoever fits now."""
        self._waiters.pop(lease, None)
        self._growers.pop(lease, None)
        self.used -= lease.size - to
        lease.size = to
        if self._waiters:
            self._serve()

    def _serve(self) -> None:
        oldest = next(iter(self._growers), None)
        if oldest in self._waiters:
            self._grant(self._waiters[oldest])
        while self._waiters and self._grant(next(iter(self._waiters.values()))):
            pass

    def _grant(self, waiter: _Waiter) -> bool:
        if not self._fits(waiter.lease, waiter.size):
            return False
        del self._waiters[waiter.lease]
        self.used += waiter.size
        waiter.lease.size += waiter.size
        if not waiter.granted.done():
            waiter.granted.set_result(None)
        return True

    def _fits(self, lease: Lease, more: int) -> bool:
        return self.used + more <= (self._capacity if self._is_oldest(lease) else self._open)

    def _is_oldest(self, lease: Lease) -> bool:
        return next(iter(self._growers), None) is lease
