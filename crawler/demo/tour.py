"""The tour of `crawl demo`: the site is crawled as any other, then what was planted is held against what came.

The list lies beside the dataset and outlives the site, since its URLs hold the site's port: the same folder
again means the same URLs, and a second crawl goes on like any other, fetching only what it does not have.
"""

import csv
import shlex
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
from rich.console import Console

from crawler.command import Terminal, run_crawl
from crawler.demo import ALLOW_NET, start_site
from crawler.demo.plan import LOTS, MIN_SIDE, Lot
from crawler.settings import MIB
from curator.dataset.layout import Layout
from curator.dataset.reader import Dataset
from curator.dataset.store import is_dataset
from curator.dataset.verify import Report, verify
from curator.errors import UsageError
from curator.flags import reader_may_leave
from curator.reasons import BY_NAME, Reason
from curator.text import tell

# waits are short, since the site is near; a small disk and little memory will do
SETTINGS: Mapping[str, Any] = {
    "allow_net": (ALLOW_NET,),
    "min_side": MIN_SIDE,
    "dedup": "phash",
    "concurrency": 50,
    "memory": 128 * MIB,
    "min_free": 64 * MIB,
    "backoff": 0.2,
}
_PAIRS = ("picture", "copy", "near")  # of two that are alike the first to arrive is kept, whichever it is

_WHAT_NOW = """\
Look around:
  {data}/README.md         what is in the dataset, and how to read it
  {data}/images/           the pictures as they were sent, in tar shards, with a table of each shard
  {data}/failures.parquet  every URL that was not saved, and why
  {data}/summary.json      the totals

Try next:
  {scripts}crawl status {data}
  {scripts}curate verify {data}
  {scripts}crawl demo --out {data}  (once more: what was saved is not fetched again)
  {scripts}python -c "import duckdb; duckdb.read_parquet('{folder}/failures.parquet').show()"
  {scripts}crawl urls.txt --out data/  (a list of your own)
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of link that the site holds, or several that belong together, and what became of them."""

    lots: tuple[Lot, ...]
    found: Counter[Reason]

    @property
    def planned(self) -> Counter[Reason]:
        """What was to become of them."""
        planned: Counter[Reason] = Counter()
        for lot in self.lots:
            planned[lot.reason] += lot.n
        return planned

    @property
    def as_planned(self) -> bool:
        """Whether it did."""
        return self.planned == self.found


def run_demo(out: Path) -> int:
    """Crawl the site into the dataset at `out` and explain what happened; the exit code, 0 when all is well.

    Raises UsageError where `out` holds something else, or the site cannot be served where it was.
    """
    console = Console(highlight=False)
    again = is_dataset(out)
    with serving(out) as urls:
        n = sum(lot.n for lot in LOTS)
        _say(console, f"A site on this machine, {n} links to it in {urls}, and a crawl of them:")
        if again:
            _say(console, f"{out} is there already: only what it has no lasting verdict on is asked for.")
        ended = run_crawl([str(urls)], out, None, Terminal(console), dict(SETTINGS))
    data = shlex.quote(str(out))
    if ended:
        _say(console, f"The site has ended with the crawl. To go on with both: crawl demo --out {data}")
        return ended
    lines, report = compare(outcomes(out)), verify(out)
    _say(console, "\nWhat was planted, and what became of it:")
    for line in lines:
        _say(console, _told(line))
    _say(console, f"\n{_verified(report)}\n")
    # in an environment that is not activated, a line to paste needs the whole way
    scripts = "" if shutil.which("crawl") else f"{shlex.quote(str(Path(sys.executable).parent))}/"
    _say(console, _WHAT_NOW.format(data=data, folder=out, scripts=scripts))
    return 0 if report.ok and all(line.as_planned for line in lines) else 1


@contextmanager
def serving(out: Path) -> Iterator[Path]:
    """Serve the site, and the list of its URLs; at the port of the list where there is one already."""
    urls = out.absolute().parent / f"{out.absolute().name}-urls.csv"
    known = urls.is_file()
    if is_dataset(out) and not known:
        raise UsageError(f"{out} is a dataset, but not the demo's. Name another folder with --out.")
    port = _port(urls) if known else 0
    with ExitStack() as stack:
        try:
            site = stack.enter_context(start_site(port))
        except RuntimeError as error:  # its standard error is ours: the user has seen why
            raise UsageError(
                f"The site of {urls} cannot be served now. Name another folder with --out."
            ) from error
        if not known:
            _keep(site.urls, urls)
        elif site.urls.read_bytes() != urls.read_bytes():
            raise UsageError(f"{urls} is not a list of the demo's. Name another folder with --out.")
        try:
            yield urls
        finally:
            if not known and not is_dataset(out):
                urls.unlink()


def outcomes(out: Path) -> dict[str, Reason]:
    """What became of every URL, from the files that a finished crawl leaves."""
    saved = Dataset(out).rows(["url"])["url"].to_pylist()
    failed = pq.read_table(Layout(out).failures, columns=["url", "reason"]).to_pylist()
    return dict.fromkeys(saved, Reason.SAVED) | {row["url"]: BY_NAME[row["reason"]] for row in failed}


def compare(found: Mapping[str, Reason]) -> tuple[Line, ...]:
    """Line by line, what was planted beside what was `found` of every URL."""
    by_lot: defaultdict[str, Counter[Reason]] = defaultdict(Counter)
    for url, reason in found.items():
        by_lot[url.split("/")[-2]][reason] += 1
    pairs = tuple(lot for lot in LOTS if lot.name in _PAIRS)
    groups = [pairs, *((lot,) for lot in LOTS if lot not in pairs)]
    return tuple(Line(group, sum((by_lot[lot.name] for lot in group), Counter())) for group in groups)


def _port(urls: Path) -> int:
    """The port of the site in its list."""
    with urls.open(newline="", encoding="utf-8") as file:
        first = next(csv.DictReader(file), {})
    try:
        return urlsplit(first.get("url") or "").port or 0
    except ValueError:
        return 0


def _keep(made: Path, urls: Path) -> None:
    try:
        urls.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(made, urls)
    except OSError as error:
        raise UsageError(
            f"{urls}: cannot be written ({error.strerror}). Name another folder with --out."
        ) from error


def _told(line: Line) -> str:
    became = _counted(line.found) + ("" if line.as_planned else f", NOT as planned: {_counted(line.planned)}")
    together = "together " if len(line.lots) > 1 else ""
    return "\n".join(f"{lot.n:>5} {lot.what}" for lot in line.lots) + f" -> {together}{became}"


def _counted(reasons: Counter[Reason]) -> str:
    return ", ".join(f"{n} {reason.value}" for reason, n in reasons.most_common()) or "none"


def _verified(report: Report) -> str:
    if report.ok:
        return f"Read back: all {report.samples} images, their rows and the counts of {report.links} links agree."
    return "\n".join(("Read back, and something is wrong:", *report.problems))


def _say(console: Console, text: str) -> None:
    with reader_may_leave():
        tell(console, text)
