"""A crawl in a process of its own: `python -m tests.crawling_alone OUT LISTS_AND_SETTINGS_AS_JSON`.

Its workers import this module, too: it has nothing to import itself.
"""

import asyncio
import json
import signal
import sys


def main() -> int:
    """Crawl as the arguments say; the exit code the command would have."""
    from curator.flags import leave_out_pandas
    from curator.pool import prepare

    lists, given = json.loads(sys.argv[2])
    leave_out_pandas()
    if not given.get("no_decode"):
        prepare(["curator.measure"])
    import uvloop

    from crawler.pipeline import Crawled, crawl
    from curator.errors import CurateError

    stop = asyncio.Event()

    async def stoppable() -> Crawled:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
        return await crawl(lists, sys.argv[1], stop=stop, **given)

    try:
        return 0 if uvloop.run(stoppable()).finished else 130
    except CurateError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
