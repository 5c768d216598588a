"""One side of a call once it has a dialog: hanging up, changing the session, what comes in between.

A leg knows SIP and its own side only. What the other side has to know goes to the call as an event or to the
exchange as a Crossing; what comes from there is built into this leg's messages from its own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engine.calls.board import CARRIED_METHODS, Board
from engine.calls.events import CallEvent, Event
from engine.calls.hiding import SESSION_TYPE, Crossing, Unacceptable, cause_of, crossing_of
from engine.calls.session import SessionOrigin
from engine.sip.dialog import Dialog
from engine.sip.flow import Flow
from engine.sip.grammar import METHODS
from engine.sip.message import Request, Response
from engine.sip.timers import NEVER, Timed
from engine.sip.transactions.invite_client import InviteClient
from engine.sip.transactions.transaction import ClientUser, ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call

ALLOW = f"Allow: {CARRIED_METHODS}\r\n"
MOST_EARLY_DIALOGS = 16  # of one INVITE, so that a callee's side cannot fill the memory


class Acknowledged(Protocol):
    """Who sent a 2xx to an INVITE and hears what became of it."""

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None: ...
    def on_unacknowledged(self, leg: Leg, now: float) -> None: ...


class Leg:
    """`dialog` is None until there is one; `flow` is where this side last sent from."""

    __slots__ = ("acceptance", "board", "call", "contact", "dialog", "flow", "origin", "tag")

    def __init__(self, board: Board, call: Call, flow: Flow) -> None:
        self.board = board
        self.call = call
        self.flow = flow
        self.tag = board.identifiers.token()
        self.contact = board.contact(self.tag, flow.transport)
        self.origin: SessionOrigin = board.origin()
        self.dialog: Dialog | None = None
        self.acceptance: Acceptance | None = None

    @property
    def is_caller(self) -> bool:
        raise AssertionError("a leg is the caller's or the callee's")

    # --- in ---

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A request within the dialog, other than ACK and CANCEL."""
        dialog = self.dialog
        endpoint = self.board.endpoint
        if dialog is None or dialog.call_id != request.call_id or dialog.remote_tag != request.from_tag:
            endpoint.respond(transaction, 481, now)
            return
        method = request.method
        if request.cseq <= dialog.remote_cseq:
            endpoint.respond(transaction, 500, now)  # out of order (RFC 3261 12.2.2)
            return
        if method == "BYE":
            dialog.remote_cseq = request.cseq
            endpoint.respond(transaction, 200, now)
            self.call.handle(
                CallEvent(Event.RELEASED, Crossing(cause=cause_of(request)), by_caller=self.is_caller), now
            )
            if self.acceptance is not None:
                # A hang-up of ours has been waiting for the ACK: nobody has to be told any more.
                self.drop_acceptance()
                self.close()
        elif method == "INVITE":
            self._on_reinvite(transaction, request, now)
        else:
            dialog.remote_cseq = request.cseq
            self.answer_aside(transaction, request, now)

    def answer_aside(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """Answers what has nothing to do with the call: the method comes first, then what it requires (8.2)."""
        endpoint = self.board.endpoint
        method = request.method
        if method != "OPTIONS":
            endpoint.respond(transaction, 405 if method in METHODS else 501, now, headers=ALLOW)
        elif not extensions_refused(self.board, transaction, request, now):
            endpoint.respond(transaction, 200, now, headers=f"{ALLOW}Accept: {SESSION_TYPE}\r\n")

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK to a 2xx of this leg. A second one, or one for another INVITE, changes nothing."""
        acceptance = self.acceptance
        if acceptance is None or acceptance.cseq != request.cseq:
            return
        try:
            crossing = crossing_of(request)
        except Unacceptable:
            crossing = (
                Crossing()
            )  # an ACK cannot be refused (13.2.2.4); what is wrong with its body stays here
        self.acceptance = None
        acceptance.stop()
        acceptance.owner.on_acknowledged(self, crossing, now)

    # --- out ---

    def accept(
        self,
        transaction: ServerTransaction,
        tag: str,
        session: str,
        cseq: int,
        owner: Acknowledged,
        now: float,
        routes: str = "",
    ) -> None:
        """Sends the 2xx to an INVITE and repeats it until its ACK comes (RFC 3261 13.3.1.4). `routes` are the
        Record-Route lines of one that makes a dialog (12.1.1)."""
        data = self.board.endpoint.respond(
            transaction,
            200,
            now,
            tag=tag,
            headers=f"{routes}{self.contact}{ALLOW}{content_type(session)}",
            body=session,
        )
        self.acceptance = Acceptance(self, data, transaction.flow, cseq, owner, now)

    def reinvite(self, crossing: Crossing, user: ClientUser, now: float) -> InviteClient:
        """Sends a re-INVITE with the other side's session, or without one (late offer)."""
        dialog = self._confirmed()
        body = self.origin.write(crossing.session)
        request = dialog.request(
            "INVITE", f"{self.contact}{ALLOW}{content_type(body)}", body, crossing.max_forwards
        )
        return self.board.endpoint.send_invite(request, dialog.target_flow, user, now)

    def acknowledge(self, cseq: int, crossing: Crossing) -> tuple[bytes, Flow]:
        """Sends the ACK to a 2xx of this side; returns it for repeated 2xx."""
        dialog = self._confirmed()
        body = self.origin.write(crossing.session)
        request = dialog.ack(cseq, content_type(body), body, crossing.max_forwards)
        return self.board.endpoint.send_ack(request, dialog.target_flow), dialog.target_flow

    def hang_up(self, cause: int, now: float) -> None:
        """Sends BYE with the cause that the other side, or the engine, gives. The leg is forgotten with its answer.

        Not before our 2xx has been acknowledged, or has waited long enough for that (RFC 3261 15): a BYE that
        overtakes it would leave the far end ringing.
        """
        if self.acceptance is not None:
            self.acceptance.owner = Parting(cause)
            return
        dialog = self._confirmed()
        request = dialog.request("BYE", reason_line(cause))
        self.board.endpoint.send_request(request, dialog.target_flow, Farewell(self), now)

    def part(self, now: float) -> None:
        """Sends a BYE that has been waiting for the ACK to our 2xx: there is no later."""
        acceptance = self.acceptance
        if acceptance is not None and isinstance(acceptance.owner, Parting):
            self.drop_acceptance()
            acceptance.owner.on_unacknowledged(self, now)

    def drop_acceptance(self) -> None:
        """Stops repeating a 2xx that need not be acknowledged any more."""
        if self.acceptance is not None:
            self.acceptance.stop()
            self.acceptance = None

    def break_off(self, status: int, cause: int, now: float) -> None:
        """Ends the leg whatever its state is; `status` answers an INVITE that still waits."""
        raise AssertionError("each side has its own")

    def close(self) -> None:
        """Forgets the leg: whatever comes for it from now on is unknown."""
        self.board.legs.pop(self.tag, None)

    # --- within ---

    def _on_reinvite(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        dialog = self._confirmed()
        dialog.remote_cseq = request.cseq
        if extensions_refused(self.board, transaction, request, now):
            return
        try:
            crossing = crossing_of(request)
        except Unacceptable as unacceptable:
            self.board.endpoint.respond(transaction, unacceptable.status, now, headers=unacceptable.headers)
            return
        if request.max_forwards == 0:
            self.board.endpoint.respond(transaction, 483, now)
            return
        self.call.reinvited(self, transaction, request, crossing, now)

    def _confirmed(self) -> Dialog:
        dialog = self.dialog
        assert dialog is not None, "this leg has no dialog yet"
        return dialog


class Acceptance(Timed):
    """A 2xx on its way: repeated from T1 up to T2 until acknowledged, over TCP too, 64·T1 at most (13.3.1.4)."""

    __slots__ = ("cseq", "data", "flow", "give_up_at", "interval", "leg", "owner")

    def __init__(self, leg: Leg, data: bytes, flow: Flow, cseq: int, owner: Acknowledged, now: float) -> None:
        super().__init__()
        timers = leg.board.endpoint.timers
        self.leg = leg
        self.data = data
        self.flow = flow
        self.cseq = cseq
        self.owner = owner
        self.interval = timers.t1
        self.give_up_at = now + timers.transaction
        leg.board.endpoint.wheel.schedule(self, now + self.interval)

    def stop(self) -> None:
        self.deadline = NEVER

    def wake(self, now: float) -> None:
        endpoint = self.leg.board.endpoint
        if now >= self.give_up_at:
            self.leg.acceptance = None
            self.owner.on_unacknowledged(self.leg, now)
            return
        endpoint.outbox.append((self.flow, self.data))
        self.leg.board.tally.retransmission("out")
        self.interval = min(2 * self.interval, endpoint.timers.t2)
        endpoint.wheel.schedule(self, min(now + self.interval, self.give_up_at))


class Parting:
    """Hangs up as soon as it may: the call ended before the ACK to our 2xx had come."""

    __slots__ = ("_cause",)

    def __init__(self, cause: int) -> None:
        self._cause = cause

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        leg.hang_up(self._cause, now)

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        leg.hang_up(self._cause, now)


class Farewell:
    """Who sent a BYE: however it is answered, or not, the leg is over (RFC 3261 15.1.1)."""

    __slots__ = ("leg",)

    def __init__(self, leg: Leg) -> None:
        self.leg = leg

    def on_response(self, response: Response, now: float) -> None:
        if response.status >= 200:
            self.leg.close()

    def on_timeout(self, now: float) -> None:
        self.leg.close()

    def on_transport_error(self, now: float) -> None:
        self.leg.close()


def content_type(body: str) -> str:
    """The Content-Type line of a session description, none for an empty body."""
    return f"Content-Type: {SESSION_TYPE}\r\n" if body else ""


def reason_line(cause: int) -> str:
    """The Reason line of a Q.850 cause, without text (RFC 3326); none for 0."""
    return f"Reason: Q.850;cause={cause}\r\n" if cause else ""


def extensions_refused(board: Board, transaction: ServerTransaction, request: Request, now: float) -> bool:
    """True when it has answered 420, for a Require that nothing here can meet (RFC 3261 8.2.2.3); an empty one
    requires nothing."""
    if "require" not in request.fields:
        return False
    unsupported = ", ".join([option for option in request.values("require") if option])
    if not unsupported:
        return False
    board.endpoint.respond(transaction, 420, now, tag="" if request.to_tag else board.identifiers.token(),
                           headers=f"Unsupported: {unsupported}\r\n")  # fmt: skip
    return True
