"""Making values fit their column's type: what does not fit becomes null and is counted, nothing stops.

A column of text takes everything: what is not text is carried as its JSON text.
"""

import json
from collections.abc import Sequence

import pyarrow as pa

from curator.dataset.columns import to_values

_MISFIT = (pa.ArrowException, OverflowError, UnicodeError)
_TEXT = frozenset((str, type(None)))


def fit_values(values: Sequence[object], kind: pa.DataType) -> tuple[Sequence[object], int]:
    """Python values as `encode` takes them for a column of type `kind`, and how many did not fit."""
    if pa.types.is_string(kind):
        return values if _TEXT.issuperset(map(type, values)) else [*map(_as_text, values)], 0
    try:
        # Guess the values' type first: given the type, Arrow would cut 1.5 down to an integer.
        return to_values(pa.array(values).cast(kind)), 0
    except _MISFIT:
        return _one_by_one(values, kind)


def fit_array(array: pa.Array, kind: pa.DataType) -> tuple[Sequence[object], int]:
    """The same for an Arrow column."""
    try:
        return to_values(array.cast(kind)), 0  # may fail for text too: Parquet can hold other bytes
    except _MISFIT:
        return _one_by_one([array[at : at + 1] for at in range(len(array))], kind)


def _one_by_one(values: Sequence[object], kind: pa.DataType) -> tuple[Sequence[object], int]:
    fitting: list[object] = []
    misfits = 0
    for value in values:
        try:
            one = value if isinstance(value, pa.Array) else pa.array([value])
            fitting += to_values(one.cast(kind))
        except _MISFIT:
            fitting.append(None)
            misfits += 1
    return fitting, misfits


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
