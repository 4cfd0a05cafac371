"""Rows of decisions.parquet in any order, in bounded memory.

In the order of the table, a row group is read when its first row is wanted. In another order that would read
the table once for every few thousand rows: then the kept rows are first copied, as they are in memory, into a
file that is mapped, from which single rows can be taken. It is as large as the rows are, and is deleted.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.export.plan import Table

_GROUPS = 2  # row groups held: a part may begin in one and end in the next


class Group(Protocol):
    """Reads the kept rows of a row group."""

    def __call__(self, group: int, /) -> pa.Table:
        """All of them, in their order."""


class Decided:
    """The kept rows, of which `groups` says where those of each row group begin."""

    def __init__(self, read: Group, groups: npt.NDArray[np.int64]) -> None:
        self._read, self._groups = read, groups

    def take(self, ordinals: npt.NDArray[np.int64]) -> pa.Table:
        """These rows in this order, each by its ordinal among the kept ones."""
        by_group = np.argsort(ordinals, kind="stable")
        ordered = ordinals[by_group]
        edges = np.searchsorted(ordered, self._groups)
        touched = np.flatnonzero(np.diff(edges))
        tables = [
            self._read(int(group)).take(
                pa.array(ordered[edges[group] : edges[group + 1]] - self._groups[group])
            )
            for group in touched
        ]
        back = np.empty_like(by_group)
        back[by_group] = np.arange(len(by_group))
        return pa.concat_tables(tables).combine_chunks().take(pa.array(back))


@contextlib.contextmanager
def in_order(decisions: Table, columns: Sequence[str], groups: npt.NDArray[np.int64]) -> Iterator[Decided]:
    """For rows that are wanted about as they come in the table."""
    yield Decided(lru_cache(_GROUPS)(lambda group: decisions.kept(group, columns)), groups)


@contextlib.contextmanager
def in_any_order(
    decisions: Table, columns: Sequence[str], groups: npt.NDArray[np.int64], copy: Path
) -> Iterator[Decided]:
    """For rows that are wanted in any order, by way of the file `copy`, which is deleted at the end."""
    with contextlib.ExitStack() as undo:
        undo.callback(copy.unlink, missing_ok=True)
        _copy(decisions, columns, copy)
        mapped = undo.enter_context(pa.memory_map(os.fsencode(copy)))
        reader = pa.ipc.open_file(mapped)
        yield Decided(lambda group: pa.Table.from_batches([reader.get_batch(group)]), groups)


def _copy(decisions: Table, columns: Sequence[str], copy: Path) -> None:
    """One record batch for each row group."""
    schema = pa.schema([decisions.schema.field(name) for name in columns])
    with copy.open("wb") as file, pa.ipc.new_file(file, schema) as writer:
        for group in range(decisions.groups):
            rows = decisions.kept(group, columns)
            batches = rows.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], schema)]
            writer.write_batch(batches[0])
