"""Hypothesis here: the machine may be busy, so no example has a deadline of its own."""

from hypothesis import settings

settings.register_profile("mask700", deadline=None)
settings.load_profile("mask700")
