"""No 200 leaves before the kernel has the START of its call."""

import errno
import os
from pathlib import Path

import pytest

from engine.app.journal_records import JournalRecords
from engine.calls.record import EntryKind
from engine.observe.tally import Tally
from engine.records.journal import Journal
from engine.sip.flow import Flow, Outbox
from tests.records.samples import CODEC, record

FLOW = Flow("udp", "127.0.0.1", 5080, 1, "pstn")


class Disk:
    """Takes what is written, or nothing while it is `full`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self._write(descriptor, data)


def answer(call_id: str, method: str = "INVITE", status: str = "200 OK") -> bytes:
    return f"SIP/2.0 {status}\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\nContent-Length: 0\r\n\r\n".encode()


def test_a_200_waits_for_its_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing else does: other calls' answers, refusals, BYEs, answers to other methods."""
    disk = Disk(monkeypatch)
    kept = Journal.open(tmp_path, 0)
    records = JournalRecords(kept, CODEC, Tally())
    others = [
        answer("b"),
        answer("a", "BYE"),
        answer("a", status="503 Service Unavailable"),
        b"BYE sip:x SIP/2.0\r\n",
    ]
    try:
        disk.full = True
        records.write(EntryKind.START, record(1, a_call_id="a"))
        for _ in range(2):  # now, and when its leg repeats it after T1
            outbox: Outbox = [(FLOW, data) for data in (answer("a"), *others)]
            records.keep(outbox)
            assert [data for _, data in outbox] == others
        assert not records.accepting
        disk.full = False
        outbox = [(FLOW, answer("a"))]
        records.keep(outbox)
        assert outbox == [(FLOW, answer("a"))]
        assert records.accepting
        assert kept.path.read_bytes().count(b"\n") == 1
        disk.full = True
        records.write(EntryKind.END, record(1, a_call_id="a"))
        records.keep(outbox)
        assert outbox == [(FLOW, answer("a"))]  # a repeat, or a re-INVITE's: its START has gone
    finally:
        disk.full = False
        kept.close()
