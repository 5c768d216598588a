"""Reading the journal, beside the engine that writes it: its segments, and their entries in order.

Whatever is missing or damaged is told, so that an answer that lacks something never looks complete: damage within a
segment, segments that are not there, and a segment that ends before the point from which the next one goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from engine.records.frames import (
    MAGIC,
    PREAMBLE_BYTES,
    Frame,
    Kind,
    NoSegment,
    Position,
    SegmentFile,
    SegmentReader,
    all_files,
    footer_of,
    header_of,
    read_frame,
)
from engine.records.old_journals import SEGMENT, old_journals, old_lines

BEGINNING: Final = Position(0, 0, 0)  # in front of every entry

Broken = Callable[[str], None]  # hears of everything that could not be read

_LOOK_BEHIND = 65_536  # bytes behind the last frame of an open segment that are zeros when nothing follows
_BUFFER = 1 << 17
_RECORDS = (Kind.START, Kind.END)


class Written(NamedTuple):
    """An entry about a call, START or END: `data` is for `RecordCodec.parse`."""

    position: Position
    kind: int
    data: bytes


def entries(
    directories: Iterable[Path], after: Position = BEGINNING, broken: Broken | None = None
) -> Iterator[Written]:
    """All entries about calls behind a position, in the order in which they were written, up to the last one that is
    whole at this moment; also those of old journals. Raises OSError, ValueError for a position that there is not."""
    directories = list(directories)
    if after.segment == SEGMENT:
        yield from _old_entries(directories, after)
    following = segments(directories, max(after.segment, 1))
    if after.segment and (not following or following[0].number != after.segment):
        raise ValueError(f"position {after}: there is no segment {after.segment}")
    for segment, successor in with_successors(following):
        offset = after.offset if segment.number == after.segment else 0
        with open_segment(segment, successor) as file:
            if offset and not _begins_at(file, offset):
                raise ValueError(f"position {after}: no frame begins there")
            for frame in frames_of(segment, file, successor, broken, offset):
                yield from _entries_of(segment.number, frame, after)
        tell_gap(segment, successor, broken)


def _old_entries(directories: list[Path], after: Position) -> Iterator[Written]:
    for position, kind, line in old_lines(old_journals(directories), after):
        yield Written(position, kind, line)


def _entries_of(number: int, frame: Frame, after: Position) -> Iterator[Written]:
    for index, (kind, data) in enumerate(frame.entries):
        if kind in _RECORDS:
            position = Position(number, frame.offset, index)
            if position > after:
                yield Written(position, kind, data)


def frames_of(
    segment: SegmentFile,
    file: BinaryIO,
    successor: SegmentFile | None,
    broken: Broken | None = None,
    offset: int = 0,
) -> Iterator[Frame]:
    """The whole frames of a segment from the one at `offset` on (0: the first), also behind damage. Raises OSError."""
    followed_by = None if successor is None or successor.number > segment.number + 1 else before_of(successor)
    try:
        reader = SegmentReader(file, offset)
    except NoSegment as error:
        tell(broken, f"{segment.path}: {error}")
        return
    yield from reader.frames()
    if reader.chain == followed_by or (followed_by is None and nothing_behind(file, reader.end)):
        return
    thorough = SegmentReader(file, reader.end, thorough=True)
    frames = thorough.frames()
    told = 0
    while (frame := next(frames, None)) is not None:
        if len(thorough.damage) > told:
            damage = thorough.damage[-1]
            suspect = frame.offset if frame.end == damage.end else damage.offset
            if _begins_at(file, suspect):  # it was being written when it was looked at
                thorough = SegmentReader(file, suspect, thorough=True)
                frames, told = thorough.frames(), 0
                continue
            told = len(thorough.damage)
            tell(broken, f"{segment.path}: bytes {damage.offset} to {damage.end} are damaged")
        yield frame
    if followed_by is not None and thorough.chain != followed_by:
        tell(
            broken,
            f"{segment.path}: cut off or damaged behind byte {thorough.end}: the next one goes on elsewhere",
        )


def open_segment(segment: SegmentFile, successor: SegmentFile | None) -> BinaryIO:
    """The file, to be read; without a buffer where it may still grow, for what a buffer has read stays as it was."""
    return segment.path.open("rb", buffering=0 if successor is None else _BUFFER)


def nothing_behind(file: BinaryIO, end: int) -> bool:
    """Whether only zeros, or nothing, follow on the last frame of a segment that is being written."""
    file.seek(end)
    return not any(file.read(_LOOK_BEHIND))


def segments(directories: Iterable[Path], first: int = 1) -> list[SegmentFile]:
    """The segments that have begun, from number `first` on, in order, each once. Raises OSError.

    Where a disk that failed has kept a piece of one that was then begun elsewhere, the piece does not count.
    """
    begun: dict[int, SegmentFile] = {}
    for file in all_files(directories):
        if file.number >= first and has_begun(file.path):
            other = begun.get(file.number)
            if other is None or not _has_first_frame(other.path):
                begun[file.number] = file
    return [begun[number] for number in sorted(begun)]


def before_of(segment: SegmentFile | None) -> bytes | None:
    """The chain value from which a segment goes on; None where that cannot be read."""
    if segment is None:
        return None
    with segment.path.open("rb") as file:
        preamble = file.read(PREAMBLE_BYTES)
    return preamble[len(MAGIC) :] if preamble.startswith(MAGIC) and len(preamble) == PREAMBLE_BYTES else None


def number_of(first: Frame) -> int:
    """The number that a segment gives itself in its first frame. Where a power cut has torn the header, that is the
    footer that a recovery has put there. Raises NoSegment."""
    footer = footer_of(first)
    return footer.segment if footer is not None and footer.recovered else header_of(first)[0].segment


def has_begun(path: Path) -> bool:
    """As `frames.is_begun`; False for a file that is not there any more."""
    try:
        with path.open("rb") as file:
            return any(file.read(PREAMBLE_BYTES))
    except FileNotFoundError:
        return False  # made in advance, and taken away again


def with_successors(listed: list[SegmentFile]) -> list[tuple[SegmentFile, SegmentFile | None]]:
    """Each with the one behind it, the last with None."""
    return [*pairwise(listed), *((last, None) for last in listed[-1:])]


def tell_gap(segment: SegmentFile, successor: SegmentFile | None, broken: Broken | None) -> None:
    """Says which segments are missing between the two."""
    missing = range(segment.number + 1, segment.number + 1 if successor is None else successor.number)
    if missing:
        tell(broken, f"{numbers_text(missing)} missing")


def numbers_text(missing: range) -> str:
    return f"segment {missing[0]} is" if len(missing) == 1 else f"segments {missing[0]} to {missing[-1]} are"


def tell(broken: Broken | None, what: str) -> None:
    if broken is not None:
        broken(what)


def _begins_at(file: BinaryIO, offset: int) -> bool:
    return offset >= PREAMBLE_BYTES and read_frame(file, offset) is not None


def _has_first_frame(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return next(SegmentReader(file).frames(), None) is not None
    except (NoSegment, OSError):
        return False
