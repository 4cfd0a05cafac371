"""What holds for all tests."""

import signal

import pytest
from hypothesis import settings

from curator.pool import prepare

# where the tests run in the background of a shell, this is ignored, and would be in every process that they start
signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("untimed", deadline=None)  # how fast a machine is, is no claim of any test
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """What workers of any test run is imported once: the first pool would else decide for all later ones."""
    prepare(["curator.measure", "curator.encode", "curator.report.small", "tests.pool_kernels"])
