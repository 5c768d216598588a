"""Indexes for the tests, made as the engine makes them."""

from __future__ import annotations

from pathlib import Path

from engine.records.frames import SegmentFile, SegmentReader
from engine.records.index import IndexBuilder, index_path
from engine.records.reading import segments
from engine.records.sealed_record import RecordCodec
from tests.records.samples import CODEC


def make_indexes(directory: Path, codec: RecordCodec = CODEC) -> None:
    """Of all segments but the last."""
    for segment in segments([directory])[:-1]:
        make_index(segment, codec)


def make_index(segment: SegmentFile, codec: RecordCodec = CODEC) -> None:
    builder = IndexBuilder(segment.number, codec)
    with segment.path.open("rb") as file:
        reader = SegmentReader(file)
        for frame in reader.frames():
            builder.add(frame)
    index_path(segment.path).write_bytes(builder.content(reader.end, reader.chain))
