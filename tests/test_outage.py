"""Outages: a dead network charges nobody, a dead host is charged as soon as anybody else answers."""

import pytest

from crawler.failing import FailureShare
from crawler.outage import Fate, Network, is_answer, is_doubtful
from crawler.records import Failed, Link
from curator.reasons import Reason


def failure(host: str = "dead", reason: Reason = Reason.CONNECT, status: int = 0) -> Failed:
    """A failed attempt at that host."""
    return Failed(Link(b"", 1, f"http://{host}/", host), reason, http_status=status)


def network(*good: str) -> Network:
    """A network on which these hosts have answered at second 0. Silence of 20 s is an outage."""
    made = Network(20.0)
    for host in good:
        made.answered(host, f"http://{host}/", 0.0, 0.0)
    return made


def resumed() -> Network:
    """A network at the start of a run, with a host that was good in an earlier one."""
    return Network(20.0, [("a", "http://a/1")])


def test_failures_stand_where_nobody_was_good_yet():
    """Nothing tells a dead network from a dead list then."""
    net = network()
    assert net.failed(failure(), 0.0, 5.0) is Fate.STANDS
    assert net.look(20.0) == []
    assert not net.down


def test_a_run_that_goes_on_may_begin_in_an_outage():
    """Good hosts of earlier runs are asked; silence is an outage, in which one exchange a beat may begin."""
    net = resumed()
    assert net.failed(failure(), 0.0, 5.0) is Fate.HELD
    assert net.wants_probe(6.0, alone=False)
    assert list(net.candidates()) == [("a", "http://a/1")]
    net.unanswered(6.0)
    assert net.lets_begin(19.0)
    assert len(net.look(20.0)) == 1
    assert net.patient_until == 300.0
    assert [net.lets_begin(second) for second in (20.0, 20.5, 21.0)] == [True, False, True]
    assert net.failed(failure(), 21.0, 22.0) is Fate.UNCOUNTED
    net.answered("b", "http://b/", 22.0, 23.0)
    assert (net.down, net.patient_until) == (False, 0.0)
    assert net.failed(failure(), 24.0, 25.0) is Fate.HELD


def test_hosts_that_were_good_once_may_be_dead():
    """After five minutes of nothing failures stand, until somebody answers after all."""
    net = resumed()
    net.failed(failure(), 0.0, 5.0)
    net.unanswered(6.0)
    net.look(20.0)
    net.look(299.9)
    assert net.down
    net.look(300.0)
    assert net.lets_begin(300.0)
    assert net.failed(failure(), 300.0, 301.0) is Fate.STANDS
    net.answered("a", "http://a/", 301.0, 302.0)
    assert net.failed(failure(), 302.0, 303.0) is Fate.HELD


def test_a_name_that_does_not_exist_shows_that_the_network_works():
    """Unless somebody has answered: then what a name server may have kept shows nothing."""
    net, known = resumed(), network("a")
    for one in (net, known):
        one.failed(failure(), 0.0, 5.0)
    assert (len(net.named(6.0)), known.named(6.0)) == (1, [])
    assert net.failed(failure(), 6.0, 7.0) is Fate.STANDS
    assert known.failed(failure(), 6.0, 7.0) is Fate.HELD


def test_a_failure_counts_once_somebody_asked_later_has_answered():
    """An answer to what was asked before the failure proves nothing; one asked after it does."""
    net = network("a")
    assert net.failed(failure(), 0.0, 5.0) is Fate.HELD
    assert net.answered("a", "http://a/", 4.9, 5.5) == []
    assert net.held == 1
    assert [held.failed.link.host for held in net.answered("a", "http://a/", 5.0, 5.6)] == ["dead"]
    assert net.held == 0


def test_silence_is_an_outage_and_gives_back():
    """After 20 s with failures held, and a probe in vain, all of them go back, and so does what fails next."""
    net = network("a")
    for second in range(3):
        net.failed(failure(), 0.0, 1.0 + second)
    assert net.look(30.0) == []  # nobody was asked yet
    net.unanswered(5.0)
    assert net.look(19.9) == []
    assert len(net.look(20.0)) == 3
    assert net.down
    assert net.silent_since == 0.0
    assert net.failed(failure(), 10.0, 21.0) is Fate.UNCOUNTED
    assert net.answered("a", "http://a/", 60.0, 61.0) == []
    assert not net.down
    # begun before the end of it: the outage may have done that
    assert net.failed(failure(), 59.0, 64.0) is Fate.UNCOUNTED
    assert net.failed(failure(), 61.0, 64.0) is Fate.HELD


def test_an_old_probe_makes_no_outage():
    """An answer since then shows that the network worked."""
    net = network("a")
    net.failed(failure(), 0.0, 1.0)
    net.unanswered(2.0)
    net.answered("b", "http://b/", 0.5, 3.0)
    net.unanswered(2.5)
    assert net.look(100.0) == []


def test_idle_time_is_no_silence():
    """Silence counts from when somebody was asked."""
    net = network("a")
    net.began(100.0, alone=True)
    net.failed(failure(), 100.0, 101.0)
    net.began(102.0, alone=True)  # with a failure held, silence goes on
    net.unanswered(102.0)
    assert net.look(119.9) == []
    assert net.look(120.0)


def test_good_hosts_are_asked_in_turn():
    """Probes begin a beat after a failure or when nothing else is under way, a beat apart, each host in turn."""
    net = network("a", "b", "c")
    assert not net.wants_probe(100.0, alone=True)
    net.failed(failure(), 4.0, 5.0)
    assert not net.wants_probe(5.5, alone=False)
    assert net.wants_probe(5.5, alone=True)
    assert net.wants_probe(6.0, alone=False)
    asked = []
    for second in range(6, 12):
        host, url = next(net.candidates())
        assert url == f"http://{host}/"
        net.probed(host, float(second))
        assert not net.wants_probe(second + 0.9, alone=True)
        asked.append(host)
    assert asked == ["c", "b", "a"] * 2


@pytest.mark.parametrize(
    ("reason", "status", "doubtful", "answer"),
    [
        (Reason.CONNECT, 0, True, False),
        (Reason.DNS, 0, True, False),
        (Reason.STALLED, 200, True, False),
        (Reason.TRUNCATED, 200, True, False),
        (Reason.TIMEOUT, 0, True, False),
        (Reason.TIMEOUT, 408, False, True),
        (Reason.HTTP_404, 404, False, True),
        (Reason.HTTP_5XX, 500, False, True),
        (Reason.BAD_URL, 0, False, False),
        (Reason.NO_SUCH_HOST, 0, False, False),
    ],
)
def test_what_a_dead_network_gives(reason, status, doubtful, answer):
    """Failures that a dead network gives are doubtful; any status otherwise is an answer."""
    failed = failure(reason=reason, status=status)
    assert (is_doubtful(failed), is_answer(failed)) == (doubtful, answer)


def test_a_run_of_failures_is_too_much():
    """98 of the last 100; 0 never stops."""
    share, never = FailureShare(0.98, window=100), FailureShare(0.0, window=100)
    verdicts = [Reason.SAVED] * 3 + [Reason.TIMEOUT] * 97
    assert not any(share.add(reason, "a") for reason in verdicts)
    assert share.add(Reason.CONNECT, "a")
    assert not any(never.add(Reason.CONNECT, "a") for _ in range(500))


def test_hosts_given_up_are_failures_each_for_a_hundredth():
    """One dead host with many links says nothing of the others; a hundred say all."""
    share = FailureShare(0.98, window=200)
    assert not any(share.add(Reason.HOST_DOWN, "dead") for _ in range(1000))
    ends = [share.add(Reason.HOST_DOWN, f"h{n % 150}") for n in range(300)]
    assert ends.index(True) == 197
    assert not any(share.add(Reason.SAVED, "a") for _ in range(200))
    assert share._given_up == {}


def test_too_much_is_told_before_the_window_is_full_never():
    """A crawl that begins with failures is not stopped before as many verdicts as the window holds."""
    share = FailureShare(1.0, window=100)
    assert [share.add(Reason.DNS, "a") for _ in range(100)] == [False] * 99 + [True]


def test_nothing_waits_for_a_beat_where_probes_are_answered():
    """Failures that are all that is left of a crawl are judged at once, where the last probe was answered."""
    net = network("a", "b")
    net.failed(failure(), 4.0, 5.0)
    net.probed("a", 5.5)
    assert not net.wants_probe(5.7, alone=True)  # no answer yet
    net.answered("a", "http://a/", 5.5, 5.7)
    assert not net.held
    net.failed(failure(), 4.0, 5.8)
    assert not net.wants_probe(5.9, alone=False)
    assert net.wants_probe(5.9, alone=True)


def test_the_silence_of_a_good_host_is_a_probe_in_vain():
    """Where links take every slot no probe finds one: a link that a good host left unanswered will do."""
    net = network("a")
    net.failed(failure("a", Reason.STALLED), 1.0, 11.0)
    assert len(net.look(20.0)) == 1
    assert net.down
