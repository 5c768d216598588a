"""A provisional response that the caller has to acknowledge (RFC 3262), and the early dialog that it belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.calls.events import CallEvent, Event
from engine.calls.hiding import Crossing
from engine.calls.session import SessionOrigin
from engine.sip.dialog import Dialog
from engine.sip.flow import Flow
from engine.sip.timers import NEVER, Timed

if TYPE_CHECKING:
    from engine.calls.caller_leg import CallerLeg


@dataclass(slots=True)
class Progress:
    """A provisional response of the callee's side on its way to the caller. `rseq` is the one that the callee gave
    it, 0 where it needs no acknowledgement there."""

    status: int
    early: str
    crossing: Crossing
    rseq: int


@dataclass(slots=True)
class EarlyDialog:
    """What the caller knows as one early dialog.

    sequence   RSeq of the last reliable response, 0 before the first
    waiting    the one whose PRACK is awaited
    queue      those that must not be sent before that (RFC 3262 section 3)
    settled    the first offer has got its answer reliably, so that UPDATE may bring another (RFC 3311 5.1)
    """

    dialog: Dialog
    origin: SessionOrigin
    sequence: int = 0
    waiting: Reliable | None = None
    queue: list[Progress] = field(default_factory=list)
    settled: bool = False


class Reliable(Timed):
    """Repeated from T1 on, each time after twice as long, until PRACK comes; after 64·T1 the call fails."""

    __slots__ = ("_data", "_flow", "_give_up_at", "_interval", "_leg", "rseq", "sequence", "with_session")

    def __init__(
        self,
        leg: CallerLeg,
        data: bytes,
        flow: Flow,
        sequence: int,
        rseq: int,
        with_session: bool,
        now: float,
    ) -> None:
        super().__init__()
        endpoint = leg.board.endpoint
        self._leg = leg
        self._data = data
        self._flow = flow
        self.sequence = sequence
        self.rseq = rseq  # of the callee's response, 0 for none
        self.with_session = with_session
        self._interval = endpoint.timers.t1
        self._give_up_at = now + endpoint.timers.transaction
        endpoint.wheel.schedule(self, now + self._interval)

    def stop(self) -> None:
        self.deadline = NEVER

    def wake(self, now: float) -> None:
        if now >= self._give_up_at:
            self._leg.call.handle(CallEvent(Event.UNACKNOWLEDGED), now)
            return
        endpoint = self._leg.board.endpoint
        endpoint.outbox.append((self._flow, self._data))
        self._leg.board.tally.retransmission("out")
        self._interval *= 2
        endpoint.wheel.schedule(self, min(now + self._interval, self._give_up_at))
