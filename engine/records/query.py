"""Finding records: by token, so that only what matches is ever opened.

Files are read as they grow; a last line that is not complete yet, or never will be, does not count.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from engine.calls.record import EntryKind
from engine.numbering.numbers import parse_dialled, parse_real
from engine.records.sealed_record import BrokenLine, Line, RecordCodec

Record = dict[str, object]  # every field of the contract in its order, times in RFC 3339
Broken = Callable[[str], None]  # hears of every complete line that could not be read

_JOURNAL = re.compile(r"journal-[0-9]{8}-[0-9]{6}\.[0-9]{3}\.ndjson\Z")
_BLOCK = 65_536


@dataclass(slots=True, frozen=True)
class Wanted:
    """Which records. Tokens of `RecordCodec`; times in milliseconds since the epoch, of the call's setup:
    `since` included, `until` not. None matches all."""

    caller: bytes | None = None
    callee: bytes | None = None
    dialled: bytes | None = None
    since: int | None = None
    until: int | None = None
    reason: str | None = None

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
    ) -> Wanted:
        """Numbers in any form in which they may be dialled; raises ValueError, its text fit for the operator,
        for one that is none."""
        dialled_token = None
        if dialled is not None:
            digits = parse_dialled(dialled).digits
            if not digits:
                raise ValueError("dialled: is no number")
            dialled_token = codec.dialled_token(digits)
        return Wanted(
            _real_token(codec, "caller", caller),
            _real_token(codec, "callee", callee),
            dialled_token,
            since,
            until,
            reason,
        )

    def matches(self, line: Line) -> bool:
        """Whether this entry is one of them."""
        clear = line.clear
        caller, callee, dialled = clear.tokens
        if self.caller is not None and self.caller != caller:
            return False
        if self.callee is not None and self.callee != callee:
            return False
        if self.dialled is not None and self.dialled != dialled:
            return False
        if self.reason is not None and self.reason != clear.reason:
            return False
        if self.since is not None and (clear.setup_time is None or clear.setup_time < self.since):
            return False
        return self.until is None or (clear.setup_time is not None and clear.setup_time < self.until)


def query(
    directory: Path,
    codec: RecordCodec,
    wanted: Wanted | None = None,
    *,
    newest_first: bool = False,
    open_calls: bool = False,
    broken: Broken | None = None,
) -> Iterator[Record]:
    """The records of ended attempts in the order in which they were written, or backwards.

    With `open_calls` the calls that began and have no end yet come too, as far as they are known: before the
    ended ones when the newest come first, else behind them.
    """
    wanted = Wanted() if wanted is None else wanted
    still_open = _open_calls(directory, codec, wanted, broken) if open_calls else []
    if newest_first:
        yield from reversed(still_open)
    for line in _lines(directory, newest_first):
        parsed = _parse(codec, line, broken)
        if parsed is not None and parsed.kind == EntryKind.END and wanted.matches(parsed):
            yield from _opened(codec, parsed, broken)
    if not newest_first:
        yield from still_open


def tail(
    directory: Path,
    codec: RecordCodec,
    count: int,
    *,
    wait: Callable[[], bool] | None = None,
    broken: Broken | None = None,
) -> Iterator[Record]:
    """The last `count` records, the oldest of them first; then, with `wait`, each new one.

    `wait` is called whenever there is nothing new; it lets some time go by and says whether to go on.
    """
    path, position = _end(directory)
    last: list[Record] = []
    if count > 0:
        for line in _lines(directory, newest_first=True, until=(path, position)):
            last += _ended(codec, line, broken)
            if len(last) >= count:
                break
    yield from reversed(last)
    if wait is None:
        return
    more = True
    while more:
        more = wait()  # and once again after the last wait, for what came during it
        path, position, lines = _news(directory, path, position)
        for line in lines:
            yield from _ended(codec, line, broken)


def export(records: Iterable[Record]) -> Iterator[bytes]:
    """Records as JSON lines."""
    encode = msgspec.json.encode
    for record in records:
        yield encode(record) + b"\n"


def journals(directory: Path) -> list[Path]:
    """The files, the oldest first; none when nothing was ever recorded."""
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if _JOURNAL.match(path.name))


def _real_token(codec: RecordCodec, name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    number = parse_real(text)
    if number is None:
        raise ValueError(f"{name}: is no real number")
    return codec.caller_token(number.digits)


def _parse(codec: RecordCodec, line: bytes, broken: Broken | None) -> Line | None:
    try:
        return codec.parse(line)
    except BrokenLine as error:
        if broken is not None:
            broken(str(error))
        return None


def _opened(codec: RecordCodec, parsed: Line, broken: Broken | None) -> list[Record]:
    try:
        return [codec.open(parsed)]
    except BrokenLine as error:
        if broken is not None:
            broken(f"record {parsed.clear.record_id}: {error}")
        return []


def _ended(codec: RecordCodec, line: bytes, broken: Broken | None) -> list[Record]:
    parsed = _parse(codec, line, broken)
    if parsed is None or parsed.kind != EntryKind.END:
        return []
    return _opened(codec, parsed, broken)


def _open_calls(directory: Path, codec: RecordCodec, wanted: Wanted, broken: Broken | None) -> list[Record]:
    begun: dict[str, Line] = {}
    for line in _lines(directory, newest_first=False):
        parsed = _parse(codec, line, None)
        if parsed is None:
            continue
        if parsed.kind == EntryKind.END:
            begun.pop(parsed.clear.record_id, None)
        elif wanted.matches(parsed):
            begun[parsed.clear.record_id] = parsed
    return [record for parsed in begun.values() for record in _opened(codec, parsed, broken)]


def _lines(
    directory: Path, newest_first: bool, until: tuple[Path | None, int] | None = None
) -> Iterator[bytes]:
    """The complete lines of all files; with `until` (a file, a position) none that came later."""
    paths = journals(directory)
    if until is not None:
        paths = [path for path in paths if until[0] is not None and path <= until[0]]
    for path in reversed(paths) if newest_first else paths:
        with path.open("rb") as file:
            if newest_first:
                yield from _backwards(file, until[1] if until is not None and path == until[0] else None)
            else:
                for line in file:
                    if line.endswith(b"\n"):
                        yield line


def _backwards(file: BinaryIO, end: int | None) -> Iterator[bytes]:
    """The complete lines in front of `end` (None: the end of the file), the last one first."""
    position = file.seek(0, 2) if end is None else end
    pieces: list[bytes] = []  # of the line that is being collected, the last piece first
    complete = False  # whether a line feed closes it; the text behind the last one is torn
    while position:
        start = max(0, position - _BLOCK)
        file.seek(start)
        block = file.read(position - start)
        position = start
        *earlier, piece = block.split(b"\n")
        pieces.append(piece)
        while earlier:
            if complete:
                yield b"".join(reversed(pieces)) + b"\n"
            complete = True
            pieces = [earlier.pop()]
    if complete:
        yield b"".join(reversed(pieces)) + b"\n"


def _end(directory: Path) -> tuple[Path | None, int]:
    """The newest file and where its last complete line ends."""
    paths = journals(directory)
    if not paths:
        return None, 0
    with paths[-1].open("rb") as file:
        position = file.seek(0, 2)
        while position:
            start = max(0, position - _BLOCK)
            file.seek(start)
            feed = file.read(position - start).rfind(b"\n")
            if feed >= 0:
                return paths[-1], start + feed + 1
            position = start
    return paths[-1], 0


def _news(directory: Path, path: Path | None, position: int) -> tuple[Path | None, int, list[bytes]]:
    """What was added behind (file, position): the new end and the complete lines."""
    lines: list[bytes] = []
    for candidate in journals(directory):
        if path is not None and candidate < path:
            continue
        if candidate != path:
            path, position = candidate, 0
        with candidate.open("rb") as file:
            file.seek(position)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                position += len(line)
                lines.append(line)
    return path, position, lines
