"""What holds for all tests."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # how fast a machine is, is no claim of any test
settings.load_profile("untimed")
