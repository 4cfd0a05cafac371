"""Curations and exports whose process was killed with SIGKILL at random moments, again and again.

`python -m tests.killed_curate ROOT KILLS LONGEST` curates ROOT/pics to ROOT/curated and exports that as EXPORTS say,
in forked processes. Curating is killed KILLS times and each export half as often, at most LONGEST seconds after it
began; then it runs to its end. A process of its own does it, because a forked test runner would carry its threads'
locks along. Workers import this module, too: it has nothing to import itself.
"""

import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path


def killed_curate(root: Path, kills: int, longest: float) -> None:
    """Run this module as a program."""
    subprocess.run(
        [sys.executable, "-m", "tests.killed_curate", str(root), str(kills), str(longest)],
        cwd=Path(__file__).parent.parent,
        check=True,
    )


def _run(work: Callable[[], None], begun: Path, kills: int, longest: float) -> None:
    """Do `work`, killed after it has made the file `begun`, and at last to its end."""
    while kills:
        child = _forked(work)
        while not begun.exists() and not _has_ended(child):
            time.sleep(0.001)
        time.sleep(random.uniform(0, longest))  # any moment must do
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        if os.WIFSIGNALED(status):
            kills -= 1
        else:  # it was faster
            assert status == 0
            longest /= 2
    assert os.waitpid(_forked(work), 0)[1] == 0


def _has_ended(child: int) -> bool:
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _forked(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the end of this process
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return child


def main(root: Path, kills: int, longest: float) -> None:
    """Curate and export."""
    from curator.flags import leave_out_pandas
    from tests.curating import EXPORTS, curate_in, export_in

    leave_out_pandas()  # every child would import them
    _run(partial(curate_in, root, workers=1), root / "curated" / "measures.sqlite", kills, longest)
    for name in EXPORTS:
        _run(partial(export_in, root, name, workers=1), root / name / ".exported", kills // 2, longest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
