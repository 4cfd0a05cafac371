"""Ending tasks, threads that tasks wait for, and clocks that stand still."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *arguments: object) -> T:
    """Run in a thread, and stay until it is done also when cancelled: what it uses can then be closed."""
    task = asyncio.ensure_future(asyncio.to_thread(function, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextmanager
def first_error() -> Iterator[None]:
    """Raise the first error of a task group by itself: the others are of tasks it took with it."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None


@contextmanager
def paused(clock: asyncio.Timeout) -> Iterator[None]:
    """Stop a running clock while we wait for something of our own."""
    now = asyncio.get_running_loop().time
    left = (clock.when() or now()) - now()
    clock.reschedule(None)
    try:
        yield
    finally:
        clock.reschedule(now() + left)
