"""What version 0.1.0 wrote: files of lines of JSON, one file per start of the engine. Nothing is added to them any
more, and they are read as they are.

Position: segment 0; as offset the second at which the file was begun (unix time, it stands in the file's name); as
entry the number of the line, counted on over the files of one second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from engine.records.frames import Kind, Position

SEGMENT = 0  # of all positions here; segments count from 1

_NAME = re.compile(r"journal-([0-9]{8}-[0-9]{6})\.[0-9]{3}\.ndjson\Z")
_START = b'"entry":"start"'
_START_WITHIN = 64  # bytes: it is the second field


def old_journals(directories: Iterable[Path]) -> list[Path]:
    """The files, the oldest first. Raises OSError."""
    found = [
        path
        for directory in directories
        if directory.is_dir()
        for path in directory.iterdir()
        if _NAME.match(path.name)
    ]
    return sorted(found, key=lambda path: path.name)


def old_lines(paths: Iterable[Path], after: Position) -> Iterator[tuple[Position, Kind, bytes]]:
    """The complete lines behind a position, each with its place. Raises OSError."""
    second, number = -1, 0
    for path in paths:
        begun = _second(path)
        if begun != second:
            second, number = begun, 0
        if begun < after.offset:
            continue
        with path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position = Position(SEGMENT, second, number)
                number += 1
                if position > after:
                    yield position, Kind.START if _START in line[:_START_WITHIN] else Kind.END, line


def _second(path: Path) -> int:
    match = _NAME.match(path.name)
    assert match is not None
    return int(datetime.strptime(match[1], "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp())
