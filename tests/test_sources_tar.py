"""The images in tars: what lies where, what belongs together, and damage that is told and not taken for the end."""

import io
import json
import tarfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from curator.reasons import Reason
from curator.sources.items import Item, PassedOver, ShardEnd, Warned
from curator.sources.tar_files import list_tar
from curator.sources.tar_headers import Damaged, members

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def write(path, files, form=tarfile.GNU_FORMAT):
    """A tar of (name, body) pairs; the header is the body where that is a TarInfo."""
    with tarfile.open(path, "w", format=form) as tar:
        for name, body in files:
            if isinstance(body, tarfile.TarInfo):
                tar.addfile(body)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))
    return path


def listed(path):
    """Everything that the listing of a tar tells."""
    found = path.stat()
    return list(list_tar(path, path.name, (found.st_size, found.st_mtime_ns)))


def images(records):
    """The items that are images: key, and what is said of it."""
    return {
        one.key: json.loads(one.data) if one.data else None
        for one in records
        if isinstance(one, Item) and one.unmeasured is None
    }


def counts(records):
    """What was passed over."""
    found = Counter()
    for one in records:
        if isinstance(one, PassedOver):
            found[one.what] += one.count
        elif isinstance(one, ShardEnd):
            found.update(one.passed_over)
    return dict(found)


def damage(records):
    """What is said of the damage: the row's detail and the warning."""
    (item,) = (one for one in records if isinstance(one, Item) and one.unmeasured)
    (warned,) = (one for one in records if isinstance(one, Warned))
    assert item.key is None
    assert item.unmeasured.reason is Reason.UNREADABLE
    assert not any(isinstance(one, ShardEnd) for one in records)
    return item.unmeasured.detail, warned.text


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@settings(max_examples=25, deadline=None)
@given(
    names=st.lists(
        st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1), max_size=5
    ),
    depth=st.integers(0, 60),
)
def test_members_are_those_of_tarfile(form, names, depth, tmp_path_factory):
    """In every format, names of any length and letters: the same members at the same places as tarfile says."""
    path = tmp_path_factory.mktemp("tar") / "some.tar"
    folder = "folder/" * (depth if form != tarfile.USTAR_FORMAT else depth % 10)
    files = [
        (folder + name[: 8 if form == tarfile.USTAR_FORMAT else None], b"x" * len(name) * 100)
        for name in names
    ]
    write(path, [(folder, _folder(folder)), *files], form)
    with tarfile.open(path) as tar:
        expected = [(one.name, one.offset_data, one.size) for one in tar if not one.isdir()]
    with path.open("rb") as file:
        assert [(one.name, one.offset, one.size) for one in members(file)] == expected


def _folder(name):
    info = tarfile.TarInfo(name or "top")
    info.type = tarfile.DIRTYPE
    return info


def test_samples_of_img2dataset(tmp_path):
    """Image, caption and fields of a sample come together in any order; the place is that of the image's bytes."""
    bodies = {"000000000": b"first image", "000000001": b"second"}
    files = [
        ("000000000.jpg", bodies["000000000"]),
        ("000000000.json", b'{"url": "http://a/1", "width": 3, "caption": ""}'),
        ("000000000.txt", b"a caption\n"),
        ("000000001.json", b'{"url": "http://a/2", "similarity": NaN}'),
        ("000000001.txt", b""),
        ("000000001.jpg", bodies["000000001"]),
    ]
    path = write(tmp_path / "00000.tar", files)
    *items, end = listed(path)
    assert images(items) == {
        "000000000": {"url": "http://a/1", "width": 3, "caption": "a caption"},
        "000000001": {"url": "http://a/2", "similarity": None},
    }
    assert end == ShardEnd("00000.tar", items[0].version, 2)
    for item in items:
        place = item.place
        assert path.read_bytes()[place.offset : place.offset + place.length] == bodies[item.key]


def test_every_image_has_a_key_of_its_own(tmp_path):
    """Several images of a sample, names with dots and names that come again: no key comes twice."""
    names = [
        *("a/1.jpg", "a/1.png"),  # two of one stem
        *("2.left.jpg", "2.right.jpg"),  # two of a sample
        *("3.jpg", "4.jpg", "3.jpg", "5.jpg", "3.jpg", "6.jpg", "3.jpg"),  # written again
        *("3.jpg#2", "README"),  # what looks like one of ours; what has no extension
        *(".hidden.jpg", "__MACOSX/._1.jpg", ".git/1.jpg", "./7.jpg", ""),
    ]
    keys = list(images(listed(write(tmp_path / "a.tar", [(name, b"") for name in names]))))
    assert keys == [
        *("a/1", "a/1.png", "2.left", "2.right"),
        *("3", "4", "3.jpg", "5", "3.jpg#2", "6", "3.jpg#3", "README", "./7"),
    ]


@settings(max_examples=25, deadline=None)
@given(st.from_regex(r"(\./)?([a-c]{1,2}/)?[a-c]{1,2}(\.[a-c1]{1,2}){0,2}\.jpg", fullmatch=True))
def test_keys_are_those_of_webdataset(tmp_path_factory, name):
    """A sample with one image is called what webdataset calls it, whatever dots and folders are in its name."""
    path = write(tmp_path_factory.mktemp("tar") / "a.tar", [(name, b"")])
    assert list(images(listed(path))) == [base_plus_ext(name)[0]]


def test_a_long_run_of_one_key_is_split(tmp_path):
    """A folder of photographs whose names share what is before the dot is no endless sample."""
    names = [f"IMG.{n}.jpg" for n in range(1_500)]
    files = [*((name, b"") for name in names), ("IMG.json", b'{"a": 1}')]
    found = images(listed(write(tmp_path / "a.tar", files)))
    assert list(found) == [name.removesuffix(".jpg") for name in names]
    assert found["IMG.0"] is None  # told before the tar was read to the end of the run
    assert found["IMG.1499"] == {"a": 1}


def test_a_sidecar_of_one_image_of_several(tmp_path):
    """Where names have dots, a sidecar belongs to the image that is called like it, else to all of its sample."""
    files = [("IMG.1.jpg", b""), ("IMG.1.txt", b"one"), ("IMG.2.jpg", b""), ("IMG.json", b'{"all": 1}')]
    assert images(listed(write(tmp_path / "a.tar", files))) == {
        "IMG.1": {"caption": "one"},
        "IMG.2": {"all": 1},
    }


def test_what_is_passed_over_is_counted(tmp_path):
    """Links, other files, hidden ones, sidecars without an image, too long ones, and JSON that is no object."""
    link = tarfile.TarInfo("link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "1.jpg"
    files = [
        *(("1.jpg", b""), ("1.cls", b"7"), ("1.json", b"[1]"), ("1.txt", bytes(1 << 20) + b" ")),
        *((link.name, link), ("2.txt", b"alone"), ("a/._1.jpg", b"")),
    ]
    records = listed(write(tmp_path / "a.tar", files))
    assert images(records) == {"1": None}
    assert counts(records) == {
        "links, devices and sparse files": 1,
        "hidden files": 1,
        ".cls": 1,
        ".txt": 2,
        "JSON files that hold no object": 1,
    }


def test_names_of_any_bytes(tmp_path):
    """A name that is no UTF-8 goes into the key byte by byte."""
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, encoding="latin-1") as tar:
        tar.addfile(tarfile.TarInfo("caf\xe9.jpg"))
    assert [key.encode("utf-8", "surrogateescape") for key in images(listed(path))] == [b"caf\xe9"]


CUTS = {
    "within the second image": (
        512 + 512 + 512 + 100,
        "cut off at byte 1,636, within the member at byte 1,024",
    ),
    "within a header": (1024 + 100, "cut off at byte 1,124"),
    "between two members": (1024, "cut off at byte 1,024"),
}


@pytest.mark.parametrize(("length", "words"), CUTS.values(), ids=CUTS)
def test_a_tar_that_was_cut_off(length, words, tmp_path):
    """What comes before the cut counts; the cut is a row and a warning, also where it falls between members."""
    path = write(tmp_path / "a.tar", [("1.jpg", b"x" * 300), ("2.jpg", b"x" * 300)])
    path.write_bytes(path.read_bytes()[:length])
    records = listed(path)
    assert list(images(records)) == ["1"]
    assert damage(records) == (words, f"{path}: {words}.")


def test_a_damaged_header(tmp_path):
    """Damage in the middle is no end: the samples before it count, and the byte is named."""
    path = write(tmp_path / "a.tar", [(f"{n}.jpg", b"x") for n in range(3)])
    body = bytearray(path.read_bytes())
    body[2048 + 50] ^= 1  # in the third header
    path.write_bytes(body)
    records = listed(path)
    assert list(images(records)) == ["0", "1"]
    assert damage(records)[0] == "a damaged header at byte 2,048"


NO_TARS = {
    "empty": (b"", "no tar archive, but a few bytes"),
    "text": (b"hello " * 200, "no tar archive"),
    "compressed": (b"\x1f\x8b" + bytes(1000), "compressed: unpack it first with gunzip"),
}


@pytest.mark.parametrize(("body", "words"), NO_TARS.values(), ids=NO_TARS)
def test_what_is_no_tar(body, words, tmp_path):
    """A file that is only called a tar is one row that says what it is."""
    path = tmp_path / "a.tar"
    path.write_bytes(body)
    records = listed(path)
    assert not images(records)
    assert damage(records)[0] == words


def _header(name, size, kind=tarfile.REGTYPE, form=tarfile.GNU_FORMAT):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(form)


HOSTILE = {
    "a size below zero": _header("1.jpg", -512),
    "a name of a gigabyte": _header("././@LongLink", 1 << 30, tarfile.GNUTYPE_LONGNAME),
    "a record that is longer than its header": _header("x", 10, tarfile.XHDTYPE)
    + b"99 path=a\n".ljust(512, b"\0"),
    "a record of no length": _header("x", 10, tarfile.XHDTYPE) + b"0 path=ab\n".ljust(512, b"\0"),
    "a size that is no number": _header("x", 10, tarfile.XHDTYPE) + b"10 size=x\n".ljust(512, b"\0"),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_headers(body, tmp_path):
    """No header makes the listing run in circles, or read more than a header can hold."""
    path = tmp_path / "a.tar"
    path.write_bytes(body)
    with path.open("r+b") as file:
        file.truncate(2 << 30)  # sparse: that much could be read
    with path.open("rb") as file, pytest.raises(Damaged):
        list(members(file))


def test_folders_and_links_have_no_data(tmp_path):
    """Some writers give them a size: what follows is found all the same."""
    path = tmp_path / "a.tar"
    kinds = (tarfile.DIRTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE)
    path.write_bytes(
        b"".join(_header(f"{n}", 512, kind) + _header(f"{n}.jpg", 0) for n, kind in enumerate(kinds))
    )
    with path.open("ab") as file:
        file.write(bytes(1024))
    assert list(images(listed(path))) == ["0", "1", "2"]


def test_sparse_files_are_no_images(tmp_path):
    """Old sparse files with a long map, and those of PAX: passed over, and what follows is found."""
    old = tarfile.TarInfo("old.jpg")
    old.type, old.size = tarfile.GNUTYPE_SPARSE, 600
    header = bytearray(old.tobuf(tarfile.GNU_FORMAT))
    header[482] = 1  # the map goes on
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    further = bytes(504) + b"\1" + bytes(7) + bytes(512)
    pax = tarfile.TarInfo("new.jpg")
    pax.pax_headers = {"GNU.sparse.major": "1"}
    files = b"".join(
        (bytes(header), further, bytes(1024), pax.tobuf(tarfile.PAX_FORMAT), _header("3.jpg", 0), bytes(1024))
    )
    path = tmp_path / "a.tar"
    path.write_bytes(files)
    records = listed(path)
    assert list(images(records)) == ["3"]
    assert counts(records) == {"links, devices and sparse files": 2}
