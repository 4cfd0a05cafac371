"""What a user can put right: each error names the thing and the way out, and carries its exit code.

Anything that is not one of these is our own bug and keeps its traceback (exit code 1).
"""


class CurateError(Exception):
    """A message for the user; `exit_code` is what the command ends with."""

    exit_code = 2


class UsageError(CurateError):
    """A wrong flag, list, folder or file: nothing was touched."""


class CorruptDataset(CurateError):
    """A dataset on disk breaks a promise that only damage from outside can break."""


class DiskFull(CurateError):
    """The disk is full or nearly so; what was committed is safe and a rerun goes on."""

    exit_code = 4


class NearlyAllFailed(CurateError):
    """Stopped before the end since nearly everything failed that may not fail another time; resumable."""

    exit_code = 3


class Interrupted(CurateError):
    """Stopped before the end, resumable."""

    exit_code = 130
