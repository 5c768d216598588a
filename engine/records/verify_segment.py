"""Proving one segment: its frames, what stands behind them, its seal and its index."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

import msgspec

from engine.records.frames import (
    CHAIN_BYTES,
    Damage,
    Footer,
    Frame,
    Kind,
    NoSegment,
    SegmentFile,
    SegmentReader,
    footer_of,
)
from engine.records.index import SegmentIndex, index_path
from engine.records.index_file import IndexUnusable
from engine.records.ports import Signatures
from engine.records.reading import before_of, number_of, open_segment
from engine.records.sealed_record import BrokenLine, RecordCodec
from engine.records.seals import BrokenSeal, Statement, hash_of, read_seal, seal_path

_ENTRY = struct.Struct(">BI")
_LONGEST_LOOK = 1 << 20  # bytes of damage in which records are looked for
_PIECE = 1 << 20
_WAITS = 20


class Head(NamedTuple):
    """Where the journal ended: segment, byte behind the last frame, its chain value as hexadecimal digits."""

    segment: int
    end: int
    chain: str

    def __str__(self) -> str:
        return f"{self.segment}:{self.end}:{self.chain}"

    @staticmethod
    def parse(text: str) -> Head:
        """Raises ValueError, its text fit for the operator."""
        try:
            segment, end, chain = text.split(":")
            if len(bytes.fromhex(chain)) != CHAIN_BYTES:
                raise ValueError
            return Head(int(segment), int(end), chain)
        except ValueError:
            raise ValueError(f'"{text}" is no head: SEGMENT:OFFSET:CHAIN') from None


class Problem(msgspec.Struct):
    """`offset` and `end`: which bytes of the file; 0 and 0 where it is the whole. `records`: the ids of those that are
    concerned, as far as they are known."""

    segment: int
    file: str
    what: str
    offset: int = 0
    end: int = 0
    records: list[str] = []


class Report:
    """What was read, and what was found. `unsealed`: closed segments that have no seal yet; `head`: where the journal
    ends; None when there is none."""

    def __init__(self, told: Callable[[Problem], None] | None = None) -> None:
        self.problems: list[Problem] = []
        self.segments = self.frames = self.starts = self.ends = self.bytes = self.sealed = self.old_lines = 0
        self.unsealed: list[int] = []
        self.head: Head | None = None
        self._told = told

    def add(self, problem: Problem) -> None:
        self.problems.append(problem)
        if self._told is not None:
            self._told(problem)


class SegmentProof:
    """Proves one; what it finds goes to the report."""

    def __init__(
        self,
        segment: SegmentFile,
        successor: SegmentFile | None,
        report: Report,
        signatures: Signatures,
        codec: RecordCodec | None,
        wait: Callable[[], None] | None,
        must_be_sealed: bool,
        heads: list[Head],
    ) -> None:
        self._segment = segment
        self._adjoining = successor is not None and successor.number == segment.number + 1
        self._successor = successor
        self._report = report
        self._signatures = signatures
        self._codec = codec
        self._wait = wait
        self._must_be_sealed = must_be_sealed
        self._heads = heads
        self._footer: Footer | None = None
        self._begun = False
        self._found = len(report.problems)

    def run(self) -> None:
        """Raises OSError."""
        report, segment = self._report, self._segment
        report.segments += 1
        statement = self._statement()
        with open_segment(segment, self._successor) as file:
            try:
                reader = SegmentReader(file, thorough=self._successor is not None)
            except NoSegment as error:
                self._problem(str(error))
                return
            self._walk(reader, examine=statement is None)
            quiet = self._successor is None and not self._stopped_at(reader, file)
            if self._successor is None and not quiet:
                reader = SegmentReader(file, reader.end, thorough=True)
                self._walk(reader, examine=statement is None)
            self._end(reader, file, quiet)
            if statement is not None:
                self._compare(statement, reader, file)
            for head in self._heads:
                file.seek(max(0, head.end - CHAIN_BYTES))
                if file.read(CHAIN_BYTES).hex() != head.chain:
                    self._problem(
                        "is not what it was: a head that was kept is not in it",
                        head.end - CHAIN_BYTES,
                        head.end,
                    )
            report.bytes += reader.end
            report.head = Head(segment.number, reader.end, reader.chain.hex())
            self._index(file)

    # --- the frames ---

    def _walk(self, reader: SegmentReader, examine: bool) -> None:
        """All frames; with `examine` each record is opened, for nothing else proves them yet."""
        told = 0
        for frame in reader.frames():
            for damage in reader.damage[told:]:
                self._damaged(damage, frame)
            told = len(reader.damage)
            self._take(frame)
            if examine:
                self._examine(frame)

    def _take(self, frame: Frame) -> None:
        report = self._report
        if not self._begun and report.problems[self._found :] == []:
            try:
                number = number_of(frame)
            except NoSegment as error:
                self._problem(str(error), frame.offset, frame.end)
            else:
                if number != self._segment.number:
                    self._problem(f"is segment {number} by what it says itself", frame.offset, frame.end)
        self._begun = True
        self._footer = footer_of(frame)
        report.frames += 1
        for kind, _ in frame.entries:
            if kind == Kind.START:
                report.starts += 1
            elif kind == Kind.END:
                report.ends += 1

    def _examine(self, frame: Frame) -> None:
        """Whoever can write a chain anew cannot make records that open."""
        if self._codec is None:
            return
        for kind, data in frame.entries:
            if kind in (Kind.START, Kind.END):
                known, fault = _opened(self._codec, data)
                if fault:
                    self._problem(f"a record in it was changed: {fault}", frame.offset, frame.end, known)

    def _damaged(self, damage: Damage, frame: Frame) -> None:
        """`frame`: the next one that is whole."""
        if frame.end == damage.end:
            self._problem("the chain value of a frame was changed", damage.offset, damage.end)
            return
        self._lost("not what was written there: changed, removed, added or moved", damage.offset, damage.end)

    def _lost(self, what: str, offset: int, end: int) -> None:
        """Bytes that are no frame; which records stand in them."""
        with self._segment.path.open("rb") as file:
            file.seek(offset)
            octets = file.read(min(end - offset, _LONGEST_LOOK))
        whole: list[str] = []
        changed: list[str] = []
        for data in _records_in(octets):
            known, fault = _opened(self._codec, data)
            (changed if fault else whole).extend(known)
        if self._codec is not None and whole and not changed:
            what = f"{what}; the records that stand there are whole"
        self._problem(what, offset, end, changed or whole)

    # --- what stands behind them ---

    def _end(self, reader: SegmentReader, file: BinaryIO, quiet: bool) -> None:
        """`quiet`: an engine may be writing it, and what it has written so far is whole."""
        place = None if quiet else _first_not_zero(file, reader.end)
        size = file.seek(0, 2)
        if self._adjoining and reader.chain != before_of(self._successor):
            assert self._successor is not None
            if place is None:
                self._problem(
                    f"does not end where segment {self._successor.number} goes on: cut off, or one of the two "
                    "was changed or put here",
                    reader.end,
                    size,
                )
            else:
                self._lost("not what was written there: changed, removed or added", reader.end, size)
        elif place is not None:
            self._lost(
                "bytes that nobody has written behind the last frame, or a last frame that was changed",
                reader.end,
                size,
            )
        elif self._successor is None and self._footer is not None and not self._cut_soon(reader, file):
            self._problem("zeros behind its last frame", reader.end, size)

    def _stopped_at(self, reader: SegmentReader, file: BinaryIO) -> bool:
        """Whether something stands behind the last whole frame that is none, and nobody is just writing it."""
        end = reader.end
        if _first_not_zero(file, end) is None:
            return False
        for _ in range(_WAITS):
            if self._wait is not None:
                self._wait()
            self._walk(reader, examine=True)
            if reader.end > end:
                return False
        return True

    def _cut_soon(self, reader: SegmentReader, file: BinaryIO) -> bool:
        """Whether nothing follows on a footer. An engine may be about to cut the zeros off, or go on after all."""
        for _ in range(_WAITS):
            if file.seek(0, 2) == reader.end or _first_not_zero(file, reader.end) is not None:
                return True
            if self._wait is not None:
                self._wait()
        return False

    # --- seal and index ---

    def _statement(self) -> Statement | None:
        report, segment = self._report, self._segment
        path = seal_path(segment.path)
        try:
            statement = read_seal(path, self._signatures)
        except FileNotFoundError:
            if self._must_be_sealed:
                self._problem("its seal is missing, and later ones have theirs")
            elif self._successor is not None:
                report.unsealed.append(segment.number)
            return None
        except BrokenSeal as error:
            self._problem(str(error), file=str(path))
            return None
        report.sealed += 1
        return statement

    def _compare(self, statement: Statement, reader: SegmentReader, file: BinaryIO) -> None:
        if statement.segment != self._segment.number:
            self._problem(
                f"is the seal of segment {statement.segment}", file=str(seal_path(self._segment.path))
            )
            return
        if len(self._report.problems) > self._found:
            return  # told where
        size = file.seek(0, 2)
        if not statement.bytes <= size <= statement.size:
            self._problem(
                f"was sealed with {statement.size} bytes",
                min(size, statement.size),
                max(size, statement.size),
            )
        elif (statement.bytes, statement.before, statement.chain) != (
            reader.end,
            reader.before.hex(),
            reader.chain.hex(),
        ) or hash_of(file, statement.bytes) != statement.sha256:
            self._problem("is not what was sealed: it was written anew, its chain with it", 0, reader.end)
            for frame in SegmentReader(file, thorough=True).frames():
                self._examine(frame)

    def _index(self, file: BinaryIO) -> None:
        path = index_path(self._segment.path)
        if path.exists() and len(self._report.problems) == self._found:
            try:
                SegmentIndex(self._segment.path, file, self._segment.number).prove()
            except IndexUnusable as error:
                self._problem(f"the index cannot be used, and is not: {error}", file=str(path))

    def _problem(
        self, what: str, offset: int = 0, end: int = 0, records: list[str] | None = None, file: str = ""
    ) -> None:
        path = file or str(self._segment.path)
        self._report.add(Problem(self._segment.number, path, what, offset, end, records or []))


def _opened(codec: RecordCodec | None, data: bytes) -> tuple[list[str], str]:
    """(the id of a record if it can be read, what is wrong with it as far as that can be told)."""
    try:
        line = RecordCodec.parse(_BLIND if codec is None else codec, data)
    except BrokenLine as error:
        return [], str(error)
    if codec is not None:
        try:
            codec.open(line)
        except BrokenLine as error:
            return [line.clear.record_id], str(error)
    return [line.clear.record_id], ""


def _records_in(octets: bytes) -> list[bytes]:
    """What looks like the data of records, in bytes that are damaged."""
    found: list[bytes] = []
    place = 0
    while place + _ENTRY.size < len(octets):
        kind, length = _ENTRY.unpack_from(octets, place)
        data = octets[place + _ENTRY.size : place + _ENTRY.size + length]
        if kind <= Kind.END and 0 < len(data) == length and _opened(None, data)[0]:
            found.append(data)
            place += _ENTRY.size + length
        else:
            place += 1
    return found


def _first_not_zero(file: BinaryIO, offset: int) -> int | None:
    file.seek(offset)
    while piece := file.read(_PIECE):
        if any(piece):
            return offset + len(piece) - len(piece.lstrip(b"\0"))
        offset += len(piece)
    return None


class _Nothing:
    """Neither seals nor opens nor makes tokens."""

    def seal(self, plain: bytes, context: bytes) -> bytes:
        raise ValueError("there is no key")

    def open(self, sealed: bytes, context: bytes) -> bytes:
        raise ValueError("there is no key")

    def real(self, digits: str) -> bytes:
        raise ValueError("there is no key")

    def number(self, digits: str) -> bytes:
        raise ValueError("there is no key")


_BLIND = RecordCodec(_Nothing(), _Nothing())
