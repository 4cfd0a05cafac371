"""`--where` and `--keep`: what a user asks of the columns, of measures and inputs alike.

A condition is DuckDB's SQL, bound once and then evaluated on batches of rows. It says something of one row:
aggregates and window functions are refused, whose value would depend on where a batch ends. It reaches
neither files nor the network nor the variables of this process.
"""

import difflib
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import combinations
from typing import Self

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curator.errors import UsageError
from curator.sources.source import SOURCE_SCHEMA
from curator.sources.unify import conform

_THEIR_MISTAKES = (
    *(duckdb.ProgrammingError, duckdb.DataError, duckdb.NotSupportedError),
    duckdb.PermissionException,
)
_TEXTS = 6  # text columns of a condition that may be numbers
_UNKNOWN = re.compile('column "([^"]+)" not found')
_NOISE = re.compile(r"\n\s*(LINE \d+:|Candidate bindings:|Did you mean).*", re.DOTALL)  # our own names


class Condition:
    """A condition over the columns of `schema`. Raises UsageError where it is none, with the columns there are."""

    def __init__(self, text: str, schema: pa.Schema) -> None:
        """Bind it to the columns that occur in it, or to all where that is not enough."""
        self._text, self._known = text, schema
        self._db = duckdb.connect(":memory:", config={"enable_external_access": "false"})
        self._db.execute("SET TimeZone = 'UTC'")  # the same everywhere
        self._row = "_row"
        while self._row in {name.casefold() for name in schema.names} or self._row in text.casefold():
            self._row += "_"
        with self._told():
            self._check_repeatable()
        self.schema, self._readable = self._bound(_occurring(text, schema)) or (
            schema,
            _readable_schema(schema),
        )
        with self._told():
            self._filter(self._readable.empty_table())

    def __enter__(self) -> Self:
        """Nothing more to do."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the database."""
        self._db.close()

    def holds(self, batch: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        """For which rows it holds; where it is NULL it does not.

        `batch` has the columns of `schema`, or others from which `conform` makes them.
        Raises UsageError where a value cannot be taken as the condition takes it.
        """
        rows = pa.Table.from_batches([conform(conform(batch, self.schema), self._readable)])
        holds = np.zeros(len(batch), np.bool_)
        with self._told():
            holds[self._filter(rows).project(self._row).fetchnumpy()[self._row]] = True
        return holds

    def _check_repeatable(self) -> None:
        """Refuse what has another value each time it is asked for."""
        volatile = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE'"
        names = {name for (name,) in self._db.execute(volatile).fetchall()}
        for name in re.findall(r"(\w+)\s*\(", self._text):
            if name.casefold() in names:
                raise duckdb.BinderException(
                    f"{name}() gives another value each time, and decisions must not."
                )

    def _bound(self, schema: pa.Schema) -> tuple[pa.Schema, pa.Schema] | None:
        """The schema, if the condition needs no other column, and how it is read.

        Columns of CSV lists are text, also those of numbers: where the condition fits no other way, inputs' text
        columns are read as numbers, as few as will do. What is no number is NULL then.
        """
        own = [field for field in schema if field.name not in SOURCE_SCHEMA.names]
        texts = [field.name for field in own if pa.types.is_string(field.type)][:_TEXTS]
        for count in range(len(texts) + 1):
            for numbers in combinations(texts, count):
                readable = _readable_schema(schema, numbers)
                try:
                    self._filter(readable.empty_table())
                except _THEIR_MISTAKES:
                    continue
                return schema, readable
        return None

    def _filter(self, rows: pa.Table) -> duckdb.DuckDBPyRelation:
        numbered = rows.append_column(self._row, pa.array(np.arange(len(rows))))
        return self._db.from_arrow(numbered).filter(self._text)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say in DuckDB's words what is wrong."""
        try:
            yield
        except _THEIR_MISTAKES as error:
            words = " ".join(_NOISE.sub("", str(error)).split())
            words += "" if words.endswith((".", "!", "?")) else "."
            unknown = _UNKNOWN.search(words)
            columns = there_are(self._known, unknown[1] if unknown else "")
            raise UsageError(f"--where {self._text!r}: {words} {columns}") from error


def there_are(schema: pa.Schema, unknown: str = "") -> str:
    """The columns, for an error message; where one is called nearly as the `unknown` one, it is proposed."""
    by_name = {name.casefold(): name for name in schema.names}
    near = difflib.get_close_matches(unknown.casefold(), by_name, n=1)
    proposed = f"Did you mean {by_name[near[0]]}? " if near else ""
    return f"{proposed}The columns are: {', '.join(schema.names)}."


def _occurring(text: str, schema: pa.Schema) -> pa.Schema:
    """The columns whose names occur in the text, and perhaps more; all where it asks for columns by a pattern."""
    folded = text.casefold()
    occurring = [field for field in schema if "columns" in folded or field.name.casefold() in folded]
    return pa.schema(occurring or [schema.field(0)])  # a batch of no columns has no length


def _readable_schema(schema: pa.Schema, numbers: Collection[str] = ()) -> pa.Schema:
    return pa.schema(
        [(field.name, pa.float64() if field.name in numbers else _readable(field.type)) for field in schema]
    )


def _readable(kind: pa.DataType) -> pa.DataType:
    """As what DuckDB can read a column of this type: it knows neither half floats nor the widest decimals."""
    if pa.types.is_float16(kind):
        return pa.float32()
    if pa.types.is_decimal256(kind):
        return pa.float64()
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_readable(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(field.name, _readable(field.type)) for field in kind])
    return kind
