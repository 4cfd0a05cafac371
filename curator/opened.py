"""The sources of a curation, opened: datasets fixed as they are, everything else measured first."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Self

from curator.decisions import Provenance
from curator.errors import UsageError
from curator.measuring import Listing, Progress, measure_sources
from curator.settings import Settings
from curator.sources.completed import Completed
from curator.sources.copies import Copies
from curator.sources.items import Known, Listed
from curator.sources.listing import list_images
from curator.sources.measured import Measured
from curator.sources.measures import MeasureStore
from curator.sources.opening import DATASET, Input, Inputs
from curator.sources.recorded import Recorded
from curator.sources.source import Source
from curator.units import counted


@dataclass(frozen=True)
class Opened:
    """Sources that are decided on and those only compared with, until the end of the `with` block."""

    ours: Sequence[Source]
    others: Sequence[Source]
    warnings: Sequence[str]
    stack: ExitStack

    def __enter__(self) -> Self:
        """They are open already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close what they are read from."""
        self.stack.close()

    @cached_property
    def copies(self) -> Mapping[int, Copies]:
        """What crawls left out as copies of what they saved, by the source's place. Raises CorruptDataset."""
        found = {at: source.copies() for at, source in enumerate(self.ours) if isinstance(source, Recorded)}
        return {at: copies for at, copies in found.items() if len(copies)}

    def copies_by_host(self, least: int) -> Iterator[tuple[bytes, str, int]]:
        """(uid, host, URLs): that many more URLs of the host gave the bytes of an image; `least` matter at all."""
        if len(self.copies) > 1:
            least = min(least, 2)  # what counts together is in several of them
        for copies in self.copies.values() if least else ():
            yield from copies.by_host(least - 1)


async def open_sources(inputs: Inputs, measures: Path, settings: Settings, progress: Progress) -> Opened:
    """Open all inputs; what no crawl has measured is measured into the file `measures`, or remembered from there.

    Raises UsageError, CorruptDataset, and what `measure_sources` raises.
    """
    everything = [*inputs.ours, *inputs.against]
    datasets = {one: Completed(one.label, one.path, measures) for one in everything if one.kind == DATASET}
    listings = [
        Listing(one.label, entries, against=one in inputs.against)
        for one in everything
        if (entries := _to_measure(one, datasets)) is not None
    ]
    with ExitStack() as stack:
        if listings:
            store = MeasureStore(measures)
            stack.callback(store.close)
            await measure_sources(listings, store, settings, progress)
        sources = [
            datasets[one] if one in datasets else Measured(one.label, one.path, measures)
            for one in everything
        ]
        ours, others = sources[: len(inputs.ours)], sources[len(inputs.ours) :]
        return Opened(ours, others, list(_warnings([*ours, *others])), stack.pop_all())


def _to_measure(
    one: Input, datasets: Mapping[Input, Completed]
) -> Callable[[Known], Iterator[Listed]] | None:
    """What lists the images of an input that no crawl has measured; None where there are none."""
    if one.kind != DATASET:
        return partial(list_images, one.path)
    return None if datasets[one].whole else datasets[one].unmeasured


def reopened(provenance: Provenance, measures: Path) -> Opened:
    """The decided sources of earlier decisions, to read their images. Raises UsageError where one is gone."""
    for one in provenance.sources:
        if not Path(one.path).exists():
            raise UsageError(f"{one.path} is gone. Put it back, or run curate again on where it is now.")
    if any(one.kind != DATASET for one in provenance.sources) and not measures.is_file():
        raise UsageError(f"{measures} is gone: it knows where images are. Run curate again.")
    ours = [
        Recorded(one.label, Path(one.path))
        if one.kind == DATASET
        else Measured(one.label, Path(one.path), measures)
        for one in provenance.sources
    ]
    return Opened(ours, [], [], ExitStack())


def _warnings(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        if not isinstance(source, Recorded):
            continue
        if source.writer_at_work():
            yield (
                f"{source.path} is being written by a crawl: decided is what it had committed. "
                "Run curate again when it has ended."
            )
        if missing := source.missing():
            yield (
                f"{source.path}: {counted(len(missing), 'shard')} missing ({missing[0]}): decided from the rows, but "
                "these images cannot be exported. Restore them from a backup."
            )
        if cut := source.cut():
            yield (
                f"{source.path}: {counted(len(cut), 'shard')} cut short ({cut[0]}): decided from the rows, but the "
                "images at the end cannot be exported. Restore from a backup; `curate verify` tells more."
            )
