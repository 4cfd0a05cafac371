"""What is alike among images: hashes of both kinds, and what a person holds to be different."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.mirrored import mirrored_pairs
from curator.near import Pictures, alike, bits_apart, follow_best, follow_others, parted


def brute_force(own, mirror, radius):
    """{(row, row): bits} of all pairs of rows that are near as they are or mirrored."""
    apart = np.bitwise_count(own[:, None] ^ own[None, :])
    crossed = np.bitwise_count(own[:, None] ^ mirror[None, :])
    least = np.minimum(apart, np.minimum(crossed, crossed.T))
    return {
        (first, second): least[first, second]
        for first, second in zip(*np.nonzero(least <= radius), strict=True)
        if first < second
    }


def by_rows(group, near):
    """The same from groups and pairs of them; each pair of groups must be there once."""
    links = dict(zip(zip(near.first.tolist(), near.second.tolist(), strict=True), near.distance, strict=True))
    assert len(links) == len(near.first)
    assert not any(one == other for one, other in links)
    links |= {(second, first): apart for (first, second), apart in links.items()}
    links |= {(one, one): 0 for one in group}
    rows = range(len(group))
    return {
        (one, other): links[group[one], group[other]]
        for one in rows
        for other in rows[one + 1 :]
        if (group[one], group[other]) in links
    }


VALUES = st.sampled_from([0, 1, 3, 7, 0xF0, 0xF1, 2**64 - 1])


@settings(deadline=None)
@given(st.lists(st.tuples(VALUES, VALUES), max_size=12), st.integers(0, 5))
def test_mirrored_pairs_of_few(hashes, radius):
    """All pairs are found at their least distance, also among equal and symmetric hashes."""
    own, mirror = np.array(hashes, np.uint64).reshape(-1, 2).T.copy()
    group, near = mirrored_pairs(own, mirror, radius)
    assert by_rows(group.tolist(), near) == brute_force(own, mirror, radius)


@pytest.mark.parametrize("radius", [0, 4])
def test_mirrored_pairs_of_many(radius):
    """As with few, where the hashes of some are nearly those of others mirrored."""
    rng = np.random.default_rng(radius)
    own, mirror = rng.integers(0, 2**64, (2, 600), np.uint64)
    own[300:450], mirror[300:450] = mirror[:150], own[:150]
    own[450:] = own[150:300] ^ (np.uint64(1) << rng.integers(0, 64, 150, np.uint64))
    group, near = mirrored_pairs(own, mirror, radius, workers=2)
    expected = brute_force(own, mirror, radius)
    assert len(expected) >= 150
    assert by_rows(group.tolist(), near) == expected


def pictures(shas, hashes):
    """Images of these bytes and hashes."""
    count = len(shas)
    sha256 = np.zeros((count, 32), np.uint8)
    sha256[:, 31] = shas
    none = np.zeros(count, np.uint64)
    return Pictures(sha256, np.array(hashes, np.uint64), none, np.zeros(count, np.bool_))


def test_those_that_are_different_have_other_duplicates():
    """Of three files with the same bytes the first two are parted: both stay, the third follows the better."""
    found = alike(pictures([1, 1, 1, 2], [5, 5, 5, 4]), "phash", 2)
    everything = np.ones(4, np.bool_)
    assert follow_best(found, everything).leader.tolist() == [0, 0, 0, 0]
    led = follow_best(parted(found, np.array([[0, 1]])), everything)
    assert led.leader.tolist() == [0, 1, 0, 0]
    assert led.distance.tolist() == [0, 0, 0, 1]


def test_whom_to_follow_among_others():
    """The nearest of theirs leads, of equally near ones the better; a person's word keeps one out."""
    found = alike(pictures(range(6), [0b1000, 0b1, 0b11, 0b1, 0b1111, 0b0]), "phash", 2)
    theirs = np.array([True, True, False, True, False, False])
    led = follow_others(found, theirs)
    assert led.leader[~theirs].tolist() == [1, 4, 0]
    assert led.distance[~theirs].tolist() == [1, 0, 1]
    led = follow_others(parted(found, np.array([[1, 2], [0, 5]])), theirs)
    assert led.leader[~theirs].tolist() == [3, 4, 1]


def test_bits_apart():
    """The least of a hash and the other's, and where mirrored copies count, of either and the other's mirrored."""
    images = pictures(range(3), [0b1, 0b111, 0b11111])._replace(
        mirror=np.array([0b1111, 0b1, 0b0], np.uint64)
    )
    one, other = np.array([0, 1, 2, 0]), np.array([1, 2, 0, 0])
    assert bits_apart(images, one, other, mirrored=False).tolist() == [2, 2, 4, 0]
    assert bits_apart(images, one, other, mirrored=True).tolist() == [0, 2, 1, 0]
    assert bits_apart(images, other, one, mirrored=True).tolist() == [0, 2, 1, 0]
