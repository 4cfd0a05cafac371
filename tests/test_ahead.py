"""How far fetching runs ahead: by the workers' pace, and never because of hosts that bring nothing."""

from crawler.ahead import Ahead

WORKERS = 2


def measured(pace: float, latency: float = 0.0, now: float = 0.0) -> Ahead:
    """After long enough with workers that measure `pace` images a second and bodies that take so long."""
    ahead = Ahead(WORKERS)
    for n in range(1000):
        ahead.began(b"%d" % n, now)
        ahead.ended(b"%d" % n, latency, body=True)
        ahead.measured(10, WORKERS * 10 / pace)
    return ahead


def fill(ahead: Ahead, now: float, held: int = 0) -> int:
    """Begin all that may begin at once; how many."""
    count = 0
    while not ahead.enough(held, now):
        ahead.began(b"filled %d %f" % (count, now), now)
        count += 1
        assert count < 100_000
    return count


def test_wanted_is_a_part_of_a_second_of_the_workers():
    """Workers that are ten times as fast get ten times as many bodies; some wait even for slow ones."""
    slow, fast = measured(pace=100), measured(pace=1000)
    assert 20 < slow.wanted < 60
    assert 200 < fast.wanted < 350
    assert measured(pace=0.1).wanted >= 2 * WORKERS


def test_what_was_costly_is_forgotten():
    """After a stretch of huge images two seconds of a worker's time tell what the small ones after it need."""
    ahead = Ahead(1)
    for _ in range(60):
        ahead.measured(1, 4.0)
    assert ahead.wanted < 8
    for _ in range(40):
        ahead.measured(10, 0.05)
    assert ahead.wanted > 4 + 0.5 * 200 * 0.25


def test_what_takes_longer_is_fetched_earlier():
    """Where a body takes a second there are as many on their way as workers need in two."""
    assert 200 < measured(pace=100, latency=1.0).wanted < 260


def test_bodies_that_wait_and_bodies_on_their_way_count_alike():
    """With half of what is wanted at hand, the other half may begin, and no more."""
    ahead = measured(pace=1000, latency=0.1)
    half = int(ahead.wanted / 2)
    begun = fill(ahead, now=5.0, held=half)
    assert abs(begun + half - ahead.wanted) <= 1
    ahead.ended(b"filled 0 5.000000", 0.1, body=True)
    assert ahead.enough(half + 1, 5.0)
    assert not ahead.enough(half - 1, 5.0)


def test_what_does_not_come_in_time_is_not_waited_for():
    """Exchanges older than bodies usually are do not count: dead hosts hold back nobody else's images."""
    ahead = measured(pace=1000, latency=0.1)
    first = fill(ahead, now=5.0)
    assert fill(ahead, now=5.09) == 0
    assert ahead.ages_at is not None
    assert 5.0 < ahead.ages_at < 5.11
    assert fill(ahead, now=5.11) == first


def test_exchanges_that_bring_nothing_are_not_bodies():
    """After a long row of 404s any number may begin: none of them is expected to bring a body."""
    ahead = measured(pace=100)
    for n in range(2000):
        ahead.began(b"gone %d" % n, 5.0)
        ahead.ended(b"gone %d" % n, 0.01, body=False)
    for n in range(500):
        assert not ahead.enough(0, 5.0)
        ahead.began(b"next %d" % n, 5.0)


def test_nothing_expected_ages():
    """Without an exchange under way there is no time at which to look again."""
    ahead = measured(pace=100)
    assert ahead.ages_at is None
