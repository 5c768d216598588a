"""The files of the binding table: every load is a file of its own, and `current` names the one in force.

`<data_dir>/bindings/table-<n>.mdb` is complete and never written again once it has that name; what is
being built is called `draft-…`. The builder holds a lock on `build.lock`, which the kernel lets go when
it dies, however it dies.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb

from engine.calls.ports import BindingsUnavailable

FORMAT = 1  # of the files; a reader refuses others
ID_BYTES = 12  # of a binding, 24 hexadecimal digits outside

# rows: id -> sealed binding; pairs: token -> id; numbers: digits of a 700 number -> ids, one after the other;
# about: "about" -> JSON of what the builder counted. An id is 12 bytes.
DATABASES = (b"rows", b"pairs", b"numbers", b"about")

_TABLE = re.compile(r"table-([0-9]{1,12})\.mdb\Z")
_DRAFT_PREFIX = "draft-"


class BuildRunning(Exception):
    """Another process is building a table at this moment."""


def bindings_dir(data_dir: Path) -> Path:
    """Where the tables lie."""
    return data_dir / "bindings"


def current_generation(data_dir: Path) -> str:
    """The name of the table in force, "" when there has never been one; raises BindingsUnavailable."""
    try:
        name = (bindings_dir(data_dir) / "current").read_text("ascii").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise BindingsUnavailable(f"{bindings_dir(data_dir) / 'current'}: {error}") from None
    if _TABLE.match(name) is None:
        raise BindingsUnavailable(f"{bindings_dir(data_dir) / 'current'} names no table")
    return name


def in_force_since(data_dir: Path) -> float | None:
    """When the table in force was put there, unix time; None when there is none."""
    try:
        return (bindings_dir(data_dir) / "current").stat().st_mtime
    except OSError:
        return None


def switch_current(data_dir: Path, generation: str) -> None:
    """Put a table in force, at once and for good; raises OSError, then the one before stays in force."""
    directory = bindings_dir(data_dir)
    if _TABLE.match(generation) is None or not (directory / generation).is_file():
        raise FileNotFoundError(f"{directory / generation} is no table")
    draft = directory / "current.new"
    with draft.open("w", encoding="ascii") as file:
        file.write(generation + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(directory / "current")
    sync_directory(directory)


def sweep(data_dir: Path) -> list[str]:
    """Unlink the tables that are not in force and what dead builds left; the names of what went.

    To be called by the process that switches, when it has switched: until then a new table is not in force.
    Whoever still reads an old table keeps it until he closes it.
    """
    directory = bindings_dir(data_dir)
    keep = current_generation(data_dir)
    swept: list[str] = []
    try:
        with build_lock(data_dir):
            for name in sorted(os.listdir(directory)):
                if (name != keep and _TABLE.match(name)) or name.startswith(_DRAFT_PREFIX):
                    (directory / name).unlink(missing_ok=True)
                    swept.append(name)
    except BuildRunning:
        return []
    return swept


@contextmanager
def build_lock(data_dir: Path) -> Iterator[None]:
    """Keeps other builders away; raises BuildRunning."""
    directory = bindings_dir(data_dir)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory / "build.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BuildRunning("another table is being built") from None
        yield
    finally:
        os.close(descriptor)


def draft_path(data_dir: Path) -> Path:
    """Where to build; only under the build lock."""
    return bindings_dir(data_dir) / f"{_DRAFT_PREFIX}{os.getpid()}.mdb"


def publish(data_dir: Path, draft: Path) -> str:
    """Give a complete and synced draft its name; only under the build lock."""
    directory = bindings_dir(data_dir)
    numbers = [int(match[1]) for name in os.listdir(directory) if (match := _TABLE.match(name))]
    current = _TABLE.match(current_name) if (current_name := _current_or_nothing(data_dir)) else None
    if current is not None:
        numbers.append(int(current[1]))
    name = f"table-{max(numbers, default=0) + 1}.mdb"
    draft.rename(directory / name)
    sync_directory(directory)
    return name


def _current_or_nothing(data_dir: Path) -> str:
    with suppress(BindingsUnavailable):
        return current_generation(data_dir)
    return ""


def sync_directory(directory: Path) -> None:
    """Make names in a directory last."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Generation:
    """A table file open for reading. It never changes, so one read transaction may live as long as the
    file is open, and no lock file is needed.

    LMDB allows a file to be open once in a process: `open_generation` shares, `release` closes after the
    last.
    """

    __slots__ = ("_key", "_users", "about", "env", "name", "numbers", "pairs", "path", "rows")

    def __init__(self, path: Path, key: tuple[int, int]) -> None:
        self.name = path.name
        self.path = path
        self._key = key
        self._users = 0
        self.env = lmdb.open(str(path), subdir=False, readonly=True, lock=False, max_dbs=len(DATABASES))
        try:
            self.rows, self.pairs, self.numbers, self.about = (
                self.env.open_db(name, create=False) for name in DATABASES
            )
        except BaseException:
            self.env.close()
            raise

    def acquire(self) -> Generation:
        """One user more."""
        self._users += 1
        return self

    def release(self) -> None:
        """One user less; its transactions are over by now."""
        self._users -= 1
        if self._users == 0:
            del _open_generations[self._key]
            self.env.close()


_open_generations: dict[tuple[int, int], Generation] = {}  # by device and inode


def open_generation(data_dir: Path, name: str) -> Generation:
    """Open a table for reading, to be released; raises BindingsUnavailable."""
    path = bindings_dir(data_dir) / name
    try:
        state = path.stat()
        key = (state.st_dev, state.st_ino)
        generation = _open_generations.get(key)
        if generation is None:
            generation = _open_generations[key] = Generation(path, key)
    except (OSError, lmdb.Error) as error:
        raise BindingsUnavailable(f"{path} cannot be opened: {error}") from None
    return generation.acquire()


def open_current(data_dir: Path) -> Generation | None:
    """Open the table in force, to be released; None when there has never been one."""
    for attempt in range(5):
        name = current_generation(data_dir)
        if not name:
            return None
        try:
            return open_generation(data_dir, name)
        except BindingsUnavailable:
            # switched and swept between the two steps? then `current` has another name by now
            if attempt == 4 or current_generation(data_dir) == name:
                raise
    return None
