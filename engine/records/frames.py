"""The journal's format, version 1: segments of frames of entries, chained by hash.

**Segment.** A file `segment-<number>.journal`, ten digits, counted up by one for ever in all of the engine's record
directories together. All integers are big-endian.

    preamble   magic "M700JNL" and the format version (1 byte), 8 bytes; then the chain value of the last frame of
               the segment before, 32 bytes: zeros in the first segment of all
    frames     without gaps; the first one holds a HEADER and an OPEN entry, and the last one of a segment that was
               closed in peace a FOOTER
    zeros      to the end of the file while it is being written: its space is taken when it is made. A file of zeros
               only has been made in advance, and is no segment yet

**Frame.** What one wake-up of the engine wrote, in one write.

    mark       4 bytes, f7 4d 37 00; where a reader finds the next frame behind damage
    length     4, of the payload
    count      4, of the entries in it
    wall       8, milliseconds since 1970, UTC
    monotonic  8, milliseconds of the clock that nobody sets; it begins anew with the machine
    payload    entries, each: kind (1), length (4), data
    chain      32, BLAKE2b-256 of (the 32 bytes in front of the mark, and all of the frame up to here)

The chain value is checksum, order and completeness in one: it can be checked for each frame alone, because what it
goes on from stands in front of the frame; and whoever changes, removes or moves one would have to change all later
ones, of which the last of each closed segment is signed beside it.

**Entries.** START and END are sealed records (`engine.records.sealed_record`); HEADER and FOOTER JSON objects
(`Header`, `Footer`); OPEN is the calls that were up when the segment began, as the places of their START entries, so
that a recovery needs no older segment but for these.

**Position.** Segment number, offset of the frame in its file, number of the entry in its frame, from 0; written
`12:4096:3`. Positions grow in the order in which entries were written.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import msgspec

FORMAT_VERSION: Final = 1
MAGIC: Final = b"M700JNL" + bytes((FORMAT_VERSION,))
CHAIN_BYTES: Final = 32
NO_CHAIN: Final = bytes(CHAIN_BYTES)  # what the first segment goes on from
PREAMBLE_BYTES: Final = len(MAGIC) + CHAIN_BYTES
FRAME_OVERHEAD: Final = 28 + CHAIN_BYTES

_MARK: Final = b"\xf7M7\0"
_HEAD: Final = struct.Struct(">4sIIqq")
_ENTRY: Final = struct.Struct(">BI")
_PLACE: Final = struct.Struct(">QII")
_NAME: Final = re.compile(r"segment-([0-9]{10})\.journal\Z")
_POSITION: Final = re.compile(r"([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,9})\Z")
_LONGEST_PAYLOAD: Final = 1 << 30  # what a length must not exceed to be believed
_BLOCK: Final = 1 << 20


class Kind(IntEnum):
    """What an entry is. START and END have the numbers of `engine.calls.record.EntryKind`."""

    START = 0
    END = 1
    HEADER = 2
    OPEN = 3
    FOOTER = 4


class Header(msgspec.Struct, frozen=True):
    """What a segment says of itself when it begins. `writer` names one start of the engine; `sealing_key` is the id
    of the key that seals, `signing_key` of the one that will sign (0: none)."""

    segment: int
    node: str
    writer: str
    sealing_key: int = 0
    signing_key: int = 0


class Footer(msgspec.Struct, frozen=True):
    """What a segment says of itself when it ends: how many frames and entries of each kind stand before this frame,
    and the wall clock (ms) of its first and last frame. `recovered`: the engine that wrote it had died."""

    segment: int
    frames: int
    starts: int
    ends: int
    first_ms: int
    last_ms: int
    recovered: bool = False


class Entry(NamedTuple):
    """`kind` is a `Kind`, or the number of one that a later version knows."""

    kind: int
    data: bytes


class Position(NamedTuple):
    """Where an entry is; ordered as they were written."""

    segment: int
    offset: int
    entry: int

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}:{self.entry}"

    @staticmethod
    def parse(text: str) -> Position:
        """Raises ValueError, its text fit for the operator."""
        match = _POSITION.match(text)
        if match is None:
            raise ValueError(f'"{text}" is no position: SEGMENT:OFFSET:ENTRY')
        return Position(int(match[1]), int(match[2]), int(match[3]))


class Frame(NamedTuple):
    """`offset` is where it begins in its file, `end` where the next one does; times in milliseconds."""

    offset: int
    end: int
    wall_ms: int
    monotonic_ms: int
    entries: list[Entry]
    chain: bytes


class Damage(NamedTuple):
    """Bytes from `offset` to `end` that are no frame although one follows."""

    offset: int
    end: int


class NoSegment(ValueError):
    """The file does not begin as a segment does; the text says how."""


class SegmentReader:
    """Reads the frames of one file whose chain value is right, in order.

    `end` is where the last one that was read ends. With `thorough` it looks for whole frames behind damage, too, which
    it notes in `damage`; else it stops where the next frame is not (or not yet) whole. It may be asked again for
    `frames` when the file has grown.
    """

    def __init__(self, file: BinaryIO, offset: int = 0, *, thorough: bool = False) -> None:
        """Begins at the frame at `offset`; 0 is the first. Raises NoSegment, OSError."""
        file.seek(0)
        preamble = file.read(PREAMBLE_BYTES)
        if not preamble.startswith(MAGIC) or len(preamble) < PREAMBLE_BYTES:
            raise NoSegment(_not_begun(preamble))
        self.before = preamble[len(MAGIC) :]  # chain value of the segment before
        self.end = offset or PREAMBLE_BYTES
        self.damage: list[Damage] = []
        self._file = file
        self._thorough = thorough
        file.seek(self.end - CHAIN_BYTES)
        self.chain = file.read(CHAIN_BYTES)

    def frames(self) -> Iterator[Frame]:
        """The next ones, up to the last that is whole."""
        while True:
            frame = self._frame_at(self.end, self.chain)
            if frame is None:
                frame = self._damaged() if self._thorough else None
                if frame is None:
                    return
            self.end, self.chain = frame.end, frame.chain
            yield frame

    def _damaged(self) -> Frame | None:
        """The next frame behind damage, noted; None when there is none."""
        unproven = self._frame_at(self.end, self.chain, proven=False)
        if unproven is not None and self._frame_at(unproven.end, unproven.chain) is not None:
            # The next one goes on from what this one's chain value must have been: nothing else of it was changed.
            self.damage.append(Damage(unproven.end - CHAIN_BYTES, unproven.end))
            return unproven
        frame = self._behind_damage()
        if frame is not None:
            self.damage.append(Damage(self.end, frame.offset))
        return frame

    def _frame_at(self, offset: int, before: bytes, proven: bool = True) -> Frame | None:
        file = self._file
        file.seek(offset)
        head = file.read(_HEAD.size)
        if len(head) < _HEAD.size:
            return None
        mark, length, count, wall_ms, monotonic_ms = _HEAD.unpack(head)
        if mark != _MARK or length > _LONGEST_PAYLOAD:
            return None
        body = file.read(length + CHAIN_BYTES)
        if len(body) < length + CHAIN_BYTES:
            return None
        payload = body[:length]
        chain = chain_of(before, head, payload)
        if proven and chain != body[length:]:
            return None
        entries = _entries(payload)
        if len(entries) != count:
            return None
        return Frame(offset, offset + _HEAD.size + len(body), wall_ms, monotonic_ms, entries, chain)

    def _behind_damage(self) -> Frame | None:
        """The next frame that is whole and goes on from the 32 bytes before it; those may be what is damaged."""
        offset = self.end + 1
        kept = b""
        while True:
            self._file.seek(offset + len(kept))
            block = kept + self._file.read(_BLOCK)
            found = block.find(_MARK)
            while found >= 0:
                self._file.seek(offset + found - CHAIN_BYTES)
                frame = self._frame_at(offset + found, self._file.read(CHAIN_BYTES))
                if frame is not None:
                    return frame
                found = block.find(_MARK, found + 1)
            if len(block) - len(kept) < _BLOCK:
                return None
            kept = block[1 - len(_MARK) :]
            offset += len(block) - len(kept)


def read_segment(path: Path, offset: int = 0) -> Iterator[Frame]:
    """The frames of a segment that are whole, from the one at `offset` on (0: the first), up to the first that is not.
    A file that was made in advance has none. Raises NoSegment for another file, OSError."""
    with path.open("rb") as file:
        try:
            reader = SegmentReader(file, offset)
        except NoSegment:
            if is_begun(path):
                raise
            return
        yield from reader.frames()


def read_frame(file: BinaryIO, offset: int) -> Frame | None:
    """The one frame at `offset`, checked; None when there is no whole one."""
    return next(SegmentReader(file, offset).frames(), None)


def is_begun(path: Path) -> bool:
    """Whether anything stands in the file; False for one that was made in advance. Raises OSError."""
    with path.open("rb") as file:
        return any(file.read(PREAMBLE_BYTES))


def frame(before: bytes, entries: Iterable[Entry], wall_ms: int, monotonic_ms: int) -> tuple[bytes, bytes]:
    """A frame that goes on from the chain value `before`, as bytes, and its own chain value."""
    pieces: list[bytes] = []
    count = 0
    for kind, data in entries:
        pieces += (entry_head(kind, len(data)), data)
        count += 1
    return frame_of(before, pieces, count, wall_ms, monotonic_ms)


def frame_of(
    before: bytes, pieces: list[bytes], count: int, wall_ms: int, monotonic_ms: int
) -> tuple[bytes, bytes]:
    """As `frame`, of entries that are heads and data already."""
    payload = b"".join(pieces)
    head = _HEAD.pack(_MARK, len(payload), count, wall_ms, monotonic_ms)
    chain = chain_of(before, head, payload)
    return head + payload + chain, chain


def entry_head(kind: int, length: int) -> bytes:
    """What stands before `length` bytes of an entry's data."""
    return _ENTRY.pack(kind, length)


def chain_of(before: bytes, head: bytes, payload: bytes) -> bytes:
    """The chain value of a frame."""
    return blake2b(b"".join((before, head, payload)), digest_size=CHAIN_BYTES).digest()


def first_frame(
    before: bytes, header: Header, open_calls: bytes, wall_ms: int, monotonic_ms: int
) -> tuple[bytes, bytes]:
    """The preamble and first frame of a segment, and its chain value. `open_calls` as `packed` makes them."""
    entries = (Entry(Kind.HEADER, msgspec.json.encode(header)), Entry(Kind.OPEN, open_calls))
    data, chain = frame(before, entries, wall_ms, monotonic_ms)
    return MAGIC + before + data, chain


def header_of(first: Frame) -> tuple[Header, list[Position]]:
    """The header and the open calls of a segment's first frame. Raises NoSegment."""
    try:
        header, places = first.entries[0], first.entries[1]
        if header.kind == Kind.HEADER and places.kind == Kind.OPEN:
            return msgspec.json.decode(header.data, type=Header), unpacked(places.data)
    except (IndexError, msgspec.MsgspecError, struct.error):
        pass
    raise NoSegment("its first frame is no header")


def footer_of(last: Frame) -> Footer | None:
    """The footer, if this frame is one."""
    entry = last.entries[0] if last.entries else None
    if entry is None or entry.kind != Kind.FOOTER:
        return None
    try:
        return msgspec.json.decode(entry.data, type=Footer)
    except msgspec.MsgspecError:
        return None


def packed(segment: int, offset: int, entry: int) -> bytes:
    """A position as 16 bytes of an OPEN entry."""
    return _PLACE.pack(segment, offset, entry)


def unpacked(places: bytes) -> list[Position]:
    """The positions of an OPEN entry. Raises struct.error."""
    return [Position(*place) for place in _PLACE.iter_unpack(places)]


@dataclass(slots=True, frozen=True, order=True)
class SegmentFile:
    """One file of the journal; ordered by number."""

    number: int
    path: Path


def segment_path(directory: Path, number: int) -> Path:
    """Where a segment lies."""
    return directory / f"segment-{number:010d}.journal"


def segment_files(directories: Iterable[Path]) -> list[SegmentFile]:
    """The segments of all these directories that have begun, the oldest first. Directories that are not there have
    none. Raises OSError."""
    return [file for file in all_files(directories) if is_begun(file.path)]


def all_files(directories: Iterable[Path]) -> list[SegmentFile]:
    """As `segment_files`, with those that were made in advance. Raises OSError."""
    found = [
        SegmentFile(int(match[1]), path)
        for directory in directories
        if directory.is_dir()
        for path in directory.iterdir()
        if (match := _NAME.match(path.name)) is not None
    ]
    return sorted(found)


def _entries(payload: bytes) -> list[Entry]:
    """Of a payload whose chain value is right; what does not fit its own lengths is left out."""
    entries: list[Entry] = []
    place, end = 0, len(payload)
    while place + _ENTRY.size <= end:
        kind, length = _ENTRY.unpack_from(payload, place)
        place += _ENTRY.size
        if place + length > end:
            break
        entries.append(Entry(kind, payload[place : place + length]))
        place += length
    return entries


def _not_begun(preamble: bytes) -> str:
    if not any(preamble):
        return "nothing has been written to it"
    if len(preamble) < PREAMBLE_BYTES:
        return "it ends before its first frame"
    if preamble.startswith(MAGIC[:-1]):
        return f"its format is version {preamble[len(MAGIC) - 1]}, and {FORMAT_VERSION} is read here"
    return "it does not begin as a segment does"
