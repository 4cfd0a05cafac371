"""Real datasets for tests, made through the real writing side: real SQLite, real tars, real Parquet."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image as Pillow

from curator.dataset.commit import Committer, ShardLimits
from curator.dataset.draw import Draw
from curator.dataset.ingest import Ingest, Rows
from curator.dataset.records import Drawn, Image, Postponed, Verdict
from curator.dataset.store import Store, open_store
from curator.reasons import Reason
from tests.pictures import measures

CAPTIONED = pa.schema([pa.field("caption", pa.string()), pa.field("input_WIDTH", pa.int64())])
BARE = pa.schema([])


def picture(seed: int, kind: str = "JPEG", side: int = 16) -> bytes:
    """A small file of noise, different for every seed."""
    pixels = np.random.default_rng(seed).integers(0, 255, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Pillow.fromarray(pixels).save(file, kind)
    return file.getvalue()


def url(n: int) -> str:
    """The n-th URL of every test list."""
    return f"http://site{n % 7}.example/{n}.jpg"


@contextmanager
def opened(root: Path, schema: pa.Schema | None = BARE, **fixed: object) -> Iterator[Store]:
    """The dataset at `root`, made if it is not there; four samples a shard unless said otherwise."""
    with closing(open_store(root, {"shard_size": 4, **fixed}, schema)) as store:
        yield store


def rows(source: int, urls: Sequence[str], data: Sequence[str | None] | None = None, first: int = 0) -> Rows:
    """One slice of a list, numbered from `first`."""
    numbers = range(first, first + len(urls))
    return Rows(source, urls, numbers, data or [None] * len(urls), [], 0, first + len(urls), last=True)


def ingest(store: Store, urls: Sequence[str], data: Sequence[str | None] | None = None) -> None:
    """Read a list to its end: staged and merged."""
    source = store.add_source("-", 0, 0).id
    reading = Ingest(store.ledger)
    reading.stage(rows(source, urls, data))
    while reading.wants_step(hurry=True):
        reading.step()


def drawn(store: Store, run: int = 1, **options: object) -> list[Drawn]:
    """Every link that is to be fetched, in uid order."""
    with closing(Draw(store.ledger.path, run, **options)) as draw:
        return draw.page(b"").drawn


def committer(store: Store, run: int = 1, extension: str = "jpg") -> Committer:
    """What turns verdicts into durable ones."""
    limits = ShardLimits(store.fixed.shard_size, store.fixed.shard_bytes)
    return Committer(store.ledger, store.layout, limits, store.columns, extension, run)


def saved(link: Drawn, body: bytes, kind: str = "jpeg") -> Verdict:
    """A verdict with its image, whose measures tell the truth about the bytes."""
    with Pillow.open(io.BytesIO(body)) as opened_image:
        width, height = opened_image.size
    digest = sha256(body).hexdigest()
    found = measures(format=kind, width=width, height=height, bytes=len(body), sha256=digest)
    image = Image((body[:10], body[10:]), len(body), found, link.url, 200, "image/jpeg", "", "", 1.7e9)
    return Verdict(link.uid, link.link, Reason.SAVED, link.attempts + 1, link.tries + 1, 200, image=image)


def lost(link: Drawn, reason: Reason = Reason.HTTP_404, **more: object) -> Verdict:
    """A verdict without an image."""
    return Verdict(link.uid, link.link, reason, link.attempts + 1, link.tries + 1, **more)


def postponed(link: Drawn, due: float) -> Postponed:
    """An attempt that failed and is due again."""
    return Postponed(link.uid, link.link, due, link.attempts + 1, link.tries + 1)


def make(
    root: Path, samples: int = 10, failures: int = 3, pending: int = 2, *, seal: bool = True, **fixed: object
) -> dict[str, bytes]:
    """A dataset with captions: `samples` saved, `failures` lost, `pending` still to fetch.

    Returns the stored images by URL.
    """
    count = samples + failures + pending
    data = [f'["caption {n}",{n}]' if n % 3 else None for n in range(count)]
    images = {}
    with opened(root, CAPTIONED, **fixed) as store:
        run = store.begin_run((), {})
        ingest(store, [url(n) for n in range(count)], data)
        links = drawn(store, run.id)
        events = [saved(link, picture(i)) for i, link in enumerate(links[:samples])]
        images = {link.url: picture(i) for i, link in enumerate(links[:samples])}
        events += [lost(link, http_status=404, detail="gone") for link in links[samples : samples + failures]]
        with closing(committer(store, run.id)) as writing:
            writing.commit(events)
            if seal:
                writing.seal()
        store.end_run(run.id, finished=pending == 0, seconds=1.5)
    return images


class Recorder:
    """A writer's listener that remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.errors: list[BaseException] = []
        self.new = 0
        self.complete = False

    def committed(self, events: Sequence[object], totals: object) -> None:
        """Remember the events."""
        self.events += events
        self.totals = totals

    def merged(self, new: int, complete: bool) -> None:
        """Count the links."""
        self.new += new
        self.complete |= complete

    def failed(self, error: BaseException) -> None:
        """Remember the error."""
        self.errors.append(error)


def counts(store: Store) -> Mapping[int, int]:
    """The counters, recounted."""
    return dict(store.ledger.db.execute("SELECT state, count(*) FROM frontier GROUP BY state"))
