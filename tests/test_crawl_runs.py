"""One run after another over the same dataset: its settings, what is tried again, repeats and samples."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from crawler.pipeline import Crawled, crawl
from curator.dataset.ingest import uid_of
from curator.errors import UsageError
from tests.command import FLAGS, Here
from tests.crawling import LOCAL, assert_verified, ledger, run_crawl, saved, states, write_list
from tests.site import Answer, Site, behaviour, image_bytes

BUSY = Answer(status=503)


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Crawls in this process end without waiting for a batch to fill."""
    monkeypatch.setattr("curator.dataset.writer.BATCH_SECONDS", 0.05)


@pytest.fixture
def asked_since():
    """Paths asked since the last call, in order."""
    seen: Counter[int] = Counter()

    def since(site: Site) -> list[str]:
        paths = [request.path for request in site.requests()]
        start, seen[site.port] = seen[site.port], len(paths)
        return paths[start:]

    return since


def test_a_dataset_alone_goes_on_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """`crawl DATA` uses stored settings; flags given override them and are stored. Headers are never shown."""
    out, here = tmp_path / "data", Here(monkeypatch, capsys)
    with Site() as site:
        lists = write_list(
            tmp_path / "urls.txt",
            [site.add(f"/{n}.jpg", *[BUSY] * n, Answer(image_bytes(n))) for n in range(4)],
        )
        flags = (*FLAGS, "--attempts", 1, "--header", "X-Token: s3cret", "--user-agent", "me/1")
        shown = [here(lists, "--out", out, *flags), here(out), here(out, "--user-agent", "you/2")]
        shown += [here(out), here("status", out)]
        assert [ended.code for ended in shown] == [0] * 5
        agents = [request.headers["user-agent"] for request in site.requests()]
        tokens = {request.headers.get("x-token") for request in site.requests()}
    assert agents == ["me/1"] * 4 + ["me/1"] * 3 + ["you/2"] * 2 + ["you/2"]
    assert tokens == {"s3cret"}
    assert set(states(out).values()) == {"saved"}
    texts = [ended.out + ended.error for ended in shown]
    texts += [(out / name).read_text() for name in ("README.md", "summary.json")]
    assert not any("s3cret" in text for text in texts)
    assert (out / "ledger.sqlite").stat().st_mode & 0o777 == 0o600


def test_a_stored_memory_is_not_held_against_a_default(tmp_path: Path):
    """A flag given for a continued dataset is judged together with its stored settings."""
    with Site() as site:
        lists = [write_list(tmp_path / "urls.txt", site.links(1))]
        run_crawl(lists, tmp_path / "data", max_bytes=1 << 20, memory=8 << 20)
        assert run_crawl([], tmp_path / "data", memory=4 << 20).finished


def test_what_a_later_run_tries_again(tmp_path: Path, asked_since):
    """Transient failures by default; none, all, or those that are named."""
    out = tmp_path / "data"
    with Site() as site:
        good = Answer(image_bytes(1))
        urls = [
            site.add("/busy", BUSY, good),
            site.add("/missing", Answer(status=404), good),
            site.add("/gone", Answer(status=410), good),
            site.add("/page", Answer(b"<html>" * 99)),
            site.add("/fine", good),
        ]
        given = {"attempts": 1}
        run_crawl([write_list(tmp_path / "urls.txt", urls)], out, **given)
        assert len(asked_since(site)) == 5
        run_crawl([], out, retry="none", **given)
        assert asked_since(site) == []
        run_crawl([], out, **given)
        assert asked_since(site) == ["/busy"]
        run_crawl([], out, retry="http_404,http_5xx", **given)
        assert asked_since(site) == ["/missing"]
        run_crawl([], out, retry="all", **given)
        assert sorted(asked_since(site)) == ["/gone", "/page"]
        run_crawl([], out, **given)
        assert asked_since(site) == []
    assert Counter(states(out).values()) == {"saved": 4, "not_an_image": 1}
    assert [bool(finished) for (finished,) in ledger(out, "SELECT finished FROM runs")] == [True] * 6
    assert_verified(out)


def test_five_attempts_are_enough(tmp_path: Path, asked_since):
    """`--attempts` counts per run; a link with five attempts or more in all is passed over.

    Unless its Reason is named: then it is tried once more.
    """
    with Site() as site:
        lists = [write_list(tmp_path / "urls.txt", [site.add("/busy", BUSY)])]
        found = []
        for _ in range(3):
            run_crawl(lists, tmp_path / "data", attempts=3)
            found.append(len(asked_since(site)))
        assert run_crawl([], tmp_path / "data").retryable == 0
        run_crawl([], tmp_path / "data", retry="http_5xx", attempts=1)
        found.append(len(asked_since(site)))
    assert found == [3, 3, 0, 1]
    assert set(states(tmp_path / "data").values()) == {"http_5xx"}


def test_an_interrupted_run_goes_on_as_itself(tmp_path: Path, asked_since):
    """Continued, it keeps its id and leaves the transient verdicts it has reached alone."""
    out = tmp_path / "data"

    async def interrupted(lists: Sequence[Path]) -> Crawled:
        stop = asyncio.Event()
        running = asyncio.ensure_future(
            crawl(lists, out, stop=stop, **(LOCAL | {"attempts": 1, "concurrency": 2}))
        )
        while len(site.requests()) < 10:  # noqa: ASYNC110 - the site is not of this loop
            await asyncio.sleep(0.001)
        stop.set()
        return await running

    with Site() as site:
        urls = [site.add(f"/broken/{n}", Answer(status=500)) for n in range(60)]
        lists = [write_list(tmp_path / "urls.txt", urls)]
        crawled = asyncio.run(interrupted(lists))
        assert not crawled.finished
        first = asked_since(site)
        assert 10 <= len(first) < 60
        assert run_crawl([], out).finished
        second = asked_since(site)
        assert sorted(first + second) == sorted(url.removeprefix(site.url("")) for url in urls)
        assert [run for (run,) in ledger(out, "SELECT id FROM runs")] == [1]
        run_crawl([], out)
        assert len(asked_since(site)) == 60
        assert [run for (run,) in ledger(out, "SELECT id FROM runs")] == [1, 2]


def test_a_crawl_stopped_at_once_says_so_and_goes_on(tmp_path: Path):
    """Cancelled in the middle of requests, what was judged is committed and the run is noted as ended."""
    out = tmp_path / "data"

    async def cancelled(lists: Sequence[Path]) -> None:
        running = asyncio.ensure_future(crawl(lists, out, **LOCAL))
        while len(site.requests()) < 40:  # noqa: ASYNC110 - the site is not of this loop
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    slow = [f"127.0.0.{n}" for n in range(2, 22)]  # one that hangs keeps no other link of its host waiting
    with Site(addresses=["127.0.0.1", *slow]) as site:
        hang = Answer(image_bytes(0), fault="late", pause=30.0)
        for n in range(20):
            site.add(f"/hang/{n}", hang, Answer(image_bytes(n)))
        hanging = [site.url(f"/hang/{n}", address) for n, address in enumerate(slow)]
        good = {site.add_image(f"/good/{n}", image_bytes(n)): image_bytes(n) for n in range(20)}
        asyncio.run(cancelled([write_list(tmp_path / "urls.txt", [*hanging, *good])]))
        assert ledger(out, "SELECT ended IS NOT NULL, finished FROM runs") == [(1, 0)]
        assert_verified(out)
        assert run_crawl([], out).finished
    assert ledger(out, "SELECT ended IS NOT NULL, finished FROM runs") == [(1, 1)]
    assert len(saved(out)) == 40
    assert_verified(out)


@pytest.mark.parametrize("dedup", ["none", "bytes", "phash"])
def test_repeats_are_found_over_runs(tmp_path: Path, dedup: str):
    """Same bytes, or nearly the same picture, are dropped with the uid of what they repeat, also of a run before."""
    out = tmp_path / "data"
    with Site() as site:

        def shown(name: str, picture: int) -> str:
            return site.add(f"/{name}", Answer(image_bytes(picture)))

        # pictures 64 apart have the same pixels and other bytes
        first = [shown("a", 1), shown("b", 2)]
        second = [shown("same-as-a", 1), shown("like-b", 66), shown("new", 3)]
        third = [shown("like-new", 67), shown("same-as-new", 3)]
        for number, urls in enumerate((first, second, third)):
            given = {"dedup": dedup} if not number else {}
            run_crawl([write_list(tmp_path / f"{number}.txt", urls)], out, shard_size=2, **given)
    became = {url.rsplit("/", 1)[1]: state for url, state in states(out).items()}
    repeats = {
        "none": [],
        "bytes": ["same-as-a", "same-as-new"],
        "phash": [*became.keys() - {"a", "b", "new"}],
    }
    reasons = {"same-as-a": "same_bytes", "same-as-new": "same_bytes", "like-b": "near_duplicate"}
    reasons["like-new"] = "near_duplicate"
    assert became == {name: reasons[name] if name in repeats[dedup] else "saved" for name in became}
    originals = ledger(
        out, "SELECT url, duplicate_of FROM urls WHERE duplicate_of IS NOT NULL AND duplicate_of <> ''"
    )
    expected = {"same-as-a": "/a", "same-as-new": "/new", "like-b": "/b", "like-new": "/new"}
    assert {(url.rsplit("/", 1)[1], uid) for url, uid in originals} == {
        (name, uid_of(site.url(expected[name])).hex()) for name in repeats[dedup]
    }
    assert_verified(out)


def test_small_and_long_images_are_dropped_by_the_fixed_rules(tmp_path: Path):
    """`--min-side` and `--max-aspect` are kept by later runs, which may not change them."""
    from tests.datasets import picture

    out = tmp_path / "data"
    with Site() as site:
        urls = [site.add(f"/{side}", Answer(picture(side, side=side))) for side in (16, 64)]
        urls.append(site.add("/long", Answer(long_picture())))
        lists = [write_list(tmp_path / "urls.txt", urls)]
        run_crawl(lists[:1], out, min_side=32, max_aspect=3.0)
        assert sorted(states(out).values()) == ["bad_aspect", "saved", "too_small"]
        with pytest.raises(UsageError, match="--min-side 32, not 16"):
            run_crawl(lists, out, min_side=16)
        more = write_list(tmp_path / "more.txt", [site.add("/more", Answer(picture(99, side=31)))])
        run_crawl([more], out)
    assert Counter(states(out).values())["too_small"] == 2
    details = dict(ledger(out, "SELECT url, detail FROM urls"))
    assert details[site.url("/16")] == "16x16"
    assert_verified(out)


def long_picture() -> bytes:
    """Four times as wide as it is high."""
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (160, 40), "teal").save(file, "PNG")
    return file.getvalue()


def test_a_sample_is_the_lowest_hashes_and_the_rest_goes_on(tmp_path: Path):
    """`--limit N` crawls the N lowest uids, counted over all runs, with a forecast; then all the others come."""
    out = tmp_path / "data"
    with Site() as site:
        links = [url for n, url in enumerate(site.links(220)) if not behaviour(n)]
        by_uid = sorted(links, key=uid_of)
        lists = [write_list(tmp_path / "urls.txt", links)]

        def asked() -> list[str]:
            return sorted(site.url(request.path) for request in site.requests())

        crawled = run_crawl(lists, out, limit=50)
        assert crawled.finished
        assert asked() == sorted(by_uid[:50])
        assert crawled.forecast is not None
        assert (crawled.forecast.links, crawled.forecast.sampled) == (len(links), 50)
        assert crawled.forecast.share == 1.0
        assert run_crawl([], out, limit=80).finished
        assert asked() == sorted(by_uid[:80])
        assert run_crawl(lists, out, limit=80).finished
        assert asked() == sorted(by_uid[:80])
        crawled = run_crawl([], out)
        assert crawled.finished
        assert crawled.forecast is None
        assert asked() == sorted(links)
    assert_verified(out)
    assert len(saved(out)) == len(links)
