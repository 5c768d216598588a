"""The keys that sign: Ed25519 (RFC 8032), each with a number; the public halves are for everybody.

A private key is `signing-<id>.key`, 32 random bytes as hexadecimal digits, or stands in the environment, which wins;
its public half is `signing-<id>.pub` beside it, in PEM, as openssl and others read it. The highest id signs, the
public halves of the others prove what they signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from engine.sealing.key_files import Created, KeysUnusable, keys_by_id, next_key, numbered, put

SIGNING_VARIABLE: Final = "MASK700_SIGNING_KEYS"  # ID:HEX, several separated by commas
SIGNATURE_BYTES: Final = 64

_PUBLIC_FILE = re.compile(r"signing-([0-9]{1,3})\.pub\Z")


@dataclass(slots=True)
class SigningKeys:
    """`private`: 32-byte keys by id (1 to 255). `current`: the id that signs."""

    private: dict[int, bytes] = field(repr=False)
    current: int

    @staticmethod
    def open(
        directory: Path,
        environment: Mapping[str, str],
        created: Created | None = None,
        *,
        create: bool = True,
    ) -> SigningKeys:
        """Read the keys, making the first one where nobody configured any, and the public halves that are missing
        (unless `create` is false). Raises KeysUnusable."""
        private = keys_by_id("signing", directory, SIGNING_VARIABLE, environment, created, create)
        if create and not environment.get(SIGNING_VARIABLE, ""):
            for key_id in private:
                path = public_file(directory, key_id)
                if not path.exists():
                    put(path, public_pem(private[key_id]), 0o644)
        return SigningKeys(private, max(private))

    def sign(self, data: bytes) -> bytes:
        """64 bytes, by the current key."""
        return _private(self.private[self.current]).sign(data)


class PublicKeys:
    """What proves signatures."""

    def __init__(
        self, by_id: Mapping[int, Ed25519PublicKey], of_any_id: Iterable[Ed25519PublicKey] = ()
    ) -> None:
        self._by_id = dict(by_id)
        self._of_any_id = list(of_any_id)

    @staticmethod
    def open(directory: Path, environment: Mapping[str, str]) -> PublicKeys:
        """Those of the keys directory, or of the environment's keys. Raises KeysUnusable."""
        if environment.get(SIGNING_VARIABLE, ""):
            private = keys_by_id("signing", directory, SIGNING_VARIABLE, environment, None, False)
            return PublicKeys({key_id: _private(key).public_key() for key_id, key in private.items()})
        try:
            files = {match: path for path in directory.iterdir() if (match := _PUBLIC_FILE.match(path.name))}
        except OSError as error:
            raise KeysUnusable(f"{directory}: {error.strerror}") from None
        return PublicKeys({int(match[1]): _read_public(path) for match, path in files.items()})

    @staticmethod
    def of_files(paths: Iterable[Path]) -> PublicKeys:
        """Those of these files, whatever their ids were. Raises KeysUnusable."""
        return PublicKeys({}, [_read_public(path) for path in paths])

    def verifies(self, key_id: int, signature: bytes, data: bytes) -> bool:
        """Whether the key with this id has signed this; of keys without ids, any."""
        key = self._by_id.get(key_id)
        return any(
            _verifies(one, signature, data)
            for one in ([*self._of_any_id] if key is None else [key, *self._of_any_id])
        )


def rotate_signing(directory: Path, environment: Mapping[str, str]) -> tuple[int, Path]:
    """Makes the next key that signs, and its public half; its id and file. Raises KeysUnusable."""
    key_id, path = next_key("signing", directory, SIGNING_VARIABLE, environment)
    SigningKeys.open(directory, environment)
    return key_id, path


def newest_id(directory: Path, environment: Mapping[str, str]) -> int:
    """The id of the key that signs, without looking at it; 0 when there is none. Raises KeysUnusable."""
    if environment.get(SIGNING_VARIABLE, ""):
        return max(keys_by_id("signing", directory, SIGNING_VARIABLE, environment, None, False))
    try:
        matches = [_PUBLIC_FILE.match(path.name) for path in directory.iterdir()]
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise KeysUnusable(f"{directory}: {error.strerror}") from None
    return max((int(match[1]) for match in matches if match), default=0)


def public_file(directory: Path, key_id: int) -> Path:
    """Where the public half of a key lies."""
    return numbered(directory, "signing", key_id).with_suffix(".pub")


def public_pem(private: bytes) -> bytes:
    """The public half, as SubjectPublicKeyInfo in PEM (RFC 8410)."""
    return _private(private).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private(key: bytes) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(key)


def _verifies(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True


def _read_public(path: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise KeysUnusable(f"{path}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeysUnusable(f"{path}: is no public key in PEM") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeysUnusable(f"{path}: is no Ed25519 key")
    return key
