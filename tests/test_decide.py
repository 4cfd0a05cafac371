"""Deciding: against doing it image by image, and claim by claim."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.by_hand import Said
from curator.decide import decide
from curator.placeholders import Placeholder
from curator.reasons import BY_CODE, BY_NAME
from curator.rules import Rules, judge
from curator.settings import Settings
from tests.censuses import Image, census, digest, digests
from tests.contract import alike, at_odds, by_contract, collections
from tests.pictures import measures

ANY = Settings(min_side=0, workers=1)


def told(images, theirs=(), *, setting=ANY, said=None, earlier=None, keep=False, found=()):
    """What is decided: {uid: (reason, leader's uid, distance, by hand)}."""
    counted = census(images, theirs, keep=keep)
    decided = decide(counted, setting, said=said, earlier=earlier, placeholders=found).verdicts
    uids = [image.uid for image in (*images, *theirs)]
    columns = (decided.reason, decided.leader, decided.distance, decided.by_hand)
    return {
        uid: (BY_CODE[reason].value, uids[leader], distance, by_hand)
        for uid, reason, leader, distance, by_hand in zip(
            uids, *(column.tolist() for column in columns), strict=False
        )
    }


def verdict(one, other, what, line=2):
    """What a person said of two uids, as it is read from a file."""
    if one > other:
        one, other, what = other, one, {"a": "b", "b": "a"}.get(what, what)
    return Said(digest(one, 16), digest(other, 16), what, line)


@settings(max_examples=60, deadline=None)
@given(collections(), st.randoms(use_true_random=False))
def test_the_contract(collection, random):
    """Rules, a person's word, other datasets, stars and their order: exactly what doing it one by one gives.

    It does not depend on the order of the images or of what was said.
    """
    images, theirs, setting, pairs, kept_before = collection
    if at_odds(pairs):
        return
    said = [verdict(*one) for one in pairs]
    earlier = digests(sorted(kept_before), 16)
    decided = told(images, theirs, setting=setting, said=said, earlier=earlier, keep=True)
    assert decided == by_contract(images, theirs, setting, pairs, kept_before)
    for shuffled in (images, theirs, said):
        random.shuffle(shuffled)
    assert told(images, theirs, setting=setting, said=said, earlier=earlier, keep=True) == decided


def test_why_an_image_is_not_kept_is_told_in_order():
    """Unmeasured comes before the rules, size before shape, shape before `--where`, and that before duplicates."""
    images = [
        Image(0, unmeasured="undecodable", width=1, wanted=False),
        Image(1, width=10, height=900, wanted=False),
        Image(2, width=100, height=900, wanted=False),
        Image(3, wanted=False),
        Image(4),
        Image(5),
    ]
    decided = told(images, setting=Settings(min_side=100, max_aspect=3.0, workers=1))
    reasons = [decided[uid][0] for uid in range(6)]
    assert reasons == ["undecodable", "too_small", "bad_aspect", "excluded", "saved", "same_bytes"]


side = st.integers(1, 400)


@given(
    st.lists(st.tuples(side, side), max_size=20), st.integers(0, 300), st.sampled_from([0.0, 1.0, 1.5, 3.1])
)
def test_the_rules_are_those_of_a_crawl(sides, min_side, max_aspect):
    """Sides are judged as `rules.judge` judges them."""
    images = [Image(at, sha=at, width=width, height=height) for at, (width, height) in enumerate(sides)]
    decided = told(
        images, setting=Settings(min_side=min_side, max_aspect=max_aspect, dedup="none", workers=1)
    )
    for image in images:
        reason = judge(measures(width=image.width, height=image.height), Rules(min_side, max_aspect))
        assert decided[image.uid][0] == (reason or "saved")


def test_a_placeholder_takes_what_is_left():
    """All its images are dropped but those that a rule dropped before; one that took nothing is not told."""
    images = [Image(0, sha=7), Image(1, sha=7, wanted=False), Image(2, sha=8), Image(3, sha=9, wanted=False)]
    found = [
        Placeholder("a.org", "07", "00", 20, np.array([0, 1])),
        Placeholder("b.org", "09", "03", 20, np.array([3])),
    ]
    assert [told(images, found=found)[uid][0] for uid in range(4)] == [
        "placeholder",
        "excluded",
        "saved",
        "excluded",
    ]
    told_of = decide(census(images), ANY, placeholders=found).placeholders
    assert [(one.host, one.rows.tolist()) for one in told_of] == [("a.org", [0])]


def test_the_same_uid_from_two_sources():
    """Rows of one uid are told apart: of equal ones that of the first source is kept."""
    decided = decide(census([Image(1, sha=1), Image(1, sha=1)], sources=[1, 1]), ANY).verdicts
    assert decided.leader.tolist() == [0, 0]
    assert [BY_CODE[code].value for code in decided.reason] == ["saved", "same_bytes"]


def test_bytes_that_were_hashed_in_two_ways():
    """The same bytes are duplicates whatever their hashes, and draw nobody in that is not like the best of them."""
    images = [
        Image(0, sha=1, phash=0b1, bytes=9000),
        Image(1, sha=1, phash=0b1 << 30),
        Image(2, sha=2, phash=0b1 << 30),
    ]
    decided = told(images, setting=replace(ANY, radius=0))
    assert [decided[uid][:2] for uid in range(3)] == [("saved", 0), ("same_bytes", 0), ("saved", 2)]


def flipped(rng, hashes, most):
    """The hashes with up to so many bits changed."""
    for _ in range(most):
        change = rng.random(len(hashes)) < 0.5
        hashes = np.where(
            change, hashes ^ (np.uint64(1) << rng.integers(0, 64, len(hashes), np.uint64)), hashes
        )
    return hashes


def crowd(seed, count):
    """Images of which many are near each other or of the same file."""
    rng = np.random.default_rng(seed)
    hashes = flipped(rng, np.resize(rng.integers(0, 2**64, count // 4, np.uint64), count), 6)
    mirrors = flipped(rng, np.roll(hashes, 7), 3)
    low, file = rng.random(count) < 0.1, rng.integers(0, count, count)
    columns = (column.tolist() for column in (file, hashes[file], mirrors[file], low[file]))
    return [Image(uid, *those) for uid, those in enumerate(zip(*columns, strict=True))]


@pytest.mark.parametrize("mirrored", [False, True])
def test_who_is_removed_has_somebody_near(mirrored):
    """Every duplicate follows a kept image, or one of another dataset, within the radius or of the same bytes."""
    images = crowd(1, 1500)
    counted, setting = census(images[:1000], images[1000:]), replace(ANY, mirrored=mirrored, workers=2)
    verdicts = decide(counted, setting).verdicts
    follows = np.flatnonzero(~verdicts.kept)
    leader = verdicts.leader[follows]
    assert np.count_nonzero(leader >= 1000) > 100
    assert np.count_nonzero(leader < 1000) > 100
    assert verdicts.kept[leader[leader < 1000]].all()
    for row, to in zip(follows.tolist(), leader.tolist(), strict=True):
        assert verdicts.distance[row] == alike(images[row], images[to], setting)


def test_who_survived_stays():
    """Survivors of an earlier decision survive better copies that came later; what changed is counted."""
    images = [
        Image(1, sha=1),
        Image(2, sha=2, width=900),
        Image(3, sha=3, phash=0xFFFF << 40),
        Image(4, sha=4, width=5),
        Image(5, sha=5, phash=0xFFFF << 16),
    ]
    earlier = digests([1, 4, 5, 99], 16)
    setting = replace(ANY, min_side=100)
    assert told(images, setting=setting)[1][:2] == ("near_duplicate", 2)
    decided = decide(census(images), setting, earlier=earlier)
    assert [BY_CODE[code].value for code in decided.verdicts.reason] == [
        *("saved", "near_duplicate", "saved", "too_small", "saved")
    ]
    assert (decided.since.added, decided.since.lost) == (1, 2)
    assert decided.since.lost_by_reason == {"too_small": 1, "gone": 1}
    assert decide(census(images), setting).since is None


def test_the_score_of_a_radius():
    """A person's pairs are counted by what the hashes say of them; unmeasured and empty hashes find nothing."""
    images = [
        Image(1, sha=1, phash=0b0),
        Image(2, sha=2, phash=0b1),
        Image(3, sha=3, phash=0b11 << 40),
        Image(4, sha=4, phash=0b0, low=True),
        Image(5, sha=4, phash=0b0, low=True),
        Image(6, sha=0, unmeasured="undecodable"),
        Image(7, sha=0, unmeasured="undecodable"),
    ]
    said = [
        verdict(1, 2, "a"),  # found
        verdict(4, 5, "a"),  # the same bytes
        verdict(1, 3, "b"),  # too far
        verdict(6, 7, "a"),  # not measured
        verdict(2, 4, "both"),  # one says nothing
        verdict(2, 3, "neither"),
        verdict(1, 99, "a"),  # unknown
    ]
    decided = decide(census(images), replace(ANY, radius=1), said=said)
    score = decided.pairs
    assert (score.pairs, score.unknown) == (7, 1)
    assert (score.true_positive, score.false_positive) == (2, 0)
    assert (score.false_negative, score.true_negative) == (2, 1)
    assert (score.precision, score.recall) == (1.0, 0.5)
    wider = decide(
        census(images), replace(ANY, radius=3), said=[verdict(2, 3, "both"), verdict(1, 2, "both")]
    ).pairs
    assert (wider.precision, wider.recall) == (0.0, None)
    assert any(f"{99:032x}" in warning for warning in decided.warnings)
    assert decide(census(images), ANY).pairs is None


def test_chance_is_told_and_warned_of():
    """Where strangers are near by chance it is said how often; more than once in 10,000 images is a warning."""
    rng = np.random.default_rng(0)
    images = [
        Image(at, sha=at, phash=phash)
        for at, phash in enumerate(rng.integers(0, 2**64, 3000, np.uint64).tolist())
    ]
    lucky = decide(census(images), replace(ANY, radius=2))
    assert 0 <= lucky.chance.pairs < 0.01
    assert lucky.chance.images == 3000
    assert lucky.warnings == []
    unlucky = decide(census(images), replace(ANY, radius=16))
    really = sum(unlucky.verdicts.reason == BY_NAME["near_duplicate"].code)
    assert really / 4 < unlucky.chance.pairs < really * 4
    assert "false pairs" in unlucky.warnings[0]
    assert (
        decide(census(images), replace(ANY, radius=16, mirrored=True)).chance.pairs
        == 2 * unlucky.chance.pairs
    )
    assert decide(census(images), replace(ANY, dedup="bytes")).chance is None


def test_chance_among_those_of_others_is_not_counted():
    """With a large dataset to compare with, only pairs that touch ours are expected."""
    rng = np.random.default_rng(0)
    images = [
        Image(at, sha=at, phash=phash)
        for at, phash in enumerate(rng.integers(0, 2**64, 2000, np.uint64).tolist())
    ]
    alone = decide(census(images), replace(ANY, radius=16)).chance
    against = decide(census(images[:200], images[200:]), replace(ANY, radius=16)).chance
    assert against.images == 200
    assert against.pairs == pytest.approx(alone.pairs * (1 - 0.9**2))


def test_nothing_at_all():
    """An empty census is decided on, too."""
    decided = decide(census([]), ANY, said=[], earlier=digests([], 16))
    assert len(decided.verdicts.reason) == 0
    assert decided.since.lost_by_reason == {}


def test_no_chance_where_nothing_is_compared():
    """One image alone, or none whose hash says anything, meets nobody; beside another's it may."""
    blank = [Image(at, sha=at, phash=at, low=True) for at in range(3)]
    assert decide(census([]), ANY).chance is None
    assert decide(census(blank), ANY).chance is None
    assert decide(census([Image(1, sha=1, phash=1)]), ANY).chance is None
    assert decide(census([Image(1, sha=1, phash=1)], [Image(2, sha=2, phash=99)]), ANY).chance.images == 1
