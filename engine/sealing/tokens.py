"""Look-up tokens: what stands in an index in a number's place.

A token is a keyed hash (BLAKE2b, RFC 7693), so equal numbers have equal tokens, and without the key
nobody can try all eleven-digit numbers against a stolen disk. Every kind of token has a domain of its
own: a token of one index tells nothing in another.
"""

from __future__ import annotations

from hashlib import blake2b

TOKEN_BYTES = 16
BINDING_ID_BYTES = 12


class LookupTokens:
    """Makes tokens with the look-up key (32 bytes)."""

    __slots__ = ("_binding", "_number", "_pair", "_real")

    def __init__(self, key: bytes) -> None:
        # keyed once, copied for each token: half the price
        self._pair = blake2b(key=key, digest_size=TOKEN_BYTES, person=b"mask700 pair")
        self._real = blake2b(key=key, digest_size=TOKEN_BYTES, person=b"mask700 real")
        self._number = blake2b(key=key, digest_size=TOKEN_BYTES, person=b"mask700 number")
        self._binding = blake2b(key=key, digest_size=BINDING_ID_BYTES, person=b"mask700 binding")

    def pair(self, number: str, real: str) -> bytes:
        """16 bytes for (digits of a 700 number, digits of a real number that may dial it; "" for anybody)."""
        digest = self._pair.copy()
        digest.update(f"{number}|{real}".encode())
        return digest.digest()

    def real(self, digits: str) -> bytes:
        """16 bytes for a real number (`RealNumber.digits`)."""
        digest = self._real.copy()
        digest.update(digits.encode())
        return digest.digest()

    def number(self, digits: str) -> bytes:
        """16 bytes for digits as somebody dialled them, whatever they are."""
        digest = self._number.copy()
        digest.update(digits.encode())
        return digest.digest()

    def binding(self, identity: bytes) -> bytes:
        """12 bytes, the id of the binding whose unchanging parts are written in `identity`."""
        digest = self._binding.copy()
        digest.update(identity)
        return digest.digest()
