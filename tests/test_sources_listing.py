"""What lies below a folder: every image once, what is not followed or not ours, and sidecars."""

import json
import os
import resource
import socket
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from curator.reasons import Reason
from curator.sources.items import Item, PassedOver, ShardEnd, Warned
from curator.sources.listing import list_images
from tests.pictures import jpeg
from tests.test_sources_tar import counts, images, write


def never(path, version):
    """No shard was listed before."""
    return False


def listed(root, known=never):
    """Everything that the listing of a folder tells."""
    return list(list_images(root, known))


def paths(records):
    """Of the images."""
    return sorted(one.path for one in records if isinstance(one, Item) and one.unmeasured is None)


def unread(records):
    """Path and words of what could not be read."""
    found = [one for one in records if isinstance(one, Item) and one.unmeasured]
    assert all(one.unmeasured.reason is Reason.UNREADABLE for one in found)
    return {one.path: one.unmeasured.detail for one in found}


def warnings(records):
    """Texts."""
    return [one.text for one in records if isinstance(one, Warned)]


def touch(root, *names, body=b""):
    """Files below `root`, and the folders they need."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def test_images_are_known_by_their_extension(tmp_path):
    """Every extension of an image in any case, also of formats that are not decoded, and files without one."""
    taken = ["a.JPG", "b/c.heic", "b/d/e.psd", "f", "g.h/i.webp", "two.dots.png"]
    touch(tmp_path, *taken, "x.mp4", "b/y.MP4", "b/z.py", "w." + "long" * 10, "notes.txt")
    records = listed(tmp_path)
    assert paths(records) == sorted(taken)
    assert counts(records) == {".mp4": 2, ".py": 1, "other names": 1, ".txt": 1}


def test_an_item_says_where_its_file_is(tmp_path):
    """Path below the root, size and time of the file, and the whole file as its place."""
    touch(tmp_path, "a/b.jpg", body=b"12345")
    (item,) = listed(tmp_path)
    found = (tmp_path / "a/b.jpg").stat()
    assert (item.path, item.key, item.version) == ("a/b.jpg", None, (5, found.st_mtime_ns))
    assert (item.place.file, item.place.offset, item.place.length) == (tmp_path / "a/b.jpg", 0, -1)


def test_hidden_names_are_passed_over(tmp_path):
    """What begins with a dot is nobody's image, and is counted, but for the mark of an export."""
    touch(tmp_path, ".a.jpg", ".thumbs/b.jpg", "c.jpg", ".exported")
    records = listed(tmp_path)
    assert paths(records) == ["c.jpg"]
    assert counts(records) == {"hidden files": 2}


def test_links(tmp_path):
    """A link to a file is the file, one to a folder is not followed, one to nowhere is unreadable."""
    touch(tmp_path, "elsewhere/a.jpg", "root/real.jpg", body=b"123")
    root = tmp_path / "root"
    (root / "b.jpg").symlink_to(tmp_path / "elsewhere/a.jpg")
    (root / "circle").symlink_to(root)
    (root / "gone.jpg").symlink_to("nowhere")
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "gone.txt").symlink_to("nowhere")
    records = listed(root)
    assert paths(records) == ["b.jpg", "real.jpg"]
    assert counts(records) == {"links to folders": 1, ".txt": 1}
    assert unread(records) == {
        "gone.jpg": "No such file or directory",
        "self.jpg": "Too many levels of symbolic links",
    }


def test_what_is_no_file_is_never_opened(tmp_path):
    """Sockets and pipes are passed over; a pipe that is called like a sidecar holds nobody up."""
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / "a.txt")
    touch(tmp_path, "a.jpg")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door.jpg"))
        (tmp_path / "link.jpg").symlink_to("pipe.jpg")
        records = listed(tmp_path)
    assert paths(records) == ["a.jpg"]
    assert counts(records) == {"sockets, pipes and devices": 4}


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read(tmp_path):
    """A row and a warning that name it; everything else is listed."""
    touch(tmp_path, "closed/a.jpg", "open/b.jpg")
    (tmp_path / "closed").chmod(0)
    records = listed(tmp_path)
    (tmp_path / "closed").chmod(0o700)
    assert paths(records) == ["open/b.jpg"]
    assert unread(records) == {"closed": "Permission denied"}
    assert str(tmp_path / "closed") in warnings(records)[0]


def test_a_folder_too_deep_to_be_read(tmp_path):
    """Where no further directory can be opened there is a row and a warning; what lies above is listed."""
    deep = "/".join("d" * 100)
    touch(tmp_path, "a.jpg", f"{deep}/b.jpg")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/proc/self/fd").iterdir()) + 8, hard))
    try:
        records = listed(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert paths(records) == ["a.jpg"]
    assert list(unread(records).values()) == ["Too many open files"]
    assert "what lies in this folder is missing" in warnings(records)[0]


def test_a_deep_folder(tmp_path):
    """Folders in folders in folders are listed with a few descriptors, and each image once."""
    expected = [f"{'d/' * depth}{n}.jpg" for depth in range(0, 200, 10) for n in range(2)]
    touch(tmp_path, *expected, *(f"{'d/' * depth}e/f.jpg" for depth in range(0, 200, 10)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (sum(1 for _ in Path("/proc/self/fd").iterdir()) + 32, hard))
    try:
        records = listed(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(expected) == [path for path in paths(records) if not path.endswith("f.jpg")]
    assert len(records) == 60


def test_folders_of_ours_are_no_images(tmp_path):
    """A dataset, decisions or an export below the root is left out and named; the root itself may be an export."""
    touch(tmp_path, "data/ledger.sqlite", "data/images/1.jpg", "out/.curated", "out/2.jpg", "clean/.exported")
    touch(tmp_path, ".exported", "clean/3.jpg", "4.jpg")
    records = listed(tmp_path)
    assert paths(records) == ["4.jpg"]
    assert sorted(text.split(" is ")[0] for text in warnings(records)) == [
        str(tmp_path / name) for name in ("clean", "data", "out")
    ]


def test_sidecars(tmp_path):
    """Caption and fields beside an image are its data, as img2dataset writes files; they are not passed over."""
    touch(tmp_path, "00000/000000000.jpg", "00000/000000001.jpg", "b/c.jpg", "b/d.jpg", "b/e.f.jpg")
    touch(tmp_path, "00000/000000000.json", body=b'{"url": "http://a", "caption": "x", "width": 3}')
    touch(tmp_path, "00000/000000000.txt", body=b"x")
    touch(tmp_path, "b/c.txt", body=" \ufeffcaf\xe9 ".encode()[1:] + b"\xff\n")
    touch(tmp_path, "b/d.json", body=b'{"lone": "\\ud800", "inf": Infinity}')
    touch(tmp_path, "b/e.f.caption", body=b"dotted")
    touch(tmp_path, "b/alone.txt", "00000_stats.json", body=b"{}")
    records = listed(tmp_path)
    data = {one.path: one.data and json.loads(one.data) for one in records if isinstance(one, Item)}
    assert data == {
        "00000/000000000.jpg": {"url": "http://a", "caption": "x", "width": 3},
        "00000/000000001.jpg": None,
        "b/c.jpg": {"caption": "caf\xe9 \ufffd"},
        "b/d.jpg": {"lone": "?", "inf": None},
        "b/e.f.jpg": {"caption": "dotted"},
    }
    assert counts(records) == {".txt": 1, ".json": 1}


BAD_SIDECARS = {
    "a list": b"[]",
    "no JSON": b"{",
    "deep": b"[" * 100_000,
    "no text": b"\xff\xfe\xff",
    "a number of many digits": b'{"a": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("body", BAD_SIDECARS.values(), ids=BAD_SIDECARS)
def test_a_bad_sidecar_costs_its_image_nothing(body, tmp_path):
    """The image is listed without fields, and the sidecar is counted."""
    touch(tmp_path, "a.jpg")
    touch(tmp_path, "a.json", body=body)
    records = listed(tmp_path)
    assert images(records) == {None: None}
    assert counts(records) == {"JSON files that hold no object": 1}


def test_a_long_sidecar_is_not_read(tmp_path):
    """A JSON file with a copy of the image in it is no field of the image."""
    touch(tmp_path, "a.jpg")
    touch(tmp_path, "a.json", body=b'{"a": "%s"}' % (b"x" * (1 << 20)))
    records = listed(tmp_path)
    assert images(records) == {None: None}
    assert counts(records) == {".json": 1}


def test_shards_in_folders(tmp_path):
    """Tars are looked into; one that is known is not even opened; a compressed one is passed over with a warning."""
    (tmp_path / "b").mkdir()
    write(tmp_path / "b/0.tar", [("1.jpg", b"x")])
    touch(tmp_path, "b/1.tar", "b/2.tar.gz", "3.TGZ", "4.parquet")
    size = (tmp_path / "b/1.tar").stat()
    asked = []

    def known(path, version):
        asked.append(path)
        return (path, version) == ("b/1.tar", (0, size.st_mtime_ns))

    records = listed(tmp_path, known)
    assert [(one.path, one.key) for one in records if isinstance(one, Item) and not one.unmeasured] == [
        ("b/0.tar", "1")
    ]
    assert {one.path: one.items for one in records if isinstance(one, ShardEnd)} == {
        "b/0.tar": 1,
        "b/1.tar": 0,
    }
    assert sorted(asked) == ["4.parquet", "b/0.tar", "b/1.tar"]
    assert set(unread(records)) == {"4.parquet"}
    assert counts(records) == {".gz": 1, ".tgz": 1}
    assert f"{tmp_path}/b/2.tar.gz is compressed: unpack it first: gunzip {tmp_path}/b/2.tar.gz" in warnings(
        records
    )


def test_a_single_file(tmp_path):
    """One image, or one shard, is a source of its own, called by its name; its neighbours are not looked at."""
    touch(tmp_path, "a.jpg", "b.jpg", body=jpeg())
    touch(tmp_path, "a.txt", body=b"caption")
    write(tmp_path / "c.tar", [("1.jpg", b"x")])
    (item,) = listed(tmp_path / "a.jpg")
    assert (item.path, item.place.file, item.data) == ("a.jpg", tmp_path / "a.jpg", '{"caption":"caption"}')
    (item, end) = listed(tmp_path / "c.tar")
    assert (item.path, item.key, end.path) == ("c.tar", "1", "c.tar")


def test_names_of_any_bytes(tmp_path):
    """A name that is no UTF-8 is a path like any other."""
    name = os.fsdecode(b"caf\xe9.jpg")
    touch(tmp_path, name)
    assert paths(listed(tmp_path)) == [name]


IN_ANY_LOCALE = """
import sys
from pathlib import Path
from curator.sources.items import file_of, shown, true_name
from curator.sources.listing import list_images
root = Path(sys.argv[1])
for item in list_images(root, lambda path, version: False):
    print(ascii(shown(item.path)), file_of(root, true_name(shown(item.path))).read_bytes())
"""


def test_names_in_another_locale(tmp_path):
    """Where the system's encoding is ASCII, a name is the same text and uid as elsewhere, and its file is found."""
    touch(tmp_path, "caf\xe9/\xe8.jpg", body=b"body")
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    told = subprocess.run(
        [sys.executable, "-c", IN_ANY_LOCALE, tmp_path],
        env=ascii_only,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        check=True,
    )
    assert told.stdout.decode() == "'caf\\xe9/\\xe8.jpg' b'body'\n"


def test_memory_does_not_grow_with_the_folder(tmp_path):
    """Nothing is collected: five times as many files take no more memory."""
    peaks = []
    for number in (100, 500):
        root = tmp_path / str(number)
        touch(root, *(f"{n}.jpg" for n in range(number)), *(f"{n}.e{n}" for n in range(number)))
        # The least of some: the interpreter's table of names grows now and then, in one leap for all of it.
        peaks.append(min(_peak_of_listing(root, number) for _ in range(2)))
    assert peaks[1] < peaks[0] + 30_000


def _peak_of_listing(root, number):
    """Bytes that the listing of so many images takes at most."""
    tracemalloc.start()
    try:
        assert sum(isinstance(one, Item) for one in list_images(root, never)) == number
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_listing_may_be_left(tmp_path):
    """Whoever has seen enough leaves no directory open."""
    touch(tmp_path, "a/b/1.jpg", "a/b/2.jpg")
    before = sorted(Path("/proc/self/fd").iterdir())
    listing = list_images(tmp_path, never)
    assert isinstance(next(listing), Item)
    listing.close()
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_what_is_passed_over_adds_up(tmp_path):
    """Counts of kinds are bounded, their sum is not."""
    touch(tmp_path, *(f"{n}.e{n}" for n in range(150)))
    found = [one for one in listed(tmp_path) if isinstance(one, PassedOver)]
    assert len(found) == 101
    assert sum(one.count for one in found) == 150
