"""What the contenders that crawl share: how they come to know a site's names and authority, and how theirs is counted.

Only the standard library: this runs in the environments of the peers.
"""

import os
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.peers import ROOT

_BLOCK = 512  # bytes, of a tar


def taught(options: Mapping[str, Any]) -> dict[str, str]:
    """The environment of a process that knows the bench's names and trusts a site's authority beside the system's."""
    found = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "bench" / "shim"), str(ROOT)])}
    if "bundle" in options:
        found |= {"SSL_CERT_FILE": options["bundle"], "REQUESTS_CA_BUNDLE": options["bundle"]}
    return found


def called(command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
    """Run a command from the project's root. Its last word, where it fails, is ours."""
    ended = subprocess.run(
        command,
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    if ended.returncode:
        raise SystemExit(ended.stderr.strip().rpartition("\n")[2] or f"exit code {ended.returncode}")


def in_tars(folder: Path) -> Counter[str]:
    """Members that are not empty, by their extension, of all the tars in a folder.

    Headers only, one read each: 20,000 samples take a tenth of a second.
    """
    found: Counter[str] = Counter()
    for path in folder.rglob("*.tar"):
        with path.open("rb", buffering=0) as file:
            at = 0
            while (header := os.pread(file.fileno(), _BLOCK, at)).strip(b"\0"):
                name, size = header[:100].rstrip(b"\0").decode(), int(header[124:135], 8)
                found[name.partition(".")[2]] += bool(size)
                at += _BLOCK + size + -size % _BLOCK
    return found


def in_files(folder: Path) -> int:
    """Files that are not empty, at any depth."""
    return sum(Path(at, name).stat().st_size > 0 for at, _, names in os.walk(folder) for name in names)
