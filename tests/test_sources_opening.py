"""What paths on a command line are, what they are called, and what is said of those that cannot be curated."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import UsageError
from curator.sources.opening import labels_of, open_inputs
from tests.test_sources_listing import touch
from tests.test_sources_tar import write


def refused(*paths, against=()):
    """What is said."""
    with pytest.raises(UsageError) as caught:
        open_inputs(paths, against)
    return str(caught.value)


def test_what_paths_are(tmp_path):
    """A dataset of ours, a folder, a tar, a Parquet file, an image: each is known for what it is."""
    touch(tmp_path, "data/ledger.sqlite", "photos/deep/a.jpg", "one.png", "noext")
    write(tmp_path / "0.tar", [("1.jpg", b"x")])
    pq.write_table(pa.table({"image": [b"\xff\xd8\xff"]}), tmp_path / "0.parquet")
    names = ["photos", "data", "one.png", "0.tar", "0.parquet", "noext"]
    inputs = open_inputs([tmp_path / name for name in names])
    assert [(one.label, one.path, one.kind) for one in inputs.ours] == [
        (name, (tmp_path / name).resolve(), "dataset" if name == "data" else "files")
        for name in sorted(names)
    ]


def test_labels_do_not_depend_on_how_a_path_is_written(tmp_path, monkeypatch):
    """Relative, with dots, through a link: the label is the name of what it leads to."""
    touch(tmp_path, "photos/a.jpg")
    (tmp_path / "link").symlink_to("photos")
    monkeypatch.chdir(tmp_path / "photos")
    for path in (Path(), Path("../photos"), tmp_path / "link", Path("../link/.")):
        (one,) = open_inputs([path]).ours
        assert (one.label, one.path) == ("photos", (tmp_path / "photos").resolve())


def test_a_link_to_a_file_keeps_its_name(tmp_path):
    """What it leads to may have a name that says nothing, as in a cache of downloads."""
    touch(tmp_path, "blobs/0123abcd")
    (tmp_path / "a.jpg").symlink_to("blobs/0123abcd")
    (one,) = open_inputs([tmp_path / "a.jpg"]).ours
    assert (one.label, one.path) == ("a.jpg", tmp_path.resolve() / "a.jpg")
    assert "is named twice" in refused(tmp_path / "a.jpg", tmp_path / "blobs/0123abcd")


LABELS = {
    "different names": ((["/x/a", "/x/b"], []), ["a", "b"]),
    "one shared name": ((["/x/a", "/y/a", "/z/b"], []), ["x/a", "y/a", "b"]),
    "all that share it get as many parts": ((["/1/x/a", "/2/x/a", "/y/a"], []), ["1/x/a", "2/x/a", "/y/a"]),
    "whole paths": ((["/a", "/x/a"], []), ["/a", "x/a"]),
    "the root": ((["/", "/x"], []), ["/", "x"]),
    "against gives way": ((["/x/a"], ["/y/a", "/z/b"]), ["a", "y/a", "b"]),
    "against among themselves": ((["/x/b"], ["/y/a", "/z/a"]), ["b", "y/a", "z/a"]),
    "one within another": ((["/1/x/b", "/2/y/b", "/3/x"], []), ["1/x/b", "2/y/b", "x"]),
    "against within another": ((["/1/x"], ["/2/x/b", "/3/y/b"]), ["x", "2/x/b", "3/y/b"]),
    "against around another": ((["/1/x/b", "/2/y/b"], ["/3/x"]), ["x/b", "y/b", "3/x"]),
    "any bytes": (([os.fsdecode(b"/caf\xe9")], []), ["caf\\xe9"]),
}


@pytest.mark.parametrize(("paths", "expected"), LABELS.values(), ids=LABELS)
def test_labels(paths, expected):
    """The last part of a path; of those that share it, each as many parts as tell them apart."""
    ours, against = ([Path(one) for one in some] for some in paths)
    labels = labels_of(ours)
    assert labels + labels_of(against, taken=labels) == expected


_PATHS = st.lists(
    st.text("ab/", min_size=1, max_size=6).map(lambda text: Path("/", text)), unique=True, max_size=8
)


@settings(max_examples=50, deadline=None)
@given(_PATHS, st.integers(0, 8))
def test_labels_are_unique(paths, cut):
    """No label comes twice or within another, unless its path does; what is compared with changes no other."""
    ours, against = paths[:cut], paths[cut:]
    labels = labels_of(ours)
    every = labels + labels_of(against, taken=labels)
    assert len(set(every)) == len(paths)
    assert labels == labels_of(list(reversed(ours)))[::-1]
    if not any(one in other.parents for one in paths for other in paths):
        assert not any(other.startswith(f"{one}/") for one in every for other in every)


def test_what_is_compared_with(tmp_path):
    """It is known and labelled apart: with more parts where it shares a name with what is decided on."""
    touch(tmp_path, "x/photos/a.jpg", "y/photos/b.jpg", "z/c.jpg")
    inputs = open_inputs([tmp_path / "x/photos"], [tmp_path / "z", tmp_path / "y/photos"])
    assert [one.label for one in inputs.ours] == ["photos"]
    assert [one.label for one in inputs.against] == ["y/photos", "z"]


def test_a_path_that_is_not_there(tmp_path):
    """The path and the system's words."""
    assert refused(tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: No such file or directory."


def test_a_circle_of_links(tmp_path):
    """It is refused, not followed."""
    (tmp_path / "circle").symlink_to("circle")
    assert "Too many levels" in refused(tmp_path / "circle")


def test_files_that_are_no_sources(tmp_path):
    """A list is to be crawled, a compressed tar to be unpacked, a pipe is neither."""
    touch(tmp_path, "urls.txt", "a.tar.gz")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "crawl LIST --out DATA" in refused(tmp_path / "urls.txt")
    assert "unpack it first" in refused(tmp_path / "a.tar.gz")
    assert "neither a file nor a folder" in refused(tmp_path / "pipe.jpg")


def test_a_folder_without_images(tmp_path):
    """What is there instead is named, also a dataset that was left out."""
    touch(tmp_path, "notes.txt", "b/more.txt", "b/film.mp4", "data/ledger.sqlite")
    said = refused(tmp_path)
    assert f"{tmp_path} holds no images, but 2 .txt, 1 .mp4." in said
    assert f"{tmp_path / 'data'} is a dataset of its own" in said


def test_an_empty_folder(tmp_path):
    """There is nothing, and that is what is said."""
    assert refused(tmp_path).startswith(f"{tmp_path} holds no images, nor anything else.")


def test_shards_without_images(tmp_path):
    """A tar of texts and a table of URLs hold no images."""
    write(tmp_path / "a.tar", [("1.txt", b"x")])
    pq.write_table(pa.table({"url": ["http://a"]}), tmp_path / "urls.parquet")
    assert "holds no images, but 1 .txt" in refused(tmp_path / "a.tar")
    assert "holds no images, but 1 .parquet" in refused(tmp_path / "urls.parquet")


def test_a_damaged_shard_is_a_source(tmp_path):
    """What can be said of it is said in a row of its own, so it does not stop the others."""
    touch(tmp_path, "a.tar", body=b"damaged")
    assert [one.label for one in open_inputs([tmp_path / "a.tar"]).ours] == ["a.tar"]


def test_parts_of_a_dataset(tmp_path):
    """Its images, and what was decided on it: the dataset to curate is named."""
    touch(tmp_path, "data/ledger.sqlite", "data/images/00000.tar", "data/curated/.curated")
    for part in ("images", "curated"):
        assert f"Run: curate {tmp_path / 'data'}" in refused(tmp_path / "data" / part)


def test_decisions_elsewhere(tmp_path):
    """A folder of decisions is no source: what was decided on is named, where that can be known."""
    touch(tmp_path, "out/.curated", "bare/.curated")
    origin = {"label": "photos", "path": "/x/photos", "kind": "files"}
    told = {"version": 1, "sources": [origin], "against": [], "settings": {}}
    table = pa.table({"uid": [""]}).replace_schema_metadata({"curate": json.dumps(told)})
    pq.write_table(table, tmp_path / "out" / "decisions.parquet")
    assert "Curate what it was decided on: /x/photos." in refused(tmp_path / "out")
    assert "Curate what it was decided on." in refused(tmp_path / "bare")


def test_what_comes_twice(tmp_path):
    """The same folder under two names, one inside another, also to compare with: refused, and both are named."""
    touch(tmp_path, "photos/a.jpg", "photos/deep/b.jpg", "data/ledger.sqlite", "data/more/c.jpg")
    (tmp_path / "link").symlink_to("photos")
    photos, link, deep = (tmp_path / name for name in ("photos", "link", "photos/deep"))
    assert refused(photos, link) == f"{link} is named twice, also as {photos}. Name it once."
    assert refused(photos, against=[photos]) == f"{photos} is named twice. Name it once."
    assert f"{deep} lies inside {photos}" in refused(deep, against=[photos])
    assert f"{deep / 'b.jpg'} lies inside {link}" in refused(link, deep / "b.jpg")
    assert "lies inside" in refused(tmp_path / "data", tmp_path / "data/more")


def test_a_dataset_inside_a_folder(tmp_path):
    """It is left out of the folder, so it may be named beside it."""
    touch(tmp_path, "photos/a.jpg", "photos/crawled/ledger.sqlite")
    inputs = open_inputs([tmp_path / "photos", tmp_path / "photos/crawled"])
    assert [(one.label, one.kind) for one in inputs.ours] == [("crawled", "dataset"), ("photos", "files")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_may_not_be_read(tmp_path):
    """The folder and the system's words."""
    (tmp_path / "closed").mkdir(mode=0o300)
    assert "closed: cannot be read (Permission denied)" in refused(tmp_path / "closed")
