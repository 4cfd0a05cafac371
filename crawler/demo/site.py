"""The demo's web site, as a process of its own: `python -m crawler.demo.site --port 0`.

It prints one line of JSON, the base URL of each of its hosts, and serves until its standard input ends:
that happens when the parent closes the pipe and also when the parent is killed, so no site is left behind.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NoReturn

from aiohttp import web

from crawler.demo import pictures
from crawler.demo.plan import seed_of

# other loopback addresses need no set-up on Linux only
HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3") if sys.platform == "linux" else ("127.0.0.1",)
SLOW = 1.0  # seconds
ROBOTS = "User-agent: *\nDisallow: /private/\n"
PAGE = b"<!DOCTYPE html><html><title>Not here any more</title><p>Nothing to see.</html>"

Handler = Callable[[int], Awaitable[web.StreamResponse]]


class Site:
    """Answers every path of the plan."""

    def __init__(self) -> None:
        self._refused: set[int] = set()  # busy links that had their one 503
        self._lots: dict[str, Handler] = {
            "picture": self._picture,
            "copy": self._copy,
            "near": self._near,
            "slow": self._slow,
            "moved": self._moved,
            "moving": self._moving,
            "arrived": self._arrived,
            "busy": self._busy,
            "tiny": self._tiny,
            "corrupt": self._corrupt,
            "page": self._page,
            "broken": self._broken,
            "loop": self._loop,
            "private": partial(self._picture, lot="private"),
            "noai": self._noai,
            "reserved": self._reserved,
        }

    def app(self) -> web.Application:
        """The site as an application to be served."""
        app = web.Application()
        app.router.add_get("/robots.txt", self._robots)
        app.router.add_get(r"/{lot}/{index:\d+}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        handler = self._lots.get(request.match_info["lot"])
        if handler is None:
            raise web.HTTPNotFound
        return await handler(int(request.match_info["index"]))

    async def _robots(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text=ROBOTS)

    async def _picture(self, index: int, lot: str = "picture") -> web.StreamResponse:
        body, content_type = pictures.original(seed_of(lot, index))
        return web.Response(body=body, content_type=content_type)

    async def _copy(self, index: int) -> web.StreamResponse:
        return await self._picture(index, "copy")

    async def _near(self, index: int) -> web.StreamResponse:
        return _jpeg(pictures.near_copy(seed_of("near", index)))

    async def _slow(self, index: int) -> web.StreamResponse:
        await asyncio.sleep(SLOW)
        return await self._picture(index, "slow")

    async def _moved(self, index: int) -> NoReturn:
        raise web.HTTPMovedPermanently(f"/moving/{index}")

    async def _moving(self, index: int) -> NoReturn:
        raise web.HTTPFound(f"/arrived/{index}")

    async def _arrived(self, index: int) -> web.StreamResponse:
        return await self._picture(index, "moved")

    async def _busy(self, index: int) -> web.StreamResponse:
        if index not in self._refused:
            self._refused.add(index)
            raise web.HTTPServiceUnavailable(headers={"Retry-After": "1"})
        return await self._picture(index, "busy")

    async def _tiny(self, index: int) -> web.StreamResponse:
        return _jpeg(pictures.thumbnail(seed_of("tiny", index)))

    async def _corrupt(self, index: int) -> web.StreamResponse:
        return _jpeg(pictures.corrupt(seed_of("corrupt", index)))

    async def _page(self, _: int) -> web.StreamResponse:
        return _jpeg(PAGE)

    async def _broken(self, _: int) -> NoReturn:
        raise web.HTTPInternalServerError

    async def _loop(self, index: int) -> NoReturn:
        raise web.HTTPFound(f"/loop/{index}")

    async def _noai(self, index: int) -> web.StreamResponse:
        response = await self._picture(index, "noai")
        response.headers["X-Robots-Tag"] = "noai, noimageai"
        return response

    async def _reserved(self, index: int) -> web.StreamResponse:
        response = await self._picture(index, "reserved")
        response.headers["tdm-reservation"] = "1"
        return response


def _jpeg(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="image/jpeg")


async def serve(port: int) -> None:
    """Serve on every host, at `port` or at a free one (0), until standard input ends."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), ended.set)  # nobody writes: readable is closed
    runner = web.AppRunner(Site().app(), access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        for host in HOSTS:
            await web.TCPSite(runner, host, port).start()
            port = runner.addresses[0][1]  # one port for all: whoever knows it can have the same URLs again
        bases = [f"http://{host}:{bound}" for host, bound in runner.addresses]
        sys.stdout.write(f"{json.dumps(bases)}\n")
        sys.stdout.flush()
        await ended.wait()
    finally:
        await runner.cleanup()


def main() -> None:
    """Run the site."""
    parser = argparse.ArgumentParser(description="The web site that `crawl demo` crawls.")
    parser.add_argument("--port", type=int, default=0, help="port on every host; 0: any free one")
    try:
        asyncio.run(serve(parser.parse_args().port))
    except OSError as error:  # somebody else has the port
        sys.exit(f"The demo's site does not start: {error}")


if __name__ == "__main__":
    main()
