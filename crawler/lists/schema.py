"""The columns of all lists together: their names in the dataset and their types.

The first file that has columns says which there are. A later file may lack some (null), but one more is
an error: the schema of a dataset is fixed when it is made. A column's type is the widest that the files
know of it; where two do not go together, the first one's.
"""

from collections.abc import Sequence

import pyarrow as pa

from crawler.lists.header import Header, Picked, Roles
from curator.dataset.columns import carried_name, carried_type
from curator.errors import UsageError

Found = tuple[str, Header, Roles]  # a file's path and what it says


def carried_names(files: Sequence[Found]) -> dict[str, str]:
    """Input name -> name in the dataset, in the order of the first file that has columns."""
    names: dict[str, str] = {}
    for _, header, found in files:
        if not header.bare:
            for name in found.carried:
                names[name] = carried_name(name, names.values())
            break
    return names


def carried_schema(files: Sequence[Found], names: dict[str, str]) -> pa.Schema:
    """The schema of a new dataset. Raises UsageError for a type that cannot be carried."""
    captioned = next((found.caption is not None for _, header, found in files if not header.bare), False)
    types: dict[str, pa.DataType] = {carried: pa.null() for carried in names.values()}
    for path, header, found in files:
        for name in found.carried:
            kind = carried_type(header.columns[name])
            if kind is None:
                raise UsageError(
                    f"{path}: column {name!r} holds {header.columns[name]}, which cannot be carried: "
                    f"leave it out with --drop-columns {name}"
                )
            if name in names:
                types[names[name]] = _wider(types[names[name]], kind)
    fields = [pa.field("caption", pa.string())] if captioned else []
    fields += [
        pa.field(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()
    ]
    return pa.schema(fields)


def check_columns(files: Sequence[Found], names: dict[str, str], schema: pa.Schema) -> None:
    """Raise UsageError naming a column that is not in `schema`, its file and the way out."""
    for path, _, found in files:
        captions = [(found.caption, "caption")] if found.caption is not None else []
        for name, carried in [*captions, *((name, names.get(name)) for name in found.carried)]:
            if carried not in schema.names:
                as_what = " (captions)" if carried == "caption" else ""
                raise UsageError(
                    f"{path}: column {name!r}{as_what} is new: columns are fixed by the first list of a "
                    f"dataset; leave it out with --drop-columns {name}"
                )


def picked(found: Roles, names: dict[str, str], schema: pa.Schema) -> Picked:
    """Where each field of the schema is in a file with these roles."""
    inputs: dict[str, str | None] = {names[name]: name for name in found.carried}
    if found.caption is not None:
        inputs["caption"] = found.caption
    return Picked(found.url, tuple(inputs.get(name) for name in schema.names), schema)


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    try:
        both = pa.unify_schemas(
            [pa.schema([("", one)]), pa.schema([("", other)])], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return one
    return carried_type(both.field(0).type) or one
