"""Requests over kept connections. What comes of whole exchanges is in test_fetch.py."""

from types import SimpleNamespace

import aiohttp
import pytest

from crawler.urls import prepare
from crawler.wire import Wire


class Closed(list):
    """A protocol without a connection: it holds no answer, either."""

    transport = None


class Gone:
    """A pool whose connections are closed by their servers before anything is written."""

    def __init__(self):
        self.opened = self.closed = 0

    async def connect(self, request, traces, timeout):
        """One more."""
        self.opened += 1
        return SimpleNamespace(protocol=Closed(), close=self.close)

    def close(self):
        """One of them."""
        self.closed += 1


async def test_a_connection_that_is_gone_at_once_is_tried_once_more():
    """Then it is an error of the network as any other, and nothing is left open."""
    pool = Gone()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await Wire(pool, (), aiohttp.ClientTimeout()).get(prepare("http://example.com/a"))
    assert (pool.opened, pool.closed) == (2, 2)
