"""Names to addresses: c-ares without threads of ours, and no answer that the address rules forbid.

One forbidden answer among good ones refuses the name. Whoever controls a name's DNS could otherwise mix
an internal address in and wait until the good one fails to connect.

A name is asked for once at a time, however many links wait for it; whoever gives up waiting does not stop
the question. What came of it is kept (`crawler.lookups`), failures too, and judged again at each use.

c-ares keeps a cache of its own that has no bound (3.6 KB a name, for up to an hour) and no switch, so a
channel is replaced after so many questions. It has one socket, where answers wait while the event loop is busy
with handshakes; a socket of the usual size holds those of a hundred names and drops the rest. So there are
several channels, with larger ones. Where c-ares finds no name server at all, and the user has named
none, the system's resolver is asked instead, in threads: it knows what resolv.conf does not (mDNS, NSS).
"""

import asyncio
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import aiodns
import pycares
from aiohttp.abc import AbstractResolver, ResolveResult

from crawler.address import AddressRules
from crawler.lookups import Answer, AnswerCache, LookupCounts

# a machine's search domains would turn a dead name into several more questions, or into somebody's wildcard
_FLAGS = pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_NOSEARCH
_KEPT = 65_536  # names: some 30 MB
_CHANNELS = 4
_CHANNEL_QUESTIONS = 1_250  # after which a c-ares' cache is dropped, at 4.5 MB
_RECEIVE_BYTES = (
    1 << 20
)  # of a socket; the kernel gives less where net.core.rmem_max says so, 277 names at least
_THREADS = 32  # of the system's resolver
_FIRST = 200  # look-ups after which the name servers are judged, once...
_ENOUGH = 0.8  # ...by the share that got any answer


class ForbiddenAddress(OSError):
    """An address that the rules forbid; the message names it and says why."""


class NoSuchHost(OSError):
    """The DNS knows no such name (NXDOMAIN)."""


class LookupFailed(OSError):
    """The DNS gave no usable answer, this time."""


class GuardedResolver(AbstractResolver):
    """Resolve through the system's name servers, or through `nameservers` ("10.0.0.2", "10.0.0.2:5353").

    `counts` tells how it goes; `note` is told, once, when the name servers do not keep up.
    """

    def __init__(
        self,
        rules: AddressRules,
        timeout: float,
        nameservers: Sequence[str] = (),
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Bound each look-up to `timeout` seconds. Needs a running event loop."""
        self.counts = LookupCounts()
        self._rules, self._timeout, self._note = rules, timeout, note
        self._cache = AnswerCache(_KEPT)
        self._asking: dict[str, asyncio.Task[Answer]] = {}
        self._servers = _NameServers(timeout, nameservers)
        self._system = None if nameservers else ThreadPoolExecutor(_THREADS, "getaddrinfo")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host`. Raises ForbiddenAddress, NoSuchHost or LookupFailed, all OSError."""
        name = host.lower().removesuffix(".")
        answer = self._cache.get(name, time.monotonic()) or await self._shared(name)
        if answer.error:  # a new exception each time: a kept one would gather tracebacks
            raise (NoSuchHost if answer.missing else LookupFailed)(answer.error)
        for address in answer.addresses:
            if why := self._rules.forbidden(address):
                raise ForbiddenAddress(why)
        return [_result(host, port, address) for address in answer.addresses]

    async def close(self) -> None:
        """Drop the look-ups under way."""
        asking = list(self._asking.values())
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        await self._servers.close()
        if self._system is not None:
            self._system.shutdown(wait=False, cancel_futures=True)

    async def _shared(self, host: str) -> Answer:
        """The answer to one question, shared by all who ask it at the same time."""
        task = self._asking.get(host)
        if task is None:
            task = self._asking[host] = asyncio.create_task(self._look_up(host))
            self.counts.under_way += 1
        self.counts.waiting += 1
        try:
            return await asyncio.shield(task)
        finally:
            self.counts.waiting -= 1

    async def _look_up(self, host: str) -> Answer:
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._ask(host)
        except TimeoutError:
            answer = Answer(error=f"no answer in {self._timeout:g} s")
        finally:
            del self._asking[host]
            self.counts.under_way -= 1
        now = time.monotonic()
        self._cache.put(host, answer, now)
        self.counts.count(answer, now - began)
        if self.counts.ended == _FIRST and self.counts.failed > (1 - _ENOUGH) * _FIRST:
            self._note(
                f"Of the first {_FIRST} names looked up, {self.counts.failed} got no answer from "
                f"{' or '.join(self._servers.addresses)}. If that goes on: name faster ones with --resolver, "
                "run a caching resolver on this machine, or lower --concurrency."
            )
        return answer

    async def _ask(self, host: str) -> Answer:
        try:
            return await self._servers.ask(host)
        except aiodns.error.DNSError as error:
            code, text = error.args[0], str(error.args[-1])
        if code == aiodns.error.ARES_ECONNREFUSED and self._system is not None:
            return await asyncio.get_running_loop().run_in_executor(self._system, _ask_system, host)
        return Answer(error=text, missing=code == aiodns.error.ARES_ENOTFOUND)


@dataclass(slots=True, eq=False)
class _Channel:
    """One c-ares with its cache."""

    resolver: aiodns.DNSResolver
    asked: int = 0
    pending: int = 0


class _NameServers:
    """Asks name servers through c-ares, whose cache is kept small by replacing it."""

    def __init__(self, timeout: float, addresses: Sequence[str]) -> None:
        self._addresses = list(addresses) or None
        # two tries, the second for twice as long: together they just fit into the time limit
        self._first_try = max(0.1, timeout / 3)
        self._channels = deque(self._open() for _ in range(_CHANNELS))

    @property
    def addresses(self) -> Sequence[str]:
        """The name servers in use."""
        return self._addresses or self._channels[0].resolver.nameservers

    async def ask(self, host: str) -> Answer:
        """A name's addresses. Raises DNSError with c-ares' code."""
        self._channels.rotate()
        if self._channels[0].asked >= _CHANNEL_QUESTIONS:
            full, self._channels[0] = self._channels[0], self._open()
            if not full.pending:
                await full.resolver.close()
        channel = self._channels[0]
        channel.asked += 1
        channel.pending += 1
        try:
            # both families: an address that must not be reached may hide in either
            found = await channel.resolver.getaddrinfo(host, type=socket.SOCK_STREAM)
        finally:
            channel.pending -= 1
            if channel not in self._channels and not channel.pending:
                await channel.resolver.close()
        addresses = tuple(node.addr[0].decode("ascii") for node in found.nodes)
        if not addresses:
            raise aiodns.error.DNSError(aiodns.error.ARES_ENODATA, "no address")
        return Answer(
            addresses, float(min([node.ttl for node in found.nodes] + [name.ttl for name in found.cnames]))
        )

    async def close(self) -> None:
        """Drop what is under way."""
        for channel in self._channels:
            await channel.resolver.close()

    def _open(self) -> _Channel:
        return _Channel(
            aiodns.DNSResolver(
                self._addresses,
                flags=_FLAGS,
                timeout=self._first_try,
                tries=2,
                socket_receive_buffer_size=_RECEIVE_BYTES,
            )
        )


def _ask_system(host: str) -> Answer:
    """As the system itself would; runs in a thread."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:  # gaierror is one
        return Answer(error=str(error.args[-1]), missing=error.errno == socket.EAI_NONAME)
    return Answer(tuple(str(address[0]) for *_, address in found))


def _result(host: str, port: int, address: str) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=flags)
