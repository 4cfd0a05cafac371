"""The online index of what is kept, against looking at everything."""

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.duplicates import DuplicateIndex
from curator.reasons import Reason
from tests.pictures import measures

CENTRES = [0x9E3779B97F4A7C15 * number % 2**64 for number in range(1, 7)]


def uid(number):
    return number.to_bytes(16, "big")


def image(content, phash=0, low=False):
    """Measures of an image with these bytes and this hash."""
    digest = hashlib.sha256(str(content).encode()).hexdigest()
    return measures(sha256=digest, phash=f"{phash:016x}", low_information=low)


def columns(images):
    """What `extend` takes, for images numbered from 0."""
    return (
        np.frombuffer(b"".join(uid(at) for at in range(len(images))), np.uint8).reshape(-1, 16),
        np.frombuffer(b"".join(bytes.fromhex(one.sha256) for one in images), np.uint8).reshape(-1, 32),
        np.array([int(one.phash, 16) for one in images], np.uint64),
        np.array([one.low_information for one in images], np.bool_),
    )


def brute_force(kept, asked, radius):
    """The contract, word for word: identical bytes, else the nearest of the earliest."""
    for at, one in enumerate(kept):
        if one.sha256 == asked.sha256:
            return Reason.SAME_BYTES, uid(at), 0
    if asked.low_information:
        return None
    near = [
        ((int(one.phash, 16) ^ int(asked.phash, 16)).bit_count(), at)
        for at, one in enumerate(kept)
        if not one.low_information
    ]
    distance, at = min(near, default=(99, 0))
    return (Reason.NEAR_DUPLICATE, uid(at), distance) if distance <= radius else None


def crowd(rng, count, flips=12):
    """Images around a few hashes, some of the same bytes, some of low information."""
    for _ in range(count):
        phash = CENTRES[rng.integers(0, len(CENTRES))]
        for bit in rng.integers(0, 64, rng.integers(0, flips)):
            phash ^= 1 << int(bit)
        yield image(int(rng.integers(0, count * 3)), phash, bool(rng.random() < 0.1))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), radius=st.integers(0, 10), bulk=st.sampled_from([0, 30, 60]))
def test_answers_are_those_of_brute_force(seed, radius, bulk):
    """At every radius, for rows added one by one or at once, the answer is that of looking at all."""
    rng = np.random.default_rng(seed)
    kept = list(crowd(rng, 60))
    index = DuplicateIndex("phash", radius)
    index.extend(*columns(kept[:bulk]))
    for at in range(bulk, len(kept)):
        index.add(uid(at), kept[at])
    for asked in crowd(rng, 40):
        assert index.find(asked) == brute_force(kept, asked, radius)
    for asked in kept[::7]:
        assert index.find(asked) == brute_force(kept, asked, radius)


@pytest.mark.parametrize("radius", range(11))
def test_sorted_runs_and_recent_rows_answer_alike(radius):
    """With most rows in the sorted runs and some still outside, nothing within the radius is missed."""
    rng = np.random.default_rng(radius)
    hashes = rng.integers(0, 2**64, 9000, dtype=np.uint64)
    hashes[6000:] = hashes[:3000] ^ (np.uint64(1) << rng.integers(0, 64, 3000, dtype=np.uint64))
    kept = [image(at, int(phash), at % 50 == 0) for at, phash in enumerate(hashes)]
    index = DuplicateIndex("phash", radius)
    index.extend(*columns(kept[:6000]))
    for at in range(6000, 9000):
        index.add(uid(at), kept[at])
    low = np.arange(9000) % 50 == 0
    for asked in range(0, 9000, 60):
        phash = int(hashes[asked])
        for bit in rng.choice(64, radius + asked // 60 % 3, replace=False):
            phash ^= 1 << int(bit)
        distances = np.where(low, 255, np.bitwise_count(hashes ^ np.uint64(phash)))
        at = int(distances.argmin())
        found = index.find(image("new", phash))
        expected = (Reason.NEAR_DUPLICATE, uid(at), int(distances[at]))
        assert found == (expected if distances[at] <= radius else None)


@pytest.mark.parametrize("dedup", ["bytes", "phash"])
def test_identical_bytes_are_found_among_many(dedup):
    """Each of thousands of kept images is found again by its bytes, before and after sorting."""
    kept = [image(at, at * 0x9E3779B97F4A7C15 % 2**64) for at in range(6000)]
    index = DuplicateIndex(dedup, 0)
    for at, one in enumerate(kept):
        index.add(uid(at), one)
    for at in range(0, 6000, 37):
        assert index.find(kept[at]) == (Reason.SAME_BYTES, uid(at), 0)
    assert index.find(image("another", 1)) is None


def test_bytes_mode_ignores_hashes():
    """With `bytes`, the same hash over other bytes is no duplicate."""
    index = DuplicateIndex("bytes")
    index.add(uid(1), image("a", 7))
    assert index.find(image("b", 7)) is None


def test_none_keeps_nothing():
    """With `none`, nothing is stored and nothing is ever a duplicate."""
    index = DuplicateIndex("none")
    index.add(uid(1), image("a"))
    index.extend(*columns([image("a")]))
    assert index.find(image("a")) is None
    assert len(index) == 0


def test_low_information_is_never_a_near_duplicate():
    """A hash that says nothing matches none and is matched by none, but the same bytes still count."""
    index = DuplicateIndex("phash", 10)
    index.add(uid(1), image("white", 1 << 63, low=True))
    assert index.find(image("grey", 1 << 63, low=True)) is None
    assert index.find(image("photo", 1 << 63)) is None
    index.add(uid(2), image("photo", 1 << 63))
    assert index.find(image("black", 1 << 63, low=True)) is None
    assert index.find(image("white", 1 << 63, low=True)) == (Reason.SAME_BYTES, uid(1), 0)


def test_the_nearest_wins_then_the_first():
    """Of several within the radius the nearest is named, of equally near the first to arrive."""
    index = DuplicateIndex("phash", 4)
    for number, phash in enumerate((0b1111, 0b0011, 0b1100)):
        index.add(uid(number), image(number, phash))
    assert index.find(image("x", 0)) == (Reason.NEAR_DUPLICATE, uid(1), 2)


@pytest.mark.parametrize(("dedup", "most"), [("bytes", 64), ("phash", 160)])
def test_memory_per_image_is_bounded(dedup, most):
    """A hundred thousand kept images cost what is promised per image, and `bytes_used` counts it."""
    rng = np.random.default_rng(0)
    count = 100_000
    index = DuplicateIndex(dedup, 4)
    for _ in range(10):
        index.extend(
            rng.integers(0, 256, (count // 10, 16), dtype=np.uint8),
            rng.integers(0, 256, (count // 10, 32), dtype=np.uint8),
            rng.integers(0, 2**64, count // 10, dtype=np.uint64),
            np.zeros(count // 10, np.bool_),
        )
    assert len(index) == count
    assert 36 * count <= index.bytes_used <= most * count
