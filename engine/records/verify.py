"""Proving the journal: that nothing in it was changed, removed, put elsewhere or added since it was written.

What proves it: each frame's chain value, the chain from one segment to the next, the signed seal of each closed
segment, and the latest seal. What it cannot prove by itself is that nobody has put back an older state of all the
files; who wants that too keeps a head (`Report.head`) elsewhere, and has it looked for later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from engine.records.frames import SegmentFile, SegmentReader, all_files
from engine.records.old_journals import SEGMENT, old_journals, old_lines
from engine.records.ports import Signatures
from engine.records.reading import BEGINNING, before_of, has_begun, numbers_text, segments, with_successors
from engine.records.sealed_record import BrokenLine, RecordCodec
from engine.records.seals import LATEST, BrokenSeal, read_seal, seal_path
from engine.records.verify_segment import Head, Problem, Report, SegmentProof

_PIECE = 1 << 20


def verify(
    directories: Iterable[Path],
    signatures: Signatures,
    codec: RecordCodec | None,
    *,
    heads: Iterable[Head] = (),
    wait: Callable[[], None] | None = None,
    told: Callable[[Problem], None] | None = None,
) -> Report:
    """Reads everything. `codec`: where the sealing keys are here, so that damage is traced to single records; `heads`:
    what must be found again; `wait` lets a writing engine end a frame; `told` hears of each problem as it is found.
    Raises OSError."""
    proof = _Proof(list(directories), signatures, codec, wait, told)
    proof.files()
    proof.segments(list(heads))
    proof.latest()
    proof.old()
    return proof.report


class _Proof:
    def __init__(
        self,
        directories: list[Path],
        signatures: Signatures,
        codec: RecordCodec | None,
        wait: Callable[[], None] | None,
        told: Callable[[Problem], None] | None,
    ) -> None:
        self.report = Report(told)
        self._directories = directories
        self._signatures = signatures
        self._codec = codec
        self._wait = wait
        self._listed = segments(directories)

    def files(self) -> None:
        """What lies there besides the segments that count."""
        paths = {segment.path for segment in self._listed}
        chosen = {segment.number: segment for segment in self._listed}
        for file in all_files(self._directories):
            if file.path in paths:
                continue
            if not has_begun(file.path):
                self._nothing_in(file)
            elif file.number in chosen and _frames_whole(file):  # else it has begun meanwhile
                self._problem(file.number, file.path, f"is there twice, also as {chosen[file.number].path}")
        for directory in self._directories:
            for path in sorted(directory.glob("segment-*")) if directory.is_dir() else ():
                if path.suffix in (".seal", ".index") and path.with_suffix(".journal") not in paths:
                    number = int("".join(filter(str.isdigit, path.stem)) or 0)
                    self._problem(number, path, "the segment that it belongs to is missing")

    def segments(self, heads: list[Head]) -> None:
        """Each segment, and the chain over all of them."""
        listed = with_successors(self._listed)
        if listed and any(before_of(listed[0][0]) or b""):
            first = listed[0][0]
            missing = numbers_text(range(1, first.number)) if first.number > 1 else "what came before it is"
            self._problem(first.number, first.path, f"{missing} missing")
        sealed = [segment.number for segment in self._listed if seal_path(segment.path).exists()]
        must_be_sealed = max(sealed, default=0)
        for segment, successor in listed:
            mine = [head for head in heads if head.segment == segment.number]
            SegmentProof(
                segment, successor, self.report, self._signatures, self._codec, self._wait,
                segment.number < must_be_sealed, mine,
            ).run()  # fmt: skip
            gap = range(segment.number + 1, successor.number if successor else segment.number + 1)
            if gap:
                self._problem(gap[0], segment.path.parent, f"{numbers_text(gap)} missing")
        here = {segment.number for segment in self._listed}
        for head in heads:
            if head.segment not in here:
                self._problem(head.segment, None, "is missing: a head that was kept stands in it")

    def latest(self) -> None:
        """The latest seals: what they are of must be there."""
        for directory in self._directories:
            path = directory / LATEST
            own = [segment for segment in self._listed if segment.path.parent == directory]
            sealed = [segment for segment in own if seal_path(segment.path).exists()]
            if not path.exists():
                if sealed:
                    self._problem(sealed[-1].number, path, "is missing")
                continue
            try:
                number = read_seal(path, self._signatures).segment
            except BrokenSeal as error:
                self._problem(sealed[-1].number if sealed else 0, path, str(error))
                continue
            newest = sealed[-1] if sealed else None
            if newest is None or newest.number < number:
                self._problem(number, path, "this segment was sealed, and its seal or itself is missing")
            elif newest.number > number or seal_path(newest.path).read_bytes() != path.read_bytes():
                self._problem(newest.number, path, "is not the seal of the last segment that was sealed")

    def old(self) -> None:
        """The files of version 0.1.0: nothing chains them, but a changed line does not open."""
        for path in old_journals(self._directories):
            for position, _, line in old_lines([path], BEGINNING):
                self.report.old_lines += 1
                record: list[str] = []
                try:
                    if self._codec is not None:
                        parsed = self._codec.parse(line)
                        record = [parsed.clear.record_id]
                        self._codec.open(parsed)
                except BrokenLine as error:
                    self._problem(SEGMENT, path, f"line {position.entry + 1}: {error}", record)

    def _nothing_in(self, file: SegmentFile) -> None:
        """A segment that was made in advance has nothing but zeros."""
        try:
            with file.path.open("rb") as content:
                place = _not_zero(content)
        except FileNotFoundError:
            return  # it was, and is not needed any more
        if place is not None and not has_begun(file.path):
            self._problem(file.number, file.path, f"is no segment, and not empty either (byte {place})")

    def _problem(self, segment: int, path: Path | None, what: str, records: list[str] | None = None) -> None:
        self.report.add(Problem(segment, str(path or ""), what, records=records or []))


def _not_zero(content: BinaryIO) -> int | None:
    """Where the first byte is that is none."""
    place = 0
    while piece := content.read(_PIECE):
        rest = piece.lstrip(b"\0")
        if rest:
            return place + len(piece) - len(rest)
        place += len(piece)
    return None


def _frames_whole(file: SegmentFile) -> bool:
    try:
        with file.path.open("rb") as content:
            return next(SegmentReader(content).frames(), None) is not None
    except ValueError:
        return False
