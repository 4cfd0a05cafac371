"""How fast `curate` is: measuring a folder of pictures, and curating a dataset of millions.

    python -m bench.curate --photos FOLDER [--images 5000] [--rounds 3] [--json]
    python -m bench.curate --rows 1000000 [--json] [-- FLAGS OF CURATE]

`--photos` fills a folder with the pictures of another, in turn, and in each round measures it with ours (everything
that `curate` records of an image, into its file of measures) and with the frozen reference, which decodes only,
from memory (`bench.reference`), each in a process of its own; then runs all of `curate`. The ratio is the median
of the rounds' ratios. How many images were measured is checked first. Others at the same work: `python -m bench
--only folder`.

`--rows` makes a crawled dataset (`bench.made`) and runs all of `curate` on it: `decided` is the time from the
start of the process until decisions.parquet is written, no image opened until then; what follows is the report.
Memory is the peak of all its processes, shared pages divided among them (`bench.tree`). Reasons are checked
against the plan.

Goals on two cores: measuring at 0.85 of the reference; 1,000,000 rows decided in 20 s; 5,000,000 rows within 4 GiB.

Bias: files come from the page cache and are links to some dozens of pictures; hashes of the dataset are
uniform; what was made a moment before is in the page cache too. On a machine that others use as well, compare
CPU seconds: they are printed beside.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.record import append, environment, say_missed  # noqa: E402
from bench.reference import photos  # noqa: E402
from bench.tree import Watch  # noqa: E402
from curator.heap import keep_freed_memory  # noqa: E402
from curator.measuring import Listing, Progress, measure_sources  # noqa: E402
from curator.settings import Settings  # noqa: E402
from curator.sources.listing import list_images  # noqa: E402
from curator.sources.measures import MeasureStore  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "curate.jsonl"
FLOOR = 0.85  # of the reference
DECIDED_S, DECIDED_ROWS = 20.0, 1_000_000
MEMORY_BYTES, MEMORY_ROWS = 4 << 30, 5_000_000
BY_CHANCE = 5  # near copies more than planted, among millions of uniform hashes


def curate(*arguments: object) -> dict[str, Any]:
    """One run of the command: seconds, CPU seconds, memory, and its summary."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        out = Path(name) / "curated"
        command = [sys.executable, "-m", "curator.cli", *map(str, arguments), "--out", str(out), "--quiet"]
        began, at = time.perf_counter(), time.time()
        process = subprocess.Popen(command, cwd=ROOT)
        with Watch(process.pid) as watch:
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"curate ended with exit code {process.returncode}")
        return {
            "seconds": seconds,
            "decided": (out / "decisions.parquet").stat().st_mtime - at,
            "cpu": used.ru_utime + used.ru_stime,
            "workers_cpu": watch.children,
            "memory": watch.peak,
            "summary": json.loads((out / "summary.json").read_text()),
        }


def measure_folder(args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of ours and the reference, in turn."""
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = fill(Path(name), photos(args.photos), args.images)
        commands = {
            "measuring": ["bench.curate", "--alone", str(folder)],
            "reference": ["bench.reference", str(args.photos), str(args.images)],
        }
        for number in range(args.rounds):
            turn = list(commands.items())[:: 1 if number % 2 else -1]  # who is first has the cooler machine
            rounds.append({one: alone(command) for one, command in turn})
            check(int(rounds[-1]["measuring"]["images"]), args.images, "measuring")
        whole = curate(folder)
    check(whole["summary"]["images"], args.images, "curate")
    check(whole["summary"]["reasons"].get("undecodable", 0), 0, "undecodable: curate")
    return {"images": args.images, "rounds": rounds, "whole": whole, "ratios": ratios(rounds)}


def alone(command: list[str]) -> dict[str, float]:
    """What a module of the bench prints as JSON, in a process of its own."""
    found: dict[str, float] = json.loads(subprocess.check_output([sys.executable, "-m", *command], cwd=ROOT))
    return found


def measuring(folder: Path) -> dict[str, float]:
    """Images of a folder that were measured, seconds, and CPU seconds."""
    keep_freed_memory()  # as the command does
    progress = Progress()
    began, before = time.perf_counter(), time.process_time()
    with Watch(os.getpid(), memory=False) as watch, tempfile.TemporaryDirectory(prefix="bench-") as out:
        store = MeasureStore(Path(out) / "measures.sqlite")
        listings = [Listing("photos", partial(list_images, folder))]
        asyncio.run(measure_sources(listings, store, Settings(), progress))
        store.close()
        seconds = time.perf_counter() - began
    cpu = time.process_time() - before + watch.children
    return {"images": progress.measured, "seconds": seconds, "cpu": cpu}


def fill(folder: Path, pictures: list[Path], count: int) -> Path:
    """A folder of so many names for these pictures."""
    first = []
    for picture in pictures:
        first.append(folder / picture.name)
        first[-1].write_bytes(picture.read_bytes())
    into = folder / "photos"
    into.mkdir()
    for number in range(count):
        picture = first[number % len(first)]
        os.link(picture, into / f"{number:06d}{picture.suffix}")
    return into


def check(found: int, expected: int, what: str) -> None:
    """End the bench where a count is not what it must be."""
    if found != expected:
        raise SystemExit(f"{what}: {found:,} images, not {expected:,}")


def ratios(rounds: list[dict[str, dict[str, float]]]) -> dict[str, float]:
    """How much faster measuring is than the reference, by wall time and by CPU: medians of the rounds."""
    return {
        kind: statistics.median(one["reference"][kind] / one["measuring"][kind] for one in rounds)
        for kind in ("seconds", "cpu")
    }


def curate_rows(args: argparse.Namespace) -> dict[str, Any]:
    """Make a dataset, curate it, and hold what was decided against what was planned."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        root = Path(name) / "data"
        command = [sys.executable, "-m", "bench.made", str(root), str(args.rows)]
        expected = json.loads(subprocess.check_output(command, cwd=ROOT))
        runs = []
        for _ in range(args.rounds):
            runs.append(curate(root, *args.flags))
            found = runs[-1]["summary"]["reasons"]
            expected["near_duplicate"] += (more := found["near_duplicate"] - expected["near_duplicate"])
            if found != expected or abs(more) > BY_CHANCE:
                raise SystemExit(f"left out were {found}, planned {expected}")
    return {"rows": args.rows, "flags": args.flags, "runs": runs}


def show_folder(record: dict[str, Any]) -> None:
    """Ours and the reference, and all of curate."""
    count, whole = record["images"], record["whole"]
    print(f"{'':12} {'images/s':>9} {'CPU ms/image':>13}")
    for name in record["rounds"][0]:
        rounds = [one[name] for one in record["rounds"]]
        rate = count / statistics.median(one["seconds"] for one in rounds)
        cpu = statistics.median(one["cpu"] for one in rounds) / count * 1e3
        print(f"{name:12} {rate:9.0f} {cpu:13.2f}")
    print(f"ratio {record['ratios']['seconds']:.3f} (by CPU seconds {record['ratios']['cpu']:.3f})")
    print(
        f"all of curate: {count / whole['seconds']:.0f} images/s, {whole['seconds']:.1f} s,"
        f" {(whole['cpu'] + whole['workers_cpu']) / count * 1e3:.2f} CPU ms an image,"
        f" {whole['memory'] / 2**20:.0f} MiB"
    )


def show_rows(record: dict[str, Any]) -> None:
    """A line for each run."""
    for run in record["runs"]:
        summary = run["summary"]
        print(
            f"{record['rows']:,} rows: decided in {run['decided']:.1f} s, all in {run['seconds']:.1f} s;"
            f" CPU {run['cpu']:.1f} s and {run['workers_cpu']:.1f} s of workers; {run['memory'] / 2**20:.0f} MiB;"
            f" kept {summary['kept']:,}, {summary['clusters']['copies']:,} copies"
        )


def failures(record: dict[str, Any]) -> list[str]:
    """What the run misses."""
    missed = []
    if "ratios" in record and record["ratios"]["seconds"] < FLOOR:
        missed.append(f"measuring is {record['ratios']['seconds']:.2f} times the reference, not {FLOOR}")
    for run in record.get("runs", ()):
        if record["rows"] <= DECIDED_ROWS and run["decided"] > DECIDED_S:
            missed.append(f"decided in {run['decided']:.1f} s, not {DECIDED_S:.0f}")
        if record["rows"] <= MEMORY_ROWS and run["memory"] > MEMORY_BYTES:
            missed.append(f"{run['memory'] / 2**30:.1f} GiB, not {MEMORY_BYTES >> 30}")
    return missed


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--photos", type=Path, help="folder of photographs")
    what.add_argument("--rows", type=int, help="rows of a crawled dataset")
    what.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--images", type=int, default=5_000, help="files in the folder that is measured")
    parser.add_argument("--rounds", type=int, help="default: 3 of a folder, 1 of a dataset")
    parser.add_argument(
        "--json", action="store_true", help=f"append the record to {RESULTS.relative_to(ROOT)}"
    )
    parser.add_argument("flags", nargs="*", help="flags of curate, after --")
    args = parser.parse_args()
    args.rounds = args.rounds or (3 if args.photos else 1)
    return args


def main() -> int:
    """Measure, print, and say whether it is fast enough."""
    args = arguments()
    if args.alone:
        print(json.dumps(measuring(args.alone)))
        return 0
    load = os.getloadavg()[0]
    measured = measure_folder(args) if args.photos else curate_rows(args)
    about = {name: value for name, value in environment("").items() if name != "server"}
    record = {"environment": about | {"load_before": load}, **measured}
    print("  ".join(f"{name} {value}" for name, value in record["environment"].items()), end="\n\n")
    (show_folder if args.photos else show_rows)(record)
    if args.json:
        append(RESULTS, record)
    return say_missed(failures(record))


if __name__ == "__main__":
    sys.exit(main())
