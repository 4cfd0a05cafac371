"""Stars over made-up pairs and over real hashes, against doing what the contract says one by one."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.clusters import best_first, stars
from curator.neighbours import Pairs, group_identical, pairs


def near(*triples):
    """Pairs of groups and the bits between them."""
    first, second, distance = zip(*triples, strict=True) if triples else ((), (), ())
    return Pairs(np.array(first, np.uint32), np.array(second, np.uint32), np.array(distance, np.uint8))


def one_by_one(order, group, triples):
    """The contract, word for word: {row: (leader, distance)}."""
    apart = {(number, number): 0 for number in group}
    for first, second, distance in triples:
        apart[first, second] = apart[second, first] = distance
    taken = {}
    for leader in order:
        if leader in taken:
            continue
        for row in order:
            if row not in taken and (group[leader], group[row]) in apart:
                taken[row] = leader, apart[group[leader], group[row]]
    return taken


@st.composite
def collections(draw):
    """Rows in some order, in some groups, some of them near each other."""
    count = draw(st.integers(0, 14))
    order = draw(st.permutations(range(count)))
    group = draw(st.lists(st.integers(0, max(count - 1, 0)), min_size=count, max_size=count))
    links = list(combinations(sorted(set(group)), 2))
    chosen = draw(st.lists(st.sampled_from(links), unique=True)) if links else []
    return order, group, [(*link, draw(st.integers(1, 10))) for link in chosen]


@settings(max_examples=300, deadline=None)
@given(collections())
def test_stars_are_made_best_first(collection):
    """The best image that is free takes all free neighbours, until none is free: exactly that, however done."""
    order, group, triples = collection
    leader, distance = stars(np.array(order, np.int64), np.array(group, np.uint32), near(*triples))
    taken = one_by_one(order, group, triples)
    assert list(zip(leader.tolist(), distance.tolist(), strict=True)) == [
        taken[row] for row in range(len(order))
    ]


def images(seed, count=400):
    """Columns of images of which many are near copies or identical: (pixels, bytes, sha256, uid, hashes)."""
    rng = np.random.default_rng(seed)
    hashes = np.resize(rng.integers(0, 2**64, count // 8, dtype=np.uint64), count)
    for _ in range(4):
        turn = rng.random(count) < 0.4
        hashes = np.where(
            turn, hashes ^ (np.uint64(1) << rng.integers(0, 64, count, dtype=np.uint64)), hashes
        )
    sha256 = np.resize(rng.integers(0, 256, (count // 2, 32), dtype=np.uint8), (count, 32))
    uid = rng.integers(0, 256, (count, 16), dtype=np.uint8)
    return rng.integers(1, 9, count), rng.integers(1, 4, count), sha256, uid, hashes


def clustered(pixels, nbytes, sha256, uid, hashes, radius):
    """The stars of images, as a curation makes them."""
    distinct, group = group_identical(hashes)
    return stars(best_first(pixels, nbytes, sha256, uid), group, pairs(distinct, radius))


@pytest.mark.parametrize("radius", [0, 2, 4, 6])
def test_every_removed_image_has_a_kept_one_near(radius):
    """Each leader is kept and within the radius, as far as it says, and no two kept ones are that near."""
    columns = images(radius)
    leader, distance = clustered(*columns, radius)
    hashes, rows = columns[-1], np.arange(len(leader))
    assert 0 < np.count_nonzero(leader != rows) < len(rows)
    assert np.array_equal(leader[leader], leader)
    assert np.array_equal(np.bitwise_count(hashes ^ hashes[leader]), distance)
    assert distance.max() <= radius
    kept = hashes[leader == rows]
    assert len(np.unique(kept)) == len(kept)
    assert len(pairs(np.sort(kept), radius).first) == 0


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_input_does_not_matter(seed):
    """Shuffled, the same images have the same leaders at the same distances."""
    columns = images(seed)
    leader, distance = clustered(*columns, 4)
    shuffle = np.random.default_rng(seed).permutation(len(leader))
    again, apart = clustered(*(column[shuffle] for column in columns), 4)
    assert np.array_equal(shuffle[again], leader[shuffle])
    assert np.array_equal(apart, distance[shuffle])


def test_a_chain_is_not_one_group():
    """Along a chain from the best to the worst, every second image is kept; a hundred thousand are no trouble."""
    count = 100_000
    rows = np.arange(count, dtype=np.uint32)
    chain = Pairs(rows[:-1], rows[1:], np.ones(count - 1, np.uint8))
    leader, distance = stars(rows, rows, chain)
    assert np.array_equal(leader, rows - rows % 2)
    assert np.array_equal(distance, rows % 2)


def test_images_that_are_near_nothing_stay():
    """Without pairs and groups everything is kept."""
    rows = np.arange(5)
    leader, distance = stars(rows[::-1], rows, near())
    assert leader.tolist() == rows.tolist()
    assert not distance.any()


small = st.integers(0, 2)


@given(st.lists(st.tuples(small, small, small, small), max_size=30))
def test_best_first_compares_in_turn(images):
    """More pixels, then more bytes, then the lesser sha256, then the lesser uid: to their last bytes."""
    pixels, nbytes, shas, _ = zip(*images, strict=True) if images else ((), (), (), ())
    sha256 = np.zeros((len(images), 32), np.uint8)
    sha256[:, 31] = np.array(shas, np.uint8) % 2 * 200
    sha256[:, 30] = np.array(shas, np.uint8) // 2
    uid = np.zeros((len(images), 16), np.uint8)
    uid[:, 15] = np.random.default_rng(0).permutation(len(images))
    order = best_first(np.array(pixels, np.int64), np.array(nbytes, np.int64), sha256, uid)
    key = [(-pixels[at], -nbytes[at], sha256[at].tobytes(), uid[at].tobytes()) for at in range(len(images))]
    assert order.tolist() == sorted(range(len(images)), key=key.__getitem__)


@pytest.mark.parametrize(
    ("keep", "order"),
    [
        pytest.param(np.array([1, 3, 2]), [1, 2, 0], id="integers"),
        pytest.param(np.array([1, 255, 0], np.uint8), [1, 0, 2], id="unsigned"),
        pytest.param(np.array([0, -(2**63), 2**63 - 1]), [2, 0, 1], id="extremes"),
        pytest.param(np.array([2**60, 2**60 + 1, 2**60]), [1, 2, 0], id="not rounded"),
        pytest.param(np.array([0.5, np.nan, 0.7]), [2, 0, 1], id="NaN is the worst"),
        pytest.param(np.array([np.nan, 1, np.nan]), [1, 2, 0], id="NaNs are equal"),
        pytest.param(np.array([False, True, True]), [2, 1, 0], id="booleans"),
        pytest.param(None, [2, 1, 0], id="none"),
    ],
)
def test_a_column_to_keep_by_comes_first(keep, order):
    """What is to be kept decides before pixels do, and pixels among the equal."""
    digests = np.zeros((3, 32), np.uint8)
    found = best_first(np.array([1, 2, 3]), np.ones(3, np.int64), digests, digests[:, :16], keep)
    assert found.tolist() == order


def test_among_the_worst_the_rest_decides():
    """Images without a value are compared to the end too."""
    sha256 = np.zeros((3, 32), np.uint8)
    sha256[:, 0] = [3, 2, 1]
    one = np.ones(3, np.int64)
    assert best_first(one, one, sha256, sha256[:, :16], np.full(3, np.nan)).tolist() == [2, 1, 0]


def test_words_cannot_be_kept_by():
    """A column of strings is refused."""
    digests = np.zeros((2, 32), np.uint8)
    one = np.ones(2, np.int64)
    with pytest.raises(TypeError, match="no best first"):
        best_first(one, one, digests, digests[:, :16], np.array(["a", "b"]))
