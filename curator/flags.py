"""What both commands share of a command line: settings as flags, sizes, and how a console script ends.

Light to import: worker processes import the main module.
"""

import gc
import io
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from curator.errors import CurateError
from curator.units import parse_size

# Commands make some hundred objects per image and nearly no cycles: Python's 700 would spend a tenth of the
# event loop's time on looking for them.
_GC_THRESHOLD = 20_000

F = TypeVar("F", bound=Callable[..., Any])


@contextmanager
def importing() -> Iterator[None]:
    """What a command imports in the block stays to its end, so garbage is not looked for in it, now or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


class Size(click.ParamType[int]):
    """Bytes, written like 512M."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes of a size on the command line."""
        try:
            return parse_size(str(value))
        except CurateError as error:
            self.fail(str(error), param, ctx)


class Names(click.ParamType[tuple[str, ...]]):
    """Names separated by commas."""

    name = "names"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """The names in a list on the command line."""
        return tuple(name.strip() for name in str(value).split(",") if name.strip())


class Setting:
    """Makes flags of the fields of a settings record: their defaults stand there alone."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self._defaults = defaults

    def __call__(
        self,
        name: str,
        help: str,  # noqa: A002 - click's own word
        kind: Any = None,
        *,
        multiple: bool = False,
        off: str = "",
    ) -> Callable[[F], F]:
        """The field `name` as a flag, and `off` as its opposite. What is not given arrives as None, or ()."""
        flag, default = f"--{name.replace('_', '-')}", self._defaults[name]
        if isinstance(default, bool):
            flag = f"{flag}/{off}" if off else flag
            return click.option(flag, name, is_flag=True, default=None, help=help)
        shown = _shown(default, kind)
        text = f"{help}  [default: {shown}]" if shown else help
        return click.option(
            flag, name, type=kind or type(default), default=None, multiple=multiple, help=text
        )


def _shown(default: object, kind: Any) -> str:
    if isinstance(kind, Size) and isinstance(default, int):
        return f"{default >> 20}M" if default < 1 << 30 else f"{default >> 30}G"
    return "" if default in ("", (), 0, None) else str(default)


def added(options: list[Callable[[Any], Any]], command: F) -> F:
    """The command with these options, in their order."""
    for option in reversed(options):
        command = option(command)
    return command


def ended(name: str, commands: click.Command) -> int | str | None:
    """Run the command `name`; what the process is to exit with.

    What click finds wrong is said in one line, as everything else is. Raises KeyboardInterrupt, click.Abort.
    """
    gc.set_threshold(_GC_THRESHOLD)
    leave_out_pandas()
    _ready_standard_files()
    try:
        commands(standalone_mode=False)
    except SystemExit as leaving:
        return leaving.code
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        click.echo(f"{name}: {error.format_message()}", err=True)
        return error.exit_code
    except CurateError as error:
        click.echo(f"{name}: {error}", err=True)
        return error.exit_code
    return 0


class _NoPandas:
    """Asked for a module first, it answers that there is no pandas."""

    @staticmethod
    def find_spec(name: str, path: object, target: object = None) -> None:
        """Leave every other module to the finders after this one."""
        if name == "pandas":
            raise ModuleNotFoundError("commands do without pandas", name=name)


def leave_out_pandas() -> None:
    """Keep pyarrow from importing pandas, which it does with the first list it is given wherever there is one.

    Nothing of ours makes or takes a data frame, and the import is 0.4 s and 45 MiB of every command.
    """
    sys.meta_path.insert(0, _NoPandas)


def _ready_standard_files() -> None:
    """Closed ones lead nowhere, since whatever is opened next would take their place; none minds a character."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor, which is this one
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115 - for the whole process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115 - for the whole process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print inside; that the reader has seen enough (`crawl ... | head -1`), or has no room, is no failure.

    Standard output then leads nowhere: what is still in its buffer would fail once more as Python ends.
    """
    try:
        yield
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except SystemExit:  # rich's answer to a broken pipe, after it has done the same
        return
