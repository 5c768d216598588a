"""Files of keys: 32 random bytes as 64 hexadecimal digits, for their owner only, made once and whole."""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Final

KEY_BYTES: Final = 32
FIRST_ID: Final = 1
LAST_ID: Final = 255  # an id is one byte in front of whatever is sealed

Created = Callable[[str], None]  # hears the path of every file made


class KeysUnusable(Exception):
    """The keys cannot be used; the text names the file or variable and what to do, and holds no key."""


def keys_by_id(
    kind: str,
    directory: Path,
    variable: str,
    environment: Mapping[str, str],
    created: Created | None,
    create: bool,
) -> dict[int, bytes]:
    """The keys `<kind>-<id>.key`, or those of the environment variable; the first one is made where there is none,
    unless `create` is false. Raises KeysUnusable."""
    text = environment.get(variable, "")
    if text:
        return _from_variable(text, variable)
    need_directory(directory, create)
    keys = _from_files(directory, kind)
    if not keys:
        keys = {FIRST_ID: read_or_make(numbered(directory, kind, FIRST_ID), created, create)}
    return keys


def next_key(kind: str, directory: Path, variable: str, environment: Mapping[str, str]) -> tuple[int, Path]:
    """Makes the key behind the last one; its id and file. Raises KeysUnusable."""
    if environment.get(variable, ""):
        raise KeysUnusable(
            f"the keys stand in {variable}: put one with a higher id there, and start the engine anew"
        )
    need_directory(directory, create=False)
    key_id = max(_from_files(directory, kind), default=0) + 1
    if key_id > LAST_ID:
        raise KeysUnusable(f"{directory}: there are no ids behind {LAST_ID}")
    path = numbered(directory, kind, key_id)
    if not make(path):
        raise KeysUnusable(f"{path}: somebody else makes keys at this moment")
    return key_id, path


def numbered(directory: Path, kind: str, key_id: int) -> Path:
    """Where a key with an id lies."""
    return directory / f"{kind}-{key_id}.key"


def fingerprint(key: bytes) -> str:
    """Eight hexadecimal digits by which two keys are told apart, and nothing else is."""
    return blake2b(key, digest_size=4, person=b"mask700 print").hexdigest()


def from_hex(text: str, origin: str) -> bytes:
    """Raises KeysUnusable, which names `origin`."""
    digits = text.strip()
    try:
        key = bytes.fromhex(digits)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES or len(digits) != 2 * KEY_BYTES:
        raise KeysUnusable(f"{origin}: a key is {2 * KEY_BYTES} hexadecimal digits")
    return key


def need_directory(directory: Path, create: bool) -> None:
    """Raises KeysUnusable where it is not there (and not made), or open to others."""
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


def read_or_make(path: Path, created: Created | None, create: bool) -> bytes:
    """A key, made where it is missing, unless `create` is false. Raises KeysUnusable."""
    if path.exists():
        return read(path)
    if not create:
        raise KeysUnusable(f"{path}: there is no such key; it is made by the first start")
    if make(path) and created is not None:
        created(str(path))
    return read(path)


def make(path: Path) -> bool:
    """Makes a key unless somebody else was quicker. Raises KeysUnusable."""
    return put(path, secrets.token_hex(KEY_BYTES).encode() + b"\n", 0o600)


def put(path: Path, content: bytes, mode: int) -> bool:
    """Makes a file unless there is one. It appears complete and on disk, or not at all. Raises KeysUnusable."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            if os.write(descriptor, content) != len(content):
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


def read(path: Path) -> bytes:
    """A key. Raises KeysUnusable, also where others than its owner may read it."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(4096)
    except OSError as error:
        raise KeysUnusable(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise KeysUnusable(f"{path}: others than its owner may read it (mode {mode:04o}); chmod 600")
    return from_hex(content.decode("ascii", "replace"), str(path))


def _from_variable(text: str, variable: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    for part in text.split(","):
        key_id, colon, digits = part.strip().partition(":")
        if not colon or not (key_id.isascii() and key_id.isdigit() and FIRST_ID <= int(key_id) <= LAST_ID):
            raise KeysUnusable(f"{variable} must be ID:HEX[,ID:HEX], the ids {FIRST_ID} to {LAST_ID}")
        if int(key_id) in keys:
            raise KeysUnusable(f"{variable} has key {int(key_id)} twice")
        keys[int(key_id)] = from_hex(digits, f"{variable}, key {int(key_id)}")
    return keys


def _from_files(directory: Path, kind: str) -> dict[int, bytes]:
    keys: dict[int, bytes] = {}
    pattern = re.compile(re.escape(kind) + r"-([0-9]{1,3})\.key\Z")
    for name in sorted(os.listdir(directory)):
        match = pattern.match(name)
        if match is None:
            continue
        key_id = int(match[1])
        if not FIRST_ID <= key_id <= LAST_ID or key_id in keys:
            raise KeysUnusable(f"{directory / name}: key ids are {FIRST_ID} to {LAST_ID}, each once")
        keys[key_id] = read(directory / name)
    return keys


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
