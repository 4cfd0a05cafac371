import http.client
import tarfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from urllib.parse import urlsplit

import pytest
from PIL import Image, UnidentifiedImageError

from bench.answering import FAULTS, fate
from bench.corpus import Corpus, Picture
from bench.crawlers import in_tars
from bench.exchanges import last_begun, read, repeated, steady_rate
from bench.names import address_of
from bench.site import MIN_SIDE, web


@pytest.fixture
def corpus(tmp_path):
    """A picture that is large enough and one that is not."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    made = []
    for side in (MIN_SIDE, MIN_SIDE - 1):
        path = folder / f"{side}.jpg"
        Image.new("RGB", (side, 200), (200, side, 9)).save(path)
        made.append(Picture(path.name, "baseline", side, 200, path.stat().st_size))
    return Corpus(folder, made)


def became(url):
    """What becomes of a URL, in our words."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(address_of(parts.hostname), parts.port, timeout=20)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        image = Image.open(BytesIO(answer.read()))
        image.load()
    except http.client.IncompleteRead:
        return "truncated"
    except UnidentifiedImageError:
        return "http_404" if answer.status == 404 else "not_an_image"
    finally:
        connection.close()
    return "saved" if min(image.size) >= MIN_SIDE else "too_small"


def test_web_site_knows_what_becomes_of_its_urls(corpus, tmp_path):
    """Every answer of the web site is what its truth says, and is logged once."""
    count, seed = 200, 2
    waiting = {n for n in range(count) if fate(seed, n).fault == "never"}
    with web(corpus, tmp_path / "site", count=count, seed=seed) as site, ThreadPoolExecutor(50) as threads:
        found = Counter(threads.map(became, (url for n, url in enumerate(site.urls) if n not in waiting)))
    asked = read(site.log)  # whole once the server has ended: an answer may be there before its line
    assert found.pop("saved") == site.expected["crawl"]
    assert found + Counter(timeout=len(waiting)) == site.reasons
    assert len(site.reasons) == len(FAULTS) + 1
    assert (len(asked), repeated(asked)) == (count - len(waiting), 0)


def test_log_tells_the_rate_the_tail_and_what_was_asked_twice(tmp_path):
    """A log gives the rate between its fifths, the first request of the last URL, and the requests made twice."""
    lines = [f"{100 + n / 10:.3f} 0.050 200 /a.jpg?i={n}" for n in range(100)]
    lines += [
        "120.000 1.000 200 /a.jpg?i=0",
        "121.000 9.000 499 /a.jpg?i=100",
        "130.000 0.100 404 /robots.txt",
    ]
    log = tmp_path / "log"
    log.write_text("\n".join(lines) + "\n")
    asked = read(log)
    assert steady_rate(asked) == pytest.approx(10)
    assert last_begun(asked) == pytest.approx(112)
    assert repeated(asked) == 1
    assert len(read(log, since=115)) == 1


def test_members_are_counted_as_tarfile_counts_them(tmp_path):
    """Of all the tars in a folder the members with something in them count, by extension."""
    for number, sizes in enumerate(((1, 512, 0), (700, 5000))):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for name, size in enumerate(sizes):
                member = tarfile.TarInfo(f"{name}.jpg")
                member.size = size
                tar.addfile(member, BytesIO(b"x" * size))
            tar.addfile(tarfile.TarInfo("0.json"), BytesIO())
    assert in_tars(tmp_path) == {"jpg": 4, "json": 0}
