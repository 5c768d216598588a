"""Following the journal from a durable place, by a reader that must miss nothing.

Unlike a query it does not step over segments that are not there, and it notices when its place is not what it was:
then the journal was replaced, and only an operator can say where to go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from engine.records.frames import PREAMBLE_BYTES, Frame, Kind, Position, SegmentFile
from engine.records.old_journals import SEGMENT, old_journals, old_lines
from engine.records.reading import (
    BEGINNING,
    Broken,
    frames_of,
    numbers_text,
    open_segment,
    segments,
    with_successors,
)

_RECORDS = (Kind.START, Kind.END)


class Place(NamedTuple):
    """Behind the entry at `position`. `chain` is the chain value of its frame; empty for a position in a file of
    version 0.1.0, and for offset 0, which is in front of a segment's first entry."""

    position: Position
    chain: bytes = b""


class Read(NamedTuple):
    """An entry about a call. `wall_ms`: when its frame was written; 0 in files of version 0.1.0."""

    position: Position
    chain: bytes
    kind: int
    data: bytes
    wall_ms: int

    @property
    def place(self) -> Place:
        """Behind it."""
        return Place(self.position, self.chain)


FIRST: Final = Place(BEGINNING)  # in front of every entry


class CannotFollow(ValueError):
    """The journal does not go on from this place; the text says why, fit for the operator."""


def follow(directories: Iterable[Path], place: Place, broken: Broken | None = None) -> Iterator[Read]:
    """The entries about calls behind a place, in order, up to the last one that is whole at this moment; a torn end is
    left to a later call. `broken` hears of damage within a segment. Raises CannotFollow, OSError."""
    directories = list(directories)
    after = place.position
    if after.segment == SEGMENT:
        for position, kind, line in old_lines(old_journals(directories), after):
            yield Read(position, b"", kind, line, 0)
    following = segments(directories, max(after.segment, 1))
    if after.segment and (not following or following[0].number != after.segment):
        raise CannotFollow(f"segment {after.segment}, where it stands, is not there")
    for segment, successor in with_successors(following):
        behind = after if segment.number == after.segment else Position(segment.number, 0, 0)
        with open_segment(segment, successor) as file:
            for frame in _frames_behind(segment, file, successor, Place(behind, place.chain), broken):
                yield from _entries_of(segment.number, frame, behind)
        if successor is not None and successor.number != segment.number + 1:
            raise CannotFollow(f"{numbers_text(range(segment.number + 1, successor.number))} missing")


def place_of(directories: Iterable[Path], position: Position) -> Place:
    """The place behind an entry. Raises CannotFollow where there is none, OSError."""
    directories = list(directories)
    if position == BEGINNING:
        return FIRST
    if position.segment == SEGMENT:
        if not any(found == position for found, _, _ in old_lines(old_journals(directories), BEGINNING)):
            raise CannotFollow(f"position {position}: nothing stands there")
        return Place(position)
    listed = segments(directories, position.segment)
    if not listed or listed[0].number != position.segment:
        raise CannotFollow(f"position {position}: there is no segment {position.segment}")
    if not position.offset:
        return Place(Position(position.segment, 0, 0))
    frame = None
    if position.offset >= PREAMBLE_BYTES:
        with open_segment(listed[0], None) as file:
            frame = next(frames_of(listed[0], file, None, None, position.offset), None)
    if frame is None or frame.offset != position.offset or position.entry >= len(frame.entries):
        raise CannotFollow(f"position {position}: nothing stands there")
    return Place(position, frame.chain)


def end_of(directories: Iterable[Path]) -> Place:
    """The place behind everything that is there at this moment. Raises OSError."""
    directories = list(directories)
    last = FIRST
    for position, _, _ in old_lines(old_journals(directories), BEGINNING):
        last = Place(position)
    for segment in segments(directories)[-1:]:
        last = Place(Position(segment.number, 0, 0))
        with open_segment(segment, None) as file:
            for frame in frames_of(segment, file, None):
                last = Place(Position(segment.number, frame.offset, len(frame.entries) - 1), frame.chain)
    return last


def place_named(directories: Iterable[Path], text: str) -> Place:
    """What an operator calls a place: a position, `beginning` or `now`. Raises ValueError, OSError."""
    if text == "beginning":
        return FIRST
    return end_of(directories) if text == "now" else place_of(directories, Position.parse(text))


def _frames_behind(
    segment: SegmentFile, file: BinaryIO, successor: SegmentFile | None, behind: Place, broken: Broken | None
) -> Iterator[Frame]:
    """With the frame in which the place is, so that it is proven."""
    offset = behind.position.offset
    frames = frames_of(segment, file, successor, broken, offset)
    if not offset:
        return frames
    first = next(frames, None)
    if first is None or first.offset != offset or first.chain != behind.chain:
        raise CannotFollow(
            f"position {behind.position} is not what it was: the journal was replaced or damaged there"
        )
    return chain((first,), frames)


def _entries_of(number: int, frame: Frame, behind: Position) -> Iterator[Read]:
    for index, (kind, data) in enumerate(frame.entries):
        if kind in _RECORDS:
            position = Position(number, frame.offset, index)
            if position > behind:
                yield Read(position, frame.chain, kind, data, frame.wall_ms)
