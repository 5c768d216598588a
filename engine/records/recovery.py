"""What an engine that died has left in the journal: found, put in order, and its calls ended.

Run before anything is appended. It reads the last segment only: a segment says itself which calls were up when it
began. Nothing happens twice: the ENDs that it leads to are entries like all others, so that whoever dies before all of
them are written is recovered in turn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import BinaryIO, NamedTuple

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.abandoned import AbandonedCall
from engine.records.disk import Disk
from engine.records.frames import (
    PREAMBLE_BYTES,
    Entry,
    Footer,
    Frame,
    Header,
    Kind,
    NoSegment,
    Position,
    SegmentFile,
    SegmentReader,
    all_files,
    footer_of,
    frame,
    header_of,
    is_begun,
    packed,
    read_frame,
    read_segment,
)
from engine.records.open_segment import Beginning, OpenSegment
from engine.records.reading import segments
from engine.records.sealed_record import BrokenLine, RecordCodec

_BLOCK = 1 << 20


class Moment(NamedTuple):
    """What the wall clock and the monotonic one said, in ms."""

    wall_ms: int
    monotonic_ms: int


@dataclass(slots=True)
class Interrupted:
    """A call that was answered and has no END: its START entry's data, when that was written, and when the engine that
    wrote it was last known to live."""

    position: Position
    start: bytes
    begun: Moment
    last: Moment


@dataclass(slots=True)
class Recovered:
    """`torn`: where cut tails have been kept. `frames`, `entries`, `seconds`: what had to be read, and for how long."""

    beginning: Beginning = field(default_factory=Beginning)
    interrupted: list[Interrupted] = field(default_factory=list)
    torn: list[Path] = field(default_factory=list)
    frames: int = 0
    entries: int = 0
    seconds: float = 0.0


def recover(
    directories: list[Path], codec: RecordCodec, trouble: Callable[[str], None], disk: Disk | None = None
) -> Recovered:
    """Reads what is there, cuts a torn tail, and says what a new journal goes on from. `trouble` hears of damage, which
    costs the entries in it and nothing else. Raises OSError where a directory cannot be read."""
    begun = perf_counter()
    recovery = _Recovery(directories, codec, trouble, Disk() if disk is None else disk)
    recovery.run()
    recovery.result.seconds = perf_counter() - begun
    return recovery.result


def ended(interrupted: Interrupted, codec: RecordCodec) -> AbandonedCall:
    """The call as it is to be ended. Raises BrokenLine where its START does not open."""
    record, legs = codec.reopen(codec.parse(interrupted.start))
    answer = ANSWER[Reason.ENGINE_RESTART]
    record.disposition = answer.disposition
    record.reason = word(Reason.ENGINE_RESTART)
    record.released_by = "platform"
    record.sip_status, record.q850_cause = answer.status, answer.cause
    begun, last = interrupted.begun, interrupted.last
    # One engine's frames are of one life of the machine: the clock that nobody sets says how long it was.
    record.close(
        (record.answer_time or record.setup_time or 0) + max(0, last.monotonic_ms - begun.monotonic_ms)
    )
    return AbandonedCall(record, legs)


@dataclass(slots=True)
class _Begun:
    position: Position
    start: bytes
    at: Moment
    writer: str


class _Recovery:
    def __init__(
        self, directories: list[Path], codec: RecordCodec, trouble: Callable[[str], None], disk: Disk
    ) -> None:
        self.result = Recovered()
        self._directories = directories
        self._codec = codec
        self._trouble = trouble
        self._disk = disk
        self._files: list[SegmentFile] = []
        self._writers: dict[int, str] = {}  # by segment number
        self._last: dict[str, Moment] = {}  # of each writer
        self._open: dict[str, _Begun] = {}

    def run(self) -> None:
        files = self._files = self._begun_files()
        if not files:
            return
        beginning = self.result.beginning
        beginning.number = files[-1].number + 1
        for file in files[self._where_to_begin() :]:
            try:
                self._read(file, last=file is files[-1])
            except (OSError, NoSegment) as error:
                self._trouble(f"{file.path} cannot be read: {error}")
        found = sorted(self._open.items(), key=lambda item: item[1].position)
        beginning.open_calls = {record_id: packed(*call.position) for record_id, call in found}
        self.result.interrupted = [
            Interrupted(call.position, call.start, call.at, self._last_of(call)) for _, call in found
        ]

    def _begun_files(self) -> list[SegmentFile]:
        """Each once: a piece of one that was then begun elsewhere does not count. Removes what was made in advance."""
        for file in all_files(self._directories):
            if not is_begun(file.path):
                with contextlib.suppress(OSError):
                    self._disk.remove(file.path)
        return segments(self._directories)

    def _where_to_begin(self) -> int:
        """The last segment whose header can be read: it says which calls were up."""
        for place in range(len(self._files) - 1, 0, -1):
            if self._header(self._files[place]) is not None:
                return place
        return 0

    def _header(self, segment: SegmentFile) -> tuple[Header, list[Position]] | None:
        try:
            first = next(read_segment(segment.path), None)
            return None if first is None else header_of(first)
        except (OSError, NoSegment):
            return None  # what it says is told when it is read

    def _read(self, segment: SegmentFile, last: bool) -> None:
        result = self.result
        held = OpenSegment(segment.number, segment.path, -1)
        footer: Footer | None = None
        with segment.path.open("rb") as file:
            reader = SegmentReader(file, thorough=True)
            writer = ""
            for frame_ in reader.frames():
                if frame_.offset == PREAMBLE_BYTES:
                    writer = self._take_header(segment.number, frame_)
                starts, ends = self._take(segment.number, writer, frame_)
                footer = footer_of(frame_)
                held.frames += 1
                held.starts += starts
                held.ends += ends
                held.first_ms = held.first_ms or frame_.wall_ms
                held.last_ms = frame_.wall_ms
                self._last[writer] = Moment(frame_.wall_ms, frame_.monotonic_ms)
            result.frames += held.frames
            for damage in reader.damage:
                self._trouble(f"{segment.path} is damaged from byte {damage.offset} to {damage.end}")
            result.beginning.chain = reader.chain
            if last:
                self._cut(segment, file, reader.end)
        if last and footer is None:
            self._close(segment, reader, held.footer(recovered=True), self._last.get(writer, Moment(0, 0)))

    def _take_header(self, number: int, first: Frame) -> str:
        """The writer of a segment. Of the first one that is read, the calls that were up are looked for."""
        try:
            header, places = header_of(first)
        except NoSegment:
            return ""
        self._writers[number] = header.writer
        if not self.result.frames:
            self._carried_over(places)
        return header.writer

    def _carried_over(self, places: list[Position]) -> None:
        paths = {file.number: file.path for file in self._files}
        opened: dict[int, BinaryIO] = {}
        frame_: Frame | None = None
        at = (0, 0)
        try:
            for position in sorted(places):
                if (position.segment, position.offset) != at:
                    at = (position.segment, position.offset)
                    try:
                        if position.segment not in opened:
                            opened[position.segment] = paths[position.segment].open("rb")
                        frame_ = read_frame(opened[position.segment], position.offset)
                    except (KeyError, OSError, NoSegment):
                        frame_ = None
                if frame_ is None or position.entry >= len(frame_.entries):
                    self._trouble(f"the call that began at {position} cannot be read")
                else:
                    writer = self._writer_of(position.segment)
                    self._begun(position, writer, frame_, frame_.entries[position.entry])
        finally:
            for file in opened.values():
                file.close()

    def _take(self, number: int, writer: str, frame_: Frame) -> tuple[int, int]:
        """How many STARTs and ENDs stand in it."""
        starts = ends = 0
        for index, entry in enumerate(frame_.entries):
            if entry.kind == Kind.START:
                starts += 1
                self._begun(Position(number, frame_.offset, index), writer, frame_, entry)
            elif entry.kind == Kind.END:
                ends += 1
                if self._open:  # else there is none that it could end
                    self._open.pop(self._record_id(entry.data), None)
        self.result.entries += starts + ends
        return starts, ends

    def _begun(self, position: Position, writer: str, frame_: Frame, entry: Entry) -> None:
        record_id = self._record_id(entry.data)
        if record_id:
            at = Moment(frame_.wall_ms, frame_.monotonic_ms)
            self._open[record_id] = _Begun(position, entry.data, at, writer)

    def _record_id(self, data: bytes) -> str:
        try:
            return self._codec.parse(data).clear.record_id
        except BrokenLine as error:
            self._trouble(str(error))
            return ""

    def _writer_of(self, number: int) -> str:
        if number not in self._writers:
            file = next((file for file in self._files if file.number == number), None)
            found = None if file is None else self._header(file)
            self._writers[number] = "" if found is None else found[0].writer
        return self._writers[number]

    def _last_of(self, call: _Begun) -> Moment:
        """When the writer of a call lived last; of an engine before the one that died last (its calls were being ended
        when that one died), the last frame of its last segment says it."""
        known = self._last.get(call.writer)
        if known is None:
            known, last = call.at, None
            for file in self._files:
                if file.number >= call.position.segment:
                    if self._writer_of(file.number) != call.writer:
                        break
                    last = file
            if last is not None:
                with contextlib.suppress(OSError, NoSegment):
                    for frame_ in read_segment(last.path):
                        known = Moment(frame_.wall_ms, frame_.monotonic_ms)
            self._last[call.writer] = known
        return known

    def _cut(self, segment: SegmentFile, file: BinaryIO, end: int) -> None:
        """Puts what stands behind the last whole frame into a file of its own. What cannot be cut stays: the next
        segment says how far this one counts."""
        file.seek(end)
        torn, zeros = b"", 0
        while piece := file.read(_BLOCK):
            if piece.strip(b"\0"):
                torn, zeros = torn + bytes(zeros) + piece, 0
            else:
                zeros += len(piece)
        torn = torn.rstrip(b"\0")
        if not torn:
            return
        kept = segment.path.with_suffix(".torn")
        self._trouble(f"{segment.path} is torn behind byte {end}: {len(torn)} bytes are kept in {kept.name}")
        try:
            kept.write_bytes(torn)
        except OSError as error:
            self._trouble(f"{kept} cannot be written: {error.strerror}")
        else:
            self.result.torn.append(kept)

    def _close(self, segment: SegmentFile, reader: SegmentReader, footer: Entry, known: Moment) -> None:
        """Ends the last segment as its engine would have, at the time that is known last of it."""
        octets, chain = frame(reader.chain, [footer], known.wall_ms, known.monotonic_ms)
        disk = self._disk
        try:
            descriptor = disk.open(segment.path)
            try:
                disk.truncate(descriptor, reader.end)
                if disk.write(descriptor, octets, reader.end) == len(octets):
                    self.result.beginning.chain = chain
                disk.sync(descriptor)
            finally:
                disk.close(descriptor)
        except OSError as error:
            self._trouble(f"{segment.path} cannot be closed: {error.strerror}")
