"""The `curate` command: a skin over `curator.pipeline.curate`, export and verify.

Exit codes: 0 all well, 1 our own bug or a dataset that does not verify, 2 usage, 4 disk, 130 interrupted.
Modules that do the work are imported inside the commands, since worker processes import this one too.
"""

import json
import sys
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any, cast

import click
from click_default_group import DefaultGroup

from curator.encoding import FORMATS, RESIZE_MODES, Encoding
from curator.errors import Interrupted, UsageError
from curator.flags import Setting, Size, added, ended
from curator.settings import ExportSettings, Settings, parse_split
from curator.units import counted

_PATH = click.Path(path_type=Path)
_FORMS = ("webdataset", "folder", "parquet")

DEFAULTS = {field.name: field.default for field in fields(Settings)}
setting = Setting(DEFAULTS)
exported = Setting({field.name: field.default for field in fields(ExportSettings)})


class Commands(DefaultGroup):  # type: ignore[misc] # the library ships no types
    """`curate DATA...` is the default command; its flags are in the help of `curate` itself."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's forms."""
        formatter.write_usage("curate", "DATA... [--out DIR] [OPTIONS]")
        formatter.write_usage("curate", "export CURATED --out DIR | verify DATA", prefix="       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags of the default command, then the other commands."""
        run.format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


_WORK = [
    ("workers", "Processes that decode.  [default: one a core]", None),
    ("decode_timeout", "Seconds one image may take to decode.", None),
    ("worker_memory", "Memory one image may take to decode.", Size()),
    ("max_pixels", "Pixels of the largest image decoded.", None),
]
_SETTINGS = [
    setting("min_side", "Drop images with a side under N pixels; 0 keeps all."),
    setting("max_aspect", "Drop images whose longer side is over R times the shorter.  [default: keep all]"),
    setting(
        "where", "Keep only images for which this SQL condition holds (DuckDB, over measures and columns)."
    ),
    setting(
        "dedup",
        "Drop repeated images: none, bytes or phash (near copies, too).",
        click.Choice(["none", "bytes", "phash"]),
    ),
    setting("radius", "Bits in which hashes of near copies may differ."),
    setting("mirrored", "Copies mirrored left to right are copies, too."),
    setting(
        "keep",
        "Of copies keep that with the most of this column, or with -COLUMN the least.  [default: most pixels]",
    ),
    setting("placeholder_from", "Drop what N URLs of one host gave byte for byte; 0 keeps it."),
    setting("against", "Drop what this dataset or folder has, too. Repeatable.", _PATH, multiple=True),
    setting("since", "Earlier decisions, whose survivors stay survivors.", _PATH),
    setting(
        "pairs", "pairs.csv from a report: what a person said of pairs. Repeatable.", _PATH, multiple=True
    ),
    *(setting(*one) for one in _WORK),
    setting("max_bytes", "Bytes of the largest file measured.", Size()),
    setting(
        "full_decode", "Hash the full picture, not a reduced one: slower. Where nothing is recorded yet."
    ),
]
_ENCODING = Encoding()
ENCODING = [
    click.option("--resize", type=int, help="Resize to N pixels a side.  [default: keep the size]"),
    click.option(
        "--resize-mode",
        type=click.Choice(RESIZE_MODES),
        help=f"How, in img2dataset's words.  [default: {_ENCODING.mode}]",
    ),
    click.option("--encode", type=click.Choice(FORMATS), help="Encode anew; --resize alone makes jpg."),
    click.option("--quality", type=int, help=f"Of jpg and webp, 1 to 100.  [default: {_ENCODING.quality}]"),
]
_EXPORT = [
    click.option(
        "--as",
        "form",
        type=click.Choice(_FORMS),
        default=None,
        help="Form of the export.  [default: webdataset]",
    ),
    *ENCODING,
    click.option("--shuffle", type=int, default=None, help="Shuffle with this seed."),
    click.option(
        "--split", default=None, help="Part it, such as train=98,val=2; copies are never on both sides."
    ),
    exported("shard_size", "Images in a shard."),
    exported("shard_bytes", "Bytes in a shard, whichever comes first.", Size()),
]
# what an encoding is called on the command line, and here
_ENCODED = {"resize": "side", "resize_mode": "mode", "encode": "format", "quality": "quality"}
_EXPORTING = ("form", *_ENCODED, "shuffle", "split", "shard_size", "shard_bytes")
_PRINTING = [
    click.option("--quiet", is_flag=True, help="Print errors only."),
    click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON."),
]


@click.group(cls=Commands, default="run", context_settings={"max_content_width": 110})
@click.version_option(package_name="crawl-curate")
def commands() -> None:
    """Decide which images are worth training on, say why, and write them out.

    DATA is a dataset made by crawl, a folder of images, .tar shards or img2dataset output; several at once.
    The decisions and a report go to DATA/curated, or to the folder named with --out. Inputs are never changed.
    """


_group = cast("click.Group", commands)  # typed, as DefaultGroup is not


@_group.command(hidden=True)
@click.argument("paths", nargs=-1, required=True, metavar="DATA...", type=_PATH)
@click.option(
    "--out", type=_PATH, help="Folder of the decisions.  [default: DATA/curated of the one dataset]"
)
@partial(added, _SETTINGS)
@click.option("--export", type=_PATH, help="Write the kept images to this folder, too.")
@partial(added, _EXPORT)
@partial(added, _PRINTING)
def run(
    paths: tuple[Path, ...], out: Path | None, export: Path | None, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Decide which images to keep, and write the decisions and a report."""
    from curator.pool import prepare

    prepare(["curator.measure", "curator.report.small"])  # it imports beside us
    from curator.simd import import_numpy

    import_numpy()
    from rich.console import Console

    from curator.command import Terminal, run_curate

    exporting = _export_settings(given)
    if export is None and (asked := [name for name in _EXPORTING if given[name] is not None]):
        flag = "as" if asked[0] == "form" else asked[0].replace("_", "-")
        raise click.UsageError(f"--{flag} is for an export: name its folder with --export DIR.")
    settings = Settings(
        **{name: value for name, value in given.items() if name in DEFAULTS and value is not None}
    )
    if settings.dedup != "phash" and not settings.pairs:  # which radius and mirrors are held against
        for name in ("radius", "mirrored"):
            if given[name] is not None:
                raise click.UsageError(f"--{name} is of near copies, so it needs --dedup phash.")
    terminal = Terminal(Console(highlight=False), quiet, as_json)
    sys.exit(run_curate(paths, out, settings, None if export is None else (export, exporting), terminal))


@_group.command(name="export", short_help="Write the kept images as a dataset of their own.")
@click.argument("curated", type=_PATH)
@click.option(
    "--out", type=_PATH, required=True, help="Folder to write the kept images to; made where there is none."
)
@partial(added, _EXPORT)
@partial(added, [setting(name, text, kind) for name, text, kind in _WORK])
@partial(added, _PRINTING)
def export_kept(curated: Path, out: Path, quiet: bool, as_json: bool, **given: Any) -> None:
    """Write the images that earlier decisions keep as a dataset of their own."""
    from rich.console import Console

    from curator.command import Terminal, run_export

    terminal = Terminal(Console(highlight=False), quiet, as_json)
    sys.exit(run_export(curated, out, _export_settings(given), terminal))


@_group.command(short_help="Read every image, row and count of a dataset back.")
@click.argument("data", type=_PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(data: Path, as_json: bool) -> None:
    """Read everything of a dataset back: every image, row and count. Exit code 0 only when all holds."""
    from curator.dataset.verify import verify as read_back
    from curator.sources.listing import DECIDED, EXPORTED

    if (data / EXPORTED).is_file():
        raise UsageError(
            f"{data} is an export, with no ledger to hold it against: verify is for what crawl made. To see to it that "
            "it is whole, run its curate export again: files that are missing or of another size are written again."
        )
    if (data / DECIDED).is_file():
        raise UsageError(
            f"{data} holds decisions of curate, and no images: verify is for what crawl made. Name that dataset."
        )
    report = read_back(data)
    if as_json:
        click.echo(json.dumps(asdict(report) | {"ok": report.ok}))
    else:
        for problem in report.problems:
            click.echo(problem)
        if report.found > len(report.problems):
            click.echo(f"... and {counted(report.found - len(report.problems), 'problem')} more")
        click.echo(
            f"{data}: {'all holds' if report.ok else counted(report.found, 'problem')}: "
            f"{counted(report.links, 'link')}, {counted(report.samples, 'image')} read back from "
            f"{counted(report.shards, 'shard')}, {counted(report.bytes, 'byte')}"
        )
        if not report.ok:
            click.echo(
                "A sealed shard's three files fit again from any backup made since, a ledger only with its whole "
                "folder.\n"
                "Without a backup, crawl the shard's URLs again into another dataset: the README says how, under "
                '"curate verify found damage".'
            )
    sys.exit(0 if report.ok else 1)


def _export_settings(given: dict[str, Any]) -> ExportSettings:
    """Of what was given, what an export needs."""
    named: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    fields_of = {field.name for field in fields(ExportSettings)}
    settings = {name: value for name, value in named.items() if name in fields_of}
    settings["encoding"] = Encoding(
        **{_ENCODED[name]: named[name] for name in _ENCODED.keys() & named.keys()}
    )
    if "split" in named:
        settings["split"] = parse_split(named["split"])
    return ExportSettings(**settings)


def main() -> None:
    """The console script."""
    try:
        code = ended("curate", commands)
    except (click.Abort, KeyboardInterrupt):
        code = Interrupted.exit_code
    sys.exit(code)


if __name__ == "__main__":
    main()
