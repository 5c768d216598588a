"""How far an outlet is behind: counted without opening records, by the seals of closed segments where there are."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from engine.records.following import FIRST, CannotFollow, Place, Read, follow
from engine.records.frames import Kind, Position
from engine.records.old_journals import SEGMENT
from engine.records.reading import segments
from engine.records.seals import seal_path


class _Counts(msgspec.Struct):
    ends: int


class Backlog:
    """Of one outlet: `records` that it has not given out, of what has been looked at; `oldest_ms`, when the first of
    them was written, 0 for none."""

    def __init__(self, directories: Sequence[Path]) -> None:
        self.records = 0
        self.oldest_ms = 0
        self._directories = directories
        self._to = FIRST  # counted up to here

    def reset(self, place: Place) -> None:
        """The outlet stands here now."""
        self.records = self.oldest_ms = 0
        self._to = place

    def passed(self, read: Read) -> None:
        """The outlet has read an entry."""
        if read.kind == Kind.END:
            self.oldest_ms = self.oldest_ms or read.wall_ms
        if read.position > self._to.position:
            self._count(read)

    def delivered(self, records: int, wall_ms: int) -> None:
        """It has given out so many, the last of them written at that time."""
        self.records -= records
        self.oldest_ms = wall_ms if self.records else 0

    def look(self, seconds: float = float("inf")) -> None:
        """Counts on to the journal's end, or for so long. Raises OSError."""
        until = time.monotonic() + seconds
        while self._look_at_one(until):
            pass

    def _look_at_one(self, until: float) -> bool:
        """Up to the end of a segment; whether there is more."""
        if self._to.position.segment != SEGMENT:
            self._skip_sealed()
        segment = self._to.position.segment
        try:
            for read in follow(self._directories, self._to):
                self._count(read)
                if read.kind == Kind.END:
                    self.oldest_ms = self.oldest_ms or read.wall_ms
                if time.monotonic() >= until:
                    return False
                if read.position.segment != segment:
                    return True
        except CannotFollow:
            pass  # the outlet will say so when it comes there
        return False

    def _skip_sealed(self) -> None:
        for segment in segments(self._directories, self._to.position.segment):
            if self._to.position > Position(segment.number, 0, 0):
                continue  # within it
            try:
                counts = msgspec.json.decode(
                    seal_path(segment.path).read_bytes().partition(b"\n")[0], type=_Counts
                )
            except (OSError, msgspec.MsgspecError):
                return
            self.records += counts.ends
            self._to = Place(Position(segment.number + 1, 0, 0))

    def _count(self, read: Read) -> None:
        self.records += read.kind == Kind.END
        self._to = read.place
