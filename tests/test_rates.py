"""Rates over a sliding window, an honest ETA, and the bottleneck in words."""

import pytest

from crawler.lookups import LookupCounts
from crawler.rates import BASIS, WINDOW, Gauge, bottleneck
from crawler.snapshot import Queue
from tests.snapshots import a_snapshot


def gauge_of(*moments):
    """A gauge that has seen snapshots of (seconds, decided_now)."""
    gauge = Gauge()
    for seconds, decided in moments:
        gauge.add(a_snapshot(seconds=seconds, decided_now=decided, pending=1000))
    return gauge


def test_rates_are_those_of_the_window():
    """A slow start long ago does not drag the rate of now down."""
    gauge = gauge_of((0.0, 0), *((100.0 + i, 10 * i) for i in range(61)))
    assert gauge.rates().urls == pytest.approx(10.0)
    assert gauge.rates().eta == pytest.approx(100.0)


def test_memory_of_the_gauge_does_not_grow():
    """Moments older than the window are forgotten, but for one before it."""
    gauge = gauge_of(*((i / 4, i) for i in range(4000)))
    assert len(gauge._seen) <= WINDOW * 4 + 2


@pytest.mark.parametrize("moments", [(), ((0.0, 0),), ((0.0, 0), (BASIS - 0.1, 50))])
def test_no_rate_without_a_basis(moments):
    """Before five seconds have been seen, neither a rate nor an ETA is claimed."""
    rates = gauge_of(*moments).rates()
    assert (rates.urls, rates.images, rates.eta) == (None, None, None)


def test_no_eta_when_nothing_moves():
    """Nothing decided in the window: the rate is 0 and the ETA unknown, not infinite."""
    rates = gauge_of((0.0, 7), (20.0, 7)).rates()
    assert (rates.urls, rates.eta) == (0.0, None)


def test_no_eta_for_what_waits():
    """When only retries are left that wait for their time, the pace so far tells nothing."""
    gauge = Gauge()
    gauge.add(a_snapshot(seconds=0.0, decided_now=0))
    gauge.add(a_snapshot(pending=3, waiting=3))
    assert gauge.rates().urls == pytest.approx(40.0)
    assert gauge.rates().eta is None


FULL = {"in_flight": 500}
LIMITS = [
    pytest.param({"loop_busy": 0.97}, "requests: moving them keeps one core 97% busy", id="loop"),
    pytest.param({"writer_busy": 0.95}, "disk: the writer is 95% busy", id="disk"),
    pytest.param({"workers_busy": 0.97}, "decoding: 2 workers are 97% busy", id="decoding"),
    pytest.param(
        {"workers_busy": 0.97, "writer_busy": 0.92}, "disk: the writer is 92% busy", id="disk-is-later"
    ),
    pytest.param(
        {"leased": 1020 << 20}, "memory: bodies wait for --memory (1020.0 MiB of 1.0 GiB in use)", id="memory"
    ),
    pytest.param(
        {"limited_by_host": "slow.example"}, "host slow.example is at its bound (--per-host)", id="host"
    ),
    pytest.param(
        {"limited_by_host": "a\x1b[2Jb"}, r"host a\x1b[2Jb is at its bound (--per-host)", id="hostile-host"
    ),
    pytest.param(FULL, "network: all 500 requests are in flight, raise --concurrency", id="network"),
    pytest.param(FULL | {"workers_busy": 0.9}, "decoding: 2 workers are 90% busy", id="decoding-is-later"),
    pytest.param(
        {"in_flight": 0, "waiting": 600}, "retries: all 600 links left wait for their time", id="retries"
    ),
    pytest.param({"reading": True, "pending": 80}, "list: reading is slower than fetching", id="list"),
    pytest.param(
        {"queues": (Queue("links", 1, 9), Queue("bodies", 9, 9))},
        "the stage after bodies: its queue is full",
        id="queue",
    ),
    pytest.param(
        {"queues": (Queue("links", 9, 9),)}, "nothing: every stage has room", id="full-links-are-well"
    ),
    pytest.param(
        {"lookups": LookupCounts(under_way=200, waiting=260), "limited_by_host": "a.example"},
        "names: 260 requests wait for name servers (--resolver)",
        id="names",
    ),
    pytest.param({}, "nothing: every stage has room", id="nothing"),
]


NAMES = {"lookups": LookupCounts(waiting=500)}


@pytest.mark.parametrize(("changes", "words"), LIMITS)
def test_the_bottleneck_is_named(changes, words):
    """Each stage that can limit a crawl is named, the last full one first, with its flag."""
    before = a_snapshot(seconds=0.0, attempts_now=0, **changes)
    assert bottleneck(before, a_snapshot(**changes)) == words


@pytest.mark.parametrize("changes", [FULL, {"leased": 1 << 30}, {"reading": True, "pending": 0}, NAMES])
def test_a_moment_is_no_bottleneck(changes):
    """What was not so five seconds ago is not called a limit yet."""
    before = a_snapshot(attempts_now=0, pending=6000)
    assert bottleneck(before, a_snapshot(**changes)) == "nothing: every stage has room"


def test_silence_is_told():
    """Requests under way and none ended since: the network does not answer."""
    assert bottleneck(a_snapshot(seconds=1.0), a_snapshot(seconds=9.0)) == "network: no answer for 8 s"
