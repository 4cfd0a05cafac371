"""What hosts give instead of pictures."""

import pytest

from curator.census import take
from curator.placeholders import find
from curator.settings import Settings
from tests.censuses import Held, digest


def gone(host, count, sha=7, start=0):
    """Images of the same bytes from so many URLs of a host."""
    return [
        {"uid": f"{start + at:032x}", "sha256": f"{sha:064x}", "url": f"https://{host}/{start + at}.jpg"}
        for at in range(count)
    ]


def found(*sources, at_least=3, copies=()):
    """What is found: (host, URLs, rows)."""
    held = [Held(images, label=str(at), batch=2) for at, images in enumerate(sources)]
    census = take(held, [], Settings())
    return [(one.host, one.urls, one.rows.tolist()) for one in find(held, census, at_least, copies)]


def test_enough_urls_of_one_host():
    """So many make a placeholder and one fewer do not; every image with these bytes is one, whoever gave it."""
    assert found(gone("a.org", 2)) == []
    assert found(gone("a.org", 3)) == [("a.org", 3, [0, 1, 2])]
    images = [*gone("a.org", 3), *gone("b.org", 1, start=3), *gone("b.org", 1, sha=8, start=4)]
    assert found(images) == [("a.org", 3, [0, 1, 2, 3])]
    assert found([*gone("a.org", 2), *gone("b.org", 2, start=2)]) == []
    assert found(gone("a.org", 3), at_least=0) == []


def test_what_is_told():
    """The host that gave most, the bytes and the least uid; most URLs first."""
    images = [*gone("a.org", 3, start=5), *gone("b.org", 4, start=10), *gone("c.org", 5, sha=8, start=20)]
    sources = [Held(images)]
    first, second = find(sources, take(sources, [], Settings()), 3)
    assert (first.host, first.sha256, first.uid, first.urls) == ("c.org", f"{8:064x}", f"{20:032x}", 5)
    assert (second.host, second.sha256, second.uid, second.urls) == ("b.org", f"{7:064x}", f"{5:032x}", 4)


def test_urls_are_counted_once():
    """The same URL in two sources is one; images without one, or without a host in it, have none."""
    assert found(gone("a.org", 2), gone("a.org", 2)) == []
    assert found(gone("a.org", 2), gone("a.org", 3)) == [("a.org", 3, [0, 1, 2, 3, 4])]
    assert found([one | {"url": None} for one in gone("a.org", 5)]) == []
    assert found([one | {"url": one["url"][8:]} for one in gone("a.org", 5)]) == []


def test_what_is_not_measured_is_nobodys_placeholder():
    """Rows without bytes are not the same bytes."""
    assert found([one | {"unmeasured": "undecodable", "sha256": None} for one in gone("a.org", 5)]) == []


def test_copies_that_were_not_stored():
    """What a crawl stored once and knows to have come from more URLs counts with them."""
    images = [*gone("a.org", 1), *gone("a.org", 1, sha=8, start=1)]
    copies = [(digest(0, 16), "a.org", 2), (digest(1, 16), "a.org", 1), (digest(1, 16), "b.org", 5)]
    assert found(images, copies=copies) == [("b.org", 5, [1]), ("a.org", 3, [0])]
    assert found(images, images, copies=copies[:1]) == [("a.org", 3, [0, 2])]
    assert found(images, copies=[(digest(99, 16), "a.org", 9)]) == []


@pytest.mark.parametrize("repeated", [False, True])
def test_urls_are_read_only_where_bytes_repeat(repeated):
    """Without enough images of the same bytes no URL is read, and only from sources that have them."""
    plain, other = Held(gone("a.org", 2)), Held(gone("a.org", 3 if repeated else 1, sha=8), label="other")
    census = take([plain, other], [], Settings())
    find([plain, other], census, 3)
    assert ["url"] not in plain.asked
    assert (["url"] in other.asked) is repeated
