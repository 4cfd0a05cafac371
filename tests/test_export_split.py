"""Splits: copies on one side, sides that stay when data grows, parts as asked for; the order of a shuffle."""

from contextlib import closing
from itertools import combinations, count, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.export.plan import Plan, Table, cuts, make_plan
from curator.export.split import components, mixed, sides
from curator.settings import ExportSettings, parse_split
from tests.exporting import Inputs, Row

MANY = ",".join(f"side{n}=1" for n in range(101))
HALVES = (("train", 1), ("val", 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("train=98,val=2", (("train", 98), ("val", 2))),
        (" a = 1 , b=2,c=3,", (("a", 1), ("b", 2), ("c", 3))),
    ],
)
def test_a_split_is_read(text: str, expected: object) -> None:
    """Names and their parts, in the order they are given."""
    assert parse_split(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "train",
        "train=98",
        ",".join(f"s{n}=1" for n in range(101)),
        "train=",
        "=1",
        "train=0",
        "train=-1",
        "train=1.5",
        "a b=1",
        "a/b=1",
        "a=1,A=2",
        "a=1;b=2",
    ],
)
def test_a_wrong_split_is_refused(text: str) -> None:
    """What is no name and whole number, or a name twice, is told with an example."""
    with pytest.raises(UsageError, match="train=98,val=2"):
        parse_split(text)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 31), st.integers(0, 5), st.booleans()), max_size=30), st.integers(0, 3)
)
def test_components_are_those_of_the_pairs(images: list[tuple[int, int, bool]], radius: int) -> None:
    """Two images are in one component exactly when steps of near hashes or same bytes lead from one to the other."""
    hashes = np.array([hashed for hashed, _, says in images if says], np.uint64)
    owner = np.flatnonzero([says for *_, says in images])
    same = np.array([digest for _, digest, _ in images], np.uint32) if images else np.zeros(0, np.uint32)
    found = components(hashes, owner, [np.minimum(same, max(len(images) - 1, 0))], radius)

    groups = [{row} for row in range(len(images))]
    for one, other in combinations(range(len(images)), 2):
        (a, x, says), (b, y, too) = images[one], images[other]
        equal = min(x, len(images) - 1) == min(y, len(images) - 1)
        if equal or (says and too and (a ^ b).bit_count() <= radius):
            joined = groups[one] | groups[other]
            for row in joined:
                groups[row] = joined
    assert [groups[row] for row in range(len(images))] == [
        set(np.flatnonzero(found == found[row]).tolist()) for row in range(len(images))
    ]


def test_parts_are_as_asked_for() -> None:
    """Of many components each side gets its part, within what chance allows."""
    least = mixed(np.arange(100_000, dtype=np.uint64))
    side = sides(np.arange(100_000), least, [98, 1, 1])
    assert np.bincount(side, minlength=3) == pytest.approx([98_000, 1_000, 1_000], abs=200)


def made(
    rows: list[Row], root: Path, decided: dict[str, object] | None = None, **wanted: object
) -> tuple[Plan, list[Row]]:
    """The plan for these decisions, and the kept rows in its order."""
    inputs = Inputs(root, {})
    inputs.rows = rows
    inputs.decide(**decided or {})
    with closing(Table(inputs.curated / "decisions.parquet")) as table:
        plan = make_plan(table, ExportSettings(**wanted))
    kept = [row for row in rows if row["kept"]]
    return plan, [kept[ordinal] for ordinal in plan.order.tolist()]


def decision(number: int, **changes: object) -> Row:
    """A row whose uid and hashes are like no other's."""
    words = mixed(np.array([number, number + 10**6, number + 2 * 10**6, number + 3 * 10**6], np.uint64))
    uid, other, phash, mirror = (f"{word:016x}" for word in words.tolist())
    row = {"uid": uid + other, "kept": True, "bytes": 100, "sha256": uid * 4, "phash": phash}
    return row | {"phash_mirror": mirror, "low_information": False, "stands_for": []} | changes


def side_of(plan: Plan, rows: list[Row]) -> dict[str, str]:
    """The split of each image, by uid."""
    return {rows[at]["uid"]: part.split for part in plan.parts for at in range(part.start, part.stop)}


def test_copies_are_never_apart(tmp_path: Path) -> None:
    """Equal bytes, hashes within 4 bits however small the radius was, and chains of them share a side."""
    rows = []
    for n in range(60):
        first = decision(n)
        near = f"{int(first['phash'], 16) ^ 0b1111:016x}"
        further = f"{int(near, 16) ^ 0b1111 << 20:016x}"
        rows += [first, decision(1000 + n, phash=near), decision(2000 + n, phash=further)]
        rows.append(decision(3000 + n, sha256=rows[-1]["sha256"]))
    side = side_of(*made(rows, tmp_path, {"radius": 0}, split=HALVES))
    families = [{side[row["uid"]] for row in rows[at : at + 4]} for at in range(0, len(rows), 4)]
    assert all(len(family) == 1 for family in families)
    assert {split for family in families for split in family} == {"train", "val"}


def test_a_mirrored_copy_is_a_copy_where_it_was_decided_so(tmp_path: Path) -> None:
    """With --mirrored, an image and its mirror image share a side; hashes that say nothing join nobody."""
    rows = []
    for n in range(40):
        first = decision(n)
        rows += [first, decision(1000 + n, phash=first["phash_mirror"], phash_mirror=first["phash"])]
    blind = [decision(5000 + n, phash="8" + "0" * 15, low_information=True) for n in range(40)]
    side = side_of(*made(rows + blind, tmp_path, {"mirrored": True}, split=HALVES))
    assert all(
        side[one["uid"]] == side[other["uid"]] for one, other in zip(rows[::2], rows[1::2], strict=True)
    )
    assert {side[row["uid"]] for row in blind} == {"train", "val"}
    apart = side_of(*made(rows, tmp_path / "other", split=HALVES))
    assert any(
        apart[one["uid"]] != apart[other["uid"]] for one, other in zip(rows[::2], rows[1::2], strict=True)
    )


def test_one_uid_is_on_one_side(tmp_path: Path) -> None:
    """Images of one uid, as of a URL that two datasets have, share a side; a table's order tells them apart."""
    rows = [decision(n) for n in range(40)]
    rows += [decision(1000 + n, uid=row["uid"], stands_for=["0" * 32]) for n, row in enumerate(rows)]
    plan, planned = made(rows, tmp_path, split=HALVES, shuffle=3)
    sides: dict[str, set[str]] = {}
    for part in plan.parts:
        for row in planned[part.start : part.stop]:
            sides.setdefault(row["uid"], set()).add(part.split)
    assert all(len(found) == 1 for found in sides.values())
    assert [rows.index(row) >= 40 for row in planned] == plan.nth.tolist()


def test_sides_stay_when_data_grows(tmp_path: Path) -> None:
    """New images move no other, nor does a copy of a greater uid that joins it or takes its place."""
    rows = [decision(n) for n in range(60)]
    before = side_of(*made(rows, tmp_path / "before", split=HALVES))
    uids = (decision(number)["uid"] for number in count(5000))
    better = [row | {"uid": next(uid for uid in uids if uid > row["uid"])} for row in rows[::2]]
    replacing = [new | {"stands_for": [old["uid"]]} for new, old in zip(better, rows[::2], strict=True)]
    joining = [row | {"uid": next(uid for uid in uids if uid > row["uid"])} for row in rows[1::2]]
    grown = [decision(9000 + n) for n in range(200)] + replacing[::-1] + rows[1::2] + joining
    after = side_of(*made(grown, tmp_path / "after", split=HALVES))
    assert [after[row["uid"]] for row in replacing] == [before[row["uid"]] for row in rows[::2]]
    assert [after[row["uid"]] for row in rows[1::2]] == [before[row["uid"]] for row in rows[1::2]]


def test_a_shuffle_depends_on_the_seed_alone(tmp_path: Path) -> None:
    """The same seed gives the same order however the input was ordered; another seed, or none, another."""
    rows = [decision(n, kept=n % 5 > 0) for n in range(100)]
    orders = [
        [row["uid"] for row in made(given_rows, tmp_path / str(n), shuffle=seed)[1]]
        for n, (given_rows, seed) in enumerate([(rows, 7), (rows[::-1], 7), (rows, 8), (rows, None)])
    ]
    assert orders[0] == orders[1]
    assert (
        sorted(orders[0])
        == sorted(orders[2])
        == sorted(orders[3])
        == sorted(r["uid"] for r in rows if r["kept"])
    )
    assert len({tuple(order) for order in orders}) == 3
    assert orders[3] == [row["uid"] for row in rows if row["kept"]]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(1, 10), st.integers(1, 120))
@settings(max_examples=60, deadline=None)
def test_parts_hold_what_they_may(sizes: list[int], most: int, room: int) -> None:
    """Parts follow each other without a gap, none above its images or bytes but a single large one, none too early."""
    found = list(cuts(np.array(sizes), ExportSettings(shard_size=most, shard_bytes=room)))
    assert (found[0], found[-1]) == (0, len(sizes))
    for start, stop in pairwise(found):
        held, following = sizes[start:stop], sizes[stop : stop + 1]
        assert 1 <= len(held) <= most
        assert len(held) == 1 or sum(held) <= room
        assert not following or len(held) == most or sum(held) + following[0] > room
