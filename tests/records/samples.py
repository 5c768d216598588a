"""Records for the tests, with keys that everybody knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.calls.record import CallRecord, EntryKind
from engine.records.disk import Disk
from engine.records.frames import Frame, Header, Kind, read_segment, segment_files
from engine.records.journal import Journal
from engine.records.recovery import recover
from engine.records.sealed_record import RecordCodec
from engine.records.settings import RecordSettings
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens

HEADER = Header(0, "mask700-1", "a1b2", 1)
RING = KeyRing({1: bytes(range(32))}, 1, bytes(range(50, 82)))
SEALER = Sealer(RING)
CODEC = RecordCodec(SEALER, LookupTokens(RING.lookup))
SETUP = 1_769_846_400_250  # 2026-01-31T08:00:00.250Z

ANSWERED = CallRecord(
    record_id="0123456789abcdef01234567",
    node="mask700-1",
    tenant="default",
    binding_id="ab" * 12,
    order_id="order-99887",
    model="AXB",
    direction="a_to_b",
    caller="+8613800000001",
    dialled="700123456789012",
    shown="700123456789012",
    callee="+8613900000002",
    setup_time=SETUP,
    ringing_time=SETUP + 100,
    answer_time=SETUP + 1000,
    release_time=SETUP + 2000,
    ring_ms=900,
    talk_ms=1000,
    disposition="answered",
    reason="normal",
    released_by="caller",
    sip_status=200,
    q850_cause=16,
    a_call_id="1-2344@127.0.0.1",
    b_call_id="fjsdklfjsdlkfj328904",
    in_trunk="pstn",
    out_trunk="pstn",
    source="127.0.0.1:5080",
)


def record(number: int, **changes: object) -> CallRecord:
    """ANSWERED as the `number`-th record, a second after the one before."""
    changes = {"record_id": f"{number:024x}", "setup_time": SETUP + 1000 * number} | changes
    return replace(ANSWERED, **changes)  # type: ignore[arg-type]


def journal_in(
    *directories: Path, disk: Disk | None = None, writer: str = "a1b2", **settings: Any
) -> Journal:
    """A journal that goes on from what is there, in segments of 1 MiB."""
    beginning = recover(list(directories), CODEC, lambda _: None).beginning
    chosen = RecordSettings(**{"segment_mib": 1, "fsync_ms": 1, **settings})
    return Journal(list(directories), chosen, Header(0, "mask700-1", writer, 1), beginning, disk or Disk())


def write(journal: Journal, kind: EntryKind, number: int, **changes: object) -> None:
    """Appends `record(number)`."""
    entry = record(number, **changes)
    journal.append(kind, CODEC.encode(kind, entry), entry.record_id)


def frames_in(*directories: Path) -> list[Frame]:
    """All whole frames, in order."""
    return [frame for file in segment_files(directories) for frame in read_segment(file.path)]


def entries_in(*directories: Path) -> list[tuple[str, int]]:
    """What is in the journal, as ("START" or "END", number of the record)."""
    return [
        (Kind(entry.kind).name, int(CODEC.parse(entry.data).clear.record_id, 16))
        for frame in frames_in(*directories)
        for entry in frame.entries
        if entry.kind in (Kind.START, Kind.END)
    ]
