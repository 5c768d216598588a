"""No 200 leaves before its START is where it must be: with the kernel, or on the disk."""

import errno
from pathlib import Path

from engine.app.journal_records import JournalRecords
from engine.calls.record import EntryKind
from engine.observe.tally import Tally
from engine.records.frames import Kind
from engine.sip.flow import Flow, Outbox
from tests.records.bad_disk import BadDisk, until
from tests.records.samples import CODEC, frames_in, journal_in, record

FLOW = Flow("udp", "127.0.0.1", 5080, 1, "pstn")


def answer(call_id: str, method: str = "INVITE", status: str = "200 OK") -> bytes:
    return f"SIP/2.0 {status}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n".encode()


OTHERS = [
    answer("b"),
    answer("a", "BYE"),
    answer("a", status="503 Service Unavailable"),
    b"BYE sip:x SIP/2.0\r\n",
]


def sent(records: JournalRecords, *messages: bytes) -> list[bytes]:
    """What leaves of these at the end of a wake-up."""
    outbox: Outbox = [(FLOW, data) for data in messages]
    records.keep(outbox)
    return [data for _, data in outbox]


def starts(directory: Path) -> int:
    return sum(entry.kind == Kind.START for frame in frames_in(directory) for entry in frame.entries)


def test_a_200_waits_for_its_start_to_be_with_the_kernel(tmp_path: Path) -> None:
    """And nothing else does: other calls' answers, refusals, BYEs, answers to other methods."""
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, patience_ms=0)
    records = JournalRecords(journal, CODEC, Tally())
    disk.write_error = errno.ENOSPC
    records.write(EntryKind.START, record(1, a_call_id="a"))
    for _ in range(2):  # now, and when its leg repeats it after T1
        assert sent(records, answer("a"), *OTHERS) == OTHERS
    assert not records.accepting
    disk.write_error = 0
    until(journal.flush)
    assert starts(tmp_path) == 1
    assert sent(records) == [answer("a")]  # by itself, and once
    assert sent(records) == []
    assert records.accepting
    disk.write_error = errno.ENOSPC
    records.write(EntryKind.END, record(1, a_call_id="a"))
    assert sent(records, answer("a")) == [answer("a")]  # a repeat, or a re-INVITE's: its START has gone
    disk.write_error = 0
    journal.close()


def test_a_200_waits_for_its_start_to_be_on_the_disk(tmp_path: Path) -> None:
    disk = BadDisk()
    journal = journal_in(tmp_path, disk=disk, durable="fsync")
    told: list[int] = []
    journal.told = lambda: told.append(journal.synced)
    records = JournalRecords(journal, CODEC, Tally(), fsync=True)
    records.write(EntryKind.START, record(1, a_call_id="a"))
    disk.stuck.clear()
    assert sent(records, answer("a"), *OTHERS) == OTHERS
    assert starts(tmp_path) == 1
    records.write(EntryKind.START, record(2, a_call_id="c"))
    assert sent(records, answer("a"), answer("c")) == []
    disk.stuck.set()
    until(lambda: journal.unsynced == 0)
    until(lambda: 2 in told)  # so that somebody asks
    assert sorted(sent(records)) == [answer("a"), answer("c")]
    assert sent(records, answer("a")) == [answer("a")]
    journal.close()
