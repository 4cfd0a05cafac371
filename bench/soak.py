"""Whether a crawl grows: memory and descriptors over an hour at full speed, then interrupted and read back.

    python -m bench.soak --photos FOLDER [--minutes 60] [--files 100000]

Serves small pictures made from those in the folder, each file with bytes of its own, from nginx on loopback, and
crawls an endless list of them with `--dedup bytes`: new files are saved, the others are decoded, hashed and found
to be known. Every minute memory (shared pages divided), descriptors and what was decided are noted. At the end the
crawl gets a SIGINT, and `curate verify` reads the dataset back.
"""

import argparse
import io
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # so that the file can also be run by its path

from bench.record import append, environment  # noqa: E402
from bench.reference import photos  # noqa: E402
from bench.serving import Server, serving  # noqa: E402
from bench.tree import below, proportional  # noqa: E402

RESULTS = Path(__file__).parent / "results" / "soak.jsonl"
_SIDE = 160  # pixels
_A_SECOND = 4_000  # URLs, more than any crawl here gets through


def main() -> None:
    """Soak, and write down what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--files", type=int, default=100_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        for name in ("pictures", "server"):
            (place / name).mkdir()
        make_pictures(given.photos, place / "pictures", given.files)
        with serving(place / "pictures", place / "server") as server:
            write_list(place / "urls.txt", server, given.files, int(given.minutes * 60 * _A_SECOND))
            looks, ended = soak(place / "urls.txt", place / "data", given.minutes)
        verified = subprocess.run(
            [sys.executable, "-m", "curator.cli", "verify", str(place / "data")], cwd=ROOT, check=False
        )
    found = {
        "environment": environment(server.kind),
        "looks": looks,
        "exit": ended,
        "verify": verified.returncode,
    }
    append(RESULTS, found)
    for name in ("main", "workers", "descriptors", "decided"):
        print(f"{name:12} after a minute {looks[0][name]:>14,}   at the end {looks[-1][name]:>14,}")


def make_pictures(source: Path, folder: Path, count: int) -> None:
    """Small JPEGs of the pictures in turn, no two files with the same bytes."""
    small = []
    for path in photos(source):
        with Image.open(path) as image:
            image.thumbnail((_SIDE, _SIDE))
            file = io.BytesIO()
            image.convert("RGB").save(file, "JPEG", quality=85)
            small.append(file.getvalue())
    for number in range(count):
        (folder / f"{number}.jpg").write_bytes(small[number % len(small)] + number.to_bytes(8, "big"))


def write_list(path: Path, server: Server, files: int, count: int) -> None:
    """`count` different URLs, taking the files in turn."""
    with path.open("w") as file:
        for number in range(count):
            file.write(f"http://127.0.0.1:{server.port}/{number % files}.jpg?n={number}\n")


def soak(urls: Path, data: Path, minutes: float) -> tuple[list[dict[str, Any]], int]:
    """Crawl for so many minutes; what was seen every minute, and the exit code."""
    command = [
        sys.executable,
        "-m",
        "crawler.cli",
        str(urls),
        "--out",
        str(data),
        "--quiet",
        "--dedup",
        "bytes",
    ]
    process = subprocess.Popen([*command, "--allow-net", "127.0.0.0/8", "--per-host", "0"], cwd=ROOT)
    started, looks = time.monotonic(), list[dict[str, Any]]()
    while time.monotonic() - started < 60 * minutes and process.poll() is None:
        time.sleep(60)
        looks.append(look(process.pid, data))
        print(looks[-1], flush=True)
    process.send_signal(signal.SIGINT)
    return looks, process.wait()


def look(pid: int, data: Path) -> dict[str, Any]:
    """Bytes of the crawl's process and of those below it, its descriptors, and what was decided."""
    with closing(sqlite3.connect(f"{(data / 'ledger.sqlite').as_uri()}?mode=ro", uri=True)) as ledger:
        counts = dict(ledger.execute("SELECT s.name, c.n FROM counts c JOIN states s ON s.code = c.state"))
    pending = counts.pop("pending", 0)
    return {
        "at": time.time(),
        "main": proportional(pid),
        "workers": sum(map(proportional, below(pid))),
        "descriptors": len(os.listdir(f"/proc/{pid}/fd")),  # noqa: PTH208 - names
        "decided": sum(counts.values()),
        "pending": pending,
        "counts": counts,
    }


if __name__ == "__main__":
    main()
