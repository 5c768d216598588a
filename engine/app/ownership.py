"""One engine per data directory: a lock that the kernel lets go when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class AlreadyRunning(Exception):
    """Another engine works in this data directory."""


class DataDirectory:
    """Made when missing (mode 0700), locked until `release`."""

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
        os.ftruncate(self._descriptor, 0)
        os.write(self._descriptor, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """The file stays: unlinking it would let two engines lock two files of one name."""
        os.close(self._descriptor)
