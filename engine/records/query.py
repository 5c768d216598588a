"""Finding records: by token, so that only what matches is ever opened.

A closed segment is asked by its index, and read from end to end where it has none that can be used; an open one and
the files of version 0.1.0 always are. Records come in the order in which they were written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from engine.calls.record import EntryKind
from engine.numbering.numbers import parse_dialled, parse_real
from engine.records.frames import PREAMBLE_BYTES, Kind, Position, SegmentFile, read_frame
from engine.records.index import Place, Search, SegmentIndex, order_token
from engine.records.index_file import IndexUnusable
from engine.records.old_journals import old_journals, old_lines
from engine.records.reading import (
    BEGINNING,
    Broken,
    Written,
    entries,
    frames_of,
    open_segment,
    segments,
    tell,
    tell_gap,
    with_successors,
)
from engine.records.sealed_record import BrokenLine, Line, RecordCodec

Record = dict[str, object]  # every field of the contract in its order, times in RFC 3339

_SCAN_ABOVE = 4  # frames are read singly for less than one record in so many


class Found(NamedTuple):
    """A record, and where it stands in the journal."""

    position: Position
    record: Record


@dataclass(slots=True, frozen=True)
class Wanted:
    """Which records. Tokens of `RecordCodec`; `shown` as digits; times in milliseconds since the epoch, of the call's
    setup: `since` included, `until` not. None matches all."""

    caller: bytes | None = None
    callee: bytes | None = None
    dialled: bytes | None = None
    since: int | None = None
    until: int | None = None
    reason: str | None = None
    shown: str | None = None
    tenant: str | None = None
    order_id: str | None = None

    @staticmethod
    def of(
        codec: RecordCodec,
        *,
        caller: str | None = None,
        callee: str | None = None,
        dialled: str | None = None,
        since: int | None = None,
        until: int | None = None,
        reason: str | None = None,
        shown: str | None = None,
        tenant: str | None = None,
        order_id: str | None = None,
    ) -> Wanted:
        """Numbers in any form in which they may be dialled; raises ValueError, its text fit for the operator,
        for one that is none."""
        dialled_digits = _digits("dialled", dialled)
        return Wanted(
            _real_token(codec, "caller", caller),
            _real_token(codec, "callee", callee),
            None if dialled_digits is None else codec.dialled_token(dialled_digits),
            since,
            until,
            reason,
            _digits("shown", shown),
            tenant,
            order_id,
        )

    def matches(self, line: Line) -> bool:
        """Whether this entry is one of them, as far as that is seen before it is opened."""
        clear = line.clear
        caller, callee, dialled = clear.tokens
        if self.caller is not None and self.caller != caller:
            return False
        if self.callee is not None and self.callee != callee:
            return False
        if self.dialled is not None and self.dialled != dialled:
            return False
        if self.shown is not None and self.shown != clear.shown:
            return False
        if self.reason is not None and self.reason != clear.reason:
            return False
        if self.tenant is not None and self.tenant != clear.tenant:
            return False
        if self.since is not None and (clear.setup_time is None or clear.setup_time < self.since):
            return False
        return self.until is None or (clear.setup_time is not None and clear.setup_time < self.until)

    def matches_opened(self, record: Record) -> bool:
        """The rest."""
        return self.order_id is None or self.order_id == record["order_id"]

    def search(self, codec: RecordCodec) -> Search:
        """What an index is asked."""
        tokens = {
            "caller": self.caller,
            "callee": self.callee,
            "dialled": self.dialled,
            "shown": None if self.shown is None else codec.dialled_token(self.shown),
            "order": None if self.order_id is None else order_token(codec, self.order_id),
        }
        given = {name: token for name, token in tokens.items() if token is not None}
        return Search(given, self.tenant, self.reason, self.since, self.until)


def query(
    directories: Sequence[Path],
    codec: RecordCodec,
    wanted: Wanted | None = None,
    *,
    broken: Broken | None = None,
) -> Iterator[Record]:
    """The records of ended attempts that are wanted. `broken` hears of every complete one that could not be read.
    Raises OSError."""
    reader = _Reader(codec, wanted or Wanted(), broken)
    for position, kind, data in old_lines(old_journals(directories), BEGINNING):
        yield from reader.ended(Written(position, kind, data))
    for segment, successor in with_successors(segments(directories)):
        with open_segment(segment, successor) as file:
            found = reader.by_index(segment, file)
            yield from reader.scan(segment, file, successor) if found is None else reader.wanted_of(found)
        tell_gap(segment, successor, broken)


def records_after(
    directories: Sequence[Path],
    codec: RecordCodec,
    after: Position,
    wanted: Wanted | None = None,
    *,
    broken: Broken | None = None,
    seen: Callable[[Position], None] | None = None,
) -> Iterator[Found]:
    """The records behind a position, up to the last one there is; `seen` hears every position that was passed, also of
    what is no record. Raises OSError, ValueError for a position that there is not."""
    reader = _Reader(codec, wanted or Wanted(), broken)
    for one in entries(directories, after, broken):
        for record in reader.ended(one):
            yield Found(one.position, record)
        if seen is not None:
            seen(one.position)


def tail(
    directories: Sequence[Path],
    codec: RecordCodec,
    count: int,
    *,
    wait: Callable[[], bool] | None = None,
    broken: Broken | None = None,
) -> Iterator[Record]:
    """The last `count` records, the oldest of them first; then, with `wait`, each new one.

    `wait` is called whenever there is nothing new; it lets some time go by and says whether to go on.
    """
    reader = _Reader(codec, Wanted(), broken)
    last, end = _last(directories, count, broken)
    for one in last:
        yield from reader.ended(one)
    more = wait is not None
    while more and wait is not None:
        more = wait()  # and once again after the last wait, for what came during it
        for one in entries(directories, end, broken):
            end = one.position
            yield from reader.ended(one)


def _last(directories: Sequence[Path], count: int, broken: Broken | None) -> tuple[list[Written], Position]:
    """The last END entries, at least the last segment's last ones, and the position behind which everything is new."""
    kept: list[Written] = []
    end = BEGINNING
    for segment, successor in reversed(with_successors(segments(directories))):
        latest: deque[Written] = deque(maxlen=count - len(kept))
        position = Position(segment.number, PREAMBLE_BYTES, 0)
        with open_segment(segment, successor) as file:
            for frame in frames_of(segment, file, successor, broken):
                for index, (kind, data) in enumerate(frame.entries):
                    position = Position(segment.number, frame.offset, index)
                    if kind == Kind.END:
                        latest.append(Written(position, kind, data))
        end = max(end, position)
        kept = [*latest, *kept]
        if len(kept) >= count:
            return kept, end
    old: deque[Written] = deque(maxlen=count - len(kept))
    for position, kind, data in old_lines(old_journals(directories), BEGINNING):
        end = max(end, position)
        if kind == Kind.END:
            old.append(Written(position, kind, data))
    return [*old, *kept], end


class _Reader:
    """Opens what is wanted."""

    def __init__(self, codec: RecordCodec, wanted: Wanted, broken: Broken | None) -> None:
        self._codec = codec
        self._wanted = wanted
        self._broken = broken
        self._search = wanted.search(codec)

    def ended(self, one: Written) -> Iterator[Record]:
        """The record, if this entry is an END and wanted."""
        if one.kind == Kind.END:
            yield from self._wanted_of(one.data)

    def wanted_of(self, found: Iterable[bytes]) -> Iterator[Record]:
        """The records among these END entries that are wanted."""
        for data in found:
            yield from self._wanted_of(data)

    def by_index(self, segment: SegmentFile, file: BinaryIO) -> list[bytes] | None:
        """The END entries that may be wanted; None where the segment has to be read."""
        try:
            index = SegmentIndex(segment.path, file, segment.number)
            places = index.candidates(self._search)
        except IndexUnusable:
            return None
        return _entries_at(file, places) if len(places) * _SCAN_ABOVE <= len(index) else None

    def scan(self, segment: SegmentFile, file: BinaryIO, successor: SegmentFile | None) -> Iterator[Record]:
        """Of a segment from end to end."""
        for frame in frames_of(segment, file, successor, self._broken):
            for kind, data in frame.entries:
                if kind == Kind.END:
                    yield from self._wanted_of(data)

    def _wanted_of(self, data: bytes) -> Iterator[Record]:
        try:
            line = self._codec.parse(data)
        except BrokenLine as error:
            tell(self._broken, str(error))
            return
        if line.kind != EntryKind.END or not self._wanted.matches(line):
            return
        try:
            record = self._codec.open(line)
        except BrokenLine as error:
            tell(self._broken, f"record {line.clear.record_id}: {error}")
            return
        if self._wanted.matches_opened(record):
            yield record


def _entries_at(file: BinaryIO, places: Iterable[Place]) -> list[bytes] | None:
    """The data of these entries; None where something else stands there."""
    found: list[bytes] = []
    frame = None
    for offset, index in places:
        if frame is None or frame.offset != offset:
            frame = read_frame(file, offset)
        if frame is None or index >= len(frame.entries):
            return None
        found.append(frame.entries[index].data)
    return found


def _digits(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    digits = parse_dialled(text).digits
    if not digits:
        raise ValueError(f"{name}: is no number")
    return digits


def _real_token(codec: RecordCodec, name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    number = parse_real(text)
    if number is None:
        raise ValueError(f"{name}: is no real number")
    return codec.caller_token(number.digits)
