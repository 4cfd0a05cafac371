"""Hostile images in real workers: one Reason each, no hang over the time limit, no memory over its own."""

import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import pytest

from curator.measure import MeasureSettings, measure_batch
from curator.pool import WorkerPool
from curator.reasons import Reason
from curator.records import Measures, Unmeasured
from tests.hostile import FORMATS, everything, flips, many_scans, png, prefixes, sound, zeros
from tests.test_pool import descendants

MIB = 1 << 20
MEMORY = 512 * MIB
BASE = 160 * MIB  # of a worker that has measured nothing
TIMEOUT = 20.0  # seconds for one image on a busy machine
REFUSALS = {
    Reason.UNDECODABLE, Reason.NOT_AN_IMAGE, Reason.UNSUPPORTED_FORMAT, Reason.TOO_MANY_PIXELS,
    Reason.DECODER_CRASH,
}  # fmt: skip


@pytest.fixture(autouse=True)
def _light_main(monkeypatch):
    """Workers import the main script: hide pytest's, a third of a second for each of them."""
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)


async def measured(bodies: list[bytes], timeout: float = TIMEOUT, memory: int = MEMORY):
    """What a crawl's workers make of these bodies, the most memory one had, and how many died."""
    kernel = partial(measure_batch, settings=MeasureSettings(100_000_000, False))
    crashed = partial(Unmeasured, Reason.DECODER_CRASH)
    pool = WorkerPool(
        kernel, workers=2, timeout=timeout, memory=memory, crashed=crashed, preload=("curator.measure",)
    )
    async with pool:
        batches = [bodies[at : at + 16] for at in range(0, len(bodies), 16)]
        found = await asyncio.gather(*(pool.run([(body,) for body in batch]) for batch in batches))
        return [one for batch in found for one in batch], most_memory(), pool.restarts


def most_memory() -> int:
    """Bytes that the largest process below this one has ever had in memory."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in descendants(os.getpid())]
    return max(int(status.partition("VmHWM:")[2].split()[0]) << 10 for status in statuses)


def outcome(one: Measures | Unmeasured) -> str:
    """The Reason, "measured" for a picture."""
    return one.reason.value if isinstance(one, Unmeasured) else "measured"


async def test_hostile_images_end_as_they_should():
    """Bombs, malformed metadata, polyglots: each gets its Reason from a worker that lives on."""
    wanted = everything()
    found, memory, restarts = await measured([body for body, _ in wanted.values()])
    wrong = [
        f"{name}: {outcome(one)} {one}"
        for (name, (_, right)), one in zip(wanted.items(), found, strict=True)
        if outcome(one) not in right
    ]
    assert not wrong, "\n".join(wrong)
    assert restarts == 0
    assert memory < MEMORY + BASE


@pytest.mark.parametrize("format_", FORMATS)
async def test_prefixes_and_flipped_bits_cost_their_image_only(format_):
    """A file cut short anywhere, or with bits turned over, is a picture or a Reason; no worker dies."""
    bodies = [*prefixes(format_), *flips(format_, 60)]
    found, memory, restarts = await measured(bodies)
    assert {one.reason for one in found if isinstance(one, Unmeasured)} <= REFUSALS - {Reason.DECODER_CRASH}
    assert restarts == 0
    assert memory < MEMORY + BASE


async def test_a_picture_that_takes_too_long_is_ended():
    """Thousands of passes over its pixels cost an image the time limit, and the next one nothing."""
    slow, good = many_scans(20_000), sound("PNG")
    found, _, _ = await measured([slow, good], timeout=1.0)
    assert [outcome(one) for one in found] == ["decoder_crash", "measured"]
    assert found[0].detail == "no answer within 1 s"


async def test_a_picture_that_needs_too_much_is_ended():
    """81 megapixels with transparency do not fit into the memory of a worker that has little."""
    large, good = png(9000, 9000, zeros(310), colour=6), sound("PNG")
    found, memory, _ = await measured([large, good], memory=128 * MIB)
    assert [outcome(one) for one in found] == ["decoder_crash", "measured"]
    assert "out of memory" in found[0].detail
    assert memory < 128 * MIB + BASE
