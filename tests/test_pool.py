"""The worker pool, with real processes that really die."""

import asyncio
import os
import select
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.arena import HEADER, KEPT, Arena
from curator.pool import WorkerPool, WorkersFailed
from tests import pool_kernels
from tests.pool_kernels import gated, image

PATIENCE = 30.0  # seconds until a test that waits for another process gives up


@pytest.fixture(autouse=True)
def _light_main(monkeypatch):
    """Workers import the main script: hide pytest's, a third of a second for each of them."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


@pytest.fixture
async def opened() -> AsyncIterator[Callable[..., Any]]:
    """Open pools that close with the test."""
    async with AsyncExitStack() as stack:

        async def open_pool(
            kernel: Any = pool_kernels.lengths, workers: int = 1, timeout: float = 60
        ) -> WorkerPool[str]:
            pool = WorkerPool(
                kernel,
                workers=workers,
                timeout=timeout,
                memory=1 << 28,
                crashed=lambda detail: f"crashed: {detail}",
                preload=["tests.pool_kernels"],
            )
            return await stack.enter_async_context(pool)

        yield open_pool


async def opens(gate: Path) -> int:
    """Wait until the gated image is being measured. Returns its worker's pid."""
    async with asyncio.timeout(PATIENCE):
        return int(await asyncio.to_thread(gate.with_suffix(".pid").read_text))


def descendants(pid: int) -> list[int]:
    """Every process below `pid`."""
    children: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):  # a thread, or the process, ends while we look
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                children += map(int, (task / "children").read_text().split())
    return children + [below for child in children for below in descendants(child)]


def watched(pids: Iterable[int]) -> dict[int, int]:
    """A descriptor of each process that becomes readable when it ends: a number is never mistaken."""
    return {pid: os.pidfd_open(pid) for pid in pids}


def survivors(processes: dict[int, int], patience: float = PATIENCE) -> set[int]:
    """Which of the processes do not end within `patience` seconds. Closes the descriptors."""
    alive = {pid for pid, fd in processes.items() if not select.select([fd], [], [], patience)[0]}
    for fd in processes.values():
        os.close(fd)
    return alive


def forkserver() -> int:
    """The pid of this process's forkserver."""
    for pid in descendants(os.getpid()):
        if b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("no forkserver runs")


def descriptors() -> int:
    """How many descriptors this process holds."""
    return len(list(Path("/proc/self/fd").iterdir()))


def arena_sizes() -> list[int]:
    """Bytes of every arena that this process holds."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link.stat().st_size for link in links if "memfd:arena" in str(link.readlink())]


async def test_results_come_in_order(opened):
    """Each body gets its own result, in the order given, from many batches at once."""
    pool = await opened(workers=2)
    batches = [[image(f"{batch}-{i}", bytes(i)) for i in range(batch)] for batch in range(12)]

    results = await asyncio.gather(*map(pool.run, batches))

    assert [[f"{batch}-{i} {8 + i}" for i in range(batch)] for batch in range(12)] == results


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("kill", "killed by SIGKILL"),
        ("segv", "killed by SIGSEGV"),
        ("exit", "ended with exit code 3"),
        ("grow", "out of memory"),
    ],
)
async def test_a_death_costs_one_image(opened, name, detail):
    """The image that ends its worker is charged with how it ended; the others of the batch are measured."""
    pool = await opened()

    results = await pool.run([image("before"), image(name), image("after")])

    assert ["before 8", f"crashed: {detail}", "after 8"] == results


async def test_a_stuck_c_call_is_ended(opened):
    """A decoder that hangs in C and keeps the GIL costs its image after the timeout."""
    pool = await opened(timeout=0.5)

    results = await pool.run([image("before"), image("hang"), image("after")])

    assert results == ["before 8", "crashed: no answer within 0.5 s", "after 8"]


async def test_the_timer_counts_images_and_not_batches(opened):
    """Nothing fires between batches: a worker that is idle for longer than the timeout lives on."""
    pool = await opened(timeout=0.2)
    await pool.run([image("first")])

    alive = survivors(watched(descendants(forkserver())), patience=0.4)

    assert (len(alive), pool.restarts) == (1, 0)


async def test_memory_within_the_limit_is_granted(opened):
    """The limit lets a worker have what it was promised, beside a large batch."""
    pool = await opened()

    assert await pool.run([image("bigger", bytes(16 << 20))]) == ["bigger 16777224"]


async def test_the_memory_limit_is_the_kernels(opened):
    """What is left of an image's memory does not keep the worker from answering."""
    pool = await opened(pool_kernels.answers_large)

    assert await pool.run([image("a")]) == [f"{1 << 30}"]


async def test_a_kill_from_outside_costs_the_image_under_work(opened, tmp_path):
    """SIGKILL in the middle of a batch, as the kernel sends when memory is short, costs that image only."""
    pool, gate = await opened(), tmp_path / "gate"
    batch = asyncio.create_task(pool.run([image("before"), gated(gate), image("after")]))

    os.kill(await opens(gate), signal.SIGKILL)

    assert await batch == ["before 8", "crashed: killed by SIGKILL", "after 8"]


async def test_a_stopped_worker_costs_the_image_under_work(opened, tmp_path):
    """SIGSTOP silences the timers, too; the parent ends such a worker, and the batch goes on without the image."""
    pool, gate = await opened(timeout=1.0), tmp_path / "gate"
    batch = asyncio.create_task(pool.run([image("before"), gated(gate), image("after")]))

    os.kill(await opens(gate), signal.SIGSTOP)

    assert await batch == ["before 8", "crashed: killed by SIGKILL", "after 8"]


async def test_a_neighbour_is_never_charged(opened):
    """Many deaths in one batch do not touch the batch that waits behind it and dies with it each time."""
    pool = await opened()
    deadly = [image("kill" if i % 2 else "fine") for i in range(12)]

    charged, innocent = await asyncio.gather(pool.run(deadly), pool.run([image("good")] * 3))

    assert charged == ["fine 8", "crashed: killed by SIGKILL"] * 6
    assert innocent == ["good 8"] * 3


async def test_a_pool_recovers(opened):
    """Dead workers are replaced and counted, and leave no descriptor behind."""
    pool = await opened(workers=2)
    await pool.run([image("kill")])
    await pool.run([image("fine")])
    held = descriptors()

    for _ in range(4):
        await pool.run([image("kill")])
        assert await pool.run([image("fine")] * 2) == ["fine 8"] * 2

    assert (pool.restarts, pool.idle, pool.free) == (5, 2, 4)
    assert held == descriptors()


async def test_a_bug_of_ours_is_raised(opened):
    """An exception of the kernel reaches the caller with the worker's traceback, and the worker goes on."""
    pool = await opened()

    with pytest.raises(LookupError, match="this is ours") as raised:
        await pool.run([image("fine"), image("bug")])

    assert "in _bug" in str(raised.value.__cause__)
    assert await pool.run([image("fine")]) == ["fine 8"]
    assert pool.restarts == 0


async def test_a_missing_result_is_a_bug(opened):
    """A kernel that answers for fewer images than it was given is not believed."""
    pool = await opened(pool_kernels.one_too_few)

    with pytest.raises(ValueError, match="shorter"):
        await pool.run([image("a"), image("b")])


async def test_deaths_without_an_image_end(opened):
    """A kernel that kills its worker before it begins an image is an error, not an endless restart."""
    pool = await opened(pool_kernels.dies_untouched)

    with pytest.raises(WorkersFailed, match="without touching an image: killed by SIGKILL"):
        await pool.run([image("a")])


async def test_a_death_after_the_last_image_is_nobodys(opened):
    """A worker that dies on the way back from a batch has no image to blame for it."""
    pool = await opened(pool_kernels.answers_deadly)

    with pytest.raises(WorkersFailed, match="without touching an image: killed by SIGKILL"):
        await pool.run([image("a")])


async def test_a_kernel_that_cannot_be_imported_is_raised(opened):
    """What importing the kernel raises comes out of opening the pool, and no worker stays."""
    with pytest.raises(ImportError, match="no such module here"):
        await opened(pool_kernels.Unimportable(), workers=2)

    assert descendants(forkserver()) == []


async def test_room_counts_places(opened, tmp_path):
    """A worker takes one batch to measure and one to wait; `idle` and `free` follow."""
    pool, gate = await opened(workers=2), tmp_path / "gate"
    counts = [(pool.idle, pool.free)]
    first = asyncio.create_task(pool.run([gated(gate)]))
    await opens(gate)
    counts.append((pool.idle, pool.free))

    gate.write_text("go on")
    await first

    assert [*counts, (pool.idle, pool.free)] == [(2, 4), (1, 3), (2, 4)]


async def test_a_cancelled_batch_keeps_its_place(opened, tmp_path):
    """Its memory is not given to another batch before the worker is done with it."""
    pool, gate = await opened(), tmp_path / "gate"
    batch = asyncio.create_task(pool.run([gated(gate), image("large", bytes(1 << 20))]))
    await opens(gate)
    batch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await batch
    waiting = asyncio.create_task(pool.run([image("next")]))
    await asyncio.sleep(0)
    occupied = pool.free

    gate.write_text("go on")

    assert (occupied, await waiting) == (0, ["next 8"])
    assert (pool.idle, pool.free, pool.restarts) == (1, 2, 0)


async def test_closing_does_not_wait_for_a_busy_worker(tmp_path):
    """Leaving the pool, here by cancellation, ends workers in the middle of a batch."""
    gate, inside = tmp_path / "gate", asyncio.Event()

    async def crawl() -> None:
        async with WorkerPool(
            pool_kernels.lengths, workers=2, timeout=60, memory=1 << 28, crashed=str
        ) as pool:
            batch = gated(gate)
            inside.set()
            await pool.run([batch])

    crawling = asyncio.create_task(crawl())
    await inside.wait()
    workers = watched([await opens(gate), *descendants(forkserver())])
    crawling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await crawling

    assert set() == survivors(workers)


async def test_a_closed_pool_starts_nothing(tmp_path):
    """A batch that still waits for its place when the pool closes is refused, and no worker comes back."""
    gate = tmp_path / "gate"
    pool = WorkerPool(pool_kernels.lengths, workers=1, timeout=60, memory=1 << 28, crashed=str)
    async with pool:
        batches = [asyncio.create_task(pool.run([body])) for body in (gated(gate), image("b"), image("c"))]
        await opens(gate)

    *cut, refused = await asyncio.gather(*batches, return_exceptions=True)

    assert all(isinstance(error, asyncio.CancelledError) for error in cut)
    assert isinstance(refused, RuntimeError)
    assert descendants(forkserver()) == []


async def test_the_forkserver_may_die(opened, tmp_path):
    """When the forkserver is killed nobody knows how workers ended: no image is charged, all are measured."""
    pool, gate = await opened(workers=2), tmp_path / "gate"
    batch = asyncio.create_task(pool.run([image("before"), gated(gate)]))
    orphan = watched([await opens(gate)])

    os.kill(forkserver(), signal.SIGKILL)
    second = await opens(gate)
    gate.write_text("go on")

    assert second not in orphan
    assert ["before 8", f"gate {8 + len(str(gate))}"] == await batch
    assert set() == survivors(orphan)


async def test_memory_of_a_large_batch_is_given_back(opened):
    """A body of 50 MiB works, and its arena is small again afterwards."""
    pool = await opened()

    results = await pool.run([[bytes(1 << 20)] * 50, image("small")])

    assert ["\0" * 8 + f" {50 << 20}", "small 8"] == results
    assert max(arena_sizes()) <= KEPT


@given(st.lists(st.lists(st.binary(max_size=9), max_size=5), max_size=5), st.integers(0, 3000))
def test_an_arena_carries_bodies_and_results(bodies, chunks):
    """What is put in chunk by chunk is seen as whole bodies, before and after results are written."""
    arena = Arena()
    bodies = [*bodies, [b"ab"] * chunks]

    sizes = arena.put(bodies)
    worker = Arena(arena.fd)
    worker.put_results(b"results", sizes)

    assert list(map(b"".join, bodies)) == list(map(bytes, worker.views(sizes)))
    assert (arena.take_results(7, sizes), arena.index()) == (b"results", None)


def test_an_arena_remembers_the_image_under_work():
    """The index that a worker noted is read by the parent, and cleared with the next batch."""
    arena = Arena()
    arena.put([[b"a"]])
    arena.note()[0] = 0
    noted = arena.index()

    arena.put([[b"b"]])

    assert (noted, arena.index()) == (0, None)


def test_an_arena_gives_back_memory():
    """A large batch's memory is given back, a usual one's is kept."""
    arena = Arena()
    arena.put([[bytes(KEPT)]])
    arena.shrink()

    assert os.fstat(arena.fd).st_size == KEPT
    assert KEPT > HEADER


SCRIPT = """
import asyncio, signal, sys
sys.path.insert(0, {root!r})
from curator.pool import WorkerPool
from tests.pool_kernels import image, lengths

async def main():
    async with WorkerPool(lengths, workers=2, timeout=60, memory=1 << 28, crashed=str) as pool:
        print("open", flush=True)
        line = await asyncio.to_thread(sys.stdin.readline)
        print(await pool.run([image("a"), image("b")]), pool.restarts, flush=True)

"""
GUARDED = SCRIPT + 'if __name__ == "__main__":\n    asyncio.run(main())\n'
IGNORING = SCRIPT + (
    'if __name__ == "__main__":\n'
    "    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
    "        signal.signal(number, lambda *_: None)\n"
    "    asyncio.run(main())\n"
)
BARE = SCRIPT + "asyncio.run(main())\n"


@pytest.fixture
def script(tmp_path) -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start a program of its own that uses a pool, in a group of its own."""
    with ExitStack() as stack:

        def start(text: str) -> "subprocess.Popen[str]":
            path = tmp_path / "script.py"
            path.write_text(text.format(root=str(Path(__file__).parents[1])))
            pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            process = subprocess.Popen([sys.executable, path], **pipes, text=True, start_new_session=True)
            stack.enter_context(process)
            stack.callback(process.kill)
            return process

        yield start


def shared_memory_of(pids: Iterable[int]) -> set[str]:
    """Names under /dev/shm that the processes have mapped."""
    maps = [Path(f"/proc/{pid}/maps").read_text().split() for pid in pids]
    return {word for words in maps for word in words if word.startswith("/dev/shm/")}


def test_a_killed_parent_leaves_nothing(script):
    """After kill -9 of the parent every process below it ends by itself, and no shared memory has a name."""
    process = script(GUARDED)
    assert process.stdout.readline() == "open\n"
    below = descendants(process.pid)
    names = shared_memory_of([process.pid, *below])
    processes = watched(below)

    process.kill()

    assert len(below) >= 4  # two workers, the forkserver, the resource tracker
    assert set() == survivors(processes)
    assert not [name for name in names if "/sem." not in name or Path(name).exists()]


def test_signals_to_the_group_are_the_parents(script):
    """Ctrl-C, Ctrl-Z, SIGTERM and SIGHUP to the whole group leave workers and forkserver to the parent."""
    process = script(IGNORING)
    assert process.stdout.readline() == "open\n"
    processes = watched(descendants(process.pid))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
        os.killpg(process.pid, number)
    os.killpg(process.pid, signal.SIGCONT)
    output, _ = process.communicate("\n", timeout=PATIENCE)

    assert output == "['a 8', 'b 8'] 0\n"
    assert (0, set()) == (process.returncode, survivors(processes))


def test_a_missing_main_guard_is_named(script):
    """A script that starts its work when imported is told what it lacks."""
    _, errors = script(BARE).communicate("", timeout=PATIENCE)

    assert "WorkersFailed: worker processes cannot import" in errors
    assert 'Worker processes need\n    if __name__ == "__main__":' in errors
