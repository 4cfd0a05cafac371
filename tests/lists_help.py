"""Helpers of the list tests: write a list, open it, read it whole."""

from pathlib import Path

from crawler.lists import ListOptions, Lists, RowBatch, open_lists
from curator.dataset.columns import decode


def opened(*paths: Path | str, schema=None, **options) -> Lists:
    """The lists at `paths`."""
    return open_lists([str(path) for path in paths], ListOptions(**options), schema)


def written(folder: Path, name: str, content: bytes | str) -> Path:
    """A file `name` in `folder`."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))
    return path


def joined(batches: list[RowBatch]) -> RowBatch:
    """All batches of a source as one."""
    return RowBatch(
        batches[0].source if batches else 0,
        [url for batch in batches for url in batch.urls],
        [row for batch in batches for row in batch.rows],
        [data for batch in batches for data in batch.data],
        [bad for batch in batches for bad in batch.bad],
        sum(batch.misfits for batch in batches),
        batches[-1].next_row if batches else 0,
    )


def whole(lists: Lists, source: int = 0, from_row: int = 0) -> RowBatch:
    """Everything of one source behind `from_row`."""
    return joined([*lists.read(source, from_row)])


def numbered(lists: Lists, source: int = 0) -> list[tuple[int, str]]:
    """The rows' numbers and URLs."""
    batch = whole(lists, source)
    return [*zip(batch.rows, batch.urls, strict=True)]


def tables(lists: Lists, source: int = 0) -> list[dict[str, object]]:
    """The carried columns of every row, by name."""
    return [
        dict(zip(lists.schema.names, decode(data, lists.schema), strict=True))
        for data in whole(lists, source).data
    ]
