"""The keys: one or more that seal, each with a number, and one that makes look-up tokens.

Every key is 32 random bytes, written as 64 hexadecimal digits: in a file of the keys directory
(`sealing-<id>.key`, `lookup.key`), or in the environment, which wins. To rotate, add `sealing-<next
id>.key`: the highest id seals from then on, the older ones still open what they sealed. The look-up key
cannot rotate alone, because stored tokens are only ever recomputed by a rebuild of what holds them.
The keys that sign are `engine.sealing.signing`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from engine.sealing.key_files import (
    KEY_BYTES,
    Created,
    KeysUnusable,
    from_hex,
    keys_by_id,
    need_directory,
    next_key,
    read_or_make,
)

__all__ = ["KEY_BYTES", "LOOKUP_VARIABLE", "SEALING_VARIABLE", "KeyRing", "KeysUnusable", "rotate_sealing"]

SEALING_VARIABLE = "MASK700_SEALING_KEYS"  # ID:HEX, several separated by commas
LOOKUP_VARIABLE = "MASK700_LOOKUP_KEY"  # HEX


@dataclass(slots=True)
class KeyRing:
    """`sealing`: 32-byte keys by id (1 to 255). `current`: the id that seals. `lookup`: 32 bytes."""

    sealing: dict[int, bytes] = field(repr=False)
    current: int
    lookup: bytes = field(repr=False)

    @staticmethod
    def open(
        directory: Path,
        environment: Mapping[str, str],
        created: Created | None = None,
        *,
        create: bool = True,
    ) -> KeyRing:
        """Read the keys, making those that nobody configured (unless `create` is false).

        Raises KeysUnusable. Any number of processes may start at once: one of them makes a key, the others read that
        one.
        """
        sealing = keys_by_id("sealing", directory, SEALING_VARIABLE, environment, created, create)
        hex_lookup = environment.get(LOOKUP_VARIABLE, "")
        if hex_lookup:
            lookup = from_hex(hex_lookup, LOOKUP_VARIABLE)
        else:
            need_directory(directory, create)
            lookup = read_or_make(lookup_file(directory), created, create)
        return KeyRing(sealing, max(sealing), lookup)


def rotate_sealing(directory: Path, environment: Mapping[str, str]) -> tuple[int, Path]:
    """Makes the next key that seals; its id and file. Whoever opens the ring from then on seals with it. Raises
    KeysUnusable."""
    return next_key("sealing", directory, SEALING_VARIABLE, environment)


def lookup_file(directory: Path) -> Path:
    """Where the look-up key lies."""
    return directory / "lookup.key"
