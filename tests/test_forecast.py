"""What a sample tells of the whole list."""

from crawler.forecast import HostClock, forecast


def test_a_host_is_timed_while_anything_is_under_way():
    """Requests at the same time count once; time between requests does not count."""
    clock = HostClock()
    clock.begin("a", 0.0)
    clock.begin("a", 1.0)
    clock.begin("b", 1.0)
    clock.end("a", 2.0)
    clock.end("a", 5.0)
    clock.end("b", 1.5)
    clock.begin("a", 10.0)
    clock.end("a", 11.0)
    assert clock.seconds == {"a": 6.0, "b": 0.5}


def test_hosts_that_take_no_time_are_not_among_the_slowest():
    """Nor is the missing host of malformed URLs: what is told is scaled to the whole list, slowest first."""
    hosts = {"": 9.0, "quick": 0.04, "slow": 0.2, "slower": 3.0}
    expected = forecast(
        links=100, saved=5, decided=10, stored_bytes=0, received_bytes=0, seconds=4.0, hosts=hosts
    )
    assert expected.slowest == (("slower", 30.0), ("slow", 2.0))
