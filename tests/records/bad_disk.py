"""A disk that fails when it is told to."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from engine.records.disk import Disk


class BadDisk(Disk):
    """`write_error`, `sync_error`, `create_error`: an errno, 0 for none; with `only`, in this directory alone.
    `most`: bytes that one write takes. `room`: bytes that may be written in all, then ENOSPC, -1 for any.
    While `stuck` is cleared, no sync comes back."""

    def __init__(self) -> None:
        self.write_error = 0
        self.sync_error = 0
        self.create_error = 0
        self.only: Path | None = None
        self.most = 1 << 30
        self.room = -1
        self.stuck = threading.Event()
        self.stuck.set()
        self.syncs = 0
        self._paths: dict[int, Path] = {}

    def create(self, path: Path, size: int) -> int:
        self._fail(self.create_error, path)
        descriptor = super().create(path, size)
        self._paths[descriptor] = path
        return descriptor

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        self._fail(self.write_error, self._paths.get(descriptor))
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        piece = data[: self.most if self.room < 0 else min(self.most, self.room)]
        done = super().write(descriptor, piece, offset)
        if self.room > 0:
            self.room -= done
        return done

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.stuck.wait()
        self._fail(self.sync_error, self._paths.get(descriptor))
        super().sync(descriptor)

    def _fail(self, number: int, path: Path | None) -> None:
        if number and (self.only is None or path is None or path.parent == self.only):
            raise OSError(number, os.strerror(number), None if path is None else str(path))


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits for what a thread does."""
    give_up = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < give_up, "it did not happen"
        time.sleep(0.002)
