"""The README's table and the charts, from the results: `python -m bench.show`.

Of each comparison the last run with all its contenders is shown (bench/results/compared.jsonl), of what `bench.resume`
measures the last that was not quick. The table goes between `<!-- bench -->` and `<!-- /bench -->` of README.md, the
charts into bench/results: images (or pairs) a second, and peak memory.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.comparisons import COMPARISONS, Comparison, rate, right
from bench.contenders import label

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
MARKS = "<!-- bench -->", "<!-- /bench -->"
HEAD = ("work", "by", "a second", "ours is: speed", "while steady", "peak memory", "CPU")
OURS, OTHERS = "#1b6ca8", "#b8c4ce"

Record = Mapping[str, Any]


def lines_of(path: Path) -> list[Record]:
    """The records of a file of results; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def latest(records: Sequence[Record]) -> list[tuple[Comparison, Record]]:
    """Of each comparison its last whole record."""
    found = []
    for comparison in COMPARISONS:
        whole = [
            one
            for one in records
            if one["comparison"] == comparison.name and {*comparison.contenders} <= {*one["rounds"][0]}
        ]
        found += [(comparison, one) for one in whole[-1:]]
    return found


def median(name: str, record: Record, of: str) -> float:
    """Of the runs that count: `rate`, or `memory` in MiB."""
    runs = right(name, record["rounds"])
    return statistics.median(rate(one) if of == "rate" else one["memory"] / 2**20 for one in runs)


def row(comparison: Comparison, record: Record, name: str) -> list[str]:
    """One contender in a comparison."""
    first = comparison.contenders[0]
    work = f"{comparison.what}; {record['count']:,}" if name == first else ""
    by = f"{label(name)} {record['versions'][name]}".strip()
    if not right(name, record["rounds"]):
        return [work, by, record["rounds"][0][name]["wrong"].replace("|", "/"), "", "", "", ""]
    speed = f"{median(name, record, 'rate'):,.0f} {comparison.unit}"
    if name == first:
        return [work, f"**{by}**", speed, "", "", f"{median(name, record, 'memory'):.0f} MiB", ""]
    return [
        work,
        by,
        speed,
        *(times(comparison, record, name, kind) for kind in ("rate", "steady", "memory", "cpu")),
    ]


def times(comparison: Comparison, record: Record, name: str, kind: str) -> str:
    """How many times as good ours is, and should be."""
    ratio = record["ratios"].get(name, {}).get(kind)
    if ratio is None:
        return ""
    shown = f"{ratio:,.0f}×" if ratio >= 20 else f"{ratio:.2f}×"
    goals = (one.least for one in comparison.goals if (one.beside, one.kind) == (name, kind))
    return shown + "".join(f" (goal {least:g}{'' if ratio >= least else ', missed'})" for least in goals)


def table(found: Sequence[tuple[Comparison, Record]], resumed: Sequence[Record]) -> Iterator[str]:
    """The lines between the marks."""
    if found:
        yield about([record for _, record in found])
        yield ""
        yield _cells(HEAD)
        yield _cells(["---"] * len(HEAD))
        for comparison, record in found:
            yield from (_cells(row(comparison, record, name)) for name in record["rounds"][0])
        yield ""
        yield "Where this is unfair:"
        yield ""
        yield from (
            f"- {one.unfair[0].upper()}{one.unfair[1:]} ({one.what})." for one, _ in found if one.unfair
        )
        for comparison, record in found:
            if comparison.tail:
                yield ""
                yield _tail(comparison, record)
    for record in [one for one in resumed if not one.get("quick")][-1:]:
        yield ""
        yield from _resumed(record)
    if found:
        yield ""
        yield from (f"![{kind}](bench/results/{kind}.png)" for kind in kinds(found))


def about(records: Sequence[Record]) -> str:
    """Where and when; what was measured elsewhere than the last is named."""
    where = records[-1]["environment"]
    rounds = sorted({len(one["rounds"]) for one in records})
    commits = dict.fromkeys(one["environment"]["commit"] for one in records)
    elsewhere = "".join(
        f" “{one['comparison']}” was measured elsewhere ({one['environment']['cpu']}): only its ratios compare."
        for one in records
        if one["environment"]["cpu"] != where["cpu"]
    )
    return (
        f"{where['cpu']}, {where['cores']} cores, Python {where['python']}, {where['at'][:10]}, commit"
        f" {' and '.join(commits)}; {' or '.join(map(str, rounds))} rounds in turn, seed {records[-1]['seed']};"
        " who no goal is held against ran in the first only."
        " “Ours is” tells how many times as fast it is, and how many times its memory and CPU seconds the other needs:"
        " medians of the rounds' ratios, so not quite the ratio of the medians of speed. “While steady” is between"
        " the 20th and the 80th hundredth of the answers, by the server's clock." + elsewhere
    )


def _cells(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _tail(comparison: Comparison, record: Record) -> str:
    tails = {
        label(name): statistics.median(one["tail"] for one in runs)
        for name in record["rounds"][0]
        if (runs := [one for one in right(name, record["rounds"]) if "tail" in one])
    }
    told = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in tails.items())
    return f"From the request for the last URL to the end ({comparison.what}; goal {comparison.tail:g} s): {told}."


def _resumed(record: Record) -> Iterator[str]:
    for one in record["continued"]:
        yield (
            f"- Continuing a crawl of {one['rows']:,} links, {1 - one['left'] / one['rows']:.0%} decided: first request"
            f" after {one['warm']:.1f} s, {one['cold']:.1f} s where nothing of it is in the page cache."
        )
    for one in record["repeats"]:
        if "repeated" in one:
            yield (
                f"- Killed with -9 after {one['before']:,} of {one['urls']:,} requests and run again, {one['tool']}"
                f" asks for {one['repeated']:,} a second time."
            )


def kinds(found: Sequence[tuple[Comparison, Record]]) -> list[str]:
    """The charts: crawl, curate, search."""
    return list(dict.fromkeys(one.task.partition("-")[0] for one, _ in found))


def chart(kind: str, found: Sequence[tuple[Comparison, Record]], path: Path) -> None:
    """Bars of speed and of memory, a row for each comparison."""
    from matplotlib.figure import Figure

    shown = [(one, record) for one, record in found if one.task.partition("-")[0] == kind]
    heights = [1 + len(record["rounds"][0]) for _, record in shown]
    figure = Figure(figsize=(10, 0.36 * sum(heights) + 0.7 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 2, squeeze=False, sharey="row", height_ratios=heights)
    for (comparison, record), (speed, memory) in zip(shown, axes, strict=True):
        names = [name for name in record["rounds"][0] if right(name, record["rounds"])]
        for side, of in ((speed, "rate"), (memory, "memory")):
            values = [median(name, record, of) for name in names]
            colours = [OURS if name == comparison.contenders[0] else OTHERS for name in names]
            bars = side.barh([label(name) for name in names], values, color=colours)
            side.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=8)
            side.margins(x=0.15)
            side.spines[["top", "right"]].set_visible(False)
            side.tick_params(labelsize=8)
        speed.invert_yaxis()  # and that of the memory with it
        speed.set_title(f"{comparison.what}; {record['count']:,}", fontsize=9, loc="left")
        speed.set_xlabel(f"{comparison.unit} a second", fontsize=8)
        memory.set_xlabel("MiB at the peak", fontsize=8)
    figure.savefig(path, dpi=110)


def between(text: str, lines: Sequence[str]) -> str:
    """`text` with these lines between its marks. ValueError where it has none."""
    before, begin, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not begin or not end:
        raise ValueError(f"there is no {' ... '.join(MARKS)} in it")
    return "\n".join([before + begin, *lines, end + after])


def main() -> int:
    """Write both."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter).parse_args()
    found = latest(lines_of(RESULTS / "compared.jsonl"))
    readme = ROOT / "README.md"
    lines = list(table(found, lines_of(RESULTS / "resume.jsonl")))
    if not lines:
        raise SystemExit("there are no results yet: run `python -m bench` first")
    readme.write_text(between(readme.read_text(), lines))
    for kind in kinds(found):
        chart(kind, found, RESULTS / f"{kind}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
