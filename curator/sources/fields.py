"""The fields that samples bring along (a JSON object each), as columns with types.

A column is typed by the kinds of all its values: whole numbers, numbers, true and false, or text. Where they
are mixed, or lists or objects, it is text: strings as they are, anything else as JSON.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curator.dataset.columns import carried_name
from curator.sources.items import own_name

Kind = tuple[str, str]  # a field's name, and the kind of value it has
MOST = 250  # columns: names are made by strangers, and those of one image each are no columns
_KNOWN = ("url", "captions")  # which are columns of every source
_INT64 = range(-(1 << 63), 1 << 63)
_TYPES = {
    frozenset({"bool"}): pa.bool_(),
    frozenset({"int"}): pa.int64(),
    frozenset({"float"}): pa.float64(),
    frozenset({"int", "float"}): pa.float64(),
}


def parsed(data: str | None) -> dict[str, Any]:
    """The fields of one sample, none where it is no JSON object."""
    try:
        found = json.loads(data) if data else None
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def count_kinds(samples: Iterable[dict[str, Any]]) -> Counter[Kind]:
    """How many of the samples have a field of this name and kind; null is none."""
    return Counter(
        (valid(name), _kind(value))
        for fields in samples
        for name, value in fields.items()
        if value is not None
    )


def columns(counts: Mapping[Kind, int]) -> dict[str, tuple[str, pa.DataType]]:
    """The source's own columns in the order of the fields' names: the field each is made of, and its type.

    Of very many fields those that most samples have.
    """
    kinds: dict[str, set[str]] = {}
    total: Counter[str] = Counter()
    for (name, kind), n in counts.items():
        if n > 0 and name not in _KNOWN:
            kinds.setdefault(name, set()).add(kind)
            total[name] += n
    found: dict[str, tuple[str, pa.DataType]] = {}
    for name in sorted(sorted(kinds, key=lambda name: (-total[name], name))[:MOST]):
        column = own_name(name if name == "caption" else carried_name(name, found), found)
        found[column] = (name, _TYPES.get(frozenset(kinds[name]), pa.string()))
    return found


def to_array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """The values of one field as a column of the type that `columns` gave it."""
    if pa.types.is_string(kind):
        return _texts(values)
    if pa.types.is_floating(kind):
        values = [None if value is None else float(value) for value in values]
    return pa.array(values, kind)


def urls(samples: Sequence[dict[str, Any]]) -> pa.Array:
    """The URL of each sample, null where it has none."""
    return _texts([url if isinstance(url := fields.get("url"), str) and url else None for fields in samples])


def captions(samples: Sequence[dict[str, Any]]) -> pa.Array:
    """The captions of each sample, or its one caption; null where it has none."""
    if any("captions" in fields for fields in samples):
        return pa.array([_captions(fields) for fields in samples], pa.list_(pa.string()))
    told = (fields.get("caption") for fields in samples)
    texts = _texts([text if isinstance(text, str) and text else None for text in told])
    present = texts.is_valid().to_numpy(zero_copy_only=False)
    ends = pa.array(np.concatenate(([0], np.cumsum(present))), pa.int32())
    return pa.ListArray.from_arrays(ends, texts.drop_null(), mask=pa.array(~present))


def valid(text: str) -> str:
    """The same without what no UTF-8 can say: JSON can escape half a character."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _captions(fields: Mapping[str, Any]) -> list[str] | None:
    told = fields.get("captions")
    several: Collection[Any] = told if isinstance(told, list) and told else (fields.get("caption"),)
    return [valid(one) for one in several if isinstance(one, str) and one] or None


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if value in _INT64 else "json"
    if isinstance(value, float):
        return "float"
    return "string" if isinstance(value, str) else "json"


def _texts(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, TypeError, UnicodeEncodeError):
        return pa.array([None if value is None else _text(value) for value in values], pa.string())


def _text(value: object) -> str:
    return valid(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
