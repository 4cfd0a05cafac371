"""All pairs of near hashes, against looking at every pair."""

from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import neighbours
from curator.neighbours import chance, group_identical, pairs

MEAN = np.uint64(1 << 63)


def strangers(rng, count):
    """Hashes as unrelated pictures have them: 31 of 63 bits, and the mean."""
    bits = np.argpartition(rng.random((count, 63)), 31, axis=1)[:, :31].astype(np.uint64)
    return np.bitwise_or.reduce(np.uint64(1) << bits, axis=1) | MEAN


def flipped(rng, hashes, most):
    """Each hash with up to so many of its 64 bits turned."""
    turned = hashes.copy()
    for _ in range(most):
        turned ^= np.uint64(1) << rng.integers(0, 64, len(hashes), dtype=np.uint64)
    return turned


def crowd(rng, count, most=12):
    """About `count` distinct hashes: strangers, near copies of some, and some tight clusters."""
    alone = strangers(rng, count // 2)
    copies = flipped(rng, alone[: count // 4], most)
    centres = strangers(rng, 3)
    clustered = flipped(rng, np.resize(centres, count - count // 2 - count // 4), most // 2)
    return np.unique(np.concatenate([alone, copies, clustered]))


def brute_force(hashes, radius):
    """The contract, word for word: {(first, second): distance}."""
    found = {}
    for first in range(len(hashes) - 1):
        distances = np.bitwise_count(hashes[first + 1 :] ^ hashes[first])
        for at in np.flatnonzero(distances <= radius).tolist():
            found[first, first + 1 + at] = int(distances[at])
    return found


def check(hashes, radius, **options):
    """Each pair that looking at all of them finds is reported, once, and no other."""
    first, second, distance = (column.tolist() for column in pairs(hashes, radius, **options))
    expected = brute_force(hashes, radius)
    assert len(first) == len(expected)
    assert dict(zip(zip(first, second, strict=True), distance, strict=True)) == expected


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 400), radius=st.integers(0, 16))
def test_pairs_are_those_of_brute_force(seed, count, radius):
    """For any few hundred hashes and any radius that may be set, all pairs are found, once each."""
    check(crowd(np.random.default_rng(seed), count), radius)


@settings(max_examples=60, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 40), unique=True), radius=st.integers(0, 64)
)
def test_pairs_of_any_numbers(hashes, radius):
    """Hashes need not look like a picture's, nor the radius be sensible."""
    check(np.sort(np.array(hashes, np.uint64)), radius)


@pytest.mark.parametrize("radius", range(11))
def test_every_radius_across_blocks(radius, monkeypatch):
    """With 3,000 hashes, and pairs that stand in different blocks of a table, none is missed."""
    monkeypatch.setattr(neighbours, "_BLOCK", 100)
    check(crowd(np.random.default_rng(radius), 3000), radius, workers=2)


@pytest.mark.parametrize("more", range(5))
@pytest.mark.parametrize("radius", [1, 2, 4, 7])
def test_every_way_of_cutting(radius, more, monkeypatch):
    """However many bands are thought best, the pairs are the same."""
    monkeypatch.setattr(neighbours, "_plan", lambda size, radius: (radius + more, more))
    check(crowd(np.random.default_rng(radius), 600), radius)


@pytest.mark.slow
@pytest.mark.parametrize("radius", range(11))
def test_every_radius_of_many(radius):
    """The same with 20,000 hashes."""
    check(crowd(np.random.default_rng(radius), 20_000), radius, workers=2)


def test_more_hashes_are_cut_finer():
    """The plan follows the number of hashes: everything against everything, then ever longer keys."""
    keys = [neighbours._plan(size, 8)[1] for size in (20, 10_000, 1_000_000, 100_000_000)]
    assert keys[0] == 0
    assert keys == sorted(set(keys))


def test_threads_change_nothing():
    """Pairs come in the same order from one thread and from several."""
    hashes = crowd(np.random.default_rng(5), 2000)
    for one, several in zip(pairs(hashes, 6), pairs(hashes, 6, workers=3), strict=True):
        assert np.array_equal(one, several)


def test_the_bit_in_no_band_counts():
    """Two hashes that differ in the mean's bit too are as far apart as they are."""
    hashes = np.array([0b0111, 1 << 63 | 0b0111, 1 << 63 | 0b1111], np.uint64)
    check(hashes, 1)
    check(hashes, 2)


@pytest.mark.parametrize("radius", [0, 4, 64])
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_have_no_pair(count, radius):
    """No hash or one alone is near nothing."""
    found = pairs(np.full(count, MEAN), radius)
    assert [len(column) for column in found] == [0, 0, 0]


@pytest.mark.parametrize(
    ("hashes", "radius"),
    [
        pytest.param([2, 1], 4, id="not sorted"),
        pytest.param([1, 1], 4, id="identical"),
        pytest.param([1, 2], -1, id="negative radius"),
        pytest.param([1, 2], 65, id="more than there are bits"),
    ],
)
def test_what_cannot_be_asked(hashes, radius):
    """Hashes that are not distinct and ascending, and impossible radii, are refused."""
    with pytest.raises(ValueError, match=r"radius|ascending"):
        pairs(np.array(hashes, np.uint64), radius)


@given(st.lists(st.integers(0, 5) | st.integers(0, 2**64 - 1)))
def test_identical_hashes_share_a_group(hashes):
    """Groups are the distinct hashes, ascending, and each hash is told its own."""
    distinct, group = group_identical(np.array(hashes, np.uint64))
    assert distinct.tolist() == sorted(set(hashes))
    assert distinct[group].tolist() == hashes


def counted(hashes, radius):
    """How many pairs there really are."""
    return len(pairs(hashes, radius).first)


def test_chance_of_strangers():
    """Of unrelated hashes, what is extrapolated is what the mathematics of choosing bits say, within 2.5."""
    count = 50_000
    hashes = np.unique(strangers(np.random.default_rng(1), count))
    for radius in (4, 6, 8, 10):
        swaps = range(radius // 2 + 1)
        share = sum(comb(31, swap) * comb(32, swap) for swap in swaps) / comb(63, 31)
        assert 0.4 < chance(hashes, radius, sample=1 << 22) / (share * count**2 / 2) < 2.5


@pytest.mark.parametrize(("count", "radius"), [(3000, 26), (20, 30)])
def test_chance_that_can_be_seen(count, radius):
    """Where many pairs are within the radius, the estimate is a plain count."""
    hashes = np.unique(strangers(np.random.default_rng(2), count))
    really = len(brute_force(hashes, radius))
    assert chance(hashes, radius, sample=1 << 20) == pytest.approx(really, rel=0.02)


def test_chance_of_pictures_that_resemble_each_other():
    """Where a tenth of the pictures are of one kind, the fatter tail is noticed."""
    rng = np.random.default_rng(3)
    kind = np.resize(strangers(rng, 1), 5_000)
    hashes = np.unique(np.concatenate([strangers(rng, 45_000), flipped(rng, kind, 14)]))
    for radius in (4, 8):
        assert 0.1 < chance(hashes, radius, sample=1 << 22) / counted(hashes, radius) < 10


def test_chance_leaves_copies_out():
    """Hundreds of real near copies are no chance pairs, though the sample is full of them."""
    rng = np.random.default_rng(4)
    alone = strangers(rng, 2000)
    hashes = np.unique(np.concatenate([alone, flipped(rng, alone[:500], 4)]))
    assert counted(hashes, 4) > 400
    assert chance(hashes, 4, sample=1 << 22) < 1


def test_chance_of_an_odd_radius():
    """Where hashes differ in even numbers of bits only, one more bit adds nothing; elsewhere it does."""
    rng = np.random.default_rng(5)
    even = np.unique(strangers(rng, 5000))
    assert chance(even, 7, sample=1 << 18) == chance(even, 6, sample=1 << 18)
    mixed = np.unique(np.concatenate([even, flipped(rng, even[::2], 1)]))
    assert chance(mixed, 7, sample=1 << 18) > 2 * chance(mixed, 6, sample=1 << 18)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 20])
def test_chance_among_few(count):
    """A handful of hashes meets by chance hardly ever."""
    assert chance(np.unique(strangers(np.random.default_rng(6), count)), 4, sample=1 << 12) < 1e-3


@settings(max_examples=40, deadline=None)
@given(hashes=st.sets(st.integers(0, 2**64 - 1) | st.integers(0, 40)), radius=st.integers(0, 64))
def test_chance_of_any_numbers(hashes, radius):
    """Hashes need not look like a picture's: there are no fewer than none and no more than all pairs."""
    estimate = chance(np.array(sorted(hashes), np.uint64), radius, sample=1 << 10)
    assert 0 <= estimate <= len(hashes) * (len(hashes) - 1) / 2


def test_chance_of_opposites():
    """Nor need they be less than all bits apart."""
    opposites = np.array([5, 2**64 - 1 - 5], np.uint64)
    assert chance(opposites, 4, sample=1 << 10) < 1e-6
    assert chance(opposites, 64, sample=1 << 10) == 1
