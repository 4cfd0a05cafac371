"""Clocks of exchanges: when they run out, and what that does."""

import asyncio

import pytest

from crawler.clocks import Clocks


async def test_a_clock_runs_out_and_its_task_goes_on():
    """TimeoutError soon after its time, and the task is as if it had never been cancelled."""
    clocks = Clocks()
    with pytest.raises(TimeoutError), clocks.clock(0.01):
        await asyncio.sleep(5)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_clock_that_is_paused_or_stopped_does_not_run():
    """It goes on with what was left of it; one that is stopped never runs out."""
    clocks = Clocks()
    with clocks.clock(0.05) as clock:
        with clock.paused():
            await asyncio.sleep(0.15)
        assert 0 < clock.left <= 0.05
        clock.stop()
        with clock.paused():
            await asyncio.sleep(0.15)
        assert clock.left == float("inf")


async def test_a_clock_that_was_paused_runs_out():
    """It runs again after the wait."""

    async def work():
        with Clocks().clock(0.01) as clock:
            with clock.paused():
                await asyncio.sleep(0.1)
            await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.ensure_future(work()), 2)


@pytest.mark.parametrize("expires", [False, True])
async def test_a_cancellation_of_somebody_else_stays_one(expires):
    """Alone, and in the same turn of the loop as the end of the clock's time."""
    clocks, entered = Clocks(), []

    async def work():
        with clocks.clock(5) as clock:
            entered.append(clock)
            await asyncio.sleep(5)

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    if expires:
        entered[0].expire()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_nothing_ticks_where_no_clock_runs():
    """The timer ends with the last clock, and comes back with the next."""
    clocks = Clocks()
    for _ in range(2):
        with clocks.clock(5):
            assert clocks._timer is not None
        await asyncio.sleep(0.12)
        assert clocks._timer is None
