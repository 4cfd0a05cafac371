"""What holds for all tests."""

import pytest
from hypothesis import settings

from curator.pool import prepare

settings.register_profile("untimed", deadline=None)  # how fast a machine is, is no claim of any test
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def kernels():
    """What workers of any test run is imported once: the first pool would else decide for all later ones."""
    prepare(["curator.measure", "curator.encode", "curator.report.small", "tests.pool_kernels"])
