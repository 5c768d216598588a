"""What an engine that died has left in the journal: found, put in order, and its calls ended.

Run before anything is appended. It reads the last segments only: a segment says itself which calls were up when it
began. Nothing happens twice: the ENDs that it leads to are entries like all others, so that whoever dies in the middle
of a recovery is recovered in turn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import BinaryIO

import msgspec

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.abandoned import AbandonedLeg
from engine.calls.record import CallRecord
from engine.records.disk import Disk
from engine.records.frames import (
    PREAMBLE_BYTES,
    Entry,
    Footer,
    Frame,
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
)
from engine.records.open_segment import Beginning
from engine.records.sealed_record import BrokenLine, RecordCodec

_BLOCK = 1 << 20


@dataclass(slots=True)
class Interrupted:
    """A call that was answered and has no END: its START entry's data, and the time (ms) that was known last of it, by
    the clock of its record."""

    position: Position
    start: bytes
    wall_ms: int
    monotonic_ms: int


@dataclass(slots=True)
class Recovered:
    """`torn`: where cut tails have been kept. `frames`, `entries`, `seconds`: what had to be read, and for how long.
    `last_wall_ms`, `last_monotonic_ms`: when the journal was written for the last time."""

    beginning: Beginning = field(default_factory=Beginning)
    interrupted: list[Interrupted] = field(default_factory=list)
    torn: list[Path] = field(default_factory=list)
    last_wall_ms: int = 0
    last_monotonic_ms: int = 0
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


def ended(
    interrupted: Interrupted, recovered: Recovered, codec: RecordCodec
) -> tuple[CallRecord, list[AbandonedLeg]]:
    """The END of an interrupted call, and its legs. Raises BrokenLine where its START does not open."""
    record, legs = codec.reopen(codec.parse(interrupted.start))
    answer = ANSWER[Reason.ENGINE_RESTART]
    record.disposition = answer.disposition
    record.reason = word(Reason.ENGINE_RESTART)
    record.released_by = "platform"
    record.sip_status, record.q850_cause = answer.status, answer.cause
    # By the clock that nobody sets, unless the machine has been started anew meanwhile.
    lasted = recovered.last_monotonic_ms - interrupted.monotonic_ms
    if lasted < 0:
        lasted = max(0, recovered.last_wall_ms - interrupted.wall_ms)
    record.close((record.answer_time or record.setup_time or 0) + lasted)
    return record, legs


class _Recovery:
    def __init__(
        self, directories: list[Path], codec: RecordCodec, trouble: Callable[[str], None], disk: Disk
    ) -> None:
        self.result = Recovered()
        self._directories = directories
        self._codec = codec
        self._trouble = trouble
        self._disk = disk
        self._open: dict[str, Interrupted] = {}

    def run(self) -> None:
        files = self._files()
        if not files:
            return
        beginning = self.result.beginning
        beginning.number = files[-1].number + 1
        for file in files[self._where_to_begin(files) :]:
            try:
                self._read(file, files, last=file is files[-1])
            except (OSError, NoSegment) as error:
                self._trouble(f"{file.path} cannot be read: {error}")
        self.result.interrupted = sorted(self._open.values(), key=lambda call: call.position)
        beginning.open_calls = {
            record_id: packed(*call.position)
            for record_id, call in sorted(self._open.items(), key=lambda item: item[1].position)
        }

    def _files(self) -> list[SegmentFile]:
        """Those that have begun; what was made in advance is removed."""
        begun: list[SegmentFile] = []
        for file in all_files(self._directories):
            if is_begun(file.path):
                begun.append(file)
            else:
                with contextlib.suppress(OSError):
                    self._disk.remove(file.path)
        return begun

    def _where_to_begin(self, files: list[SegmentFile]) -> int:
        """The last segment in which anything happened: its header says which calls were up. A later one without any
        entry is that of an engine that died at once, and knows nothing of when they were up last."""
        for place in range(len(files) - 1, 0, -1):
            try:
                with files[place].path.open("rb") as file:
                    frames = SegmentReader(file, thorough=True).frames()
                    first = next(frames, None)
                    if first is None or first.offset != PREAMBLE_BYTES:
                        continue
                    header_of(first)
                    if next(frames, None) is not None:
                        return place
            except (OSError, NoSegment):
                continue  # what it says is told when it is read
        return 0

    def _read(self, segment: SegmentFile, files: list[SegmentFile], last: bool) -> None:
        result = self.result
        frames = starts = ends = first_ms = 0
        footer: Footer | None = None
        with segment.path.open("rb") as file:
            reader = SegmentReader(file, thorough=True)
            for frame_ in reader.frames():
                if frame_.offset == PREAMBLE_BYTES and not result.frames:
                    self._carried_over(frame_, files)
                counts = self._take(segment.number, frame_)
                footer = footer_of(frame_)
                frames += 1
                starts += counts[0]
                ends += counts[1]
                first_ms = first_ms or frame_.wall_ms
                result.frames += 1
                if frames > 1 or not result.last_wall_ms:  # a header alone tells of no call
                    result.last_wall_ms, result.last_monotonic_ms = frame_.wall_ms, frame_.monotonic_ms
            for damage in reader.damage:
                self._trouble(f"{segment.path} is damaged from byte {damage.offset} to {damage.end}")
            result.beginning.chain = reader.chain
            if last:
                self._cut(segment, file, reader.end)
        if last and footer is None:
            self._close(
                segment,
                reader,
                Footer(segment.number, frames, starts, ends, first_ms, result.last_wall_ms, True),
            )

    def _carried_over(self, first: Frame, files: list[SegmentFile]) -> None:
        """Reads the STARTs of the calls that were up when the first segment that is read began."""
        try:
            _, places = header_of(first)
        except NoSegment:
            return  # the first of all, or damaged
        paths = {file.number: file.path for file in files}
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
                    self._begun(position, frame_, frame_.entries[position.entry])
        finally:
            for file in opened.values():
                file.close()

    def _take(self, number: int, frame_: Frame) -> tuple[int, int]:
        """How many STARTs and ENDs stand in it."""
        starts = ends = 0
        for index, entry in enumerate(frame_.entries):
            if entry.kind == Kind.START:
                starts += 1
                self._begun(Position(number, frame_.offset, index), frame_, entry)
            elif entry.kind == Kind.END:
                ends += 1
                if self._open:  # else there is none that it could end
                    self._open.pop(self._record_id(entry.data), None)
        self.result.entries += starts + ends
        return starts, ends

    def _begun(self, position: Position, frame_: Frame, entry: Entry) -> None:
        record_id = self._record_id(entry.data)
        if record_id:
            self._open[record_id] = Interrupted(position, entry.data, frame_.wall_ms, frame_.monotonic_ms)

    def _record_id(self, data: bytes) -> str:
        try:
            return self._codec.parse(data).clear.record_id
        except BrokenLine as error:
            self._trouble(str(error))
            return ""

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

    def _close(self, segment: SegmentFile, reader: SegmentReader, footer: Footer) -> None:
        """Ends the last segment as its engine would have, at the time that is known last."""
        result, disk = self.result, self._disk
        entries = [Entry(Kind.FOOTER, msgspec.json.encode(footer))]
        octets, chain = frame(reader.chain, entries, result.last_wall_ms, result.last_monotonic_ms)
        try:
            descriptor = disk.open(segment.path)
            try:
                disk.truncate(descriptor, reader.end)
                if disk.write(descriptor, octets, reader.end) == len(octets):
                    result.beginning.chain = chain
                disk.sync(descriptor)
            finally:
                disk.close(descriptor)
        except OSError as error:
            self._trouble(f"{segment.path} cannot be closed: {error.strerror}")
