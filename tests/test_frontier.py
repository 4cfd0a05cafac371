"""The frontier: bounds kept, hosts served in turn, nothing remembered for nothing."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawler.frontier import Frontier
from crawler.records import Link


def link(host: str, row: int = 0) -> Link:
    """A link of that host."""
    return Link(b"", row, f"http://{host}/{row}", host)


def test_hosts_are_served_in_turn():
    """A host with many links does not delay one that has few."""
    frontier = Frontier(per_host=0)
    for host in ("big", "big", "big", "big", "small", "other"):
        frontier.offer(link(host))
    taken = [frontier.take() for _ in range(6)]
    assert [one.host for one in taken] == ["big", "small", "other", "big", "big", "big"]
    assert frontier.take() is None


def test_a_host_holds_its_share_and_no_more():
    """At `share` times its bound, ready or in flight, further links of a host stay in the ledger."""
    frontier = Frontier(per_host=2, share=4)
    assert [frontier.offer(link("a", row)) for row in range(9)] == [True] * 8 + [False]
    frontier.take()
    assert not frontier.offer(link("a"))
    frontier.release("a")
    assert frontier.offer(link("a"))
    assert frontier.held("a") == 8


def test_a_released_slot_is_used_again():
    """At its bound a host waits; when an attempt ends its next link is served, in order."""
    frontier = Frontier(per_host=1)
    for row in (1, 2):
        frontier.offer(link("a", row))
    assert frontier.take() == link("a", 1)
    assert frontier.take() is None
    frontier.release("a")
    assert frontier.take() == link("a", 2)


def test_the_host_that_limits_the_run_is_named():
    """Only while bounds alone keep everything ready waiting, and then the one with most links."""
    frontier = Frontier(per_host=1)
    for host in ("a", "b", "b", "b", "a"):
        frontier.offer(link(host))
    assert frontier.limited_by_host is None
    frontier.take()
    assert frontier.limited_by_host is None
    frontier.take()
    assert frontier.limited_by_host == "b"
    frontier.release("a")
    assert frontier.limited_by_host is None


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 2**32))
def test_no_host_starves(sizes, bound, seed):
    """A host with a ready link and a free slot is passed over at most once by each other host."""
    dice, frontier = random.Random(seed), Frontier(bound, share=6)
    ready = {f"h{number}": size for number, size in enumerate(sizes)}
    for host, size in ready.items():
        assert all(frontier.offer(link(host, row)) for row in range(size))
    passed: Counter[str] = Counter()  # times a host was passed over while it could have been served
    flying: list[str] = []
    while frontier.ready:
        if flying and (frontier.limited_by_host or dice.random() < 0.4):
            frontier.release(flying.pop(dice.randrange(len(flying))))
            continue
        taken = frontier.take()
        for host in ready:
            if ready[host] and flying.count(host) < bound:
                passed[host] += 1
        assert max(passed.values()) <= len(sizes)
        ready[taken.host] -= 1
        passed[taken.host] = 0
        flying.append(taken.host)


class Schedule(RuleBasedStateMachine):
    """Any order of offers, takes and releases."""

    bound, share = 2, 3

    def __init__(self):
        super().__init__()
        self.frontier = Frontier(self.bound, self.share)
        self.ready: Counter[str] = Counter()
        self.flying: Counter[str] = Counter()

    @rule(host=st.sampled_from("abcd"))
    def offer(self, host):
        """Taken in while the host has room."""
        room = self.ready[host] + self.flying[host] < self.bound * self.share
        assert self.frontier.offer(link(host)) == room
        self.ready[host] += room

    @rule()
    def take(self):
        """Served exactly when some host can be."""
        able = [host for host in self.ready if self.ready[host] and self.flying[host] < self.bound]
        taken = self.frontier.take()
        assert (taken is not None) == bool(able)
        if taken:
            assert taken.host in able
            self.ready[taken.host] -= 1
            self.flying[taken.host] += 1

    @precondition(lambda self: self.flying.total())
    @rule(data=st.data())
    def release(self, data):
        """Any attempt may end."""
        host = data.draw(st.sampled_from(sorted(+self.flying)))
        self.frontier.release(host)
        self.flying[host] -= 1

    @invariant()
    def counts_hold(self):
        """Counts are true, and a host with nothing is forgotten."""
        assert (self.frontier.ready, self.frontier.in_flight) == (self.ready.total(), self.flying.total())
        able = [host for host in self.ready if self.ready[host] and self.flying[host] < self.bound]
        assert self.frontier.open_hosts == len(able)
        assert set(self.frontier._hosts) == set(+self.ready) | set(+self.flying)


TestSchedule = Schedule.TestCase
