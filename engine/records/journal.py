"""The journal: every entry about every call, in the order in which it was made.

The signalling process appends, and writes once at the end of a wake-up, before the datagrams leave: what
the kernel has taken survives the process. A thread brings it to the disk, so that a power cut takes no
more than `fsync_ms`.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

_MOST_BUFFERED = 64 << 20  # bytes kept while the disk takes none
_SYNC_AGAIN_S = 0.1  # after a sync that failed


class Journal:
    """One file per start of the process. To be used by one thread; `failed` and `unsynced` may be read by
    any.

    `written`: lines that the kernel has. `lost`: lines dropped because the disk took none for too long.
    `write_failures`, `sync_failures`: how often the system has refused.
    """

    def __init__(self, path: Path, descriptor: int, fsync_ms: int, sync: Callable[[int], None]) -> None:
        self.path = path
        self.written = 0
        self.lost = 0
        self.write_failures = 0
        self.sync_failures = 0
        self._descriptor = descriptor
        self._interval = fsync_ms / 1000
        self._sync = sync
        self._lines: list[bytes] = []
        self._backlog: deque[bytes] = deque()  # what a failed write left, the oldest first
        self._backlog_bytes = 0
        self._synced = 0
        self._write_failure = ""
        self._sync_failure = ""
        self._dirty = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._keep_syncing, name="records-sync", daemon=True)
        self._thread.start()

    @staticmethod
    def open(
        directory: Path, now: float, fsync_ms: int = 20, sync: Callable[[int], None] = os.fdatasync
    ) -> Journal:
        """Begin a file in `directory`, named after `now` (unix seconds). Raises OSError."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        started = datetime.fromtimestamp(now, UTC)
        while True:
            stamp = f"{started:%Y%m%d-%H%M%S}.{started.microsecond // 1000:03d}"
            path = directory / f"journal-{stamp}.ndjson"
            try:
                descriptor = os.open(
                    path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
                )
            except FileExistsError:
                started += timedelta(milliseconds=1)
            else:
                break
        _sync_directory(directory)
        return Journal(path, descriptor, fsync_ms, sync)

    @property
    def failed(self) -> str:
        """Why lines do not reach the disk at this moment, "" when they do. The engine admits no call then."""
        return self._write_failure or self._sync_failure

    @property
    def unsynced(self) -> int:
        """Lines that a power cut would take."""
        return self.written - self._synced

    def append(self, line: bytes) -> None:
        """Take a complete line (with its line feed); it leaves with the next flush."""
        self._lines.append(line)

    def flush(self) -> bool:
        """Hand everything to the kernel, in one write; false when it refuses (see `failed`).

        What it refuses is kept, and tried again with the next flush, also when that has nothing new.
        """
        lines = self._lines
        if self._backlog:
            return self._drain()
        if not lines:
            return True
        data = lines[0] if len(lines) == 1 else b"".join(lines)
        try:
            done = os.write(self._descriptor, data)
        except OSError as error:
            self._refused(error)
            done = 0
        if done < len(data):  # a full disk, mostly: the next write tells
            return self._drain(done)
        self.written += len(lines)
        lines.clear()
        if not self._dirty.is_set():
            self._dirty.set()
        return True

    def close(self) -> bool:
        """Write and sync what is left, stop the thread; false when something did not reach the disk."""
        flushed = self.flush()
        self._closing.set()
        self._dirty.set()
        self._thread.join()
        self._sync_once()
        os.close(self._descriptor)
        return flushed and not self.failed

    def _drain(self, done: int = 0) -> bool:
        """Write line after line as far as the kernel takes them; `done` bytes of the first ones it already has."""
        backlog = self._backlog
        self._backlog_bytes += sum(map(len, self._lines))
        backlog.extend(self._lines)
        self._lines.clear()
        try:
            while backlog:
                if done >= len(backlog[0]):
                    done -= len(backlog[0])
                    self._backlog_bytes -= len(backlog.popleft())
                    self.written += 1
                else:
                    done += os.write(self._descriptor, backlog[0][done:])
        except OSError as error:
            self._refused(error)
        else:
            self._write_failure = ""
        if backlog and done:
            backlog[0] = backlog[0][done:]  # half a line is in the file, the rest must follow it
            self._backlog_bytes -= done
        while self._backlog_bytes > _MOST_BUFFERED and len(backlog) > 1:
            self._backlog_bytes -= len(backlog.pop())
            self.lost += 1
        self._dirty.set()
        return not backlog

    def _refused(self, error: OSError) -> None:
        self.write_failures += 1
        self._write_failure = f"{self.path} cannot be written: {error.strerror}"

    def _keep_syncing(self) -> None:
        while True:
            self._dirty.wait()
            if self._closing.is_set():
                return
            self._dirty.clear()
            self._sync_once()
            if self._sync_failure:
                self._dirty.set()  # again, also when nothing new is written: who admits no call writes nothing
                self._closing.wait(max(self._interval, _SYNC_AGAIN_S))
            else:
                self._closing.wait(self._interval)

    def _sync_once(self) -> None:
        written = self.written
        try:
            self._sync(self._descriptor)
        except OSError as error:
            self.sync_failures += 1
            self._sync_failure = f"{self.path} cannot be brought to the disk: {error.strerror}"
        else:
            self._synced = written
            self._sync_failure = ""


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
