"""Finishing closed segments: each gets its index and its seal.

Done by a process of its own and of low priority, so that no call waits for it; whatever has been begun and not been
ended is done again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.records.frames import (
    Footer,
    Frame,
    Kind,
    NoSegment,
    SegmentFile,
    SegmentReader,
    footer_of,
    header_of,
)
from engine.records.index import IndexBuilder, index_path
from engine.records.index_file import put_in_place
from engine.records.ports import Signing
from engine.records.reading import before_of, nothing_behind, segments, with_successors
from engine.records.sealed_record import BrokenLine, RecordCodec
from engine.records.seals import KIND, Statement, hash_of, seal_path, write_seal


class CannotFinish(Exception):
    """A segment is not what its end says: it is damaged, and stays without a seal. The text names it."""


@dataclass(slots=True)
class Finished:
    """What was done: segments that were sealed and indexed, and what kept others from it."""

    sealed: list[int]
    indexed: list[int]
    problems: list[str]


def unfinished(directories: Iterable[Path], stopped: bool = False, first: int = 1) -> list[SegmentFile]:
    """Closed segments from number `first` on that have no seal or no index; with `stopped`, when nobody writes any
    more, also the last segment. Raises OSError."""
    return [segment for segment, _ in _closed(directories, stopped, first) if not _is_finished(segment)]


def finish(
    directories: Iterable[Path],
    codec: RecordCodec,
    signing: Signing,
    *,
    stopped: bool = False,
) -> Finished:
    """Seals and indexes whatever is closed, the oldest first; see `unfinished`. Raises OSError."""
    done = Finished([], [], [])
    for segment, successor in _closed(directories, stopped, 1):
        if _is_finished(segment):
            continue
        try:
            _finish(segment, successor, codec, signing, done)
        except CannotFinish as error:
            done.problems.append(str(error))
    return done


def _closed(
    directories: Iterable[Path], stopped: bool, first: int
) -> list[tuple[SegmentFile, SegmentFile | None]]:
    listed = with_successors(segments(directories, first))
    return listed if stopped else listed[:-1]


def _is_finished(segment: SegmentFile) -> bool:
    return seal_path(segment.path).exists() and index_path(segment.path).exists()


def _finish(
    segment: SegmentFile, successor: SegmentFile | None, codec: RecordCodec, signing: Signing, done: Finished
) -> None:
    builder: IndexBuilder | None = IndexBuilder(segment.number, codec)
    with segment.path.open("rb") as file:
        try:
            reader = SegmentReader(file)
        except NoSegment as error:
            raise CannotFinish(f"{segment.path}: {error}") from None
        walked = _Walked()
        for frame in reader.frames():
            walked.add(frame)
            builder = _indexed(builder, frame, segment, done)
        whole = walked.footer is not None if successor is None else reader.chain == before_of(successor)
        if not whole or not nothing_behind(file, reader.end):
            raise CannotFinish(
                f"{segment.path}: is damaged or cut off behind byte {reader.end}, and gets no seal"
            )
        digest = hash_of(file, reader.end)
        size = file.seek(0, 2)
    if builder is not None and not index_path(segment.path).exists():
        put_in_place(index_path(segment.path), builder.content(reader.end, reader.chain))
        done.indexed.append(segment.number)
    if not seal_path(segment.path).exists():
        starts, ends = walked.counts
        statement = Statement(
            KIND, segment.number, walked.node, reader.end, size, walked.frames, starts, ends, walked.first_ms,
            walked.last_ms, reader.before.hex(), reader.chain.hex(), digest, signing.current,
        )  # fmt: skip
        write_seal(segment.path, statement, signing)
        done.sealed.append(segment.number)


class _Walked:
    """What the frames of a segment came to; `counts` of STARTs and ENDs."""

    def __init__(self) -> None:
        self.node = ""
        self.frames = self.first_ms = self.last_ms = 0
        self.counts = [0, 0]
        self.footer: Footer | None = None

    def add(self, frame: Frame) -> None:
        if not self.frames:
            with contextlib.suppress(NoSegment):  # a power cut may have torn it
                self.node = header_of(frame)[0].node
            self.first_ms = frame.wall_ms
        self.frames += 1
        self.last_ms = frame.wall_ms
        self.footer = footer_of(frame)
        for kind, _ in frame.entries:
            if kind <= Kind.END:
                self.counts[kind] += 1


def _indexed(
    builder: IndexBuilder | None, frame: Frame, segment: SegmentFile, done: Finished
) -> IndexBuilder | None:
    """None when there can be no index."""
    if builder is not None:
        try:
            builder.add(frame)
        except BrokenLine as error:
            done.problems.append(f"{segment.path}: gets no index: {error}")
            return None
    return builder
