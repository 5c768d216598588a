"""Records into the journal, and no 200 before its record: what the calls have of `engine.records`."""

from __future__ import annotations

import os
from pathlib import Path

from engine.calls.abandoned import AbandonedCall
from engine.calls.record import CallRecord, EntryKind
from engine.observe.logs import get_logger
from engine.observe.tally import Tally
from engine.records.disk import Disk
from engine.records.frames import Header
from engine.records.journal import Journal
from engine.records.recovery import Recovered, ended, recover
from engine.records.sealed_record import BrokenLine, RecordCodec
from engine.sealing.keys import KeyRing
from engine.sealing.signing import newest_id
from engine.settings import Settings
from engine.sip.dialog import Dialog
from engine.sip.flow import Flow, Outbox

_log = get_logger("records")

_NOT_WRITTEN = 1 << 62


class JournalRecords:
    """Records into the journal: sealed at once, with the kernel at the end of the wake-up."""

    def __init__(self, journal: Journal, codec: RecordCodec, tally: Tally, fsync: bool = False) -> None:
        """With `fsync` a 200 waits for the disk, else for the kernel."""
        self._journal = journal
        self._append = journal.append
        self._encode = codec.encode
        self._tally = tally
        self._fsync = fsync
        # The callers' Call-IDs of STARTs that are not where they must be before their 200 leaves, with the number of
        # `Journal.written` that they have there.
        self._begun: dict[bytes, int] = {}
        self._held: dict[bytes, tuple[Flow, bytes]] = {}  # their 200s

    @property
    def accepting(self) -> bool:
        return self._journal.accepting

    def write(self, kind: EntryKind, record: CallRecord, legs: tuple[Dialog, Dialog] | None = None) -> None:
        self._append(kind, self._encode(kind, record, legs), record.record_id)
        if kind == EntryKind.END:
            self._tally.record_written(record.type)
        else:
            self._begun[(record.a_call_id or "").encode("utf-8", "surrogateescape")] = _NOT_WRITTEN

    def keep(self, outbox: Outbox) -> None:
        """Hands everything to the kernel. The 200 of a call whose START is not there yet leaves the outbox again, and
        comes back with the first call of `keep` that finds it there."""
        if self._journal.flush():
            begun = self._begun
            if not begun:
                return
            if not self._fsync:
                begun.clear()
                if self._held:
                    self._let_go(outbox)
                return
            self._look_for_synced()
        if self._begun or self._held:
            self._let_go(outbox)
            outbox[:] = [item for item in outbox if not self._hold(item)]

    def _look_for_synced(self) -> None:
        written, synced = self._journal.written, self._journal.synced
        self._begun = {
            call_id: min(number, written) for call_id, number in self._begun.items() if number > synced
        }

    def _let_go(self, outbox: Outbox) -> None:
        for call_id in [call_id for call_id in self._held if call_id not in self._begun]:
            outbox.append(self._held.pop(call_id))

    def _hold(self, item: tuple[Flow, bytes]) -> bool:
        call_id = _answered_call(item[1])
        if not call_id or call_id not in self._begun:
            return False
        self._held[call_id] = item  # or what it repeats
        return True


def open_journal(
    settings: Settings, codec: RecordCodec, keys: KeyRing, writer: str
) -> tuple[Journal, Recovered]:
    """The journal, going on from what the engine before has left. `writer` names this start. Raises OSError."""
    directories = [settings.data_dir / "records"]
    if settings.records.spare_dir:
        directories.append(Path(settings.records.spare_dir))
    recovered = recover(directories, codec, lambda why: _log.error("records are damaged", why=why))
    signing_key = newest_id(settings.sealing.directory(settings.data_dir), os.environ)
    header = Header(0, settings.node, writer, keys.current, signing_key)
    return Journal(directories, settings.records, header, recovered.beginning, Disk()), recovered


def interrupted_calls(recovered: Recovered, codec: RecordCodec) -> list[AbandonedCall]:
    """What an engine before this one has left behind, to be ended."""
    calls: list[AbandonedCall] = []
    for interrupted in recovered.interrupted:
        try:
            calls.append(ended(interrupted, codec))
        except BrokenLine as error:
            place = str(interrupted.position)
            _log.error("a call that was interrupted cannot be ended", position=place, why=str(error))
    recovered.interrupted = []
    if calls:
        _log.warning(
            "calls were interrupted when the engine before this one died", calls=len(calls), read=recovered.entries,
            seconds=round(recovered.seconds, 3),
        )  # fmt: skip
    return calls


def _answered_call(data: bytes) -> bytes:
    """The Call-ID of a 2xx of ours to an INVITE; nothing for another message."""
    if not data.startswith(b"SIP/2.0 2"):
        return b""
    _, _, rest = data.partition(b"\r\nCall-ID: ")
    call_id, _, rest = rest.partition(b"\r\nCSeq: ")  # the endpoint writes them in this order
    return call_id if rest.partition(b"\r\n")[0].endswith(b" INVITE") else b""
