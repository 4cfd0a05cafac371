"""Decisions held against planted truth: a folder of pictures of which it is known what each is."""

import pytest

from tests.curating import apart, by_path, curated
from tests.planted import PLACEHOLDER_URLS, plant

CERTAIN = {
    "same_bytes": {"same_bytes"},
    "small": {"too_small"},
    "corrupt": {"undecodable"},
    "not_an_image": {"not_an_image"},
    "placeholder": {"placeholder"},
    "flat": {"saved"},
    "look_alike": {"saved"},
    "mirrored": {"saved"},
}


@pytest.fixture(
    scope="module", params=[600, pytest.param(3000, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def planted(request, tmp_path_factory):
    """The plan, and the decisions by path, plain and with mirrored copies."""
    folder, out = tmp_path_factory.mktemp("planted"), tmp_path_factory.mktemp("out") / "curated"
    plan = plant(folder, request.param)
    plain = curated(folder, out=out).summary, by_path(out)
    mirrored = curated(folder, out=out, mirrored=True).summary, by_path(out)
    return plan, plain, mirrored


def test_what_is_certain_is_decided_so(planted):
    """Bytes, sides, damage and placeholders are decided exactly as planned, and no look-alike is taken for a copy."""
    plan, (_, rows), _ = planted
    assert len(rows) == len(plan)
    wrong = [
        (one, rows[one.name]["reason"])
        for one in plan
        if one.kind in CERTAIN and rows[one.name]["reason"] not in CERTAIN[one.kind]
    ]
    # of two files with the same bytes either may be the one that is kept
    assert [one for one, _ in wrong if one.kind != "same_bytes"] == []
    for family in {one.family for one in plan if one.kind == "same_bytes"}:
        reasons = sorted(rows[one.name]["reason"] for one in plan if one.family == family)
        assert reasons == ["same_bytes", "saved"]


def test_near_copies_are_decided_by_the_radius(planted):
    """Of a family, what is dropped is within the radius of what is kept, and what is kept is further apart."""
    plan, (_, rows), _ = planted
    by_uid = {row["uid"]: row for row in rows.values()}
    family = {one.name: one.family for one in plan}
    near = 0
    for one in plan:
        row = rows[one.name]
        if row["reason"] == "near_duplicate":
            leader = by_uid[row["duplicate_of"]]
            near += 1
            assert leader["kept"]
            assert family[leader["path"]] == one.family
            assert row["distance"] == apart(row["phash"], leader["phash"]) <= 4
            assert row["uid"] in leader["stands_for"]
    kept = [row for row in rows.values() if row["kept"] and not row["low_information"]]
    hashes = [int(row["phash"], 16) for row in kept]
    assert all((a ^ b).bit_count() > 4 for i, a in enumerate(hashes) for b in hashes[:i])
    copies = [one for one in plan if one.kind == "near"]
    assert near > 0.9 * len(copies)


def test_no_flat_image_is_a_duplicate_by_its_hash(planted):
    """All flat images have the same hash, and all of them are kept."""
    plan, (_, rows), _ = planted
    flat = [rows[one.name] for one in plan if one.kind == "flat"]
    assert len({row["phash"] for row in flat}) == 1
    assert all(row["low_information"] and row["kept"] and row["cluster"] is None for row in flat)


def test_mirrored_copies_only_when_asked_for(planted):
    """With --mirrored a mirrored copy is a near duplicate of its original, and nothing else changes."""
    plan, (_, plain), (_, mirrored) = planted
    pairs = {one.family for one in plan if one.kind == "mirrored"}
    for family in pairs:
        reasons = sorted(mirrored[one.name]["reason"] for one in plan if one.family == family)
        assert reasons == ["near_duplicate", "saved"]
    others = [one.name for one in plan if one.family not in pairs]
    assert [mirrored[name]["reason"] for name in others] == [plain[name]["reason"] for name in others]


def test_the_summary_tells_of_the_placeholder(planted):
    """It names the host, its URLs, and the totals add up."""
    plan, (summary, rows), _ = planted
    (placeholder,) = summary["placeholders"]
    assert placeholder["host"] == "shop.example"
    assert placeholder["urls"] == placeholder["images"] == PLACEHOLDER_URLS
    assert summary["images"] == len(plan) == summary["kept"] + sum(summary["reasons"].values())
    assert summary["kept"] == sum(row["kept"] for row in rows.values())
