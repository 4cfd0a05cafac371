"""Robots.txt of many origins: kept for how long, in how much memory, and asked for once."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.records import Failed
from crawler.robots import ALLOWED, Robots
from crawler.robots_cache import Kept, Known, RobotsCache
from curator.reasons import Reason
from tests.fetching import link

A, B = ("http", "a.example", 80), ("http", "b.example", 80)
DAY = 86_400.0
RULES = Robots("Disallow: /")
BUSY = Failed(link("http://a.example/robots.txt"), Reason.HTTP_5XX, "", 503)
SILENT = Failed(link("http://a.example/robots.txt"), Reason.STALLED)


def found(kept, now):
    """What is kept of A."""
    known = kept.get(A, now)
    return known and known.found


def test_an_answer_is_kept_for_a_day():
    """Rules and the lack of them, each for its own origin."""
    kept = Kept()
    assert found(kept, 0.0) is None
    kept.put(A, RULES, 5.0, 5.0)
    assert found(kept, 5.0 + DAY - 1) == RULES
    assert found(kept, 5.0 + DAY) is None
    assert kept.get(("https", "a.example", 443), 6.0) is None
    assert kept.get(("http", "a.example", 8080), 6.0) is None


def test_an_answer_that_says_nothing_is_kept_shortly():
    """Or for as long as it asks to be, up to ten minutes."""
    kept = Kept(again=10.0)
    kept.put(A, BUSY, 0.0, 0.0)
    assert found(kept, 9.9) == BUSY
    assert found(kept, 10.0) is None
    for asked, until in ((60.0, 60.0), (1.0, 10.0), (1e9, 600.0)):
        failed = Failed(BUSY.link, Reason.HTTP_429, "", 429, asked)
        assert kept.put(A, failed, 0.0, 0.0).until == until


def test_silence_is_not_kept():
    """Each link finds out for itself whether a host, or the network, is there again."""
    kept = Kept()
    assert kept.put(A, SILENT, 0.0, 1.0).found == SILENT
    assert found(kept, 1.0) is None


@pytest.mark.parametrize("failed", [BUSY, SILENT])
def test_old_rules_are_good_until_new_ones_come(failed):
    """A day later nobody answers: what the site said last is what it says."""
    kept = Kept(again=10.0)
    kept.put(A, RULES, 0.0, 0.0)
    assert kept.put(A, failed, DAY, DAY).found == RULES
    assert found(kept, DAY + 9.9) == RULES
    assert found(kept, DAY + 10.0) is None
    assert kept.put(A, ALLOWED, DAY + 10, DAY + 10).found == ALLOWED


def test_a_failure_is_no_rule_to_fall_back_on():
    """What never was known does not become known by failing twice."""
    kept = Kept(again=10.0)
    kept.put(A, BUSY, 0.0, 0.0)
    assert kept.put(A, SILENT, 20.0, 20.0).found == SILENT
    assert found(kept, 20.0) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["", "x" * 400, "x" * 3000])), max_size=200))
def test_memory_is_bounded(puts):
    """Whatever comes, what is kept fits, and the latest is kept."""
    kept = Kept(room=10_000)
    for now, (host, rules) in enumerate(puts):
        origin = ("http", f"{host}.example", 80)
        kept.put(origin, Robots(rules), now, now)
        assert kept.used <= 10_000
        assert kept.get(origin, now).found.rules == rules


@given(st.lists(st.floats(0, 20), min_size=2), st.floats(0.1, 10))
def test_requests_keep_their_gap(waits, gap):
    """Whenever they come, those that may begin are a gap apart, the first from the robots.txt."""
    known = Known(RULES, 1e9, began=0.0)
    now, begun = 0.0, [0.0]
    for wait in waits:
        now += wait
        left = known.turn(now, gap)
        assert left <= gap * 1.001
        if not left:
            begun.append(now)
    assert all(later - earlier >= gap * 0.999 for earlier, later in pairwise(begun))


class Asked:
    """A network whose answers a test gives."""

    def __init__(self):
        self.answers = {}

    async def __call__(self, origin):
        self.answers[origin] = asyncio.get_running_loop().create_future()
        return await self.answers[origin]


async def until(true):
    """Let the loop turn until it is."""
    while not true():  # noqa: ASYNC110 - nothing sets an event here
        await asyncio.sleep(0)


async def test_an_origin_is_asked_once_whoever_goes_away():
    """Links that come while it is asked share the answer, also when the one that asked first is cancelled."""
    asked = Asked()
    cache = RobotsCache(asked)
    first, *others = [asyncio.create_task(cache.learn(A)) for _ in range(5)]
    await until(lambda: asked.answers)
    elsewhere = asyncio.create_task(cache.learn(B))
    await until(lambda: len(asked.answers) == 2)
    assert (cache.counts.asked, cache.counts.under_way) == (2, 2)
    first.cancel()
    await asyncio.wait([first])
    asked.answers[A].set_result(RULES)
    assert {known.found for known in await asyncio.gather(*others)} == {RULES}
    assert cache.known(A).found == RULES
    assert cache.known(B) is None
    asked.answers[B].set_result(SILENT)
    assert (await elsewhere).found == SILENT
    assert (cache.counts.asked, cache.counts.failed, cache.counts.under_way) == (2, 1, 0)
    await cache.close()


@pytest.mark.parametrize("reason", [Reason.FORBIDDEN_ADDRESS, Reason.NO_SUCH_HOST, Reason.CONNECT])
async def test_what_was_never_sent_is_not_counted(reason):
    """An origin that could not be connected to was asked for nothing."""
    asked = Asked()
    cache = RobotsCache(asked)
    asking = asyncio.create_task(cache.learn(A))
    await until(lambda: asked.answers)
    asked.answers[A].set_result(Failed(SILENT.link, reason))
    await asking
    assert (cache.counts.asked, cache.counts.failed, cache.counts.under_way) == (0, 0, 0)


async def test_closing_ends_what_is_under_way():
    """No task is left, and who waits is not left waiting."""
    cache = RobotsCache(Asked())
    waiting = asyncio.create_task(cache.learn(A))
    await until(lambda: cache.counts.under_way)
    await cache.close()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert cache.counts.under_way == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}
