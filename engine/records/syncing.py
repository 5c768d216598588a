"""The journal's thread: it brings to the disk what the kernel has, and makes the next segment before it is needed."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from engine.records.disk import Disk
from engine.records.frames import is_begun, segment_path
from engine.records.open_segment import OpenSegment

_AGAIN_S = 0.1  # after what has failed
_LATER_S = 1.0  # before a directory is tried in which nothing could be written
_ATTEMPTS = 10  # to bring a segment to the disk that is not written any more


class Syncing:
    """What is public may be read by any thread. The one that writes calls `wrote`, `rewrote`, `switched` and `avoid`.

    `synced`: as far as this number of `wrote`, everything is on the disk. `failure`: why the disk does not take the
    current segment at this moment. `rewrite` asks for what is not yet synced to be written again, for a kernel that has
    failed to bring pages to the disk calls them clean all the same. `next`: a segment that may be begun, None while
    there is none, `next_failure` says why. `told` is called, by the thread, when one of these has changed.
    """

    def __init__(
        self,
        disk: Disk,
        directories: list[Path],
        size: int,
        interval_s: float,
        current: OpenSegment,
        told: Callable[[], object],
        each: bool,
    ) -> None:
        """`directories`: the first is the one to be preferred. `each`: whether each change of `synced` is told."""
        self.synced = 0
        self.failures = 0
        self.failure = ""
        self.rewrite = False
        self.next: OpenSegment | None = None
        self.next_failure = ""
        self.syncing_since = 0.0  # 0 while it is not
        self._disk = disk
        self._directories = directories
        self._size = size
        self._interval_s = interval_s
        self._told = told
        self._each = each
        self._current = current
        self._closing: list[OpenSegment] = []
        self._finished: list[OpenSegment] = []
        self._avoided: Path | None = None
        self._avoided_until = 0.0
        self._written = 0
        self._lock = threading.Lock()
        self._dirty = threading.Event()
        self._stopping = threading.Event()
        self._dirty.set()  # there is no next segment yet
        self._thread = threading.Thread(target=self._run, name="records-sync", daemon=True)
        self._thread.start()

    # --- called by who writes ---

    def wrote(self, sequence: int) -> None:
        """The kernel has everything up to this number."""
        self._written = sequence
        if not self._dirty.is_set():
            self._dirty.set()

    def rewrote(self) -> None:
        """What is not synced has been written again."""
        self.rewrite = False
        self._dirty.set()

    def switched(self, current: OpenSegment) -> None:
        """`next` is the current segment now; the one before gets no more."""
        with self._lock:
            self._closing.append(self._current)
            self._current = current
            self.next = None
            self.failure = ""
            self._avoided = None
        self._let_go()
        self._dirty.set()

    def avoid(self, directory: Path | None) -> None:
        """Makes the next segment elsewhere, if that is possible: nothing can be written there."""
        with self._lock:
            self._avoided = directory
            self._avoided_until = monotonic() + _LATER_S
            unfit, self.next = self.next, None
        if unfit is not None:
            self._discard(unfit)
        self._dirty.set()

    def close(self) -> None:
        """Ends the thread, after a last attempt to bring everything to the disk; removes the next segment."""
        self._stopping.set()
        self._dirty.set()
        self._thread.join()
        with self._lock:
            self._closing.append(self._current)
        self._sync()
        self._finished += self._closing
        self._let_go()
        self.avoid(None)

    def _let_go(self) -> None:
        """Closes what has been finished; not the thread does it, for a descriptor must not end while it is written."""
        with self._lock:
            finished, self._finished = self._finished, []
        for segment in finished:
            descriptor, segment.descriptor = segment.descriptor, -1
            with contextlib.suppress(OSError):
                self._disk.close(descriptor)

    def _discard(self, segment: OpenSegment) -> None:
        """Undoes what was made in advance."""
        with contextlib.suppress(OSError):
            self._disk.close(segment.descriptor)
        with contextlib.suppress(OSError):
            self._disk.remove(segment.path)

    # --- the thread ---

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._dirty.wait()
            if self._stopping.is_set():
                return
            self._dirty.clear()
            self._sync()
            if self.next is None:
                self._make_next()
            if self.failure or self.rewrite or self.next_failure:
                self._dirty.set()  # again, also when nothing new is written: who admits no call writes nothing
                self._stopping.wait(max(self._interval_s, _AGAIN_S))
            else:
                self._stopping.wait(self._interval_s)

    def _sync(self) -> None:
        if self.rewrite and not self._stopping.is_set():
            return  # to sync now would succeed, and prove nothing
        before = self.failure, self.synced
        with self._lock:
            written, current, closing = self._written, self._current, list(self._closing)
        if written == self.synced and not closing and not self.failure:
            return
        self.syncing_since = monotonic()
        unfinished = [segment for segment in closing if not self._finish(segment)]
        failure = ""
        if current not in closing:
            try:
                self._disk.sync(current.descriptor)
            except OSError as error:
                self.failures += 1
                failure = f"{current.path} cannot be brought to the disk: {error.strerror}"
        if failure or unfinished:
            self.rewrite = True
        else:
            self.synced = written
        with self._lock:
            if current is self._current:
                self.failure = failure
        self.syncing_since = 0.0
        if self.rewrite or self.failure != before[0] or (self._each and self.synced != before[1]):
            self._told()

    def _finish(self, segment: OpenSegment) -> bool:
        """Whether nothing is left to be done for a segment that gets no more; false as long as it is worth another
        attempt."""
        try:
            self._disk.truncate(segment.descriptor, segment.end)
            self._disk.sync(segment.descriptor)
        except OSError:
            self.failures += 1
            segment.attempts += 1
            if segment.attempts < _ATTEMPTS:
                return False
        with self._lock:
            self._closing.remove(segment)
            self._finished.append(segment)
        return True

    def _make_next(self) -> None:
        with self._lock:
            number, avoided = self._current.number + 1, self._avoided
        order = sorted(self._directories, key=lambda directory: directory == avoided)
        failure = ""
        for directory in order:
            if directory == avoided and monotonic() < self._avoided_until:
                failure = failure or f"{directory} cannot be written"
                continue
            path = segment_path(directory, number)
            try:
                self._disk.make_directory(directory)
                if path.exists() and not is_begun(path):
                    self._disk.remove(path)
                descriptor = self._disk.create(path, self._size)
            except OSError as error:
                failure = failure or f"{path} cannot be made: {error.strerror}"
                continue
            made = OpenSegment(number, path, descriptor)
            with self._lock:
                fits = self._avoided == avoided
                if fits:
                    self.next = made
            failure = ""
            if not fits:  # meanwhile nothing can be written there
                self._discard(made)
                self._dirty.set()
            break
        changed = failure != self.next_failure or self.next is not None
        self.next_failure = failure
        if changed:
            self._told()
