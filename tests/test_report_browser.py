"""The report in a real browser: it is shown without complaint, and what a person clicks comes down as pairs.csv."""

import asyncio
import csv
import re
import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from curator.report.pages import write_report
from curator.settings import Settings
from tests.pictures import jpeg
from tests.reports import HOSTILE, cluster, row, summarised, uid, write

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, to drive a browser")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")

_NO_STORAGE = (
    "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('refused'); } });"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of two pages of clusters, with names that would break it if they could."""
    out = tmp_path_factory.mktemp("report")
    rows = [one for n in range(60) for one in cluster(f"c{n}", *[4, 2][: 1 + n % 2])]
    rows = [one | {"url": HOSTILE} for one in rows] + [
        row("broken", "undecodable", detail=HOSTILE, width=None)
    ]
    bodies = [jpeg(seed, 160, 120) for seed in range(4)]

    async def read(wanted):
        return [bodies[len(one.path) % len(bodies)] for one in wanted]

    decisions = write(out / "decisions.parquet", rows)
    asyncio.run(write_report(out, decisions, summarised(rows), read, Settings(workers=1)))
    return out


@pytest.fixture(scope="module")
def browser(report):
    """One browser for all tests. Its driver runs an event loop in this thread, so the report is made before."""
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@contextmanager
def tab(browser, url, script="", **options):
    """A page of a browser that knows nothing yet. Whatever it complains of fails the test."""
    complaints = []
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_default_timeout(10_000)
    context.add_init_script(script or ";")
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.failure} {request.url}"))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.goto(url)
    yield page
    context.close()
    # a picture that was still on its way when the page was left is nobody's fault
    assert [one for one in complaints if not one.startswith("net::ERR_ABORTED")] == []


def click(page, name, verdict):
    """Press a button under an image."""
    owner = f"[data-copy='{uid(name)}']" if "-" in name else f"[data-survivor='{uid(name)}'] .survivor"
    page.click(f"{owner} button[data-verdict={verdict}]")


def downloaded(page):
    """What pairs.csv says, once the button is pressed."""
    with page.expect_download() as download:
        page.click("text=Download pairs.csv")
    assert download.value.suggested_filename == "pairs.csv"
    with Path(download.value.path()).open(newline="") as file:
        return [tuple(line) for line in csv.reader(file)]


def pair(survivor, n, verdict):
    return uid(survivor), uid(f"{survivor}-{n}"), verdict


def names_on(page, copies):
    """Of which survivors a page shows clusters with so many copies."""
    names = {uid(f"c{n}"): f"c{n}" for n in range(60) if 1 + n % 2 == copies}
    shown = page.eval_on_selector_all("[data-survivor]", "all => all.map(one => one.dataset.survivor)")
    return [names[one] for one in shown if one in names]


def test_clicks_of_both_pages_come_down(browser, report):
    """Each kind of choice, made on two pages reached by links, is in pairs.csv; undo takes back the last."""
    with tab(browser, (report / "report.html").as_uri()) as page:
        page.click("nav.pages a >> text=1")
        one, other = names_on(page, copies=2)[:2]
        click(page, f"{one}-0", "both")
        click(page, other, "a")
        page.click("text=Next")
        alone, twins = names_on(page, copies=1)[0], names_on(page, copies=2)[0]
        click(page, f"{alone}-0", "b")
        click(page, twins, "neither")
        assert page.inner_text("#count") == "6 pairs judged"
        click(page, f"{alone}-0", "both")
        page.click("text=Undo")
        expected = {
            pair(one, 0, "both"),
            *(pair(other, n, "a") for n in (0, 1)),
            pair(alone, 0, "b"),
            *(pair(twins, n, "neither") for n in (0, 1)),
        }
        head, *lines = downloaded(page)
        assert head == ("uid_a", "uid_b", "verdict")
        assert len(lines) == len(expected)
        assert set(lines) == expected
        page.click("text=Before")
        assert page.inner_text("#count") == "6 pairs judged"
        assert (
            page.get_attribute(f"[data-copy='{uid(f'{one}-0')}'] [data-verdict=both]", "aria-pressed")
            == "true"
        )


def test_without_storage_a_page_remembers(browser, report):
    """Where the browser refuses storage a page says so, and its own clicks still come down."""
    with tab(browser, (report / "report/clusters-01.html").as_uri(), _NO_STORAGE) as page:
        name = names_on(page, copies=1)[0]
        click(page, f"{name}-0", "b")
        assert page.is_visible("#forgetful")
        assert downloaded(page)[1:] == [pair(name, 0, "b")]


def luminance(colour):
    """Relative luminance of "rgb(1, 2, 3)", as WCAG defines it."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [n / 12.92 if n <= 0.04045 else ((n + 0.055) / 1.055) ** 2.4 for n in parts]
    return sum(share * n for share, n in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_a_narrow_screen(browser, report, scheme):
    """At 360 pixels nothing sticks out at the side, pictures are there, and all text has a contrast of 4.5."""
    screen = {"width": 360, "height": 700}
    with tab(browser, (report / "report.html").as_uri(), viewport=screen, color_scheme=scheme) as page:
        for names in (("body", ".lead", "a", ".what"), ("body", ".name", ".tag", ".kept-tag", "button")):
            assert page.evaluate("document.documentElement.scrollWidth") == 360
            first = page.locator(".frame img").first
            first.scroll_into_view_if_needed()
            page.wait_for_function(
                "image => image.complete && image.naturalWidth", arg=first.element_handle()
            )
            paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert (paper > 0.5) == (scheme == "light")
            for name in names:
                ink = luminance(page.eval_on_selector(name, "one => getComputedStyle(one).color"))
                low, high = sorted([ink, paper])
                assert (high + 0.05) / (low + 0.05) >= 4.5, name
            if ".lead" in names:
                page.click("nav.pages a >> nth=0")


def test_the_keyboard_reaches_every_choice(browser, report):
    """Without a mouse, a cluster's buttons are reached one after the other and pressed."""
    with tab(browser, (report / "report/clusters-02.html").as_uri()) as page:
        page.focus(".survivor button >> nth=0")
        page.keyboard.press("Tab")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.inner_text("#count") == "1 pair judged"
        assert page.evaluate("document.activeElement.dataset.verdict") == "both"


def test_without_scripts_all_is_seen(browser, report):
    """A browser without JavaScript shows the clusters, and no button that would do nothing."""
    url = (report / "report/clusters-01.html").as_uri()
    with tab(browser, url, java_script_enabled=False) as page:
        assert page.locator("article.cluster").first.is_visible()
        assert not page.locator("article button").first.is_visible()
        assert page.locator("noscript").first.is_visible()
