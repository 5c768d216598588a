"""For all tests: scenes whose assertions tell what they saw, and Hypothesis without deadlines."""

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tests.simulation.scene")

# The machine may be busy, so no example has a deadline of its own.
settings.register_profile("mask700", deadline=None)
settings.load_profile("mask700")
