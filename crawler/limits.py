"""What the operating system allows this process."""

import resource

from curator.errors import UsageError

# lists, shards, SQLite, workers' pipes, the resolver's sockets
_OTHER_FILES = 256
_SPARE = 1.25  # sockets that are closing, kept alive, or trying a second address


def allow_sockets(concurrency: int) -> None:
    """Raise the limit of open files so that `concurrency` exchanges fit.

    Raises UsageError where the system's hard limit is too low.
    """
    needed = int(concurrency * _SPARE) + _OTHER_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        fits = max(1, int((hard - _OTHER_FILES) / _SPARE))
        raise UsageError(
            f"--concurrency {concurrency} needs {needed:,} open files, but this system allows {hard:,}. "
            f"Raise the limit (ulimit -Hn {needed}, or LimitNOFILE= in systemd), or use --concurrency {fits}."
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
