"""The seal of a closed segment, `segment-N.seal`: what it came to, signed.

Two lines: the statement, a JSON object (`Statement`), and in base64 the Ed25519 signature (RFC 8032) of the first line,
its line feed included. The last frame's chain value stands for all frames of this segment and of those before it. So a
seal can be proven with nothing but these files, a public key and openssl:

    head -n 1 segment-N.seal > statement; tail -n 1 segment-N.seal | base64 -d > signature
    openssl pkeyutl -verify -pubin -inkey signing-1.pub -rawin -in statement -sigfile signature

`latest.seal` is a copy of the last one that was made: with it, the last segments cannot go unnoticed.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from engine.records.index_file import put_in_place
from engine.records.ports import Signatures, Signing

KIND: Final = "mask700 segment 1"
LATEST: Final = "latest.seal"

_PIECE = 1 << 20


class BrokenSeal(ValueError):
    """The seal proves nothing; the text says why."""


class Statement(msgspec.Struct, frozen=True):
    """`bytes`: of the file, up to the end of its last frame; `sha256`: of these. `size`: of the file, where zeros
    follow that had not been cut off yet. `before`: the chain value that the
    segment goes on from; `chain`: of its last frame; both and the hash as hexadecimal digits. `first_ms`, `last_ms`:
    the wall clock of the first and last frame. `key`: the id of the key that signs. `node`: who wrote it."""

    seal: str
    segment: int
    node: str
    bytes: int
    size: int
    frames: int
    starts: int
    ends: int
    first_ms: int
    last_ms: int
    before: str
    chain: str
    sha256: str
    key: int


def write_seal(segment: Path, statement: Statement, signing: Signing) -> None:
    """Beside its segment, and as the latest one. Raises OSError."""
    line = msgspec.json.encode(statement) + b"\n"
    content = line + b64encode(signing.sign(line)) + b"\n"
    put_in_place(seal_path(segment), content)
    put_in_place(segment.with_name(LATEST), content)


def read_seal(path: Path, signatures: Signatures) -> Statement:
    """What is signed. Raises BrokenSeal, OSError."""
    content = path.read_bytes()
    line, feed, rest = content.partition(b"\n")
    try:
        signature = b64decode(rest.removesuffix(b"\n"), validate=True)
        statement = msgspec.json.decode(line, type=Statement)
    except (Base64Error, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BrokenSeal(f"it cannot be read: {error}") from None
    if content != line + b"\n" + b64encode(signature) + b"\n" or statement.seal != KIND:
        raise BrokenSeal("it is not written as a seal is")
    if not signatures.verifies(statement.key, signature, line + feed):
        raise BrokenSeal(f"its signature is wrong, or not of the key {statement.key} that is here")
    return statement


def hash_of(file: BinaryIO, length: int) -> str:
    """SHA-256 of the first `length` bytes."""
    digest = sha256()
    file.seek(0)
    while length:
        piece = file.read(min(length, _PIECE))
        if not piece:
            break
        digest.update(piece)
        length -= len(piece)
    return digest.hexdigest()


def seal_path(segment: Path) -> Path:
    """Where the seal of a segment lies."""
    return segment.with_suffix(".seal")
