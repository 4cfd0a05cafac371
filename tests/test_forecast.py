"""What a sample tells of the whole list."""

from crawler.forecast import HostClock


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
