"""What the stores need of other rooms; the composition root hands it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from engine.numbering.numbers import MaskedNumber

# What keeps a 700 number from being bound here, "" when nothing does: `engine.routing.number_plan.NumberPlan.fault`.
NumberFault = Callable[[MaskedNumber], str]


class Sealing(Protocol):
    """`engine.sealing.cipher.Sealer`. `open` raises ValueError for what it cannot open."""

    def seal(self, plain: bytes, context: bytes) -> bytes: ...
    def open(self, sealed: bytes, context: bytes) -> bytes: ...


class Tokens(Protocol):
    """`engine.sealing.tokens.LookupTokens`."""

    def pair(self, number: str, real: str) -> bytes: ...
    def binding(self, identity: bytes) -> bytes: ...
