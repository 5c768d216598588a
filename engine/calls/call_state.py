"""What a call is, whatever happens in it: its two sides, its deadlines, its record."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.board import Board
from engine.calls.callee_leg import CalleeLeg, Outward
from engine.calls.caller_leg import CallerLeg
from engine.calls.conversation import Conversation
from engine.calls.events import CallEvent
from engine.calls.hiding import Crossing, for_strangers
from engine.calls.record import CallRecord, EntryKind
from engine.calls.refresh import News
from engine.calls.session import streams
from engine.routing.load import Load
from engine.routing.next_hop import NextHop
from engine.sip.timers import NEVER, Timed

if TYPE_CHECKING:
    from engine.calls.leg import Leg


_MOST_TURNS: Final = 2  # in which the sides may answer news with news; the next refresh begins anew


class State(IntEnum):
    SCREENING = 0  # the decision is awaited
    CALLING = 1  # the INVITE is out; nothing but 100 came back
    RINGING = 2  # a provisional response crossed: no other next hop will be tried
    ANSWERED = 3  # a 2xx went to the caller, its ACK is awaited
    TALKING = 4
    ENDED = 5  # the record is written; legs may still say goodbye


class CallState(Timed):
    """`state` is moved by the table of `Call` alone; `model` is the binding's, "none" before there is one."""

    __slots__ = (
        "_crossing",
        "_expires_at",
        "_held",
        "_hop",
        "_hops",
        "_loads",
        "_max_talk_s",
        "_outward",
        "_remind_at",
        "_ring_until",
        "_silent_until",
        "_started",
        "_talk_until",
        "_trusting",
        "answered_at",
        "board",
        "callee",
        "caller",
        "conversation",
        "model",
        "number",
        "record",
        "state",
    )

    def __init__(self, board: Board, record: CallRecord, now: float) -> None:
        super().__init__()
        self.board = board
        self.record = record
        self.state: int = State.SCREENING
        self.model = "none"
        self.caller: CallerLeg | None = None  # set by who makes the call, which the leg needs in turn
        self.callee: CalleeLeg | None = None
        self.conversation: Conversation | None = None
        self._trusting = False  # both trunks believe what they are told: P-Early-Media crosses (RFC 5009)
        self._held: CallEvent | None = None  # an answer that waits for a PRACK
        self._started = now
        self.answered_at = 0.0
        self._outward = Outward("", "", "", "")
        self._hops: tuple[NextHop, ...] = ()
        self._loads: tuple[Load, ...] = ()
        self._hop = 0
        self._crossing = Crossing()
        self._max_talk_s = 0
        self._silent_until = NEVER
        self._ring_until = NEVER
        self._expires_at = NEVER
        self._remind_at = NEVER
        self._talk_until = NEVER
        board.calls_begun += 1
        self.number = board.calls_begun  # from 1 in order of start; never given twice
        if board.watcher is not None:
            board.watcher.begun(record)

    # --- what it counts on ---

    def occupy(self, incoming: Load | None, outgoing: Load, utc: float) -> None:
        """Counts on its trunks for as long as it is up."""
        self._loads = (outgoing,) if incoming is None else (incoming, outgoing)
        for load in self._loads:
            load.begin(utc)

    def forget(self) -> None:
        """Takes it off the board, and off the wheel, where it would stay until its longest deadline."""
        board = self.board
        board.endpoint.wheel.drop(self)
        board.calls.pop(self.record.record_id, None)
        loads, self._loads = self._loads, ()
        for load in loads:
            load.end()

    # --- what others ask of it ---

    @property
    def over(self) -> bool:
        return self.state == State.ENDED

    @property
    def answered(self) -> bool:
        return self.state == State.ANSWERED or self.state == State.TALKING

    @property
    def talking(self) -> bool:
        return self.state == State.TALKING

    @property
    def offer_is_late(self) -> bool:
        """The caller's INVITE brought no session: the callee's side makes the first offer."""
        return not self._crossing.session

    @property
    def invite_cseq(self) -> int:
        """Of the INVITE to the callee."""
        return self._callee().invite_cseq

    @property
    def negotiating(self) -> bool:
        """True while an offer is open: then the engine must not make one."""
        conversation = self.conversation
        return conversation is not None and not (conversation.reinvite is None and conversation.offer is None)

    @property
    def refreshing(self) -> bool:
        """True while the engine refreshes a leg by re-INVITE: then nobody else must make an offer."""
        return self._caller().refreshes_session or self._callee().refreshes_session

    def settled(self, early: str) -> bool:
        return self._caller().settled(early)

    def within_trust(self, crossing: Crossing) -> Crossing:
        """As it may go on between trunks that trust each other, or do not."""
        return crossing if self._trusting else for_strangers(crossing)

    def lost(self, early: str) -> bool:
        """True for an early dialog in which nobody at the callee's side listens any more; never for ""."""
        return early != "" and not self._callee().speaks(early)

    def other(self, leg: Leg) -> Leg:
        return self._callee() if leg is self.caller else self._caller()

    def told(self, leg: Leg, session: str, turn: int, now: float) -> None:
        """A side has said a session when the engine refreshed it: the other side hears of it if it knows another."""
        other = self.other(leg)
        if session and turn < _MOST_TURNS and streams(session) != streams(other.origin.standing):
            other.news = News(session, turn + 1, now)

    # --- time ---

    def rearm(self) -> None:
        """Puts the earliest of its deadlines onto the wheel."""
        if self.state == State.ENDED:
            return
        until = min(self._silent_until, self._ring_until, self._expires_at, self._remind_at, self._talk_until)
        if self.answered:
            until = min(until, self._caller().due, self._callee().due)
        self.board.endpoint.wheel.schedule(self, until)

    def utc_ms(self, now: float) -> int:
        """The wall clock as it stood at the call's setup, and the time gone by since: however often somebody sets it
        meanwhile, a call's times are in order, and what lies between them is what the caller has waited or talked."""
        return (self.record.setup_time or 0) + round((now - self._started) * 1000)

    # --- for the actions ---

    def _finish(self, reason: Reason, status: int, cause: int, released_by: str, now: float) -> None:
        """Closes the record and counts; from here on the call only says goodbye."""
        record = self.record
        record.reason = word(reason)
        record.disposition = _disposition(reason, record.answer_time is not None)
        record.sip_status = status
        record.q850_cause = cause
        record.released_by = released_by
        record.close(self.utc_ms(now))
        self.board.records.write(EntryKind.END, record)
        tally = self.board.tally
        tally.call_ended(self.model, record.disposition, record.reason)
        if record.answer_time is not None:
            tally.observe_talk(now - self.answered_at)
        self.forget()

    def _caller(self) -> CallerLeg:
        caller = self.caller
        assert caller is not None, "this call has no caller yet"
        return caller

    def _callee(self) -> CalleeLeg:
        callee = self.callee
        assert callee is not None, "this call has not rung anybody yet"
        return callee


def _disposition(reason: Reason, answered: bool) -> str:
    if answered:
        return "answered"
    disposition = ANSWER[reason].disposition
    return "failed" if disposition == "answered" else disposition  # ended by the platform while it rang
