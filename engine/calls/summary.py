"""Refusals that come in floods, summed up in one record per second, trunk and reason."""

from __future__ import annotations

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.board import Board
from engine.calls.record import CallRecord, EntryKind
from engine.sip.timers import Timed

_PERIOD_S = 1.0


class Summary(Timed):
    """Counts attempts that were refused unseen; a flood must not fill the disk."""

    __slots__ = ("_board", "_counts")

    def __init__(self, board: Board) -> None:
        super().__init__()
        self._board = board
        self._counts: dict[tuple[str, Reason], CallRecord] = {}

    def count(self, trunk: str | None, source: str, reason: Reason, now: float, status: int = 0) -> None:
        """One more of its kind. `source` and `status` (0: the reason's own) are kept as long as all of a second's
        attempts share them."""
        status = status or ANSWER[reason].status
        key = (trunk or "", reason)
        record = self._counts.get(key)
        if record is None:
            if not self._counts:
                self._board.endpoint.wheel.schedule(self, now + _PERIOD_S)
            answer = ANSWER[reason]
            self._counts[key] = CallRecord(
                record_id=self._board.identifiers.token(),
                node=self._board.node,
                setup_time=self._board.clock.utc_ms(),
                disposition=answer.disposition,
                reason=word(reason),
                released_by="platform",
                sip_status=status,
                q850_cause=answer.cause or None,
                in_trunk=trunk,
                source=source,
            )
        else:
            record.attempts += 1
            if record.source != source:
                record.source = None
            if record.sip_status != status:
                record.sip_status = None
        self._board.tally.call_ended("none", ANSWER[reason].disposition, word(reason))

    def wake(self, now: float) -> None:
        self.flush()

    def flush(self) -> None:
        """Writes what has been counted."""
        for record in self._counts.values():
            # Whoever sets the clock back meanwhile does not end a second before it began.
            record.close(max(record.setup_time or 0, self._board.clock.utc_ms()))
            self._board.records.write(EntryKind.END, record)
        self._counts.clear()
