"""What a list file says of its columns before it is read, and what is picked of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from crawler.lists.rows import ListOptions, shown
from curator.errors import UsageError

# In order of preference; each is tried as it stands first, then in any case.
URL_NAMES = ("url", "image_url", "img_url")
_CAPTION_NAMES = ("caption", "text", "alt", "alt_text")
_MOST_NAMED = 12  # columns in one message


@dataclass(frozen=True, slots=True)
class Header:
    """The columns of one file, in its order; a type of null means that the file does not tell."""

    columns: dict[str, pa.DataType]  # carried types; the type itself where it cannot be carried
    own: frozenset[str] = frozenset()  # columns a dataset of ours wrote: not carried
    bare: bool = False  # URLs and nothing else: it has no say in the columns


@dataclass(frozen=True, slots=True)
class Roles:
    """Which column of a file is what. `carried`: the other columns, in order."""

    url: str
    caption: str | None
    carried: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Picked:
    """What is read of a file: the column of each field of Lists.schema, None where the file has none."""

    url: str
    columns: tuple[str | None, ...]
    schema: pa.Schema


def roles(header: Header, options: ListOptions, path: str) -> Roles:
    """Find URL and caption among the columns. Raises UsageError naming the columns there are."""
    if header.bare:
        return Roles("url", None, ())
    url = _url(header, options, path)
    caption = _caption(header, options, url)
    left_out = {url, caption, *header.own, *options.drop_columns}
    return Roles(url, caption, tuple(name for name in header.columns if name not in left_out))


def _url(header: Header, options: ListOptions, path: str) -> str:
    name = options.url_col or _guessed(URL_NAMES, header.columns)
    if name not in header.columns:
        missing = "no column looks like URLs" if name is None else f"no column {name!r}"
        raise UsageError(f"{path}: {missing}; {_way_out(header)}")
    if name in options.drop_columns:
        raise UsageError(f"--drop-columns {name}: this is the column of URLs")
    kind = header.columns[name]
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_null(kind)):
        raise UsageError(f"{path}: column {name!r} holds {kind}, not URLs; {_way_out(header)}")
    return name


def _caption(header: Header, options: ListOptions, url: str) -> str | None:
    if options.caption_col is not None:
        return options.caption_col if options.caption_col in header.columns else None
    texts = [
        name
        for name, kind in header.columns.items()
        if name != url
        and name not in options.drop_columns
        and (pa.types.is_string(kind) or pa.types.is_null(kind))
    ]
    return _guessed(_CAPTION_NAMES, texts)


def _way_out(header: Header) -> str:
    if not header.columns:
        return "there are none at all"
    if any("://" in name for name in header.columns):
        return "its first line is a row, not names: give it a header line"
    return f"there are: {named(list(header.columns))}. Name it with --url-col"


def _guessed(usual: Sequence[str], names: Sequence[str] | dict[str, pa.DataType]) -> str | None:
    for wanted in usual:
        if wanted in names:
            return wanted
        if found := next((name for name in names if name.casefold() == wanted), None):
            return found
    return None


def named(names: Sequence[str]) -> str:
    """Column names for a message."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(shown, names[:_MOST_NAMED])) + more


def unique(names: Sequence[str]) -> list[str]:
    """Header cells as names: the third one without a name is `column_3`, a second `alt` is `alt_2`."""
    found: dict[str, None] = {}
    for position, cell in enumerate(names, 1):
        base = name = cell.strip() or f"column_{position}"
        repeat = 1
        while name in found:
            repeat += 1
            name = f"{base}_{repeat}"
        found[name] = None
    return list(found)
