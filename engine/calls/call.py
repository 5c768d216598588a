"""A call: two legs joined by one table of what may happen between them."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import TYPE_CHECKING, Final

from engine.authorization.reason import ANSWER, Reason, word
from engine.calls.board import Board
from engine.calls.callee_leg import CalleeLeg, Outward
from engine.calls.caller_leg import RETRY_SOON, CallerLeg
from engine.calls.causes import cause_of_status, reason_of_failure
from engine.calls.events import CallEvent, Event
from engine.calls.hiding import Crossing
from engine.calls.record import CallRecord, EntryKind
from engine.calls.reinvite import Reinvite
from engine.routing.load import Load
from engine.routing.next_hop import NextHop
from engine.sip.message import Request
from engine.sip.timers import NEVER, Timed
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.leg import Leg

_REMINDER_S: Final = 60.0  # RFC 3261 13.3.1.1

# Settled on their own leg (hiding.md): what the other side could do about them is nothing.
_OWN_LEG: Final = frozenset((401, 407, 420, 421, 422, 482, 483))
_RETRY_AFTER_CROSSES: Final = frozenset((404, 480, 486, 600, 603))


class State(IntEnum):
    SCREENING = 0  # the decision is awaited
    CALLING = 1  # the INVITE is out; nothing but 100 came back
    RINGING = 2  # a provisional response crossed: no other next hop will be tried
    ANSWERED = 3  # a 2xx went to the caller, its ACK is awaited
    TALKING = 4
    ENDED = 5  # the record is written; legs may still say goodbye


class Call(Timed):
    """The legs report, the table says what follows, the legs are told."""

    __slots__ = (
        "_crossing",
        "_expires_at",
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
        "answered_at",
        "board",
        "callee",
        "caller",
        "exchange",
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
        self.exchange: Reinvite | None = None
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
        board.calls[record.record_id] = self
        if board.watcher is not None:
            board.watcher.begun(record)

    def handle(self, event: CallEvent, now: float) -> None:
        """One event, by the table. What the table does not name changes nothing: it came too late."""
        row = TABLE.get((self.state, event.kind))
        if row is None:
            return
        self.state = row[0]
        try:
            row[1](self, event, now)
        except Exception as error:
            self.break_off(error, now)
        if self.state == State.ENDED:
            # The legs know the call; were they known to it any longer, nothing would ever be freed by itself.
            self.caller = self.callee = None

    def dial(
        self, outward: Outward, hops: tuple[NextHop, ...], crossing: Crossing, max_talk_s: int, now: float
    ) -> None:
        """The decision was yes: ring `outward` at the first of `hops`."""
        self._outward = outward
        self._hops = hops
        self._crossing = crossing
        self._max_talk_s = max_talk_s
        self.handle(CallEvent(Event.ADMITTED), now)

    def occupy(self, incoming: Load | None, outgoing: Load, utc: float) -> None:
        """Counts on its trunks for as long as it is up."""
        self._loads = (outgoing,) if incoming is None else (incoming, outgoing)
        for load in self._loads:
            load.begin(utc)

    def expire_after(self, seconds: int, now: float) -> None:
        """The caller's INVITE is valid that long (RFC 3261 13.3.1): he gives up then, unless he was answered."""
        self._expires_at = now + seconds
        self._rearm()

    def trying(self, request: Request, now: float) -> None:
        """Tells the caller that its INVITE has arrived, if it has no final answer yet."""
        if self.caller is not None:
            self.caller.trying(request, now)

    def refuse(self, reason: Reason, status: int, cause: int, retry_after: int, now: float) -> None:
        """The decision was no."""
        crossing = Crossing(cause=cause, retry_after=retry_after)
        self.handle(CallEvent(Event.REFUSED, crossing, status, reason=reason), now)

    def end(self, reason: Reason, now: float) -> None:
        """The platform ends it, whatever state it is in."""
        self.handle(CallEvent(Event.PLATFORM_ENDED, reason=reason), now)

    def break_off(self, error: Exception, now: float) -> None:
        """A fault of ours ends the call: neither side is left hanging, and the attempt gets its record."""
        board = self.board
        board.faults.report("call", error)
        self.state = State.ENDED
        self.forget()
        answer = ANSWER[Reason.INTERNAL_ERROR]
        try:
            if self.caller is not None and not self.caller.transaction.answered:
                self.record.answer_time = None  # nobody was told
            if self.record.release_time is None:
                status = answer.status if self.record.answer_time is None else 200
                self._finish(Reason.INTERNAL_ERROR, status, answer.cause, "platform", now)
        except Exception as another:
            board.faults.report("record", another)
        for leg in (self.caller, self.callee):
            try:
                if leg is not None:
                    leg.break_off(answer.status, answer.cause, now)
            except Exception as another:
                board.faults.report("leg", another)
        self.caller = self.callee = None

    def forget(self) -> None:
        """Takes it off the board, and off the wheel, where it would stay until its longest deadline."""
        board = self.board
        board.endpoint.wheel.drop(self)
        board.calls.pop(self.record.record_id, None)
        loads, self._loads = self._loads, ()
        for load in loads:
            load.end()

    # --- the caller's ACK ---

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        self.handle(CallEvent(Event.CONFIRMED, crossing, by_caller=True), now)

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        self.end(Reason.NO_ACK, now)

    # --- re-INVITE ---

    def reinvited(
        self, leg: Leg, transaction: ServerTransaction, request: Request, crossing: Crossing, now: float
    ) -> None:
        """A re-INVITE came in on `leg`; glare and too early ones are answered here (RFC 3261 14.2)."""
        exchange = self.exchange
        endpoint = self.board.endpoint
        if self.state != State.TALKING:
            endpoint.respond(transaction, 491 if self.state == State.ANSWERED else 481, now)
        elif exchange is not None:
            # The same side again before its first is through: 500; the other side at the same time: 491.
            again = exchange.asker is leg and not exchange.answered
            endpoint.respond(transaction, 500 if again else 491, now, headers=RETRY_SOON if again else "")
        else:
            other: Leg = self._callee() if leg is self.caller else self._caller()
            self.exchange = Reinvite(self, leg, other, transaction, request, crossing, now)

    # --- time ---

    def wake(self, now: float) -> None:
        if now >= self._silent_until:
            self._silent_until = NEVER
            self._on_silence(now)
        if now >= self._remind_at:
            self._remind_at = now + _REMINDER_S
            self.handle(CallEvent(Event.REMIND), now)
        if now >= self._ring_until:
            self._ring_until = NEVER
            self.handle(CallEvent(Event.RING_TIMEOUT), now)
        if now >= self._expires_at:
            self._expires_at = NEVER
            self.handle(CallEvent(Event.GIVEN_UP, by_caller=True), now)
        if now >= self._talk_until:
            self._talk_until = NEVER
            self.end(Reason.MAX_DURATION, now)
        if self.state != State.ENDED:
            self._rearm()

    def _rearm(self) -> None:
        until = min(self._silent_until, self._ring_until, self._expires_at, self._remind_at, self._talk_until)
        self.board.endpoint.wheel.schedule(self, until)

    def _on_silence(self, now: float) -> None:
        """The next hop said nothing for `first_response_s`: another one is tried, the last one is waited for."""
        if self.state == State.CALLING and not self._callee().responded and self._hop + 1 < len(self._hops):
            self._callee().abandon(0, now)
            self.handle(CallEvent(Event.HOP_LOST), now)

    # --- actions of the table ---

    def _dial(self, event: CallEvent, now: float) -> None:
        settings = self.board.settings
        self._ring_until = now + settings.ring_timeout_s
        self._ring(now)

    def _ring(self, now: float) -> None:
        hop = self._hops[self._hop]
        if len(self._hops) > 1:
            self._silent_until = now + self.board.settings.first_response_s
        callee = CalleeLeg(self.board, self, self._outward, hop, self._crossing, now)
        self.callee = callee
        self.record.b_call_id = callee.call_id
        if self.board.watcher is not None:
            self.board.watcher.dialled(self.record, callee.call_id)
        self._rearm()

    def _next_hop(self, event: CallEvent, now: float) -> None:
        self._hops[self._hop].health.on_suspicion(now)
        self._hop += 1
        if self._hop < len(self._hops):
            self._ring(now)
        else:
            self.handle(CallEvent(Event.LAST_HOP_LOST), now)

    def _relay_progress(self, event: CallEvent, now: float) -> None:
        record = self.record
        if record.ringing_time is None:
            record.ringing_time = self.board.clock.utc_ms()
            self.board.tally.observe_pdd(now - self._started)
            self._remind_at = now + _REMINDER_S
            self._hops[self._hop].health.heard_at = now
            self._rearm()
        self._caller().progress(event.status, event.early, event.crossing.session, now)

    def _remind(self, event: CallEvent, now: float) -> None:
        self._caller().remind(now)

    def _answer(self, event: CallEvent, now: float) -> None:
        record = self.record
        record.answer_time = self.board.clock.utc_ms()
        record.sip_status = 200
        self.answered_at = now
        self._hops[self._hop].health.heard_at = now
        if record.ringing_time is None:
            self.board.tally.observe_pdd(now - self._started)
        self.board.tally.observe_setup(now - self._started)
        self._silent_until = self._ring_until = self._expires_at = self._remind_at = NEVER
        self._talk_until = now + self._max_talk_s
        self.board.records.write(EntryKind.START, record)
        self._caller().answer(event.early, event.crossing.session, now)
        self._rearm()

    def _confirm(self, event: CallEvent, now: float) -> None:
        self._callee().confirm(event.crossing)

    def _release(self, event: CallEvent, now: float) -> None:
        """One side hung up; it has its 200 already."""
        by = "caller" if event.by_caller else "callee"
        self._part(Reason.NORMAL, by, event, event.crossing.cause or 16, now)

    def _release_unconfirmed(self, event: CallEvent, now: float) -> None:
        """A callee that hangs up before its ACK has waited 64·T1 for it (RFC 3261 15), since a little before the
        engine began to wait for the caller's: one fault ends both."""
        timers = self.board.endpoint.timers
        if event.by_caller or now - self.answered_at < timers.transaction - timers.t1:
            self._release(event, now)
        else:
            self._part(Reason.NO_ACK, "platform", event, ANSWER[Reason.NO_ACK].cause, now)

    def _part(self, reason: Reason, released_by: str, event: CallEvent, cause: int, now: float) -> None:
        caller, callee = self._caller(), self._callee()
        leaving: Leg = caller if event.by_caller else callee
        staying: Leg = callee if event.by_caller else caller
        self._abort_exchange(now)
        leaving.drop_acceptance()
        self._finish(reason, 200, cause, released_by, now)
        if leaving is callee:
            callee.confirm(Crossing())  # its 2xx was not acknowledged yet
        leaving.close()
        staying.hang_up(cause, now)

    def _hang_up_both(self, event: CallEvent, now: float) -> None:
        reason = Reason(event.reason)
        cause = ANSWER[reason].cause
        self._abort_exchange(now)
        self._finish(reason, 200, cause, "platform", now)
        self._callee().hang_up(cause, now)
        self._caller().hang_up(cause, now)

    def _abort_exchange(self, now: float) -> None:
        if self.exchange is not None:
            self.exchange.abort(now)
            self.exchange = None

    def _refuse(self, event: CallEvent, now: float) -> None:
        self._fail(Reason(event.reason), event.status, event.crossing.cause, "platform", now,
                   event.crossing.retry_after)  # fmt: skip

    def _relay_failure(self, event: CallEvent, now: float) -> None:
        """The callee's side said no: its status, rebuilt, with its own cause or RFC 3398's."""
        status, cause = event.status, event.crossing.cause
        self._hops[self._hop].health.heard_at = now
        if 300 <= status < 400:
            self._fail(Reason.CALLEE_UNREACHABLE, 480, 20, "callee", now)
            return
        reason = reason_of_failure(status, cause)
        retry_after = event.crossing.retry_after if status in _RETRY_AFTER_CROSSES else 0
        shown = 500 if status in _OWN_LEG else status
        self._fail(reason, shown, cause or cause_of_status(status), "callee", now, retry_after)

    def _trunk_down(self, event: CallEvent, now: float) -> None:
        self._fail(Reason.TRUNK_DOWN, 500, 38, "platform", now)

    def _no_response(self, event: CallEvent, now: float) -> None:
        self._hops[self._hop].health.on_suspicion(now)
        self._fail(Reason.NO_RESPONSE, 408, 102, "platform", now)

    def _no_answer(self, event: CallEvent, now: float) -> None:
        self._callee().abandon(19, now)
        self._fail(Reason.NO_ANSWER, 480, 19, "platform", now)

    def _give_up(self, event: CallEvent, now: float) -> None:
        if self.callee is not None:
            self.callee.abandon(16, now)
        self._fail(Reason.CANCELLED, 487, 16, "caller", now)

    def _end_unanswered(self, event: CallEvent, now: float) -> None:
        if self.callee is not None:
            self.callee.abandon(16, now)
        self._fail(Reason(event.reason), 480, 16, "platform", now)

    def _fail(
        self, reason: Reason, status: int, cause: int, released_by: str, now: float, retry_after: int = 0
    ) -> None:
        if self.record.ringing_time is None:
            self.board.tally.observe_failure(now - self._started)
        self._finish(reason, status, cause, released_by, now)
        self._caller().fail(status, cause, retry_after, now)

    def _finish(self, reason: Reason, status: int, cause: int, released_by: str, now: float) -> None:
        """Closes the record and counts; from here on the call only says goodbye."""
        record = self.record
        record.reason = word(reason)
        record.disposition = _disposition(reason, record.answer_time is not None)
        record.sip_status = status
        record.q850_cause = cause
        record.released_by = released_by
        record.close(self.board.clock.utc_ms())
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


S, E = State, Event

TABLE: Final[dict[tuple[int, int], tuple[State, Callable[[Call, CallEvent, float], None]]]] = {
    (S.SCREENING, E.ADMITTED): (S.CALLING, Call._dial),
    (S.SCREENING, E.REFUSED): (S.ENDED, Call._refuse),
    (S.SCREENING, E.GIVEN_UP): (S.ENDED, Call._give_up),
    (S.SCREENING, E.PLATFORM_ENDED): (S.ENDED, Call._end_unanswered),
    # Refused so late only when there is nobody to keep the record that must go before the 200.
    (S.CALLING, E.REFUSED): (S.ENDED, Call._refuse),
    (S.CALLING, E.PROGRESS): (S.RINGING, Call._relay_progress),
    (S.CALLING, E.ANSWER): (S.ANSWERED, Call._answer),
    (S.CALLING, E.FAILURE): (S.ENDED, Call._relay_failure),
    (S.CALLING, E.HOP_LOST): (S.CALLING, Call._next_hop),
    (S.CALLING, E.LAST_HOP_LOST): (S.ENDED, Call._trunk_down),
    (S.CALLING, E.NO_RESPONSE): (S.ENDED, Call._no_response),
    (S.CALLING, E.GIVEN_UP): (S.ENDED, Call._give_up),
    (S.CALLING, E.RING_TIMEOUT): (S.ENDED, Call._no_answer),
    (S.CALLING, E.PLATFORM_ENDED): (S.ENDED, Call._end_unanswered),
    (S.RINGING, E.REFUSED): (S.ENDED, Call._refuse),
    (S.RINGING, E.PROGRESS): (S.RINGING, Call._relay_progress),
    (S.RINGING, E.REMIND): (S.RINGING, Call._remind),
    (S.RINGING, E.ANSWER): (S.ANSWERED, Call._answer),
    (S.RINGING, E.FAILURE): (S.ENDED, Call._relay_failure),
    # Never another next hop after it has rung (RFC 3261 16.7 step 5): the 503 is the end, and not passed on.
    (S.RINGING, E.HOP_LOST): (S.ENDED, Call._trunk_down),
    (S.RINGING, E.GIVEN_UP): (S.ENDED, Call._give_up),
    (S.RINGING, E.RING_TIMEOUT): (S.ENDED, Call._no_answer),
    (S.RINGING, E.PLATFORM_ENDED): (S.ENDED, Call._end_unanswered),
    (S.ANSWERED, E.CONFIRMED): (S.TALKING, Call._confirm),
    (S.ANSWERED, E.RELEASED): (S.ENDED, Call._release_unconfirmed),
    (S.ANSWERED, E.PLATFORM_ENDED): (S.ENDED, Call._hang_up_both),
    (S.TALKING, E.RELEASED): (S.ENDED, Call._release),
    (S.TALKING, E.PLATFORM_ENDED): (S.ENDED, Call._hang_up_both),
}
