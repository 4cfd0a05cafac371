"""The bytes of images as tables of decisions name them: by source, path and key."""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from curator.errors import UsageError
from curator.records import Unmeasured
from curator.sources.reading import Read, Reader, read_places
from curator.sources.source import Place, Source


class Wanted(NamedTuple):
    """An image as `decisions.parquet` names it."""

    source: str  # label
    path: str
    key: str | None


class Found(NamedTuple):
    """Its bytes, and the file that holds them and nothing else, if one does."""

    body: bytes
    file: Path | None


class Bodies:
    """Reads images of these sources, as long as `reader` is open."""

    def __init__(self, sources: Iterable[Source], reader: Reader) -> None:
        self._sources = {source.label: source for source in sources}
        self._reader = reader

    async def read(self, wanted: Sequence[Wanted]) -> list[Read]:
        """The bytes of a few images, or why they cannot be had. Raises CorruptDataset."""
        return await self._reader.read(self._places(wanted))

    async def stream(self, wanted: Sequence[Wanted]) -> AsyncIterator[Found]:
        """The bytes of all these images, in this order. Raises UsageError where one is gone."""
        places = self._places(wanted)
        found = zip(wanted, places, strict=True)
        async for body in read_places(self._reader, places):
            one, place = next(found)
            if isinstance(body, Unmeasured):
                raise UsageError(
                    f"{place.file}: the image {one.key or one.path} cannot be read any more ({body.detail}). "
                    "Put it back, or run curate again."
                )
            yield Found(
                body, place.file if place.offset == 0 and place.length < 0 and place.row < 0 else None
            )

    def _places(self, wanted: Sequence[Wanted]) -> list[Place]:
        places: list[Place] = []
        for label, some in groupby(wanted, key=attrgetter("source")):
            paths, keys = zip(*((one.path, one.key) for one in some), strict=True)
            places += self._sources[label].locate(paths, keys)
        return places
