"""Who is compared: one file each, with the same three names.

LABEL is what the table calls it; `version()` what of it is installed; `run(job)` does the job with the settings
that its documentation recommends for this machine, and reads back what it wrote. A tool is imported in the last
two only: the bench itself runs where it may not be installed.
"""

from importlib import import_module


def label(name: str) -> str:
    """What the table calls a contender."""
    return str(import_module(f"bench.contenders.{name}").LABEL)
