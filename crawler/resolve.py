"""Names to addresses: c-ares without threads, and no answer that the address rules forbid.

One forbidden answer among good ones refuses the name. Whoever controls a name's DNS could otherwise mix
an internal address in and wait until the good one fails to connect.

Asked once per name: aiohttp's connector shares a question under way and caches the answer.
"""

import asyncio
import socket
from collections.abc import Sequence

import aiodns
import pycares
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import AsyncResolver

from crawler.address import AddressRules

# a machine's search domains would turn a dead name into several more questions, or into somebody's wildcard
_FLAGS = pycares.ARES_FLAG_EDNS | pycares.ARES_FLAG_NOSEARCH


class ForbiddenAddress(OSError):
    """An address that the rules forbid; the message names it and says why."""


class NoSuchHost(OSError):
    """The DNS knows no such name (NXDOMAIN)."""


class LookupFailed(OSError):
    """The DNS gave no usable answer, this time."""


class GuardedResolver(AbstractResolver):
    """Resolve through the system's name servers, or through `nameservers` ("10.0.0.2", "10.0.0.2:5353")."""

    def __init__(self, rules: AddressRules, timeout: float, nameservers: Sequence[str] | None = None) -> None:
        """Bound each lookup to `timeout` seconds. Needs a running event loop."""
        self._rules = rules
        self._timeout = timeout
        self._inner = AsyncResolver(
            nameservers=nameservers, flags=_FLAGS, timeout=max(0.1, timeout / 3), tries=2
        )

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """All addresses of `host`. Raises ForbiddenAddress, NoSuchHost or LookupFailed, all OSError."""
        found = await self._lookup(host, port, family)
        for answer in found:
            if why := self._rules.forbidden(answer["host"]):
                raise ForbiddenAddress(why)
        return found

    async def close(self) -> None:
        """Drop the lookups under way."""
        await self._inner.close()

    async def _lookup(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._inner.resolve(host, port, family)
        except TimeoutError as error:
            raise LookupFailed(f"no answer in {self._timeout:g} s") from error
        except OSError as error:
            # aiohttp keeps only the text; the code is in the aiodns error below it
            code = getattr(error.__cause__, "args", (None,))[0]
            failure = NoSuchHost if code == aiodns.error.ARES_ENOTFOUND else LookupFailed
            raise failure(str(error.args[-1])) from error
