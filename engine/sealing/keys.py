"""The keys: one or more that seal, each with a number, and one that makes look-up tokens.

Every key is 32 random bytes, written as 64 hexadecimal digits: in a file of the keys directory
(`sealing-<id>.key`, `lookup.key`), or in the environment, which wins. To rotate, add `sealing-<next
id>.key`: the highest id seals from then on, the older ones still open what they sealed. The look-up key
cannot rotate alone, because stored tokens are only ever recomputed by a rebuild of what holds them.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32
SEALING_VARIABLE = "MASK700_SEALING_KEYS"  # ID:HEX, several separated by commas
LOOKUP_VARIABLE = "MASK700_LOOKUP_KEY"  # HEX

_SEALING_FILE = re.compile(r"sealing-([0-9]{1,3})\.key\Z")
_FIRST_ID = 1
_LAST_ID = 255  # an id is one byte in front of whatever is sealed


class KeysUnusable(Exception):
    """The keys cannot be used; the text names the file or variable and what to do, and holds no key."""


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
        created: Callable[[str], None] | None = None,
        *,
        create: bool = True,
    ) -> KeyRing:
        """Read the keys, making those that nobody configured (unless `create` is false).

        `created` hears the path of every file made. Raises KeysUnusable. Any number of processes may start at
        once: one of them makes a key, the others read that one.
        """
        hex_sealing = environment.get(SEALING_VARIABLE, "")
        hex_lookup = environment.get(LOOKUP_VARIABLE, "")
        if not (hex_sealing and hex_lookup):
            _need_directory(directory, create)
        if hex_sealing:
            sealing = _sealing_from_variable(hex_sealing)
        else:
            sealing = _sealing_from_files(directory)
            if not sealing:
                path = directory / f"sealing-{_FIRST_ID}.key"
                sealing = {_FIRST_ID: _read_or_make(path, created, create)}
        if hex_lookup:
            lookup = _from_hex(hex_lookup, LOOKUP_VARIABLE)
        else:
            lookup = _read_or_make(directory / "lookup.key", created, create)
        return KeyRing(sealing, max(sealing), lookup)


def _sealing_from_variable(text: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        key_id, colon, digits = part.strip().partition(":")
        if not colon or not (key_id.isascii() and key_id.isdigit() and _FIRST_ID <= int(key_id) <= _LAST_ID):
            raise KeysUnusable(f"{SEALING_VARIABLE} must be ID:HEX[,ID:HEX], the ids 1 to {_LAST_ID}")
        if int(key_id) in keys:
            raise KeysUnusable(f"{SEALING_VARIABLE} has key {int(key_id)} twice")
        keys[int(key_id)] = _from_hex(digits, f"{SEALING_VARIABLE}, key {int(key_id)}")
    return keys


def _sealing_from_files(directory: Path) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for name in sorted(os.listdir(directory)):
        match = _SEALING_FILE.match(name)
        if match is None:
            continue
        key_id = int(match[1])
        if not _FIRST_ID <= key_id <= _LAST_ID or key_id in keys:
            raise KeysUnusable(f"{directory / name}: key ids are 1 to {_LAST_ID}, each once")
        keys[key_id] = _read(directory / name)
    return keys


def _need_directory(directory: Path, create: bool) -> None:
    try:
        if create:
            directory.parent.mkdir(parents=True, exist_ok=True)
            directory.mkdir(mode=0o700, exist_ok=True)
        state = directory.stat()
    except FileNotFoundError:
        raise KeysUnusable(f"{directory}: there are no keys; they are made by the first start") from None
    except OSError as error:
        raise KeysUnusable(f"{directory}: {error.strerror}") from None
    mode = stat.S_IMODE(state.st_mode)
    if mode & 0o077:
        raise KeysUnusable(f"{directory}: others than its owner may enter (mode {mode:04o}); chmod 700")


def _read_or_make(path: Path, created: Callable[[str], None] | None, create: bool) -> bytes:
    if path.exists():
        return _read(path)
    if not create:
        raise KeysUnusable(f"{path}: there is no such key; it is made by the first start")
    if _make(path) and created is not None:
        created(str(path))
    return _read(path)


def _make(path: Path) -> bool:
    """Make the file unless somebody else was quicker. It appears complete and on disk, or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            line = secrets.token_hex(KEY_BYTES).encode() + b"\n"
            if os.write(descriptor, line) != len(line):
                raise KeysUnusable(f"{path}: cannot be written completely")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        try:
            os.link(draft, path)  # unlike rename it never replaces a key that is there
        except FileExistsError:
            return False
        _sync_directory(path.parent)
        return True
    except OSError as error:
        raise KeysUnusable(f"{path}: cannot be made: {error.strerror}") from None
    finally:
        draft.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except OSError as error:
        raise KeysUnusable(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise KeysUnusable(f"{path}: others than its owner may read it (mode {mode:04o}); chmod 600")
    return _from_hex(content.decode("ascii", "replace"), str(path))


def _from_hex(text: str, origin: str) -> bytes:
    digits = text.strip()
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(digits) != 2 * KEY_BYTES:
        raise KeysUnusable(f"{origin}: a key is {2 * KEY_BYTES} hexadecimal digits")
    return key
