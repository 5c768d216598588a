"""Whether the pure rooms run compiled by mypyc, as in the image, or interpreted, as from a source tree."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader
from importlib.util import find_spec

# What each pure room is asked by: all are compiled at once or none is.
_ENTRANCES = (
    "engine.sip.endpoint",
    "engine.calls.switchboard",
    "engine.authorization.gate",
    "engine.routing.trunks",
    "engine.numbering.translation",
)


def rooms() -> str:
    """`compiled` or `interpreted`: what is imported here, or would be."""
    found = [find_spec(name) for name in _ENTRANCES]
    compiled = all(one is not None and isinstance(one.loader, ExtensionFileLoader) for one in found)
    return "compiled" if compiled else "interpreted"
