"""What an outlet asks of the file system, beyond what the journal does."""

from __future__ import annotations

import os
from pathlib import Path

from engine.records.disk import Disk
from engine.records.index_file import put_in_place


class OutletDisk(Disk):
    """Every method raises OSError."""

    def begin(self, path: Path) -> int:
        """An empty file that was not there before, for its owner only; whatever had the name is removed."""
        path.unlink(missing_ok=True)
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def append(self, descriptor: int, data: bytes) -> None:
        """All of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def put(self, path: Path, content: bytes) -> None:
        """In the place of what was there, complete and on the disk, or not at all."""
        put_in_place(path, content)

    def sync_file(self, path: Path) -> None:
        """Brings to the disk what anybody has written to it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
