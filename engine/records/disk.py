"""What the journal asks of the file system, in one place: tests put a disk that fails in its stead."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


class Disk:
    """Every method raises OSError. Descriptors and offsets as the system has them."""

    def make_directory(self, directory: Path) -> None:
        """Makes it, for the engine's own eyes, unless it is there."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def create(self, path: Path, size: int) -> int:
        """Makes a file of `size` zeros whose space is taken, both on disk already; there is none after an error."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            os.fsync(descriptor)
            self.sync_directory(path.parent)
        except OSError:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        return descriptor

    def open(self, path: Path) -> int:
        """An existing file, to be written."""
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def write(self, descriptor: int, data: bytes, offset: int) -> int:
        """How many bytes the kernel took."""
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        """Brings to the disk what the kernel has taken."""
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def close(self, descriptor: int) -> None:
        os.close(descriptor)

    def remove(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def sync_directory(self, directory: Path) -> None:
        """Brings what was made and removed in it to the disk."""
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
