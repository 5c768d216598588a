"""A call: two legs joined by one table of what may happen between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from engine.authorization.reason import ANSWER, Reason
from engine.calls.board import Board
from engine.calls.call_state import CallState, State
from engine.calls.callee_leg import CalleeLeg, Outward
from engine.calls.causes import cause_of_status, reason_of_failure
from engine.calls.conversation import Conversation
from engine.calls.events import CallEvent, Event
from engine.calls.hiding import Crossing
from engine.calls.passage import OWN_LEG
from engine.calls.record import CallRecord, EntryKind
from engine.calls.reliable import Progress
from engine.routing.next_hop import NextHop
from engine.sip.message import Request
from engine.sip.timers import NEVER

if TYPE_CHECKING:
    from engine.calls.leg import Leg

_REMINDER_S: Final = 60.0  # RFC 3261 13.3.1.1
_RETRY_AFTER_CROSSES: Final = frozenset((404, 480, 486, 600, 603))


class Call(CallState):
    """The legs report, the table says what follows, the legs are told."""

    __slots__ = ()

    def __init__(self, board: Board, record: CallRecord, now: float) -> None:
        super().__init__(board, record, now)
        board.calls[record.record_id] = self

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
            self.caller = self.callee = self.conversation = self._held = None

    def dial(
        self,
        outward: Outward,
        hops: tuple[NextHop, ...],
        crossing: Crossing,
        trusting: bool,
        max_talk_s: int,
        now: float,
    ) -> None:
        """The decision was yes: ring `outward` at the first of `hops`; `trusting` where both trunks believe each
        other."""
        self._trusting = trusting
        self._outward = outward
        self._hops = hops
        self._crossing = self.within_trust(crossing)
        self._max_talk_s = max_talk_s
        self.handle(CallEvent(Event.ADMITTED), now)

    def expire_after(self, seconds: int, now: float) -> None:
        """The caller's INVITE is valid that long (RFC 3261 13.3.1): he gives up then, unless he was answered."""
        self._expires_at = now + seconds
        self.rearm()

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
        self.caller = self.callee = self.conversation = self._held = None

    # --- the caller's ACK ---

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        self.handle(CallEvent(Event.CONFIRMED, crossing, by_caller=True), now)

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        self.end(Reason.NO_ACK, now)

    # --- within the call ---

    def converse(self) -> Conversation:
        """What the two sides ask of each other, once they do."""
        conversation = self.conversation
        if conversation is None:
            conversation = Conversation(self)
            if self.state != State.ENDED:
                self.conversation = conversation
        return conversation

    def release_answer(self, now: float) -> None:
        """A PRACK has come: an answer that waited for it goes out."""
        held = self._held
        if held is not None and self.state != State.ENDED and not self._caller().holds_answer(held.early):
            self._held = None
            self.handle(held, now)

    def expired(self, now: float) -> None:
        """A far end does not refresh its session, or does not know it any more."""
        self.end(Reason.SESSION_EXPIRED, now)

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
        if self.answered:
            for leg in (self._caller(), self._callee()):
                if self.answered and now >= leg.due:
                    leg.on_due(now)
        self.rearm()

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
        self.rearm()

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
            record.ringing_time = self.utc_ms(now)
            self.board.tally.observe_pdd(now - self._started)
            self._remind_at = now + _REMINDER_S
            self._hops[self._hop].health.heard_at = now
            self.rearm()
        crossing = self.within_trust(event.crossing)
        self._caller().progress(Progress(event.status, event.early, crossing, event.rseq), now)

    def _remind(self, event: CallEvent, now: float) -> None:
        self._caller().remind(now)

    def _answer(self, event: CallEvent, now: float) -> None:
        if self._caller().holds_answer(event.early):
            self._held = event
            self.state = State.RINGING
            return
        record = self.record
        record.answer_time = self.utc_ms(now)
        record.sip_status = 200
        self.answered_at = now
        self._hops[self._hop].health.heard_at = now
        if record.ringing_time is None:
            self.board.tally.observe_pdd(now - self._started)
        self.board.tally.observe_setup(now - self._started)
        self._silent_until = self._ring_until = self._expires_at = self._remind_at = NEVER
        self._talk_until = now + self._max_talk_s
        caller = self._caller()
        legs = (caller.dialog_for(event.early), self._callee().dialog_of("")[0])
        self.board.records.write(EntryKind.START, record, legs)
        caller.answer(event.early, event.crossing, now)
        if self.conversation is not None:
            self.conversation.settle(now)
        self.rearm()

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
        self._abort_conversation(now)
        self._finish(reason, 200, cause, released_by, now)
        if leaving is callee:
            callee.confirm(Crossing())  # its 2xx was not acknowledged yet
        leaving.leave()
        staying.hang_up(cause, now)

    def _hang_up_both(self, event: CallEvent, now: float) -> None:
        reason = Reason(event.reason)
        cause = ANSWER[reason].cause
        self._abort_conversation(now)
        self._finish(reason, 200, cause, "platform", now)
        self._callee().hang_up(cause, now)
        self._caller().hang_up(cause, now)

    def _abort_conversation(self, now: float) -> None:
        if self.conversation is not None:
            self.conversation.abort(now)
        for leg in (self.caller, self.callee):
            if leg is not None:
                leg.stop_refreshing(now)

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
        shown = 500 if status in OWN_LEG else status
        self._fail(reason, shown, cause or cause_of_status(status), "callee", now, retry_after)

    def _unacknowledged(self, event: CallEvent, now: float) -> None:
        """The caller never acknowledged a reliable provisional response (RFC 3262 3)."""
        cause = ANSWER[Reason.NO_ACK].cause
        self._callee().abandon(cause, now)
        self._fail(Reason.NO_ACK, 504, cause, "platform", now)

    def _left(self, event: CallEvent, now: float) -> None:
        """The callee hung up while its answer waited for the caller's PRACK: nobody has talked."""
        callee = self._callee()
        callee.confirm(Crossing())
        callee.close()
        self._fail(Reason.CALLEE_UNREACHABLE, 480, event.crossing.cause or 20, "callee", now)

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
        self._abort_conversation(now)
        self._finish(reason, status, cause, released_by, now)
        self._caller().fail(status, cause, retry_after, now)


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
    (S.RINGING, E.UNACKNOWLEDGED): (S.ENDED, Call._unacknowledged),
    (S.RINGING, E.RELEASED): (S.ENDED, Call._left),
    (S.RINGING, E.PLATFORM_ENDED): (S.ENDED, Call._end_unanswered),
    (S.ANSWERED, E.CONFIRMED): (S.TALKING, Call._confirm),
    (S.ANSWERED, E.RELEASED): (S.ENDED, Call._release_unconfirmed),
    (S.ANSWERED, E.PLATFORM_ENDED): (S.ENDED, Call._hang_up_both),
    (S.TALKING, E.RELEASED): (S.ENDED, Call._release),
    (S.TALKING, E.PLATFORM_ENDED): (S.ENDED, Call._hang_up_both),
}
