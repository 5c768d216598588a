"""The journal: every entry about every call, in the order in which it was made (`engine.records.frames`).

The signalling process appends, and writes once at the end of a wake-up, before the datagrams leave: what the kernel
has taken survives the process. A thread (`engine.records.syncing`) brings it to the disk, so that a power cut takes no
more than `fsync_ms`, and makes the next segment, so that a full disk is met there and not in the middle of a call.
What a disk refuses is kept in memory, tried again, and written to a segment elsewhere as soon as there is one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns, time_ns
from typing import NamedTuple

import msgspec

from engine.records.disk import Disk
from engine.records.frames import (
    Header,
    Kind,
    entry_head,
    first_frame,
    frame,
    frame_of,
    packed,
    segment_path,
)
from engine.records.open_segment import Beginning, OpenSegment
from engine.records.settings import RecordSettings
from engine.records.syncing import Syncing

_AGAIN_MS = 50  # after a refused write
_LARGEST_FRAME = 1 << 20  # bytes; only what a disk has refused for a while comes to more
_FOR_AN_END = 2048  # bytes that are kept free for the END of each call that is up


_Pending = tuple[int, bytes, str]


class _Unsynced(NamedTuple):
    sequence: int
    segment: OpenSegment
    offset: int
    data: bytes


class Journal:
    """To be used by one thread; the figures may be read by any.

    `written`: entries that the kernel has, since the start. `lost`: entries dropped because no disk took anything for
    too long. `write_failures`: how often the system has refused. `told`, to be set by who waits: called, by another
    thread, when `flush` may have something to do, and with `durable` "fsync" when more has been synced.
    """

    def __init__(
        self,
        directories: list[Path],
        settings: RecordSettings,
        header: Header,
        beginning: Beginning,
        disk: Disk,
    ) -> None:
        """Begins a segment in the first of `directories` that can be written; the others serve while that one can not.
        `header.segment` is filled in. Raises OSError, of the first one, when none can."""
        self.written = 0
        self.lost = 0
        self.write_failures = 0
        self.told: Callable[[], object] = lambda: None
        self._disk = disk
        self.header = header  # of the segments to come
        self._directories = directories
        self._size = settings.segment_mib << 20
        self._lasts_ms = settings.segment_s * 1000
        self._most_buffered = settings.buffer_mib << 20
        self._patience_ms = settings.patience_ms
        self._chain = beginning.chain
        self._open_calls = beginning.open_calls
        self._pending: list[_Pending] = []  # kind, data, record id
        self._pending_bytes = 0
        self._unsynced: deque[_Unsynced] = deque()
        self._unsynced_bytes = 0
        self._failure = ""
        self._failing_since = 0  # ms of the monotonic clock, while failing
        self._again_at = 0
        self._moving = False
        self._rotate_at = 0
        self._segment = self._first_segment(directories, beginning.number)
        self._syncing = Syncing(
            disk,
            directories,
            self._size,
            settings.fsync_ms / 1000,
            self._segment,
            lambda: self.told(),
            settings.durable == "fsync",
        )

    @property
    def path(self) -> Path:
        """The segment that is written."""
        return self._segment.path

    @property
    def failed(self) -> str:
        """Why entries do not reach the disk at this moment, "" when they do."""
        if self._unsynced_bytes >= self._most_buffered:
            return f"{self._segment.directory} is too slow: {self.unsynced} entries wait for the disk"
        return self._failure or self._syncing.failure or ("" if self._has_room() else self._no_room())

    @property
    def accepting(self) -> bool:
        """Whether a call may begin. False while a disk has been failing for longer than `patience_ms`, and when there
        is no more room than the calls that are up will need."""
        if not self._failing_since:
            return self._unsynced_bytes < self._most_buffered and (
                self._syncing.next is not None or self._has_room()
            )
        return (
            monotonic_ns() // 1_000_000 - self._failing_since < self._patience_ms
            and self._pending_bytes + self._unsynced_bytes < self._most_buffered // 2
        )

    @property
    def elsewhere(self) -> bool:
        """Whether it writes to another directory than the first one, because that one fails."""
        return self._segment.directory != self._directories[0]

    @property
    def unsynced(self) -> int:
        """Entries that a power cut would take."""
        return self.written - self._syncing.synced

    @property
    def synced(self) -> int:
        """Of `written`, those that a power cut would not take."""
        return self._syncing.synced

    @property
    def sync_failures(self) -> int:
        return self._syncing.failures

    @property
    def open_calls(self) -> int:
        """STARTs without an END."""
        return len(self._open_calls)

    def append(self, kind: int, data: bytes, record_id: str) -> None:
        """Takes an entry (START or END); it leaves with the next flush."""
        self._pending.append((kind, data, record_id))
        self._pending_bytes += len(data)

    def flush(self) -> bool:
        """Hands everything to the kernel, in one write; false when it refuses (see `failed`).

        What it refuses is kept, and tried again with a later flush, also when that has nothing new.
        """
        if self._failing_since or self._syncing.rewrite:
            return self._mend()
        if not self._pending:
            return True
        now = monotonic_ns() // 1_000_000
        if self._segment.end >= self._size or now >= self._rotate_at:
            self._rotate(now)
        if self._write(self._pending, now):
            self._pending.clear()
            self._pending_bytes = 0
            return True
        return self._mend()

    def beat(self) -> None:
        """To be called about once a second: while calls are up it writes down that they still are, for a recovery to
        know until when; and it ends a segment whose time is over, though nothing happens."""
        now = monotonic_ns() // 1_000_000
        self._forget_synced()  # else a disk that was slow would count as slow until something is written again
        if self._failing_since or self._pending:
            self.flush()
        elif now >= self._rotate_at and self._segment.starts + self._segment.ends:
            self._rotate(now)
        elif self._open_calls:
            self._write([], now)

    def close(self) -> bool:
        """Writes and syncs what is left, and a footer; false when something did not reach the disk."""
        self._again_at = 0
        flushed = self.flush()
        if flushed and not self._failure:
            self._write_footer()
        self._syncing.wrote(self.written)
        self._syncing.close()
        return flushed and not self._failure and self.unsynced == 0

    # --- writing ---

    def _write(self, batch: list[_Pending], now: int) -> bool:
        """One frame; its entries count as written when the kernel has all of it."""
        segment = self._segment
        pieces: list[bytes] = []
        for kind, data, _ in batch:
            pieces.append(entry_head(kind, len(data)))
            pieces.append(data)
        wall = time_ns() // 1_000_000
        octets, chain = frame_of(self._chain, pieces, len(batch), wall, now)
        offset = segment.end
        if not self._put(segment, octets, offset, now):
            return False
        open_calls = self._open_calls
        for index, (kind, _, record_id) in enumerate(batch):
            if kind == 0:  # Kind.START
                segment.starts += 1
                open_calls[record_id] = packed(segment.number, offset, index)
            else:
                segment.ends += 1
                open_calls.pop(record_id, None)
        self.written += len(batch)
        self._wrote(segment, octets, chain, wall, self.written)
        self._forget_synced()
        self._syncing.wrote(self.written)
        return True

    def _forget_synced(self) -> None:
        synced, unsynced = self._syncing.synced, self._unsynced
        while unsynced and unsynced[0].sequence <= synced:
            self._unsynced_bytes -= len(unsynced.popleft().data)

    def _put(self, segment: OpenSegment, octets: bytes, offset: int, now: int) -> bool:
        """All of it, or `_failure` says why not; where it begins is not moved, so that it can be tried again."""
        write = self._disk.write
        try:
            done = write(segment.descriptor, octets, offset)
            while done < len(octets):  # a full disk, mostly: the next write tells
                done += write(segment.descriptor, octets[done:], offset + done)
        except OSError as error:
            self.write_failures += 1
            self._failure = f"{segment.path} cannot be written: {error.strerror}"
            self._failing_since = self._failing_since or now
            return False
        return True

    def _wrote(self, segment: OpenSegment, octets: bytes, chain: bytes, wall: int, sequence: int) -> None:
        """`sequence`: with which number of `written` it is on the disk."""
        self._unsynced.append(_Unsynced(sequence, segment, segment.end, octets))
        self._unsynced_bytes += len(octets)
        segment.end += len(octets)
        segment.frames += 1
        segment.first_ms = segment.first_ms or wall
        segment.last_ms = wall
        self._chain = chain

    # --- segments ---

    def _first_segment(self, directories: list[Path], number: int) -> OpenSegment:
        failures: list[OSError] = []
        for directory in directories:
            path = segment_path(directory, number)
            try:
                self._disk.make_directory(directory)
                segment = OpenSegment(number, path, self._disk.create(path, self._size))
            except OSError as error:
                failures.append(error)
                continue
            if self._begin(segment, monotonic_ns() // 1_000_000):
                return segment
            failures.append(OSError(0, self._failure))
            self._disk.close(segment.descriptor)
            self._failure = ""
        first = failures[0]
        raise OSError(first.errno, first.strerror, str(directories[0]))

    def _rotate(self, now: int) -> None:
        """Goes on in the next segment, if there is one and it can be written; else this one grows on."""
        coming = self._syncing.next
        if coming is None:
            return
        if not self._failure:
            self._write_footer()
        if self._begin(coming, now):
            self._segment = coming
            self._failure = ""
            self._syncing.switched(coming)
        else:
            self._syncing.avoid(coming.directory)

    def _begin(self, segment: OpenSegment, now: int) -> bool:
        wall = time_ns() // 1_000_000
        header = msgspec.structs.replace(self.header, segment=segment.number)
        octets, chain = first_frame(self._chain, header, b"".join(self._open_calls.values()), wall, now)
        if not self._put(segment, octets, 0, now):
            return False
        segment.end = 0
        self._wrote(segment, octets, chain, wall, self.written + 1)
        self._rotate_at = now + self._lasts_ms
        return True

    def _write_footer(self) -> None:
        """Says that this segment is complete. Without it the next one says so, by what it goes on from."""
        segment = self._segment
        wall, now = time_ns() // 1_000_000, monotonic_ns() // 1_000_000
        octets, chain = frame(self._chain, [segment.footer()], wall, now)
        if self._put(segment, octets, segment.end, now):
            self._wrote(segment, octets, chain, wall, self.written + 1)

    # --- trouble ---

    def _mend(self) -> bool:
        """Tries again: where it was, then elsewhere. True when the kernel has everything."""
        now = monotonic_ns() // 1_000_000
        syncing = self._syncing
        self._failing_since = self._failing_since or now
        if self._failure and now < self._again_at:
            self._drop()
            return False
        self._failure = ""
        if self._drain(now) and syncing.rewrite and self._rewrite(now):
            syncing.rewrote()
        if self._failure or (syncing.failure and len(self._directories) > 1):
            self._move(now)
        if self._failure:
            self._again_at = now + _AGAIN_MS
        elif not syncing.failure:
            self._failing_since = 0
        self._drop()
        return not self._pending

    def _drain(self, now: int) -> bool:
        """Writes what is pending, in frames of some size, as far as the kernel takes them."""
        pending = self._pending
        while pending and not self._failure:
            if self._segment.end >= self._size:
                self._rotate(now)
            count = octets = 0
            while count < len(pending) and octets < _LARGEST_FRAME:
                octets += len(pending[count][1])
                count += 1
            if self._write(pending[:count], now):
                del pending[:count]
                self._pending_bytes -= octets
        return not pending

    def _rewrite(self, now: int) -> bool:
        """Writes what is not synced once more, the same to the same place; but nothing to a segment that is closed: its
        descriptor may be another file's by now."""
        synced = self._syncing.synced
        return all(
            self._put(item.segment, item.data, item.offset, now)
            for item in self._unsynced
            if item.sequence > synced and item.segment.descriptor >= 0
        )

    def _move(self, now: int) -> None:
        """Goes on in a segment of another directory, as soon as the thread has made one; if there is no other, in
        another file."""
        syncing = self._syncing
        coming = syncing.next
        alone = len(self._directories) == 1
        if coming is None or not (alone or coming.directory != self._segment.directory):
            if not self._moving:
                self._moving = True
                syncing.avoid(self._segment.directory)
            return
        self._moving = False
        if self._begin(coming, now):
            self._segment = coming
            self._failure = ""
            syncing.switched(coming)
            self._drain(now)
        else:
            syncing.avoid(coming.directory)

    def _drop(self) -> None:
        """Keeps the memory bounded: what proves no answered call goes first, the newest of it, and a START never."""
        pending = self._pending
        for needed in (False, True):
            place = len(pending)
            while self._pending_bytes > self._most_buffered and place:
                place -= 1
                kind, data, record_id = pending[place]
                if kind != Kind.START and (needed or record_id not in self._open_calls):
                    self._pending_bytes -= len(data)
                    self.lost += 1
                    del pending[place]

    def _has_room(self) -> bool:
        needed = min(self._size // 4, _FOR_AN_END * len(self._open_calls) + _LARGEST_FRAME // 4)
        return self._segment.end + needed <= self._size

    def _no_room(self) -> str:
        return (
            "" if self._syncing.next is not None else self._syncing.next_failure or "the next segment is late"
        )
