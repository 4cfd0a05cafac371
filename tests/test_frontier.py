"""The frontier: bounds kept, hosts served in turn and when their time has come, nothing remembered for nothing."""

import random
from collections import Counter, defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from crawler.frontier import Frontier
from crawler.pace import Manners, Outcome
from crawler.records import Link, Way


def link(host: str, row: int = 0) -> Link:
    """A link of that host."""
    return Link(b"", row, f"http://{host}/{row}", host)


def led(one: Link, host: str) -> Link:
    """That link after a redirect to another host."""
    return one._replace(host=host, way=Way(f"http://{host}/", one.home, 1, 30.0, 30.0))


def frontier_of(*hosts: str, per_host: int = 1, **more: float) -> Frontier:
    """A frontier with one link for each name."""
    made = Frontier(Manners(per_host, **more))
    for row, host in enumerate(hosts):
        assert made.offer(link(host, row), 0.0)
    return made


def hosts(frontier: Frontier, now: float = 0.0) -> list[str]:
    """The hosts of all links that can be taken now."""
    taken = []
    while (one := frontier.take(now)) is not None:
        taken.append(one.host)
    return taken


def test_hosts_are_served_in_turn():
    """A host with many links does not delay one that has few."""
    frontier = frontier_of("big", "big", "big", "big", "small", "other", per_host=0)
    assert hosts(frontier) == ["big", "small", "other", "big", "big", "big"]


def test_a_host_holds_its_share_and_no_more():
    """At four times its bound, ready or in flight, further links of a host stay in the ledger."""
    frontier = Frontier(Manners(2))
    assert [frontier.offer(link("a", row), 0.0) for row in range(9)] == [True] * 8 + [False]
    frontier.take(0.0)
    assert not frontier.offer(link("a"), 0.0)
    frontier.release("a", 0.0)
    assert frontier.offer(link("a"), 0.0)
    assert frontier.held("a") == 8


def test_a_lifted_bound_leaves_room_for_others():
    """Without a bound of its own a host holds what memory allows one host."""
    frontier = Frontier(Manners(0), most=3)
    assert [frontier.offer(link("a", row), 0.0) for row in range(4)] == [True] * 3 + [False]


def test_a_released_slot_is_used_again():
    """At its bound a host waits; when an attempt ends its next link is served, in order."""
    frontier = frontier_of("a", "a")
    assert frontier.take(0.0) == link("a", 0)
    assert frontier.take(0.0) is None
    frontier.release("a", 0.0)
    assert frontier.take(0.0) == link("a", 1)


def test_a_wait_moves_the_line_and_nobody_elses():
    """A host that asked for ten seconds is served after ten seconds, the others at once."""
    frontier = frontier_of("a", "a", "b")
    frontier.take(0.0)
    frontier.ended("a", Outcome.PUSHED, 0.0, 1.0, asked=10.0)
    frontier.release("a", 1.0)
    assert hosts(frontier, 1.0) == ["b"]
    assert frontier.wakes_at == 11.0
    assert hosts(frontier, 10.9) == []
    assert hosts(frontier, 11.0) == ["a"]


def test_a_wait_is_remembered_without_links():
    """A host that has nothing left when it asks for a wait is not asked early when it has again."""
    frontier = frontier_of("a")
    frontier.take(0.0)
    frontier.ended("a", Outcome.PUSHED, 0.0, 1.0, asked=10.0)
    frontier.release("a", 1.0)
    frontier.offer(link("a"), 2.0)
    assert hosts(frontier, 2.0) == []
    assert hosts(frontier, 11.0) == ["a"]


def test_a_delay_lies_between_starts():
    """With --delay a host gets one request in that time, however many slots it has."""
    frontier = frontier_of("a", "a", "b", per_host=4, delay=3.0)
    assert [hosts(frontier, now) for now in (0.0, 2.9, 3.0)] == [["a", "b"], [], ["a"]]


def test_a_dead_host_gives_up_what_it_holds():
    """With the failure that makes it dead come its ready links; a trial is let in when its time has come."""
    frontier = frontier_of(*["a"] * 10, per_host=8)
    dropped = None
    for now in (0.0, 10.0, 20.0, 40.0):
        assert frontier.take(now) is not None
        dropped = frontier.ended("a", Outcome.LOST, now, now + 1)
        frontier.release("a", now + 1)
    assert [one.row for one in dropped or []] == [4, 5, 6, 7, 8, 9]
    assert frontier.ready == 0
    assert frontier.given_up("a", 70.9)
    assert not frontier.given_up("a", 71.0)
    assert [frontier.offer(link("a"), 71.0) for _ in range(2)] == [True, False]
    assert not frontier.given_up("b", 0.0)


def test_what_limits_the_run_is_named():
    """Only while hosts alone keep everything ready waiting, and then the one with most links, and how."""
    frontier = frontier_of("a", "b", "b", "b", "a")
    assert frontier.limited_by_host(0.0) is None
    frontier.take(0.0)
    assert frontier.limited_by_host(0.0) is None
    frontier.take(0.0)
    assert frontier.limited_by_host(0.0) == ("b", "is at its bound (--per-host)")
    frontier.ended("b", Outcome.PUSHED, 0.0, 0.0, asked=10.0)
    assert frontier.limited_by_host(1.0) == ("b", "is waited for, 9 s more")


def test_a_slot_can_be_borrowed():
    """A request that is no link's counts like one, and comes when its host may be asked only."""
    frontier = frontier_of("a")
    assert frontier.borrow("a", 0.0)
    assert not frontier.borrow("a", 0.0)
    assert frontier.take(0.0) is None
    assert frontier.in_flight == 1
    frontier.release("a", 0.0)
    assert hosts(frontier) == ["a"]


def test_redirects_wait_for_their_turn_first_in_line():
    """Where a redirect leads it waits for slot, wait and gap like any link there, before those listed, in order."""
    frontier = frontier_of("b", "b", "a", "a", per_host=1, delay=3.0)
    taken = [frontier.take(0.0), frontier.take(0.0)]
    assert frontier.follow(led(taken[1], "b"), 1.0)
    frontier.release("a", 1.0)
    assert frontier.follow(led(link("c", 9), "b"), 1.0)
    assert frontier.take(2.0) is None
    frontier.ended("b", Outcome.PUSHED, 0.0, 2.0, asked=10.0)
    frontier.release("b", 2.0)
    assert hosts(frontier, 11.9) == []
    assert [one.home for one in (frontier.take(12.0), frontier.take(12.0)) if one] == ["a"]
    frontier.release("b", 13.0)
    assert frontier.take(15.0).home == "c"
    frontier.release("b", 16.0)
    assert frontier.take(18.0).home == "b"


def test_a_redirector_is_asked_as_fast_as_its_target_takes():
    """Links that are away fill its slots, but not those of a link that is led there: nobody waits in a circle."""
    frontier = frontier_of("a", "a", "a", "b", "b", "b", per_host=1)
    from_a, from_b = frontier.take(0.0), frontier.take(0.0)
    assert (from_a.host, from_b.host) == ("a", "b")
    for one, to in ((from_a, "b"), (from_b, "a")):
        assert frontier.follow(led(one, to), 1.0)
        frontier.release(one.host, 1.0)
    crossed = [frontier.take(1.0), frontier.take(1.0)]
    assert {(one.home, one.host) for one in crossed} == {("a", "b"), ("b", "a")}
    assert frontier.take(1.0) is None
    first, last = crossed
    frontier.release(first.host, 2.0)
    assert frontier.take(2.0) is None  # the other one is away still
    frontier.came_home(first, 2.0)
    frontier.release(last.host, 2.0)
    frontier.came_home(last, 2.0)
    assert sorted(hosts(frontier, 2.0)) == ["a", "b"]


def test_failures_that_do_not_count_yet_take_slots():
    """However long it takes to know whether a network is down, a dead host gets no more requests than at once."""
    frontier = frontier_of("a", "a", "a", per_host=2)
    for _ in range(2):
        frontier.take(0.0)
        frontier.hold("a")
        frontier.release("a", 0.0)
    assert frontier.take(1.0) is None
    assert frontier.borrow("a", 1.0)  # a probe may find out
    frontier.release("a", 2.0)
    frontier.let_go("a", 2.0)
    assert frontier.take(2.0) is not None


def test_one_target_leaves_room_for_others():
    """One host's line holds half of what may wait at most, the next one half of the rest."""
    frontier = Frontier(Manners(), moved=8)
    accepted = [frontier.follow(led(link(f"{to}{n}"), to), 0.0) for to in "xyz" for n in range(9)]
    assert [sum(accepted[n : n + 9]) for n in (0, 9, 18)] == [4, 2, 1]
    assert len(frontier.drop_moved(1.0)) == 7
    assert (frontier.ready, frontier.take(1.0), frontier._hosts) == (0, None, {})


def test_a_host_is_known_for_its_one_link_until_another_comes():
    """Listed or led there from elsewhere; a redirect within the host brings no other, and rest forgets none."""
    frontier = frontier_of("a", "b", "c")
    for name in "abc":
        taken = frontier.take(0.0)
        assert taken is not None
        if name == "b":
            assert frontier.follow(led(link("z"), "b"), 0.0)
        if name == "c":
            assert frontier.follow(led(taken, "c"), 0.0)
    assert [frontier.has_one(name) for name in "abc"] == [True, False, True]
    frontier.release("a", 0.0)
    assert not frontier.has_one("a")
    assert frontier.offer(link("a", 1), 0.0)
    assert not frontier.has_one("a")


def test_the_longest_at_rest_are_forgotten():
    """Of hosts without links the last few are remembered, with what they bear."""
    frontier = Frontier(Manners(), remembered=2)
    for name in "abc":
        for row in range(4):
            frontier.offer(link(name, row), 0.0)
        for _ in range(4):
            frontier.take(0.0)
            frontier.ended(name, Outcome.GOOD, 0.0, 1.0)
        for _ in range(4):
            frontier.release(name, 1.0)
    assert list(frontier._resting) == ["b", "c"]
    assert not frontier._hosts
    for row in range(20):
        frontier.offer(link("c", row), 2.0)
    assert len(hosts(frontier, 2.0)) == 7


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(1, 3), st.integers(0, 2**32))
def test_no_host_starves(sizes, bound, seed):
    """A host with a ready link, a free slot and no wait is passed over at most once by each other host."""
    dice, frontier = random.Random(seed), Frontier(Manners(bound), share=6)
    ready = {f"h{number}": size for number, size in enumerate(sizes)}
    for host, size in ready.items():
        assert all(frontier.offer(link(host, row), 0.0) for row in range(size))
    passed: Counter[str] = Counter()  # times a host was passed over while it could have been served
    flying: list[str] = []
    now = 0.0

    def able(host: str) -> bool:
        pace = frontier._hosts[host].pace if host in frontier._hosts else None
        return bool(ready[host] and pace and flying.count(host) < pace.slots and pace.free_at <= now)

    while frontier.ready:
        now += dice.random()
        taken = None if dice.random() < 0.4 else frontier.take(now)
        if taken is None:
            if flying:
                name = flying.pop(dice.randrange(len(flying)))
                outcome = dice.choice([Outcome.GOOD, Outcome.ODD, Outcome.PUSHED])
                frontier.ended(name, outcome, now - 1, now, dice.choice([None, 0.5]))
                frontier.release(name, now)
                passed = Counter({host: times for host, times in passed.items() if able(host)})
            continue
        for host in ready:
            passed[host] = passed[host] + 1 if able(host) else 0
        assert max(passed.values()) <= len(sizes)
        ready[taken.host] -= 1
        passed[taken.host] = 0
        flying.append(taken.host)


class Schedule(RuleBasedStateMachine):
    """Any order of offers, takes and ends, while time passes."""

    bound, share, delay, max_wait = 5, 3, 0.25, 50.0

    def __init__(self):
        super().__init__()
        manners = Manners(self.bound, self.delay, self.max_wait, backoff=1.0)
        self.frontier = Frontier(manners, self.share, remembered=2, moved=6)
        self.now = 0.0
        self.ready: Counter[str] = Counter()
        self.flying: dict[str, list[tuple[float, Link]]] = defaultdict(list)  # when each began
        self.away: Counter[str] = Counter()  # links that redirects led to another host
        self.not_before: dict[str, float] = {}  # what a host asked for
        self.last_start: dict[str, float] = {}

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.3, 3.0, 60.0]))
    def pass_time(self, seconds):
        """Time passes."""
        self.now += seconds

    @rule(host=st.sampled_from("abcd"))
    def offer(self, host):
        """Taken in while the host has room, and never beyond its share."""
        if self.frontier.given_up(host, self.now):
            return
        held = self.ready[host] + len(self.flying[host]) + self.away[host]
        accepted = self.frontier.offer(link(host), self.now)
        if held >= self.bound * self.share:
            assert not accepted
        if not held:
            assert accepted
        self.ready[host] += accepted

    @rule()
    def take(self):
        """A bound, a wait and a gap hold for whoever is served."""
        taken = self.frontier.take(self.now)
        if taken is None:
            return
        host = taken.host
        assert self.ready[host]
        assert len(self.flying[host]) < self.bound
        assert self.now >= self.not_before.get(host, 0.0)
        assert self.now >= self.last_start.get(host, -1.0) + self.delay
        assert not self.frontier.given_up(host, self.now)
        self.ready[host] -= 1
        if taken.way is None:
            assert len(self.flying[host]) + self.away[host] < self.bound
        self.flying[host].append((self.now, taken))
        self.last_start[host] = self.now

    @precondition(lambda self: any(self.flying.values()))
    @rule(data=st.data(), outcome=st.sampled_from(Outcome), asked=st.sampled_from([None, 0.0, 7.0, 1e9]))
    def end(self, data, outcome, asked):
        """Any attempt may end, in any way."""
        host = data.draw(st.sampled_from(sorted(host for host, began in self.flying.items() if began)))
        began, one = self.flying[host].pop(0)
        dropped = self.frontier.ended(host, outcome, began, self.now, asked)
        if dropped is not None:
            assert len(dropped) == self.ready[host]
            self.ready[host] = 0
            self.away.subtract(other.home for other in dropped if other.home != host)
        if outcome is Outcome.PUSHED and asked:
            wait = self.now + min(asked, self.max_wait)
            self.not_before[host] = max(self.not_before.get(host, 0.0), wait)
        self.leave(one)

    def leave(self, one):
        """A request is over."""
        self.frontier.release(one.host, self.now)
        self.frontier.came_home(one, self.now)
        self.away[one.home] -= one.home != one.host

    @precondition(lambda self: any(self.flying.values()))
    @rule(data=st.data(), to=st.sampled_from("abcd"))
    def redirect(self, data, to):
        """Any attempt may be led on, to its own host, too."""
        host = data.draw(st.sampled_from(sorted(host for host, began in self.flying.items() if began)))
        _, one = self.flying[host].pop(0)
        self.leave(one)
        if self.frontier.follow(led(one, to), self.now):
            self.ready[to] += 1
            self.away[one.home] += one.home != to

    @rule()
    def stop(self):
        """What waits where it was led to is let go of."""
        for one in self.frontier.drop_moved(self.now):
            self.ready[one.host] -= 1
            self.away[one.home] -= one.home != one.host

    @rule()
    def serve_all(self):
        """Nobody starves: once enough time has passed, whatever is ready is served."""
        self.now += 10_000.0
        while self.frontier.ready:
            before = self.frontier.ready
            self.take()
            if self.frontier.ready == before:  # slots are taken
                host = next(host for host, began in self.flying.items() if began)
                _, one = self.flying[host].pop(0)
                self.frontier.ended(host, Outcome.GOOD, self.now, self.now)
                self.leave(one)
            self.now += self.delay

    @invariant()
    def counts_hold(self):
        """Counts are true, and of hosts with nothing only a few are remembered."""
        flying = {host: len(began) for host, began in self.flying.items() if began}
        assert (self.frontier.ready, self.frontier.in_flight) == (self.ready.total(), sum(flying.values()))
        assert set(self.frontier._hosts) >= set(+self.ready) | set(flying) | set(+self.away)
        assert {name: host.away for name, host in self.frontier._hosts.items() if host.away} == +self.away
        assert len(self.frontier._resting) <= 2


Schedule.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestSchedule = Schedule.TestCase
