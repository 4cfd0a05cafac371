"""Text for a terminal: what came from the web made harmless, numbers made readable.

A URL, a host or a server's message may hold escape sequences that repaint the terminal, or bidirectional
controls that make a line read backwards. Two rules keep them out: every such string passes `harmless`, and
what is printed is a rich `Text`, never a string whose square brackets rich would take for markup.
"""

import json
from collections.abc import Collection, Iterator, Sequence

from rich.console import Console
from rich.text import Text

ELLIPSIS = "…"


def harmless(text: str, limit: int = 200) -> str:
    """`text` in at most `limit` (>= 1) characters, with all that a terminal could act on spelled out.

    Everything that Unicode calls a control, a format character, a separator other than the space, a
    surrogate or unassigned is written as Python would: "\\x1b", "\\n", "\\u202e".
    """
    text = text[: limit + 1]  # a megabyte of detail is not worth spelling out
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return text if len(text) <= limit else text[: limit - 1] + ELLIPSIS


def json_line(value: object) -> str:
    """`value` as JSON in one line of printable ASCII: strings keep their meaning, terminals their calm."""
    return json.dumps(value, ensure_ascii=True)


def tell(console: Console, *lines: Text | str) -> None:
    """Print lines as they are: neither cut nor broken to a width, so that a command can be copied whole.

    A terminal breaks what is too long by itself; for a pipe there is no width to break at.
    """
    for line in lines:
        console.print(Text(line) if isinstance(line, str) else line, soft_wrap=True)


def aligned(rows: Sequence[Sequence[Text]], right: Collection[int] = ()) -> Iterator[Text]:
    """A table as one line a row, its columns as wide as their cells; those in `right` end flush."""
    widths = [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        line = Text()
        for i, (cell, width) in enumerate(zip(row, widths, strict=True)):
            space = " " * (width - cell.cell_len)
            line.append_text(Text.assemble(space, cell) if i in right else Text.assemble(cell, space))
            line.append("  ")
        line.rstrip()
        yield line


def share(part: float, whole: float) -> str:
    """How much of `whole` is `part`: "12.3 %"."""
    return f"{100 * part / whole:.1f} %" if whole else "-"


def rate(per_second: float | None) -> str:
    """A rate with the digits that mean something: "1,204", "8.3", "-" when unknown."""
    if per_second is None:
        return "-"
    return f"{per_second:,.0f}" if per_second >= 99.95 else f"{per_second:.1f}"


def size(count: float) -> str:
    """Bytes: "312 B", "4.0 KiB", "1.2 TiB"."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1023.95:
            break
        count, unit = count / 1024, larger
    return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """A span of time in its two largest units: "41 s", "12 min 5 s", "2 h 11 min", "3 d 4 h"."""
    if seconds is None:
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400:,} d {whole % 86_400 // 3600} h"
