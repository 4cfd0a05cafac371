"""JSON lines: one object a line.

Types come from the first rows: booleans, integers, floats, text and lists of one of these. A column that
holds anything else, or a mixture, is text and carries its values as JSON: nothing is lost by a guess.
A slow pipe is waited for until these rows are there: what a dataset holds must not hang on timing.
"""

import json
from collections.abc import Iterator

import pyarrow as pa

from crawler.lists.fit import fit_values
from crawler.lists.header import Header, Picked
from crawler.lists.rows import BadRow, Chunk, not_text, shown
from crawler.lists.streams import Bytes, text_lines
from curator.errors import UsageError

SAMPLED_CHARS = 1 << 26  # of the rows that types come from: a bound on what a stream keeps
_INT64 = range(-(1 << 63), 1 << 63)
_SCALARS: dict[frozenset[str], pa.DataType] = {
    frozenset(): pa.null(),
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
    frozenset({"text"}): pa.string(),
}


def header(file: Bytes, path: str, rows: int) -> tuple[Header, int]:
    """The columns of the first `rows` rows with their types, and how many rows were looked at.

    Raises UsageError if none of them is an object, and OSError if there are none before it.
    """
    kinds: dict[str, set[str]] = {}
    first = ""
    seen = 0
    for line in _sample(file, rows):
        first = first or line
        seen += 1
        row = _parsed(line)
        for name, value in row.items() if isinstance(row, dict) else ():
            kinds.setdefault(name, set()).update(_kinds(value))
    return _header(kinds, first, path), seen


def _sample(file: Bytes, rows: int) -> Iterator[str]:
    """The first lines that are not blank, as far as they can be read: `read` tells what is wrong behind."""
    seen = chars = 0
    try:
        for _, lines in text_lines(file, 0):
            for line in filter(str.strip, lines):
                yield line
                seen += 1
                chars += len(line)
                if seen == rows or chars > SAMPLED_CHARS:
                    return
    except OSError:
        if not seen:
            raise


def read(file: Bytes, header: Header, picked: Picked, skip: int) -> Iterator[Chunk]:
    """The rows behind the first `skip` lines. A name that the header does not know is a misfit.

    Raises OSError behind all that could be read.
    """
    known = header.columns.keys()
    for before, lines in text_lines(file, skip):
        rows: list[int] = []
        objects: list[dict[str, object]] = []
        chunk = Chunk(before + len(lines), rows)
        for number, line in enumerate(lines, before + 1):
            row = _parsed(line)
            if isinstance(row, dict):
                rows.append(number)
                objects.append(row)
                chunk.misfits += 0 if row.keys() <= known else len(row.keys() - known)
            elif line.strip():
                chunk.bad.append(BadRow(number, row))
        chunk.urls = [row.get(picked.url) for row in objects]
        _add_columns(chunk, objects, picked)
        yield chunk


def _add_columns(chunk: Chunk, objects: list[dict[str, object]], picked: Picked) -> None:
    columns = []
    for name, field in zip(picked.columns, picked.schema, strict=True):
        values = [None if name is None else row.get(name) for row in objects]
        fitting, misfits = fit_values(values, field.type)
        columns.append(fitting)
        chunk.misfits += misfits
    chunk.columns = columns


def _parsed(line: str) -> dict[str, object] | str:
    """The object in a line, or why there is none."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        return not_text(line) or f"not JSON ({error.msg} at character {error.colno}): {shown(line)}"
    except RecursionError:
        return f"nested too deep: {shown(line)}"
    except ValueError:  # the one other thing that json takes exception to
        return f"a number of too many digits: {shown(line)}"
    return value if isinstance(value, dict) else f"not a JSON object: {shown(line)}"


def _header(kinds: dict[str, set[str]], first: str, path: str) -> Header:
    if first.lstrip().startswith("["):
        raise UsageError(f"{path}: a JSON array, not JSON lines: convert it with jq -c '.[]'")
    if first and not kinds:
        raise UsageError(f"{path}: no JSON objects, one a line: it begins with {shown(first)}")
    return Header({name: _resolved(found) for name, found in kinds.items()})


def _kinds(value: object) -> set[str]:
    if value is None:
        return set()
    if isinstance(value, list):
        return {"list", *(f"list of {kind}" for item in value for kind in _kinds(item))}
    if isinstance(value, bool):
        return {"bool"}
    if isinstance(value, int):
        return {"int" if value in _INT64 else "long int"}
    return {"float"} if isinstance(value, float) else {"text" if isinstance(value, str) else "object"}


def _resolved(kinds: set[str]) -> pa.DataType:
    if "list" not in kinds:
        return _SCALARS.get(frozenset(kinds), pa.string())
    items = kinds - {"list"}
    if not all(kind.startswith("list of ") for kind in items):
        return pa.string()
    inner = _SCALARS.get(frozenset(kind.removeprefix("list of ") for kind in items))
    return pa.string() if inner is None else pa.list_(pa.string() if inner == pa.null() else inner)
