"""Preloaded by the forkserver, and imported by nobody else: what it does, it does when it is imported.

A SIGTERM or SIGHUP meant for the whole group (systemd, a closed terminal) would end the forkserver, and with
it the only one who can tell how a worker ended, while the parent still drains its last batches. So the
forkserver ignores both; it ends when the last pipe to it closes. What it forks gets the defaults back, since
other users of this forkserver may want to terminate their children.

Workers share the cores: a matrix product that starts threads of its own in each of them spends three times
the work on waiting. Libraries of linear algebra read how many to start when they are loaded, which is later.
"""

import os
import signal

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
_MEANT_FOR_THE_GROUP = (signal.SIGTERM, signal.SIGHUP)


def _set_all(action: signal.Handlers) -> None:
    for number in _MEANT_FOR_THE_GROUP:
        signal.signal(number, action)


_set_all(signal.SIG_IGN)
os.register_at_fork(after_in_child=lambda: _set_all(signal.SIG_DFL))
for name in _ONE_THREAD:
    os.environ.setdefault(name, "1")
