"""How long a crawl of the web takes to end once its last URL was asked for, by the clock of the servers.

    python -m bench.tail [--urls 3000] [--rounds 3] [--quick]

Crawls the web site of `bench.site` (some hundred milliseconds to an answer; 2 % never answer, 3 % are 404, 1 % cut
short) with deadlines of 10 s for everybody. The tail runs from the first request for the URL that was asked for last
to the end of the process. What never answers takes one deadline; a crawl that waits for anything else pays beyond
that. The goal: one deadline and 2 s, with one attempt a URL, as the others make.

With the three attempts of our default what fails is asked for again after a pause that grows, so that the tail is
that of these pauses; img2dataset's ends with its slowest shard. Both are told, without a goal. Some 30 s a line.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.contending import Job, contend  # noqa: E402
from bench.exchanges import last_begun, read  # noqa: E402
from bench.inputs import corpus  # noqa: E402
from bench.record import append, environment, say_missed  # noqa: E402
from bench.site import web  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "tail.jsonl"
DEADLINE_S = 10.0  # of one exchange
LONGEST_S = DEADLINE_S + 2
PICTURES = 200
LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the table."""

    contender: str
    attempts: int
    threads: int | None  # at a time; None for its default
    goal: bool = False


SETTINGS = (
    Setting("ours", 1, None, goal=True),
    Setting("ours", 1, 100, goal=True),
    Setting("ours", 3, None),
    Setting("img2dataset", 1, None),
)


def measured(setting: Setting, count: int, seed: int) -> dict[str, Any]:
    """One crawl. Times in seconds from its start; `failure` alone where it fails."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        with web(corpus(seed, PICTURES, None), folder / "site", count=count, seed=seed) as site:
            options = site.options | {"attempts": setting.attempts, "timeout": DEADLINE_S}
            if setting.threads:
                options |= {"threads": setting.threads}
            (folder / "out").mkdir()
            job = Job("crawl", str(site.write(folder / "urls.txt")), str(folder / "out"), count, options)
            run = contend(setting.contender, job, LIMIT_S)
        exchanges = read(site.log, run.began)  # whole once the server has ended
    if run.outcome is None or not exchanges:
        return {"failure": run.failure or "asked for nothing"}
    last, ended = last_begun(exchanges) - run.began, run.seconds
    answered = sorted(one.ended - run.began for one in exchanges if one.status)
    return {
        "half": answered[len(answered) // 2],
        "most": answered[len(answered) * 99 // 100],
        "last": last,
        "closed": exchanges[-1].ended - run.began,
        "ended": ended,
        "tail": ended - last,
        "saved": run.outcome.images,
    }


def told(line: dict[str, Any]) -> str:
    """The line of one setting, medians of its rounds."""
    rounds = [one for one in line["rounds"] if "failure" not in one]
    threads = line["threads"] or "default"
    head = f"{line['contender']:>12} {line['attempts']:>8} {threads:>8}"
    if not rounds:
        return f"{head}  {line['rounds'][0]['failure']}"
    middle = {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}
    times = " ".join(f"{middle[name]:8.1f}" for name in ("half", "most", "last", "closed", "ended", "tail"))
    return f"{head} {times} {middle['saved']:8.0f}"


def missed(lines: list[dict[str, Any]]) -> Iterator[str]:
    """What ends too late."""
    for line in lines:
        for one in line["rounds"]:
            if line["goal"] and one.get("tail", LIMIT_S) > LONGEST_S:
                words = f"{one['tail']:.1f} s" if "tail" in one else one["failure"]
                yield f"{line['contender']}, {line['threads'] or 'default'} at a time: {words}, not {LONGEST_S:g} s"


def main() -> int:
    """Measure, print, write down, and say what is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--urls", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="300 URLs, one round, the first line, no goals, nothing recorded"
    )
    args = parser.parse_args()
    urls, rounds, settings = (300, 1, SETTINGS[:1]) if args.quick else (args.urls, args.rounds, SETTINGS)
    lines: list[dict[str, Any]] = [{**asdict(one), "rounds": []} for one in settings]
    for seed in range(rounds):  # in turn: what else the machine does hits all alike
        for one, line in zip(settings, lines, strict=True):
            line["rounds"].append(measured(one, urls, seed))
            print(
                f"round {seed + 1} of {rounds}: {told(line | {'rounds': line['rounds'][-1:]})}",
                file=sys.stderr,
            )
    print(
        "seconds until half and 99 % were answered, the last URL was asked for, the last exchange closed, the end; tail"
    )
    heads = ("attempts", "threads", "half", "99 %", "last", "closed", "end", "tail", "saved")
    print(f"{'':>12}", *(f"{one:>8}" for one in heads))
    for line in lines:
        print(told(line))
    record = {"environment": environment("own"), "urls": urls, "lines": lines}
    if args.quick:
        return 0
    append(RESULTS, record)
    return say_missed(missed(lines))


if __name__ == "__main__":
    sys.exit(main())
