"""What the records need of the sealing room; the composition root hands it in."""

from __future__ import annotations

from typing import Protocol


class Sealing(Protocol):
    """`engine.sealing.cipher.Sealer`. `open` raises ValueError for what it cannot open."""

    def seal(self, plain: bytes, context: bytes) -> bytes: ...
    def open(self, sealed: bytes, context: bytes) -> bytes: ...


class Tokens(Protocol):
    """`engine.sealing.tokens.LookupTokens`."""

    def real(self, digits: str) -> bytes: ...
    def number(self, digits: str) -> bytes: ...


class Signing(Protocol):
    """`engine.sealing.signing.SigningKeys`."""

    @property
    def current(self) -> int: ...
    def sign(self, data: bytes) -> bytes: ...


class Signatures(Protocol):
    """`engine.sealing.signing.PublicKeys`."""

    def verifies(self, key_id: int, signature: bytes, data: bytes) -> bool: ...
