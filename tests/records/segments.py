"""Segments for the tests, as the journal writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from engine.calls.record import CallRecord, EntryKind
from engine.records.frames import (
    NO_CHAIN,
    Entry,
    Footer,
    Header,
    Kind,
    Position,
    first_frame,
    frame,
    segment_path,
)
from tests.records.samples import CODEC, SETUP

ROOM = 4096  # bytes that are taken in advance


class Segments:
    """Writes one segment after the other; `positions` has the place of every START and END so far."""

    def __init__(self, directory: Path, number: int = 1) -> None:
        self.directory = directory
        self.positions: list[Position] = []
        self.chain = NO_CHAIN
        self._clock = SETUP
        self._begin(number)

    @property
    def path(self) -> Path:
        return segment_path(self.directory, self.number)

    def write(self, *records: CallRecord, kind: EntryKind = EntryKind.END) -> None:
        """One frame."""
        self.write_entries([Entry(int(kind), CODEC.encode(kind, record)) for record in records])

    def write_entries(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        self.positions += [Position(self.number, self._end, index) for index in range(len(entries))]
        self._starts += sum(entry.kind == Kind.START for entry in entries)
        self._ends += sum(entry.kind == Kind.END for entry in entries)
        self._put(entries)

    def close(self) -> None:
        """With a footer."""
        footer = Footer(self.number, self._frames, self._starts, self._ends, SETUP, self._clock)
        self._put([Entry(Kind.FOOTER, msgspec.json.encode(footer))])
        with self.path.open("r+b") as file:
            file.truncate(self._end)

    def next(self, directory: Path | None = None, footer: bool = True) -> None:
        """Goes on in another one."""
        if footer:
            self.close()
        self.directory = directory or self.directory
        self._begin(self.number + 1)

    def _begin(self, number: int) -> None:
        self.number = number
        self._frames = self._starts = self._ends = 0
        self.directory.mkdir(exist_ok=True)
        head, self.chain = first_frame(
            self.chain, Header(number, "mask700-1", "w1", 1, 1), b"", self._clock, 1
        )
        self.path.write_bytes(head + bytes(ROOM))
        self._end = len(head)
        self._frames = 1

    def _put(self, entries: list[Entry]) -> None:
        self._clock += 1
        octets, self.chain = frame(self.chain, entries, self._clock, self._clock - SETUP)
        with self.path.open("r+b") as file:
            file.seek(self._end)
            file.write(octets)
            self._end += len(octets)
            if file.seek(0, 2) < self._end + ROOM:
                file.truncate(self._end + ROOM)
        self._frames += 1
