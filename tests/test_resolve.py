"""Looking names up at a real name server: asked once, kept, bounded in time, and never believed too much."""

import asyncio
import socket
import subprocess
import sys
import time
from dataclasses import replace

import aiodns
import pytest

from crawler import resolve
from crawler.address import AddressRules
from crawler.lookups import LookupCounts
from crawler.resolve import ForbiddenAddress, GuardedResolver, LookupFailed, NoSuchHost
from tests.fetching import LOOPBACK
from tests.names import NXDOMAIN, REFUSED, SERVFAIL, SILENT, Names

RULES = AddressRules(LOOPBACK)


async def resolved(resolver, name):
    """The addresses of a name, or the error's type."""
    try:
        return [one["host"] for one in await resolver.resolve(name, 80)]
    except OSError as error:
        return type(error)


async def ask(answers, *names, times=1, rules=RULES, timeout=5.0, **given):
    """Resolve all `names` at once, `times` times one after the other; results, questions and counts."""
    with Names(answers) as server:
        resolver = GuardedResolver(rules, timeout, [server.address], **given)
        try:
            for _ in range(times):
                found = await asyncio.gather(*(resolved(resolver, name) for name in names))
        finally:
            await resolver.close()
        return found, server.asked, resolver.counts


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        pytest.param(["127.0.0.1"], ["127.0.0.1"], id="one"),
        pytest.param("other.example", ["127.0.0.9"], id="an alias"),
        pytest.param(["127.0.0.1", "10.0.0.1"], ForbiddenAddress, id="one bad among good"),
        pytest.param(["127.0.0.1", "::1"], ForbiddenAddress, id="a bad one of the other family"),
        pytest.param(NXDOMAIN, NoSuchHost, id="no such name"),
        pytest.param([], LookupFailed, id="a name without addresses"),
        pytest.param(SERVFAIL, LookupFailed, id="a broken zone"),
        pytest.param(REFUSED, LookupFailed, id="a server that refuses"),
        pytest.param(SILENT, LookupFailed, id="no answer"),
    ],
)
async def test_every_answer_has_its_error(answer, result):
    """Only a name that does not exist is missing for good."""
    names, patience = {"a.example": answer, "other.example": ["127.0.0.9"]}, 0.4 if answer == SILENT else 20.0
    found, _, _ = await ask(names, "a.example", timeout=patience)
    assert found == [result]


@pytest.mark.parametrize("answer", [["127.0.0.1"], NXDOMAIN, SERVFAIL])
async def test_a_name_is_asked_for_once(answer):
    """By however many at a time, and afterwards not again: failures are kept, too."""
    found, asked, counts = await ask({"a.example": answer}, *["a.example"] * 50, times=2)
    assert len(set(map(str, found))) == 1
    assert asked.count("a.example") in (2, 3, 4)  # A and AAAA; a broken zone twice
    assert (counts.ended, counts.under_way, counts.waiting) == (1, 0, 0)


async def test_who_gives_up_waiting_stops_nobody(monkeypatch):
    """A cancelled link's question is answered all the same, for those who wait for it too."""
    with Names({"a.example": ["127.0.0.1"]}) as server:
        resolver = GuardedResolver(RULES, 5.0, [server.address])
        first = asyncio.create_task(resolved(resolver, "a.example"))
        second = asyncio.create_task(resolved(resolver, "a.example"))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == ["127.0.0.1"]
        await resolver.close()
    assert first.cancelled()


async def test_a_look_up_has_its_time_limit():
    """A silent name server costs the time limit, and the counts say so."""
    found, _, counts = await ask({"a.example": SILENT}, "a.example", timeout=0.2)
    assert found == [LookupFailed]
    assert replace(counts, seconds=0.0) == LookupCounts(failed=1)
    assert counts.seconds >= 0.19


async def test_closing_drops_what_is_under_way():
    """Look-ups that nobody answers do not hold up the end, and leave no task."""
    with Names({"a.example": SILENT}) as server:
        resolver = GuardedResolver(RULES, 60.0, [server.address])
        waiting = asyncio.create_task(resolved(resolver, "a.example"))
        await asyncio.sleep(0)
        await resolver.close()
        await asyncio.wait([waiting])
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_full_channel_is_replaced_and_loses_no_question(monkeypatch):
    """c-ares' own cache is dropped after so many names; what it was just asking is answered."""
    opened = []

    class Counted(aiodns.DNSResolver):
        def __init__(self, *given, **more):
            super().__init__(*given, **more)
            opened.append(self)

    monkeypatch.setattr(aiodns, "DNSResolver", Counted)
    monkeypatch.setattr(resolve, "_CHANNEL_QUESTIONS", 10)
    names = {f"{n}.example": [f"127.0.1.{n}"] for n in range(100)}
    found, _, _ = await ask(names, *names)
    assert found == list(names.values())
    assert len(opened) == 3 * resolve._CHANNELS
    assert all(one._closed for one in opened)


async def test_many_names_at_once():
    """Names of their own are asked for as fast as they come, and none is lost.

    They are no more than fit the socket of a name server that a busy machine does not let read.
    """
    names = {f"h{n}.example": ["127.0.0.1"] for n in range(200)}
    found, _, counts = await ask(names, *names, timeout=60.0)
    assert found == [["127.0.0.1"]] * 200
    assert counts.found == 200


SERVER = """
from tests.names import Names
with Names({f"h{n}.example": ["127.0.0.1"] for n in range(1_000)}) as server:
    print(server.address, flush=True)
    input()
    print(len(server.asked))
"""


def keep_busy():
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        pass


async def test_answers_wait_while_the_event_loop_is_busy():
    """They are not dropped where nobody has time for them for a second, as in many handshakes at once."""
    server = subprocess.Popen(  # noqa: ASYNC220 - nothing else goes on here
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    resolver = GuardedResolver(RULES, 60.0, [server.stdout.readline().strip()])
    asyncio.get_running_loop().call_later(0.05, keep_busy)  # all are asked for by then
    await asyncio.gather(*(resolver.resolve(f"h{n}.example", 80) for n in range(1_000)))
    await resolver.close()
    asked, _ = server.communicate("\n")
    # for either family, and some once more where the server is slow; of answers that are dropped nearly all
    assert int(asked) < 3 * 1_000


@pytest.mark.parametrize(("answer", "told"), [(SERVFAIL, 1), (NXDOMAIN, 0)])
async def test_name_servers_that_do_not_keep_up_are_told_once(answer, told):
    """After the first names, if many got no answer; dead links are not the name server's fault."""
    notes = []
    names = {f"h{n}.example": answer for n in range(resolve._FIRST + 50)}
    await ask(names, *names, note=notes.append)
    assert len(notes) == told
    assert all("--resolver" in note and "127.0.0.1" in note for note in notes)


@pytest.fixture
def nobody(monkeypatch):
    """c-ares finds no name server; nothing listens where it looks."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"

    class Lost(aiodns.DNSResolver):
        def __init__(self, nameservers, **more):
            super().__init__([address], **more)

    monkeypatch.setattr(aiodns, "DNSResolver", Lost)
    return address


async def test_the_system_is_asked_where_there_is_no_name_server(nobody, monkeypatch):
    """Its answers are judged like any other, and a name it does not know is missing."""
    known = {"a.example": ["127.0.0.1"], "bad.example": ["127.0.0.1", "10.0.0.1"]}

    def getaddrinfo(host, *_, **__):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, 0)) for one in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = GuardedResolver(RULES, 5.0)
    got = [await resolved(resolver, name) for name in ("a.example", "bad.example", "gone.example")]
    await resolver.close()
    assert got == [["127.0.0.1"], ForbiddenAddress, NoSuchHost]


async def test_the_system_is_not_asked_past_a_chosen_name_server(nobody, monkeypatch):
    """--resolver means that one and no other."""
    monkeypatch.setattr(socket, "getaddrinfo", pytest.fail)
    resolver = GuardedResolver(RULES, 5.0, [nobody])
    assert await resolved(resolver, "a.example") is LookupFailed
    await resolver.close()
