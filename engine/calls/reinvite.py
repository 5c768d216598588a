"""A re-INVITE crossing from the side that asks to the side that is asked (RFC 3261 section 14)."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from engine.authorization.reason import Reason
from engine.calls.hiding import Crossing, Unacceptable, crossing_of
from engine.calls.leg import Leg
from engine.calls.passage import OWN_LEG
from engine.calls.session_timer import terms_of
from engine.sip.flow import Flow
from engine.sip.message import Request, Response
from engine.sip.timers import Timed
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call
    from engine.calls.conversation import Conversation


class State(IntEnum):
    ASKED = 0
    ANSWERED = 1  # a 2xx went to the asker, its ACK is awaited
    DONE = 2


class Reinvite(Timed):
    """Fails without a trace, but for 408 and 481, which say that the other side is gone: they end the call.

    An asked side that rings as long as a callee may is asked no longer: CANCEL. Its own answer decides then, as
    with a CANCEL of the asker's; only that the asker, who has not cancelled, gets 504 instead of 487.
    """

    __slots__ = (
        "_acknowledgement",
        "_asked",
        "_call",
        "_cancelled",
        "_challenged",
        "_client",
        "_conversation",
        "_cseq",
        "_offered",
        "_responded",
        "_state",
        "_terms",
        "_timed_out",
        "_transaction",
        "asker",
    )

    def __init__(
        self,
        conversation: Conversation,
        call: Call,
        asker: Leg,
        asked: Leg,
        transaction: ServerTransaction,
        request: Request,
        crossing: Crossing,
        now: float,
    ) -> None:
        super().__init__()
        self._conversation = conversation
        self._call = call
        self.asker = asker
        self._asked = asked
        self._transaction = transaction
        self._cseq = request.cseq
        self._state = State.ASKED
        self._responded = False
        self._cancelled = False
        self._challenged = False
        self._timed_out = False
        self._acknowledgement: tuple[bytes, Flow] | None = None
        self._terms = terms_of(request, call.board.settings)
        self._offered = crossing.session != ""
        transaction.user = self
        if asker.dialog is not None:
            asker.dialog.refresh_target(request.contact, transaction.flow)
        call.board.endpoint.respond(transaction, 100, now)
        self._client = asked.reinvite(crossing, self, now)

    @property
    def answered(self) -> bool:
        return self._state != State.ASKED

    # --- the asked side ---

    def on_response(self, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            if not self._responded:
                if self._state == State.DONE:
                    self._client.expect_end(now)  # the call has ended before it: no other timer runs for it
                elif self._cancelled:
                    self._call.board.endpoint.send_cancel(self._client, "", now)
                else:
                    board = self._call.board
                    board.endpoint.wheel.schedule(self, now + board.settings.ring_timeout_s)
            self._responded = True
        elif status < 300:
            self._on_success(response, now)
        elif not self._asked_anew(response, now):
            if status == 487 and self._timed_out:
                status = 504
            self._fail(500 if status in OWN_LEG or status < 400 else status, now)

    def on_timeout(self, now: float) -> None:
        self._fail(408, now)

    def on_transport_error(self, now: float) -> None:
        self._fail(500, now)

    def wake(self, now: float) -> None:
        if self._state == State.ASKED and not self._cancelled:
            self._cancelled = self._timed_out = True
            self._call.board.endpoint.send_cancel(self._client, "", now)

    # --- the asking side ---

    def on_cancel(self, request: Request, now: float) -> None:
        """The CANCEL crosses; what the asked side makes of its INVITE is the answer, so that both sides keep the
        same session."""
        self._timed_out = False  # 487 is what it wants now
        if self._state == State.ASKED and not self._cancelled:
            self._cancelled = True
            if self._responded:
                self._call.board.endpoint.send_cancel(self._client, "", now)

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        self._acknowledge(crossing)
        self._close()

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        self._acknowledge(Crossing())
        self._close()
        self._call.end(Reason.NO_ACK, now)

    def abort(self, now: float) -> None:
        """The call ends: an open re-INVITE of the asker gets 487 (RFC 3261 15.1.2), a 2xx of the asked its ACK."""
        if self._state == State.ASKED:
            self._transaction.user = None
            self._call.board.endpoint.respond(self._transaction, 487, now)
            self._client.expect_end(now)  # the asked side may have forgotten that it was asked
        elif self._state == State.ANSWERED:
            self.asker.drop_acceptance()
            self._acknowledge(Crossing())
        self._end()

    # --- within ---

    def _asked_anew(self, response: Response, now: float) -> bool:
        """True where the asked side wanted credentials first, once."""
        if self._challenged or self._cancelled or self._state != State.ASKED:
            return False
        self._challenged = True
        again = self._asked.invite_anew(self._client, response, self, now)
        if again is None:
            return False
        self._client = again
        self._responded = False
        return True

    def _on_success(self, response: Response, now: float) -> None:
        if self._acknowledgement is not None:
            self._call.board.endpoint.send_again(*self._acknowledgement)
            return
        if self._state == State.DONE:
            self._acknowledge(Crossing())  # it crossed the end of the call
            return
        if self._state == State.ANSWERED:
            return  # repeated; its ACK waits for the asker's
        dialog = self._asked.dialog
        if dialog is not None:
            dialog.refresh_target(response.contact, dialog.flow)
        try:
            crossing = crossing_of(response)
        except Unacceptable:
            # The asked side has changed its session to one that cannot be masked: neither side can go on.
            self._acknowledge(Crossing())
            self._fail(500, now)
            self._call.end(Reason.INTERNAL_ERROR, now)
            return
        self._state = State.ANSWERED
        self._call.board.endpoint.wheel.drop(self)
        self._transaction.user = None
        self._asked.news = self.asker.news = None
        self._asked.settle(response, now)
        self.asker.run_timer(self._terms.timer, now)
        self._call.rearm()
        session = self.asker.origin.write(crossing.session)
        self.asker.accept(
            self._transaction, "", session, self._cseq, self, now, self._terms.lines, crossing.abilities
        )

    def _fail(self, status: int, now: float) -> None:
        if self._state != State.ASKED:
            return
        if self._offered:
            self._asked.origin.take_back()
        self._transaction.user = None
        self._call.board.endpoint.respond(self._transaction, status, now)
        self._close()
        if status in (408, 481):
            self._call.end(Reason.SESSION_EXPIRED, now)

    def _acknowledge(self, crossing: Crossing) -> None:
        if self._acknowledgement is None:
            self._acknowledgement = self._asked.acknowledge(self._client.request.cseq, crossing)

    def _close(self) -> None:
        self._end()
        if self._conversation.reinvite is self:
            self._conversation.reinvite = None

    def _end(self) -> None:
        self._state = State.DONE
        self._call.board.endpoint.wheel.drop(self)
