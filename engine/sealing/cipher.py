"""Sealing: authenticated encryption of small values that lie on disk.

A sealed value is: cipher id (1 byte), key id (1), salt (12), nonce (12), AES-256-GCM ciphertext with its
16-byte tag. AES-GCM allows only some 2**32 random nonces under one key (NIST SP 800-38D, 8.3), which a
busy engine uses up in weeks; so the key that encrypts is derived from the ring's key and a random salt,
drawn anew by each process and after every 2**20 values. Salt and nonce together are 24 random bytes, also
after a fork: the kernel gives nonces by the hundred, and a child throws away what it has inherited of them.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

AES_256_GCM = 1  # the cipher id; another cipher gets another
OVERHEAD = 42  # bytes that sealing adds

_SALT_BYTES = 12
_NONCE_BYTES = 12
_SALT_END = 2 + _SALT_BYTES
_NONCE_END = _SALT_END + _NONCE_BYTES
_VALUES_PER_SALT = 1 << 20
_NONCES_AT_ONCE = 256
_CACHED_SALTS = 1024  # each process start leaves one salt in what it wrote, so few are ever alive


_nonces: list[bytes] = []  # of the whole process, each used once
os.register_at_fork(after_in_child=_nonces.clear)


class SealBroken(ValueError):
    """A sealed value cannot be opened: damaged, of another context, or by a key that is not here."""


class Keys(Protocol):
    """What a Sealer needs of a KeyRing."""

    @property
    def sealing(self) -> dict[int, bytes]: ...
    @property
    def current(self) -> int: ...


class Sealer:
    """Seals with the ring's current key, opens with any of its keys. `context` names what the value
    belongs to and is not stored: a value moved to another place does not open there."""

    __slots__ = ("_cipher", "_keys", "_left", "_opening", "_prefix")

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._opening: dict[bytes, AESGCM] = {}  # by cipher id, key id and salt
        self._draw_salt()

    def take(self, keys: Keys) -> None:
        """Seals with these keys' current one from now on, and opens with any of them."""
        self._keys = keys
        self._draw_salt()

    def seal(self, plain: bytes, context: bytes) -> bytes:
        """`plain`, sealed: OVERHEAD bytes longer."""
        if self._left == 0:
            self._draw_salt()
        self._left -= 1
        try:
            nonce = _nonces.pop()
        except IndexError:
            nonce = _fresh_nonce()
        return self._prefix + nonce + self._cipher.encrypt(nonce, plain, context)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """What was sealed with this context; raises SealBroken."""
        cipher = self._opening.get(sealed[:_SALT_END])
        if cipher is None:
            cipher = self._derived(sealed[:_SALT_END])
        try:
            return cipher.decrypt(sealed[_SALT_END:_NONCE_END], sealed[_NONCE_END:], context)
        except (InvalidTag, ValueError):
            raise SealBroken("the value is damaged or belongs elsewhere") from None

    def _draw_salt(self) -> None:
        self._prefix = bytes((AES_256_GCM, self._keys.current)) + os.urandom(_SALT_BYTES)
        self._cipher = self._derived(self._prefix)
        self._left = _VALUES_PER_SALT

    def _derived(self, prefix: bytes) -> AESGCM:
        if len(prefix) < _SALT_END:
            raise SealBroken("the value is too short")
        if prefix[0] != AES_256_GCM:
            raise SealBroken(f"cipher {prefix[0]} is not known here")
        key = self._keys.sealing.get(prefix[1])
        if key is None:
            raise SealBroken(f"sealing key {prefix[1]} is not among the keys")
        derived = blake2b(prefix[2:], key=key, digest_size=32, person=b"mask700 seal").digest()
        if len(self._opening) >= _CACHED_SALTS:
            self._opening.clear()
        cipher = self._opening[prefix] = AESGCM(derived)
        return cipher


def _fresh_nonce() -> bytes:
    """One, and the stock filled with others."""
    octets = os.urandom(_NONCES_AT_ONCE * _NONCE_BYTES)
    fresh = [octets[start : start + _NONCE_BYTES] for start in range(0, len(octets), _NONCE_BYTES)]
    nonce = fresh.pop()
    _nonces.extend(fresh)
    return nonce
