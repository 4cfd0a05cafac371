"""The demo's site: answers as planned, pictures that tell apart, and no process left behind."""

import csv
import hashlib
import io
import itertools
import os
import select
import signal
import subprocess
import sys
import urllib.error
import urllib.request

import imagehash
import pytest
from PIL import Image

from crawler.demo import pictures, start_site
from crawler.demo.plan import LOTS, MIN_SIDE, demo_plan, links, seed_of
from curator.reasons import Reason

linux = pytest.mark.skipif(sys.platform != "linux", reason="watches processes by pidfd")
N = {lot.name: lot.n for lot in LOTS}


@pytest.fixture(scope="module")
def site():
    """The site in its own process."""
    with start_site() as site:
        yield site


def fetch(url):
    """(status, headers, body) without following redirects."""
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Leaves a redirect to the test."""

    def redirect_request(self, *_):
        return None


def phash(body):
    """The picture's perceptual hash."""
    with Image.open(io.BytesIO(body)) as image:
        return imagehash.phash(image)


def test_the_list_is_the_plan(site):
    """The list names every link of the plan once, with a caption, on the site's hosts."""
    with site.urls.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["url"] for row in rows}) == len(rows) == sum(demo_plan().values()) == sum(N.values())
    assert all(row["caption"] for row in rows)
    assert [row["url"] for row in rows] == [url for url, _ in links(site.bases)]


def test_every_host_serves_every_lot(site):
    """Links are spread over the hosts, and each of them answers."""
    for base in site.bases:
        assert fetch(f"{base}/tiny/0")[0] == 200


@pytest.mark.parametrize(
    ("path", "status"),
    [("missing/0", 404), ("broken/0", 500), ("moved/0", 301), ("moving/0", 302), ("loop/1", 302)],
)
def test_answers_without_a_picture(site, path, status):
    """Missing, broken and redirecting links answer with their status."""
    assert fetch(f"{site.bases[0]}/{path}")[0] == status


def test_a_redirect_arrives_at_a_picture(site):
    """Two hops lead to a picture of its own."""
    with urllib.request.urlopen(f"{site.bases[0]}/moved/3", timeout=10) as answer:
        assert answer.url.endswith("/arrived/3")
        assert answer.read() == pictures.original(seed_of("moved", 3))[0]


def test_a_busy_link_is_there_the_second_time(site):
    """The first request is refused with Retry-After, the second is served."""
    url = f"{site.bases[0]}/busy/0"
    status, headers, _ = fetch(url)
    assert (status, headers["Retry-After"]) == (503, "1")
    assert fetch(url)[0] == 200


def test_a_page_lies_about_its_type(site):
    """A web page comes as image/jpeg and is none."""
    _, headers, body = fetch(f"{site.bases[0]}/page/0")
    assert headers["Content-Type"] == "image/jpeg"
    assert body.startswith(b"<!DOCTYPE html")


def test_copies_are_exact_and_corrupt_files_do_not_decode(site):
    """A copy has the bytes of the picture it copies; half a JPEG raises when it is read."""
    seed = seed_of("copy", 5)
    assert fetch(f"{site.bases[0]}/copy/5")[2] == fetch(f"{site.bases[0]}/picture/{seed}")[2]
    with (
        Image.open(io.BytesIO(fetch(f"{site.bases[0]}/corrupt/0")[2])) as image,
        pytest.raises(OSError, match="truncated"),
    ):
        image.load()


def test_pictures_are_told_apart_and_near_copies_are_near():
    """Any two pictures differ by more than 10 bits, a near copy by at most 4 from its own: hashes tell."""
    originals = [phash(pictures.original(seed_of("picture", i))[0]) for i in range(N["near"])]
    near = [phash(pictures.near_copy(seed_of("near", i))) for i in range(0, N["near"], 4)]
    assert all(a - b <= 4 for a, b in zip(near, originals[::4], strict=True))
    assert min(a - b for a, b in itertools.combinations(originals, 2)) > 10


def test_sizes_and_formats():
    """Pictures are above the smallest side and of several formats, thumbnails below it."""
    seen = set()
    for index in range(14):
        with Image.open(io.BytesIO(pictures.original(index)[0])) as image:
            seen.add(image.format)
            assert min(image.size) >= MIN_SIDE
    assert {"JPEG", "PNG", "WEBP", "GIF"} <= seen
    with Image.open(io.BytesIO(pictures.thumbnail(0))) as image:
        assert min(image.size) < MIN_SIDE


def test_the_same_seed_gives_the_same_file():
    """Two processes make the same bytes: what the plan promises of copies holds."""
    code = "import hashlib,crawler.demo.pictures as p;print(hashlib.sha256(p.original(1)[0]).hexdigest())"
    other = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert other.stdout.strip() == hashlib.sha256(pictures.original(1)[0]).hexdigest()


@pytest.mark.parametrize(
    ("dedup", "near", "same"), [("none", 0, 0), ("bytes", 0, N["copy"]), ("phash", N["near"], N["copy"])]
)
def test_the_plan_follows_the_deduplication(dedup, near, same):
    """What is not told apart as a duplicate is saved; every link keeps exactly one outcome."""
    plan = demo_plan(dedup)
    assert (plan.get(Reason.NEAR_DUPLICATE, 0), plan.get(Reason.SAME_BYTES, 0)) == (near, same)
    assert sum(plan.values()) == sum(N.values())


def gone(pid, timeout=10):
    """Wait until the process is no more, told by the kernel through its file descriptor."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], timeout)[0])
    finally:
        os.close(watched)


@linux
def test_the_site_ends_with_its_context():
    """Leaving the context ends the process and removes the list."""
    with start_site() as site:
        assert site.urls.exists()
    assert gone(site.pid)
    assert not site.urls.exists()


@linux
def test_a_site_that_hangs_is_killed(monkeypatch):
    """A site that does not end by itself is not waited for for ever."""
    monkeypatch.setattr("crawler.demo._PATIENCE", 0.05)
    with start_site() as site:
        os.kill(site.pid, signal.SIGSTOP)
    assert gone(site.pid)


@linux
def test_the_site_ends_with_a_killed_parent(tmp_path):
    """A parent killed with -9 leaves no site behind."""
    code = (
        "import sys; from crawler.demo import start_site\n"
        "with start_site() as site: print(site.pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        site = int(parent.stdout.readline())
        watched = os.pidfd_open(site)
        os.close(watched)  # it runs
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert gone(site)
