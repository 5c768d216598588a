"""One engine per data directory: a lock that the kernel lets go when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path


class AlreadyRunning(Exception):
    """Another engine works in this data directory."""


class DataDirectory:
    """Made when missing (mode 0700), locked until `release`. `others_may_write`: a directory that was there may be
    anybody's to write into, as a fresh volume of a container often is."""

    def __init__(self, path: Path) -> None:
        """Raise AlreadyRunning or OSError."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._descriptor = os.open(path / "engine.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 32).decode("ascii", "replace").strip() or "?"
            os.close(self._descriptor)
            raise AlreadyRunning(f"{path} belongs to a running engine, process {holder}") from None
        self.others_may_write = bool(path.stat().st_mode & stat.S_IWOTH)
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """The file stays: unlinking it would let two engines lock two files of one name."""
        os.close(self._descriptor)
