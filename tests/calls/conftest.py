"""Assertions within the scenes tell as much as those within the tests."""

import pytest

pytest.register_assert_rewrite("tests.simulation.scene")
