"""A small web site on this machine, full of what the web is full of, for a first crawl without a network."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from crawler.demo.plan import write_list

ALLOW_NET = "127.0.0.0/8"  # what a crawl of the site has to be allowed with --allow-net
_PATIENCE = 5.0  # seconds for the site to end by itself


@dataclass(frozen=True, slots=True)
class DemoSite:
    """The site while it runs."""

    bases: tuple[str, ...]  # "http://127.0.0.1:40123", one a host
    urls: Path  # the list to crawl: CSV with url and caption, gone when the site ends
    pid: int


@contextmanager
def start_site(port: int = 0) -> Iterator[DemoSite]:
    """Run the site in a process of its own; it ends with this context, and with us however we end.

    Raises RuntimeError when it does not come up; its standard error is ours.
    """
    # our own module by our own interpreter, in a session of its own: Ctrl-C is for the crawl, which still
    # drains while the site answers
    command = [sys.executable, "-m", "crawler.demo.site", "--port", str(port)]
    with (
        tempfile.TemporaryDirectory(prefix="crawl-demo-") as folder,
        subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the demo site did not start (exit code {process.wait()})")
            bases = tuple(json.loads(line))
            urls = Path(folder) / "urls.csv"
            write_list(urls, bases)
            yield DemoSite(bases, urls, process.pid)
        finally:
            process.stdin.close()
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
