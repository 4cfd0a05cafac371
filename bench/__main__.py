"""Ours beside what people would pick instead: the same work, the same machine, one run.

    python -m bench [--quick] [--only NAME,...] [--beside NAME,...] [--rounds 3] [--images N] [--photos DIR] [--seed 1]

`--only` names comparisons and `--beside` contenders, both as `bench/comparisons.py` lists them. Each contender runs in
a process and, where need be, an environment of its own, made by pip once (`bench.peers`); rounds go in turn (A B A B),
those after the first without the contenders that no goal is held against.
Its count of images is held against the truth before its speed counts. A contender that cannot be installed, fails, or
counts wrong is a line that says so. Results go to bench/results/compared.jsonl, with which `python -m bench.show`
makes the README's table and charts. Misses are printed as MISSED, and make the exit code 1.

`--quick` runs all of it small, to see that it works: it holds nobody to a goal and writes no results. All of it in
full takes an hour and more on two cores, and 5 GB in TMPDIR.

Bias: servers and contenders share the machine's cores; loopback loses nothing, and bodies come from the page cache.
Every comparison says to whom it is unfair.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.comparisons import COMPARISONS, KINDS, Comparison, missed, rate, ratios, right, wrong
from bench.contenders import label
from bench.contending import Job, contend, version_of
from bench.inputs import Input, given
from bench.record import append, environment, say_missed

RESULTS = Path(__file__).parent / "results" / "compared.jsonl"
QUICK_LIMIT_S, LIMIT_S = 120.0, 3600.0


def compare(comparison: Comparison, args: argparse.Namespace) -> dict[str, Any]:
    """All rounds of one comparison."""
    first, *others = comparison.contenders
    names = [first, *(one for one in others if not args.beside or one in args.beside)]
    versions = {name: version_of(name) for name in names}
    count = args.images or (comparison.quick if args.quick else comparison.count)
    rounds: list[dict[str, Any]] = []
    load = os.getloadavg()[0]
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        given(comparison, count, args.seed, args.photos, Path(name)) as source,
    ):
        for number in range(args.rounds):
            rounds.append({})
            for one in taking_part(comparison, names, number):
                earlier = rounds[0].get(one)
                if earlier and earlier["failure"]:  # to fail may take an hour: once is enough
                    rounds[-1][one] = earlier
                    continue
                rounds[-1][one] = turn(comparison, one, source, Path(name, "out"), rounds[-1], args.quick)
                print(told(comparison, number, one, rounds[-1][one]), file=sys.stderr, flush=True)
    found = ratios(rounds, first)
    return {
        "environment": environment(source.server) | {"load_before": load},
        "comparison": comparison.name,
        "seed": args.seed,
        "photos": str(args.photos or ""),
        "count": count,
        "quick": args.quick,
        "versions": versions,
        "rounds": rounds,
        "ratios": found,
        "missed": missed(comparison, rounds, found, goals=not args.quick),
    }


def taking_part(comparison: Comparison, names: Sequence[str], number: int) -> list[str]:
    """Who runs in round `number`: all in the first; later ours and those that a goal is held against."""
    goals = {comparison.contenders[0], *(one.beside for one in comparison.goals)}
    return [one for one in names if number == 0 or not comparison.goals or one in goals]


def turn(
    comparison: Comparison, name: str, source: Input, out: Path, before: Mapping[str, Any], quick: bool
) -> dict[str, Any]:
    """One contender's turn, into a folder that is empty before and gone after."""
    out.mkdir()
    options = {**source.options, **comparison.options, **comparison.own.get(name, {})}
    job = Job(comparison.task, str(source.path), str(out), source.count, options)
    run = contend(name, job, QUICK_LIMIT_S if quick else LIMIT_S)
    shutil.rmtree(out)
    record = asdict(run) | source.seen(run)
    ours = before.get(comparison.contenders[0])
    truth = source.truth
    if truth is None:  # then everybody finds what ours does
        found = ours or record
        truth = found["outcome"]["images"] if found["outcome"] else 0
    return record | {"wrong": wrong(record, truth, comparison.slack)}


def told(comparison: Comparison, number: int, name: str, run: Mapping[str, Any]) -> str:
    """One line of progress."""
    what = run["wrong"] or f"{rate(run):,.0f}/s in {run['seconds']:.1f} s, {run['memory'] / 2**20:.0f} MiB"
    return f"{comparison.name} round {number + 1}: {name}: {what}"


def show(comparison: Comparison, record: Mapping[str, Any]) -> None:
    """The table of one comparison: medians of each contender's rounds, and how many times as good ours is."""
    print(f"\n{comparison.name}: {comparison.what}; {record['count']:,}")
    heads = "".join(f"{one:>8}" for one in KINDS.values())
    print(
        f"  {'':32} {comparison.unit + '/s':>10} {'CPU ms':>7} {'MiB':>6} {'tail s':>6}  ours is, times:{heads}"
    )
    for name in record["rounds"][0]:
        shown = f"{label(name)} {record['versions'][name]}"
        print(f"  {shown[:32]:32} {cells(name, record)}")
    if comparison.unfair:
        print(f"  unfair {comparison.unfair}")


def cells(name: str, record: Mapping[str, Any]) -> str:
    """One contender's numbers, or why there are none."""
    runs = right(name, record["rounds"])
    if not runs:
        return str(record["rounds"][0][name]["wrong"])
    speed = statistics.median(map(rate, runs))
    cpu = statistics.median(one["cpu"] / max(1, one["outcome"]["images"]) for one in runs) * 1e3
    memory = statistics.median(one["memory"] for one in runs) / 2**20
    tails = [one["tail"] for one in runs if "tail" in one]
    tail = f"{statistics.median(tails):6.1f}" if tails else f"{'':6}"
    ratio = record["ratios"].get(name, {})
    times = "".join(f"{ratio[kind]:8.2f}" if kind in ratio else f"{'':8}" for kind in KINDS)
    return f"{speed:10,.0f} {cpu:7.2f} {memory:6.0f} {tail} {'':16}{times}"


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    names = [one.name for one in COMPARISONS]
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small, one round: does it work?")
    parser.add_argument("--only", type=_words, help=f"of {', '.join(names)}")
    parser.add_argument("--beside", type=_words, help="these contenders and ours; default: all")
    parser.add_argument("--rounds", type=int, help="default: 3")
    parser.add_argument("--images", type=int, help="URLs, pictures or hashes in each comparison")
    parser.add_argument("--photos", type=Path, help="cut the pictures from those in this folder")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args(given)
    args.rounds = args.rounds or (1 if args.quick else 3)
    if unknown := set(args.only or ()) - set(names):
        parser.error(f"no such comparison: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    everybody = {name for one in COMPARISONS for name in one.contenders}
    if unknown := set(args.beside or ()) - everybody:
        parser.error(
            f"no such contender: {', '.join(sorted(unknown))}; there are {', '.join(sorted(everybody))}"
        )
    return args


def _words(text: str) -> list[str]:
    return [one for one in text.split(",") if one]


def main() -> int:
    """Measure, print, write down, and say what is missed."""
    args = arguments()
    print("  ".join(f"{name} {value}" for name, value in environment("").items() if value))
    short: list[str] = []
    for comparison in COMPARISONS:
        if not args.only or comparison.name in args.only:
            record = compare(comparison, args)
            show(comparison, record)
            short += record["missed"]
            if not args.quick:
                append(RESULTS, record)
    return say_missed(short)


if __name__ == "__main__":
    sys.exit(main())
