"""Leases: never over capacity, never stuck, in order of asking, and cancelled without a trace."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.leases import Leases


async def settle() -> None:
    """Let every task run until all of them wait."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_room_is_leased_at_once():
    """While there is room nobody switches tasks, and the open part ends `largest` short of capacity."""
    leases = Leases(100, 40)
    one, two = leases.try_take(40), leases.try_take(20)
    assert one is not None
    assert two is not None
    assert leases.try_take(1) is None
    assert leases.used == 60


async def test_too_small_a_memory_is_an_error():
    """Two of the largest bodies must fit."""
    with pytest.raises(ValueError, match="cannot hold two"):
        Leases(79, 40)


async def test_leases_are_granted_in_order_of_asking():
    """A small request does not overtake a large one that asked first."""
    leases = Leases(100, 40)
    held = await leases.take(40)
    order: list[int] = []

    async def ask(size: int) -> None:
        await leases.take(size)
        order.append(size)

    async with asyncio.TaskGroup() as group:
        for size in (30, 1, 2):
            group.create_task(ask(size))
            await settle()
        assert (order, leases.waiting) == ([], 3)
        held.shrink(20)
        await settle()
    assert order == [30, 1, 2]
    assert leases.used == 53


async def test_the_oldest_grower_uses_what_is_kept_back():
    """When growers hold all of the open part, the first that asked to grow goes on and the rest wait."""
    leases = Leases(100, 40)
    growers = [await leases.take(20) for _ in range(3)]
    tasks = []
    for grower in growers:
        tasks.append(asyncio.create_task(grower.grow(40)))
        await settle()
    assert [task.done() for task in tasks] == [True, False, False]
    assert leases.used == 80
    growers[0].release()
    await asyncio.gather(*tasks[:2])
    assert not tasks[2].done()
    growers[1].release()
    await tasks[2]
    growers[2].release()
    assert (leases.used, leases.waiting) == (0, 0)


async def test_a_grower_that_becomes_the_oldest_overtakes_the_line():
    """It would be stuck behind a request that waits for memory which growers hold."""
    leases = Leases(100, 40)
    first, second = await leases.take(30), await leases.take(30)
    await first.grow(40)
    asking = asyncio.create_task(leases.take(40))
    await settle()
    growing = asyncio.create_task(second.grow(40))
    await settle()
    assert leases.waiting == 2
    first.shrink(40)
    await settle()
    assert growing.done()
    assert not asking.done()
    second.shrink(20)
    first.release()
    assert (await asking).size == 40


async def test_whoever_waits_says_so():
    """The hook is called when a lease begins to wait, so that unfilled batches can go."""
    leases = Leases(80, 40)
    calls: list[int] = []
    leases.on_wait = lambda: calls.append(leases.waiting)
    held = await leases.take(40)
    task = asyncio.create_task(leases.take(10))
    await settle()
    assert calls == [1]
    held.release()
    await task
    assert leases.waiting == 0


async def test_a_body_in_the_place_of_another():
    """What a body gave way to is held at once, beyond the capacity too, and whoever waits gets what is left."""
    leases = Leases(100, 40)
    whole, other = await leases.take(20), await leases.take(20)
    whole.exchange(90)
    assert leases.used == 110
    asking = asyncio.create_task(leases.take(5))
    await settle()
    assert leases.waiting == 1
    other.exchange(10)
    await settle()
    assert leases.waiting == 1
    whole.release()
    await asking
    assert leases.used == 15


async def test_release_counts_once():
    """A lease given back twice gives back once; as a context manager it is given back at the end."""
    leases = Leases(100, 40)
    with await leases.take(30) as lease:
        assert leases.used == 30
    lease.release()
    assert leases.used == 0


@pytest.mark.parametrize("granted", [False, True], ids=["while waiting", "in the turn it is granted"])
async def test_a_cancelled_request_leaves_nothing(granted):
    """Whoever is cancelled holds nothing, stands in no line, and the next in line is served."""
    leases = Leases(80, 40)
    held = await leases.take(40)
    cancelled = asyncio.create_task(leases.take(40))
    following = asyncio.create_task(leases.take(5))
    await settle()
    if granted:
        held.release()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    held.release()
    await following
    assert (leases.used, leases.waiting) == (5, 0)


@given(st.integers(0, 2**32), st.integers(2, 12), st.integers(4, 40))
def test_any_schedule_ends_within_capacity(seed, crowd, largest):
    """Bodies of known and unknown length, some cancelled: all end, and memory never overflows."""
    asyncio.run(schedule(random.Random(seed), crowd, largest))


async def schedule(dice: random.Random, crowd: int, largest: int) -> None:
    """Run a crowd of random bodies; a deadlock would leave waiters with nothing left to happen."""
    capacity = 2 * largest + dice.randrange(largest)
    leases = Leases(capacity, largest)
    peak = 0

    async def body() -> None:
        nonlocal peak
        known = dice.random() < 0.4
        size = dice.randint(1, largest)
        lease = await leases.take(size if known else min(2, largest))
        try:
            while lease.size < size:
                await lease.grow(min(lease.size + 2, largest))
                peak = max(peak, leases.used)
                await asyncio.sleep(0)
            lease.shrink(min(size, lease.size))
            for _ in range(dice.randrange(4)):
                await asyncio.sleep(0)
        finally:
            lease.release()
            lease.release()

    async def bodies() -> None:
        for _ in range(4):
            await body()

    tasks = [asyncio.create_task(bodies()) for _ in range(crowd)]
    victims = dice.sample(tasks, crowd // 4)
    # far more turns than any schedule needs; no clock
    for _ in range(crowd * largest * 40):
        await asyncio.sleep(0)
        assert leases.used <= capacity
        if victims and dice.random() < 0.05:
            victims.pop().cancel()
        if all(task.done() for task in tasks):
            break
    assert all(task.done() for task in tasks)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert peak <= capacity
    assert (leases.used, leases.waiting, len(leases._growers)) == (0, 0, 0)
