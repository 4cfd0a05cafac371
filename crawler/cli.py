"""The `crawl` command: a skin over `crawler.pipeline.crawl`.

Exit codes: 0 finished, 1 our own bug, 2 usage, 4 disk; resumable: 3 nearly all failed, 130 interrupted.
Modules that do the work are imported inside the commands, since worker processes import this one too.
"""

import gc
import os
import sys
import threading
from contextlib import closing, suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, cast

import click
from click_default_group import DefaultGroup

from crawler.settings import Settings
from curator.encoding import FORMATS, RESIZE_MODES
from curator.errors import Interrupted
from curator.flags import Names, Setting, Size, added, ended, importing

DEFAULTS = {field.name: field.default for field in fields(Settings)}
setting = Setting(DEFAULTS)
# what this module imports, for workers to share: each of them imports it as its main module
_OURS = ("click_default_group", "crawler.settings", "curator.flags")


class Commands(DefaultGroup):  # type: ignore[misc] # the library ships no types
    """`crawl LIST...` is the default command; its flags are in the help of `crawl` itself."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's forms."""
        formatter.write_usage("crawl", "LIST... --out DATA [OPTIONS]")
        formatter.write_usage("crawl", "DATA [OPTIONS]", prefix="       ")
        formatter.write_usage("crawl", "status DATA | demo", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags of the default command, then the other commands."""
        run.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


_SETTINGS = [
    setting("concurrency", "Requests under way at a time."),
    setting("per_host", "Requests at a time to one host; 0 lifts the bound for a host that is yours."),
    setting("delay", "Seconds between two requests to one host, at least."),
    setting("max_wait", "Seconds to wait at most where a host asks for it (Retry-After)."),
    setting(
        "stop_if_failing",
        "Stop when this share of the last 2,000 verdicts are failures that may pass; 0: never.",
    ),
    setting("attempts", "Attempts per URL in one run; only failures that may pass are tried again."),
    setting("memory", "Memory for bodies on their way to the disk.", Size()),
    setting("connect_timeout", "Seconds to connect."),
    setting("stall_timeout", "Seconds without a byte."),
    setting("timeout", "Seconds for one whole exchange, redirects included."),
    setting("user_agent", "Who we say we are."),
    setting(
        "header", "'Name: value' sent to listed hosts, never on to another. Repeatable.", str, multiple=True
    ),
    setting("insecure", "Accept any TLS certificate."),
    setting("ca_file", "PEM file of certificate authorities to trust beside the system's."),
    setting(
        "allow_net",
        "Network that may be reached though private, e.g. 10.1.0.0/16. Repeatable.",
        str,
        multiple=True,
    ),
    setting(
        "resolver",
        "Name servers to ask instead of the system's: ADDRESS[:PORT], separated by commas.",
        Names(),
    ),
    setting(
        "opt_outs",
        "robots.txt, X-Robots-Tag and tdm-reservation: honour or ignore.",
        click.Choice(["honour", "ignore"]),
    ),
    setting(
        "no_decode",
        "Store images without decoding them: `curate` measures later. --decode ends it.",
        off="--decode",
    ),
    setting("workers", "Processes that decode and measure.  [default: one a core]"),
    setting("decode_timeout", "Seconds one image may take to decode."),
    setting("worker_memory", "Memory one image may take to decode.", Size()),
    setting("max_pixels", "Pixels of the largest image taken. Fixed."),
    setting("max_bytes", "Bytes of the largest body taken. Fixed.", Size()),
    setting("full_decode", "Hash the full picture, not a reduced one: slower. Fixed."),
    setting("min_side", "Drop images with a side under N pixels. Fixed.  [default: keep all]"),
    setting(
        "max_aspect", "Drop images whose longer side is over R times the shorter. Fixed.  [default: keep all]"
    ),
    setting(
        "dedup",
        "Drop repeated images: none, bytes or phash. Fixed.",
        click.Choice(["none", "bytes", "phash"]),
    ),
    setting("radius", "Bits in which hashes of near duplicates may differ. Fixed."),
    setting("resize", "Resize to N pixels a side. Fixed.  [default: keep the size]"),
    setting("resize_mode", "How, in img2dataset's words. Fixed.", click.Choice(RESIZE_MODES)),
    setting("encode", "Encode anew; --resize alone makes jpg. Fixed.", click.Choice(FORMATS)),
    setting("quality", "Of jpg and webp, 1 to 100. Fixed."),
    setting("shard_size", "Images in a shard. Fixed."),
    setting("shard_bytes", "Bytes in a shard, whichever comes first. Fixed.", Size()),
    setting("url_col", "Column of the URL.  [default: guessed]"),
    setting("caption_col", "Column of the caption.  [default: guessed]"),
    setting("drop_columns", "Columns not to carry, separated by commas.", Names()),
    setting("input_format", "Format of lists whose name does not tell: txt, csv, tsv, jsonl."),
    setting("min_free", "Stop when less of the disk than this is free.", Size()),
    setting("retry", "What a new run tries again: transient, none, all, or Reasons separated by commas."),
    setting("limit", "Crawl a uniform sample of N URLs of the whole list, and forecast the rest."),
]


@click.group(cls=Commands, default="run", context_settings={"max_content_width": 110})
@click.version_option(package_name="crawl-curate")
def commands() -> None:
    """Turn a list of image URLs into a durable dataset. Killed at any moment, it continues where it stopped.

    LIST is a .txt, .csv, .tsv, .jsonl (all also .gz) or .parquet file, a folder of them, or - for standard
    input. `crawl DATA` continues a dataset with the settings stored in it.
    """


_group = cast("click.Group", commands)  # typed, as DefaultGroup is not


@_group.command(hidden=True)
@click.argument("paths", nargs=-1, required=True, metavar="LIST...")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the dataset; made where there is none."
)
@partial(added, _SETTINGS)
@click.option(
    "--ledger", type=click.Path(path_type=Path), help="Keep the ledger at this path, on a local disk."
)
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.option("--json", "as_json", is_flag=True, help="Print progress and the report as JSON lines.")
def run(
    paths: tuple[str, ...], out: Path | None, ledger: Path | None, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Crawl lists into a dataset, or continue one."""
    from curator.pool import prepare

    no_decode = given["no_decode"]
    if not (_stored_no_decode(out or Path(paths[0])) if no_decode is None else no_decode):
        prepare(["curator.measure", *_OURS])  # it imports beside us: what follows takes half a second
    # Arrow's usual allocator takes twice as much to seal a shard, and keeps it
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with importing():
        from rich.console import Console

        from crawler.command import Terminal, run_crawl

    named = {name: value for name, value in given.items() if value is not None and value != ()}
    terminal = Terminal(Console(highlight=False), quiet, as_json)
    sys.exit(run_crawl(paths, out, ledger, terminal, named))


def _stored_no_decode(data: Path) -> bool:
    """Whether a crawl of `data` decodes nothing unless told to; read without the imports that opening it takes."""
    ledger = data / "ledger.sqlite"
    if not os.path.isfile(ledger):  # noqa: PTH113 - a list may have a name that no path can have
        return False
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True)) as db:
            found = db.execute("SELECT value ->> 'no_decode' FROM meta WHERE key = 'settings'").fetchone()
    except sqlite3.Error:  # whatever is wrong with it is told when it is opened
        return False
    return bool(found and found[0])


@_group.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--by", type=click.Choice(["reason", "host", "http_status"]), help="Show only this view.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(data: Path, by: Any, as_json: bool) -> None:
    """What became of every URL so far, what failed where, and whether a retry is worth it."""
    from crawler.command import show_status

    sys.exit(show_status(data, by, as_json=as_json))


@_group.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("demo-data"), show_default=True)
def demo(out: Path) -> None:
    """Crawl a small site on this machine, verify the dataset, and explain what happened."""
    from crawler.demo.tour import run_demo

    sys.exit(run_demo(out))


def main() -> None:
    """The console script."""
    try:
        code = ended("crawl", commands)
    except (click.Abort, KeyboardInterrupt):  # before there was anything to drain
        code = Interrupted.exit_code
    _leave(code)


def _leave(code: int | str | None) -> NoReturn:
    """Exit, also past a thread that waits for a pipe which says nothing: Python would wait for its lock."""
    if any(thread.name == "feed" for thread in threading.enumerate()):  # see crawler.feed
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)
    gc.freeze()  # else Python looks for cycles in all that was imported as it ends: a tenth of a second
    sys.exit(code)


if __name__ == "__main__":
    main()
