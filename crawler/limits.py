"""What the operating system allows this process."""

import resource

from curator.errors import UsageError

# lists, shards, SQLite, workers' pipes, the resolver's sockets
_OTHER_FILES = 256
_KEPT_ALIVE = 65_536  # a connection for some seconds to each of the hosts that are asked only once
_SPARE = 1.25  # sockets that are closing, kept alive, or trying a second address


def allow_sockets(concurrency: int) -> None:
    """Raise the limit of open files so that `concurrency` exchanges fit, and connections kept alive to many hosts.

    Raises UsageError where the system's hard limit is too low.
    """
    needed = int(concurrency * _SPARE) + _OTHER_FILES
    wanted = needed + _KEPT_ALIVE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        fits = max(1, int((hard - _OTHER_FILES) / _SPARE))
        raise UsageError(
            f"--concurrency {concurrency} needs {needed:,} open files, but this system allows {hard:,}. "
            f"Raise the limit (ulimit -Hn {needed}, or LimitNOFILE= in systemd), or use --concurrency {fits}."
        )
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
    )
