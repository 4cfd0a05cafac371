"""Deciding image by image, word for word as the contract says it, and small collections to compare it on."""

from dataclasses import dataclass, replace
from itertools import product

from hypothesis import strategies as st

from curator.rules import Rules, judge
from curator.settings import Settings
from tests.censuses import Image
from tests.pictures import measures


def best_first(images, earlier, said):
    """The order: whom a person prefers, earlier survivors, --keep, pixels, bytes, sha256, uid."""
    over = [(one, other) if what == "a" else (other, one) for one, other, what in said if what in "ab"]
    preferred = {winner for winner, _ in over} - {loser for _, loser in over}
    return sorted(
        images,
        key=lambda one: (
            one.uid not in preferred,
            one.uid not in earlier,
            -one.keep,
            -one.width * one.height,
            -one.bytes,
            one.sha,
            one.uid,
        ),
    )


def distance(one, other, setting):
    """Bits between two images' hashes."""
    apart = (one.phash ^ other.phash).bit_count()
    if setting.mirrored:
        crossed = (one.phash ^ other.mirror).bit_count(), (one.mirror ^ other.phash).bit_count()
        apart = min(apart, *crossed)
    return apart


def alike(one, other, setting):
    """Bits between two images that are duplicates, None if they are not."""
    if setting.dedup == "none":
        return None
    if one.sha == other.sha:
        return 0
    if setting.dedup == "bytes" or one.low or other.low:
        return None
    apart = distance(one, other, setting)
    return apart if apart <= setting.radius else None


def ruled(image, setting):
    """The Reason of an image alone, or None."""
    if image.unmeasured:
        return image.unmeasured
    rules = Rules(setting.min_side, setting.max_aspect)
    reason = judge(measures(width=image.width, height=image.height), rules)
    return reason.value if reason else None if image.wanted else "excluded"


def same_or_near(one, leader):
    """Why a duplicate is one."""
    return "same_bytes" if one.sha == leader.sha else "near_duplicate"


def by_contract(images, theirs, setting, said, earlier):
    """The same as `told`, slowly."""
    result = {image.uid: (ruled(image, setting), image.uid, -1, False) for image in images}
    others = {image.uid: image for image in theirs if not image.unmeasured}
    there = {image.uid: image for image in images if not result[image.uid][0]} | others
    for uid in {uid for one, other, what in said if what == "neither" for uid in (one, other)}:
        if uid in there and uid not in others:
            del there[uid]
            result[uid] = "excluded", uid, -1, True
    ordered = [image.uid for image in best_first(there.values(), earlier - others.keys(), said)]
    word = Word(said, others, ordered)

    by_hand = {uid: word.followed(uid) for uid in ordered if word.followed(uid) is not None}
    left = {uid: there[uid] for uid in ordered if uid not in by_hand}
    different = word.different()
    leaders = clustered(left, others, setting, different)
    for uid, (leader, apart) in leaders.items():
        reason = "saved" if leader == uid else same_or_near(there[uid], there[leader])
        result[uid] = reason, leader, apart, False
    for uid, end in by_hand.items():
        leader = leaders.get(end, (end,))[0]
        one, other = there[uid], there[leader]
        apart = 0 if one.sha == other.sha else distance(one, other, setting)
        result[uid] = same_or_near(one, other), leader, apart, True
    return result


@dataclass
class Word:
    """What a person said, of uids that are there, best first."""

    said: list
    others: dict
    ordered: list

    def followed(self, uid):
        """Whom an image is dropped for, if for any."""
        over = [
            (one, other) if what == "a" else (other, one) for one, other, what in self.said if what in "ab"
        ]
        ends = [self.end_of(winner) for winner, loser in over if loser == uid]
        ends = [end for end in ends if end is not None]
        return min(ends, key=self.ordered.index) if ends and uid not in self.others else None

    def end_of(self, uid):
        """Who an image is in the end: whom it is dropped for, or itself, or nobody."""
        end = self.followed(uid)
        return end if end is not None else uid if uid in self.ordered else None

    def different(self):
        """Who must not be each other's duplicate."""
        return {
            frozenset((self.end_of(one), self.end_of(other)))
            for one, other, what in self.said
            if one in self.ordered and other in self.ordered
            if what == "both" or {"a": other, "b": one}.get(what) in self.others
        }


def clustered(left, others, setting, different):
    """{uid: (leader, distance)} of `left`, {uid: image} best first, without those of others: -1 to itself."""
    hashed = {}
    for image in left.values():
        hashed.setdefault(image.sha, image)

    def near(one, other):
        if frozenset((one, other)) in different:
            return None
        as_hashed = (replace(hashed[left[uid].sha], uid=uid) for uid in (one, other))
        return alike(*as_hashed, setting)

    leaders = {}
    for one in left.keys() - others.keys():
        ends = [(near(one, other), at, other) for at, other in enumerate(left) if other in others]
        ends = [end for end in ends if end[0] is not None]
        if ends:
            leaders[one] = min(ends)[2], min(ends)[0]
    free = [uid for uid in left if uid not in others and uid not in leaders]
    while free:
        leader = free[0]
        taken = {uid: near(leader, uid) for uid in free[1:] if near(leader, uid) is not None}
        leaders |= {leader: (leader, -1)} | {uid: (leader, apart) for uid, apart in taken.items()}
        free = [uid for uid in free[1:] if uid not in taken]
    return leaders


CLOSE = st.sampled_from([0b0, 0b1, 0b11, 0b111, 0b1111, 0b11100, 0b1111000]).map(lambda low: low | 1 << 63)


@st.composite
def collections(draw):
    """Images of which many are alike, those of others, settings, what a person said, and what was kept before."""
    count = draw(st.integers(0, 12))
    files = draw(
        st.lists(
            st.builds(
                Image,
                uid=st.just(0),
                sha=st.integers(0, 5),
                phash=CLOSE,
                mirror=CLOSE,
                low=st.sampled_from([False, False, False, True]),
                width=st.sampled_from([50, 100, 200]),
                height=st.sampled_from([99, 100, 200]),
                bytes=st.integers(1, 2),
                unmeasured=st.sampled_from(["", "", "", "", "undecodable"]),
                wanted=st.sampled_from([True, True, True, False]),
                keep=st.sampled_from([0.0, 0.0, 1.0]),
            ),
            min_size=count,
            max_size=count,
        )
    )
    uids = draw(st.permutations(range(count)))
    rows = [replace(one, uid=uid) for one, uid in zip(files, uids, strict=True)]
    ours = draw(st.integers(count // 2, count))
    setting = Settings(
        min_side=draw(st.sampled_from([0, 0, 100])),
        max_aspect=draw(st.sampled_from([0.0, 0.0, 2.0])),
        dedup=draw(st.sampled_from(["phash", "phash", "phash", "bytes", "none"])),
        radius=draw(st.integers(0, 3)),
        mirrored=draw(st.booleans()),
        workers=1,
    )
    earlier = draw(st.sets(st.integers(0, 14), max_size=4))
    return rows[:ours], rows[ours:], setting, draw(spoken(count)), earlier


@st.composite
def spoken(draw, count):
    """Pairs that do not contradict each other: who is dropped stands behind who is kept in one order."""
    order = draw(st.permutations(range(count + 1)))  # the last one is unknown
    couples = draw(
        st.lists(
            st.tuples(st.integers(0, count), st.integers(0, count)).filter(lambda two: two[0] < two[1]),
            max_size=4,
            unique=True,
        )
    )
    said = []
    for one, other in couples:
        what = draw(st.sampled_from(["both", "wins", "neither"]))
        if what == "wins":
            what = "a" if order.index(one) < order.index(other) else "b"
        said.append((one, other, what))
    dropped = {uid for one, other, what in said if what == "neither" for uid in (one, other)}
    return [
        (one, other, what)
        for one, other, what in said
        if what not in ("a", "b") or (one if what == "a" else other) not in dropped
    ]


def at_odds(said):
    """Whether two images are different and one is a copy of the other, in several steps."""
    over = {(one, other) if what == "a" else (other, one) for one, other, what in said if what in "ab"}
    for _ in said:
        over |= {(one, last) for (one, mid), (again, last) in product(over, over) if mid == again}
    return any(what == "both" and {(one, other), (other, one)} & over for one, other, what in said)
