"""The report's pages: they tell what decisions.parquet says, whatever names are in it, and stay small."""

import asyncio
import base64
import hashlib
import io
import random
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from curator.reasons import Reason
from curator.records import Unmeasured
from curator.report import charts
from curator.report.facts import (
    CLUSTER_PICTURES,
    CLUSTERS,
    COPIES,
    SAMPLE,
    SHEETS,
    SURVIVORS,
    Count,
    read_facts,
)
from curator.report.pages import write_report
from curator.report.render import Known, pages
from curator.report.small import SIDE, thumbnails
from curator.report.thumbs import Thumbs
from curator.report.words import about, explained, shown, told
from curator.settings import Settings
from tests.pictures import encoded, jpeg, oriented, photo
from tests.reports import HOSTILE, cluster, copy, row, summarised, uid, write


class Page(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.stack = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.stack.append(tag)

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        """All its words, in one line."""
        return " ".join(" ".join(self.texts).split())

    def all(self, tag, **attributes):
        """The attributes of each such tag."""
        return [has for name, has in self.tags if name == tag and attributes.items() <= has.items()]


def facts_of(tmp_path, rows, placeholders=()):
    return read_facts(write(tmp_path / "decisions.parquet", rows), placeholders)


def rendered(tmp_path, rows, **changes):
    """Every page of the report of these rows, without pictures, by name."""
    summary = summarised(rows, **changes)
    facts = facts_of(tmp_path, rows, [one["uid"] for one in summary["placeholders"]])
    missing = {image.row: Unmeasured(Reason.UNREADABLE, "gone") for image in facts.pictures()}
    return dict(pages(Known(summary, facts, Thumbs({}, missing), Settings())))


BODIES = {
    "sound.jpg": jpeg(1, 640, 480),
    "lying.jpg": oriented(photo(2, 400, 300), 6),
    "secret.jpg": encoded(
        photo(3), "JPEG", comment=b"secret words", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0secret words"
    ),
    "broken.jpg": jpeg(4)[:2000],
    "gone.jpg": Unmeasured(Reason.UNREADABLE, "No such file"),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A whole report, in a folder whose name is no text and a pattern, of pictures sound and not."""
    out = tmp_path_factory.mktemp("report") / "a*[b]?\\\udcff"
    out.mkdir()
    rows = [row(name.removesuffix(".jpg")) for name in BODIES]
    rows.append(row("never", "undecodable", detail=HOSTILE, width=None, height=None, format=None))

    async def read(wanted):
        return [BODIES[one.path] for one in wanted]

    asyncio.run(write_report(out, write_beside(out, rows), summarised(rows), read, Settings(workers=1)))
    return out


def write_beside(out, rows):
    """decisions.parquet, by way of a folder that pyarrow can name."""
    plain = write(out.parent / "decisions.parquet", rows)
    return plain.rename(out / "decisions.parquet")


def test_a_picture_is_made_anew_and_small(report):
    """Sound images have a small picture, upright, in which no word of the file is left."""
    made = {int(path.stem): path.read_bytes() for path in (report / "report/thumbs").iterdir()}
    assert sorted(made) == [0, 1, 2]
    sizes = [Pillow.open(io.BytesIO(made[number])).size for number in (0, 1)]
    assert sizes == [(SIDE, SIDE * 3 // 4), (SIDE * 3 // 4, SIDE)]
    assert b"secret" not in made[2]


def test_a_picture_that_cannot_be_shown_says_why(report):
    """Where there is no picture, its box names the reason; the pictures that there are, are shown."""
    page = Page((report / "report.html").read_text())
    assert sorted(has["src"] for has in page.all("img")) == [f"report/thumbs/{n}.jpg" for n in (0, 1, 2)]
    assert "undecodable" in page.text
    assert "unreadable No such file" in page.text


def test_each_body_is_announced_and_answered():
    """The kernel says of each body what became of it, and touches none before it says that it begins."""
    begun = []
    made = thumbnails([memoryview(b"no image"), memoryview(jpeg())], begun.append, max_pixels=1_000_000)
    assert [type(one) for one in made] == [Unmeasured, bytes]
    assert begun == [0, 1]


def test_only_its_own_script_runs(report):
    """The policy of a page names the digests of its style and script, and allows no other source but pictures."""
    text = (report / "report.html").read_text()
    policy = Page(text).all("meta", **{"http-equiv": "Content-Security-Policy"})[0]["content"]
    for tag in ("style", "script"):
        body = text.split(f"<{tag}>")[1].split(f"</{tag}>")[0]
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src 'self' file:; ")


def hostile_rows():
    names = {"path": HOSTILE, "key": HOSTILE, "source": HOSTILE, "format": HOSTILE}
    return [
        row("a", url=HOSTILE),
        copy("b", "a", 4, **names),
        row("c", "same_bytes", duplicate_of=uid("elsewhere"), detail=f"against {HOSTILE}"),
        row("d", "placeholder"),
        row("e", "undecodable", detail=HOSTILE, width=None, bytes=None),
    ]


def test_hostile_names_are_inert(tmp_path):
    """Names of files, hosts, labels and columns become no markup, and turn no line around."""
    source = {"label": HOSTILE, "path": HOSTILE, "kind": "files", "images": 5, "kept": 1}
    texts = rendered(
        tmp_path,
        hostile_rows(),
        sources=[source],
        settings={HOSTILE: HOSTILE},
        warnings=[HOSTILE],
        passed_over={HOSTILE: 1},
        placeholders=[{"host": HOSTILE, "sha256": "", "uid": uid("d"), "urls": 20, "images": 1}],
        since={"added": 1, "lost": 1, "lost_by_reason": {HOSTILE: 1}},
    )
    assert len(texts) == 2
    for text in texts.values():
        page = Page(text)
        assert len(page.all("script")) == 1
        assert not page.all("img")
        assert not [name for _, has in page.tags for name in has if name.startswith("on")]
        assert not {"\u202e", "\x07"} & set(text)
        assert "alert(1)" in page.text


def test_no_page_reaches_outside(tmp_path):
    """No page refers to anything but the others and places in itself."""
    texts = rendered(tmp_path, [*cluster("a", 2), row("b", url="https://example.com/x.jpg")])
    for name, text in texts.items():
        places = {f"#{has['id']}" for _, has in Page(text).tags if "id" in has}
        for _, has in Page(text).tags:
            for link in filter(None, (has.get("href"), has.get("src"))):
                to = (Path(name).parent / link.partition("#")[0]).as_posix()
                assert link in places or to.replace("report/../", "") in texts


def test_reasons_are_told_in_words(tmp_path):
    """Each reason stands with its number, its share and what it means under these settings; most first."""
    rows = [row(f"k{n}") for n in range(5)] + [row(f"s{n}", "too_small") for n in range(3)]
    page = Page(
        rendered(tmp_path, [*rows, row("x", "excluded", detail="by_hand"), row("y", "bad_aspect")])[
            "report.html"
        ]
    )
    assert "too small 3 30.0 %" in page.text
    assert "Its shorter side is below 100 pixels." in page.text
    assert "1 by hand." in page.text
    assert page.text.index("kept 5 50.0 %") < page.text.index("too small 3") < page.text.index("bad aspect 1")


def test_every_reason_of_a_curation_is_explained():
    """Whatever curation says of an image has words, with its numbers filled in."""
    given_by_it = [reason for reason in Reason if reason.kind in ("saved", "filtered", "duplicate")]
    given_by_it += [
        Reason(n) for n in ("not_an_image", "unsupported_format", "undecodable", "too_many_bytes")
    ]
    given_by_it += [Reason.DECODER_CRASH, Reason.UNREADABLE]
    told = [explained(reason, Settings()) for reason in given_by_it]
    assert all(told)
    assert not [one for one in told if "{" in one]
    assert explained("a reason of tomorrow", Settings()) == ""


def test_chance_is_told_and_warned_of(tmp_path):
    """The number of false pairs is there, and a word of warning beyond one in 10,000 images."""
    chance = {"pairs": 1234.5, "images": 1000, "radius": 9}
    calm, loud = (
        rendered(tmp_path, cluster("a", 2), chance=chance | {"per_10000": n})["report.html"]
        for n in (0.9, 1.1)
    )
    for text in (calm, loud):
        assert (
            "about 1,200 pairs of different pictures among the 1,000 images compared would still lie within 9 bits"
            in Page(text).text
        )
    assert "That is a lot" in loud
    assert "That is a lot" not in calm


def test_optional_parts_are_told(tmp_path):
    """Judged pairs, an earlier decision, warnings and what was passed over are there when the summary has them."""
    pairs = {"pairs": 40, "unknown": 2, "precision": 0.975, "recall": None}
    text = rendered(
        tmp_path,
        cluster("a", 2),
        pairs=pairs,
        since={"added": 7, "lost": 3, "lost_by_reason": {"too_small": 3}},
        warnings=["be careful"],
        passed_over={".txt": 12},
    )["report.html"]
    told = Page(text).text
    for words in ("97.5 %", "7 survivors are new", "(too small 3)", "be careful", "12 .txt"):
        assert words in told


@pytest.mark.parametrize("rows", [[], [row("a", "too_small")]], ids=["no image", "none kept"])
def test_little_is_a_report_too(tmp_path, rows):
    """A decision that keeps nothing, or has nothing to decide on, has a report of one page."""
    texts = rendered(tmp_path, rows, chance=None)
    assert list(texts) == ["report.html"]
    assert f"0 of {len(rows)} images kept" in Page(texts["report.html"]).text


def test_the_most_doubtful_come_first(tmp_path):
    """Clusters are in the order of their farthest copy, what a person judged last; copies the farthest first."""
    judged = [row("judged"), copy("judged-1", "judged", 9, detail="by_hand")]
    rows = [*cluster("near", 0, 2), *cluster("far", 1, 4, 3), *judged, *cluster("mid", 3)]
    random.Random(5).shuffle(rows)
    clusters = facts_of(tmp_path, rows).clusters
    assert [one.survivor.path for one in clusters] == ["far.jpg", "mid.jpg", "near.jpg", "judged.jpg"]
    assert [one.distance for one in clusters[0].copies] == [4, 3, 1]


def test_clusters_are_what_survivors_stand_for(tmp_path):
    """What another dataset has, what a host sent for many URLs and what a person dropped is in no cluster."""
    rows = [
        row("a", "same_bytes", duplicate_of=uid("b"), detail="against old"),
        row("b"),
        row("c", "placeholder", duplicate_of=uid("b")),
        row("d", "excluded", detail="by_hand"),
        copy("e", "d", 2, detail="by_hand"),
    ]
    assert facts_of(tmp_path, rows).clusters == []


def test_a_large_cluster_is_cut(tmp_path):
    """At most so many copies are shown, and how many more there are."""
    rows = cluster("a", *[2] * (COPIES + 5))
    (one,) = facts_of(tmp_path, rows).clusters
    assert (len(one.copies), one.more) == (COPIES, 5)
    assert "5 more copies" in Page(rendered(tmp_path, rows)["report/clusters-01.html"]).text


def test_one_uid_in_two_sources(tmp_path):
    """Where two datasets have the same URL, the kept one is the survivor, and nobody is asked about itself."""
    rows = [copy("a", "a", 0, source="first"), row("a", source="second")]
    page = Page(rendered(tmp_path, rows)["report/clusters-01.html"])
    assert "kept 640 × 480 jpeg · 48.8 KiB second/a.jpg" in page.text
    assert not page.all("figure", **{"data-copy": uid("a")})
    assert not [has for has in page.all("button") if "data-verdict" in has]


def test_reports_stay_small(tmp_path):
    """With more clusters and reasons than anybody looks at, pages and pictures are bounded and all is linked."""
    rows = [one for n in range(CLUSTERS + 50) for one in cluster(f"{'long' * 40}{n}", *[n % 9] * (1 + n % 3))]
    rows += [row(f"r{n}", "same_bytes", detail=f"against {n % 50}") for n in range(2000)]
    texts = rendered(tmp_path, rows)
    assert len(texts["report.html"].encode()) < 2_000_000
    linked = {has.get("href") for has in Page(texts["report.html"]).all("a")}
    assert texts.keys() - {"report.html"} <= linked
    assert len(facts_of(tmp_path, rows).pictures()) <= SURVIVORS + SHEETS * SAMPLE + CLUSTER_PICTURES <= 4000
    shown_ones = sum(text.count('<article class="cluster"') for text in texts.values())
    assert shown_ones == CLUSTERS


def test_large_clusters_are_fewer(tmp_path):
    """Where clusters are large, fewer are shown, so that all pictures together stay bounded."""
    rows = [one for n in range(300) for one in cluster(f"c{n}", *[2] * (COPIES + 1))]
    facts = facts_of(tmp_path, rows)
    assert len(facts.clusters) == CLUSTER_PICTURES // (COPIES + 1) < 300
    assert len(facts.pictures()) <= CLUSTER_PICTURES + SURVIVORS + SAMPLE


def test_a_sample_is_the_same_again(tmp_path):
    """The pictures of a reason do not depend on the order of the rows, nor of those that came beside them."""
    rows = [row(f"k{n}") for n in range(3 * SURVIVORS)]
    shuffled = random.Random(3).sample(rows, len(rows)) + [row(f"s{n}", "too_small") for n in range(40)]
    first, second = (
        [one.uid for one in facts_of(tmp_path, each).groups[0].sample] for each in (rows, shuffled)
    )
    assert first == second
    assert len(first) == SURVIVORS


counts = st.dictionaries(
    st.integers(-80, 120), st.tuples(st.integers(0, 10**7), st.integers(0, 10**7)), min_size=1
).map(lambda found: [Count(step, *found[step]) for step in sorted(found)])


@given(counts, st.sampled_from(list(charts.AXES.values())))
def test_a_chart_stays_inside_its_frame(found, axis):
    """Bars stand side by side within the width, none is higher than its half, and labels are few."""
    chart = charts.chart(axis, found)
    assert all(0 <= bar.left <= charts.WIDTH - bar.width + 1 for bar in chart.bars)
    assert all(max(bar.kept, bar.dropped) <= max(charts.HALF, 1) for bar in chart.bars)
    assert len(chart.ticks) <= 7
    assert len(chart.bars) <= 64 or axis.steps == 1
    told = [bar.says.rpartition(": ")[2].replace(",", "").split() for bar in chart.bars]
    kept, dropped = (
        sum(int(words[0]) for words in told),
        sum(int(words[2].strip()) for words in told if len(words) > 2),
    )
    assert (kept, dropped) == (sum(one.kept for one in found), sum(one.dropped for one in found))


def test_a_chart_says_what_it_counts(tmp_path):
    """A bar names its range and both its numbers; an image without measures is in none."""
    rows = [row("a", width=300), row("b", "too_small", width=300), row("c", "undecodable", width=None)]
    facts = facts_of(tmp_path, rows)
    (bar,) = charts.chart(charts.AXES["side"], facts.histograms["side"]).bars
    assert bar.says == "256 to 304 pixels: 1 kept, 1 not"
    (square,) = charts.chart(charts.AXES["aspect"], [Count(0, 1, 0)]).bars
    assert square.says.startswith("1:1.04 to 1.04:1")
    assert charts.chart(charts.AXES["side"], []) is None


def test_distances_are_counted(tmp_path):
    """Copies by their bits, those with the same bytes apart from hashes that happen to be equal."""
    rows = [*cluster("a", 0, 4, 4), row("b", "same_bytes", duplicate_of=uid("a"), distance=0)]
    assert facts_of(tmp_path, rows).distances == [(None, 1), (0, 1), (4, 2)]


@pytest.mark.parametrize(
    ("number", "said"),
    [(0, "0"), (0.001, "0.01 or fewer"), (0.034, "0.03"), (1.4, "1"), (7, "7"), (1284, "1,300")],
)
def test_estimates_are_rounded(number, said):
    """An estimate has no more digits than it deserves."""
    assert about(number) == said


def test_long_names_keep_their_ends():
    """Of a name that is too long the middle goes, and what could act on the page is spelled out."""
    assert (
        shown("https://example.com/" + "x" * 10**6 + "/end.jpg", 40)
        == "https://example.com/…xxxxxxxxxxxx/end.jpg"
    )
    assert shown("a\u202eb\udcff") == "a\\u202eb\\udcff"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (True, "yes"),
        (1 << 20, "1,048,576"),
        (0.0, "0.0"),
        (None, "–"),
        ("", "–"),
        ([], "–"),
        (["a", 1], "a, 1"),
    ],
)
def test_settings_are_readable(value, said):
    """A setting is shown as a person would write it."""
    assert told(value) == said


def test_the_command_repeats_the_curation(tmp_path):
    """What to type names folder, settings and what was said before; new clicks get a name of their own."""
    rows = [row("a"), row("b", "near_duplicate", duplicate_of=row("a")["uid"], distance=4)]
    settings = Settings(workers=1, radius=6, pairs=(Path("pairs.csv"),))

    async def read(wanted):
        return [jpeg(1)] * len(wanted)

    asyncio.run(
        write_report(tmp_path, write(tmp_path / "decisions.parquet", rows), summarised(rows), read, settings)
    )
    page = (tmp_path / "report/clusters-01.html").read_text()
    flags = "--radius 6 --pairs pairs.csv --workers 1 --pairs pairs-2.csv"
    assert f"curate /data/photos --out /data/decided {flags}" in page
    assert 'link.download = "pairs-2.csv"' in page
