"""One side of a call once it has a dialog: hanging up, changing the session, what comes in between.

A leg knows SIP and its own side only. What the other side has to know goes to the call as an event or to the
conversation as a Crossing; what comes from there is built into this leg's messages from its own state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.calls.acceptance import Acceptance, Acknowledged, Farewell, Parting
from engine.calls.board import Board, extensions_refused
from engine.calls.capabilities import (
    ALLOW,
    ALLOW_LINES,
    EVERY_METHOD,
    PRECONDITION,
    SUPPORTED_LINES,
    TIMER,
    methods,
)
from engine.calls.challenged import CHALLENGES, Challenged, anew
from engine.calls.events import CallEvent, Event
from engine.calls.header_lines import content_type, early_media_line, reason_line, require_line
from engine.calls.hiding import (
    SESSION_TYPE,
    Abilities,
    Crossing,
    Unacceptable,
    cause_of,
    crossing_of,
    info_of,
)
from engine.calls.kept_alive import KeptAlive
from engine.calls.refresh import News, Refresh
from engine.calls.session import SessionOrigin
from engine.calls.session_timer import too_short
from engine.sip.dialog import Dialog
from engine.sip.digest import Authorizer, Credentials, challenge_of
from engine.sip.flow import Flow
from engine.sip.grammar import METHODS
from engine.sip.message import Request, Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.transactions.invite_client import InviteClient
from engine.sip.transactions.transaction import ClientUser, ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call

MOST_EARLY_DIALOGS = 16  # of one INVITE, so that a callee's side cannot fill the memory


class Leg(KeptAlive):
    """`dialog` is None until there is one; `flow` is where this side last sent from; `credentials` are what we answer
    challenges with, None for nothing, `authorizer` does so once there was one."""

    __slots__ = (
        "acceptance",
        "authorizer",
        "contact",
        "credentials",
        "dialog",
        "flow",
        "origin",
        "tag",
    )

    def __init__(self, board: Board, call: Call, flow: Flow) -> None:
        super().__init__(board, call)
        self.flow = flow
        self.tag = board.identifiers.token()
        self.contact = board.contact(self.tag, flow.transport)
        self.origin: SessionOrigin = board.origin()
        self.dialog: Dialog | None = None
        self.acceptance: Acceptance | None = None
        self.authorizer: Authorizer | None = None
        self.credentials: Credentials | None = None

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
            self._on_reinvite(transaction, request, dialog, now)
        else:
            self.on_aside(transaction, request, dialog, "", now)

    def on_aside(
        self, transaction: ServerTransaction, request: Request, dialog: Dialog, early: str, now: float
    ) -> None:
        """What comes within a dialog besides INVITE and BYE: PRACK, UPDATE and INFO, which cross, and what has
        nothing to do with the call. `early` names the early dialog, "" after the answer."""
        method = request.method
        endpoint = self.board.endpoint
        if request.cseq <= dialog.remote_cseq:
            endpoint.respond(transaction, 500, now)
            return
        dialog.remote_cseq = request.cseq
        if method == "OPTIONS":
            if not extensions_refused(self.board, transaction, request, now):
                endpoint.respond(transaction, 200, now, headers=f"{ALLOW}Accept: {SESSION_TYPE}\r\n")
        elif method not in ("PRACK", "UPDATE", "INFO"):
            endpoint.respond(transaction, 405 if method in METHODS else 501, now, headers=ALLOW)
        elif self.call.over:
            endpoint.respond(transaction, 481, now)  # the BYE is on its way
        elif extensions_refused(self.board, transaction, request, now):
            return
        elif request.max_forwards == 0:
            endpoint.respond(transaction, 483, now)
        else:
            try:
                self._cross(transaction, request, dialog, early, now)
            except Unacceptable as unacceptable:
                endpoint.respond(transaction, unacceptable.status, now, headers=unacceptable.headers)

    def on_ack(self, request: Request, now: float) -> None:
        """The ACK to a 2xx of this leg. A second one, or one for another INVITE, changes nothing."""
        acceptance = self.acceptance
        if acceptance is None or acceptance.cseq != request.cseq:
            return
        try:
            crossing = crossing_of(request)
        except Unacceptable:
            crossing = Crossing()  # an ACK cannot be refused (13.2.2.4): what is wrong with its body stays
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
        lines: str,
        abilities: Abilities,
    ) -> None:
        """Sends the 2xx to an INVITE and repeats it until its ACK comes (RFC 3261 13.3.1.4). `lines` are those that
        only this one has."""
        data = self.board.endpoint.respond(
            transaction,
            200,
            now,
            tag=tag,
            headers=f"{lines}{self.contact}{ALLOW_LINES[abilities.methods]}"
            f"{SUPPORTED_LINES[abilities.supported | TIMER]}{require_line(abilities)}{content_type(session)}",
            body=session,
        )
        self.acceptance = Acceptance(self, data, transaction.flow, cseq, owner, now)

    def grant(
        self, transaction: ServerTransaction, crossing: Crossing, early: str, lines: str, now: float
    ) -> None:
        """Sends the 200 to a PRACK, UPDATE or INFO of this side."""
        _, origin = self.dialog_of(early)
        body = origin.write(crossing.session)
        abilities = crossing.abilities
        media = early_media_line(abilities) if early else ""
        headers = f"{lines}{require_line(abilities)}{media}{content_type(body)}"
        if transaction.method == "UPDATE":
            headers = f"{self.contact}{ALLOW_LINES[abilities.methods]}{headers}"
        self.board.endpoint.respond(transaction, 200, now, headers=headers, body=body)

    def reinvite(self, crossing: Crossing, user: ClientUser, now: float) -> InviteClient:
        """Sends a re-INVITE with the other side's session, or without one (late offer)."""
        return self._reinvite(
            self.origin.write(crossing.session), crossing.abilities, crossing.max_forwards, user, now
        )

    @property
    def may_ask(self) -> bool:
        return self.acceptance is None

    def begin_refresh(self, news: News | None, now: float) -> Refresh:
        return Refresh(self, news, now)

    def refresh(self, with_update: bool, session: str, user: ClientUser, now: float) -> InviteClient | None:
        """Sends UPDATE without a session, or a re-INVITE with the last one unchanged (RFC 4028 7.4) where there is none
        to be told."""
        abilities = Abilities(methods=self.call.other(self).methods)
        if not with_update:
            body = self.origin.write(session) if session else self.origin.again()
            return self._reinvite(body, abilities, 70, user, now)
        headers = f"{self.contact}{ALLOW_LINES[abilities.methods]}{SUPPORTED_LINES[TIMER]}{self.wish()}"
        dialog = self._confirmed()
        self._ask(dialog.request("UPDATE", headers), dialog, user, now)
        return None

    def pass_on(
        self,
        method: str,
        crossing: Crossing,
        early: str,
        headers: str,
        body: str,
        user: ClientUser,
        now: float,
    ) -> None:
        """Sends a PRACK, UPDATE or INFO of the other side in this side's dialog; `headers` and `body` are those of
        its kind, where it brings no session."""
        dialog, origin = self.dialog_of(early)
        abilities = crossing.abilities
        if crossing.session:
            body = origin.write(crossing.session)
            headers += require_line(abilities) + content_type(body)
        if early:
            headers += early_media_line(abilities)
        if method == "UPDATE":
            options = abilities.supported & PRECONDITION
            lines = SUPPORTED_LINES[options] if early else f"{SUPPORTED_LINES[options | TIMER]}{self.wish()}"
            headers = f"{self.contact}{ALLOW_LINES[abilities.methods]}{lines}{headers}"
        self._ask(dialog.request(method, headers, body, crossing.max_forwards), dialog, user, now)

    def acknowledge(self, cseq: int, crossing: Crossing) -> tuple[bytes, Flow]:
        """Sends the ACK to a 2xx of this side; returns it for repeated 2xx."""
        dialog = self._confirmed()
        body = self.origin.write(crossing.session)
        request = dialog.ack(cseq, content_type(body), body, crossing.max_forwards)
        self.authorize(request)
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
        self._ask(dialog.request("BYE", reason_line(cause)), dialog, Farewell(self), now)

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

    # --- challenges (RFC 3261 22) ---

    def authorize(self, request: OutgoingRequest) -> None:
        """Adds the credentials, once they have been asked for."""
        if self.authorizer is not None:
            request.headers += self.authorizer.line(request.method, request.uri)

    def takes_up(self, response: Response) -> bool:
        """Takes up the challenge of a 401 or 407; False where there is nothing new to answer it with."""
        challenge, credentials = challenge_of(response), self.credentials
        if challenge is None or credentials is None:
            return False
        if self.authorizer is not None and self.authorizer.nonce == challenge.nonce:
            return False
        self.authorizer = Authorizer(challenge, credentials, self.board.identifiers.token())
        return True

    def invite_anew(
        self, sent: InviteClient, response: Response, user: ClientUser, now: float
    ) -> InviteClient | None:
        """A re-INVITE once more after a challenge; None where that is no use."""
        if response.status not in CHALLENGES or not self.takes_up(response):
            return None
        dialog = self._confirmed()
        request = anew(sent.request, dialog)
        self.authorize(request)
        return self.board.endpoint.send_invite(request, dialog.target_flow, user, now)

    # --- within ---

    def dialog_of(self, early: str) -> tuple[Dialog, SessionOrigin]:
        """The dialog and its session's origin; `early` names an early one, "" is the dialog itself."""
        return self._confirmed(), self.origin

    def _cross(
        self, transaction: ServerTransaction, request: Request, dialog: Dialog, early: str, now: float
    ) -> None:
        """Raises Unacceptable."""
        conversation = self.call.converse()
        if request.method == "INFO":
            kind, body = info_of(request)
            crossing = Crossing(max_forwards=max(0, (request.max_forwards or 71) - 1))
            headers = f"Content-Type: {kind}\r\n" if body else ""
            conversation.pass_on(self, transaction, crossing, early, headers, body, now)
            return
        crossing = self.call.within_trust(crossing_of(request))
        if request.method == "PRACK":
            self.on_prack(transaction, request, crossing, early, now)
            return
        if "allow" in request.fields:
            self.methods = methods(request)
        if not early and too_short(request, self.board.settings):
            shortest = self.board.settings.min_session_expires_s
            raise Unacceptable(422, f"Min-SE: {shortest}\r\n")
        dialog.refresh_target(request.contact, transaction.flow)
        if crossing.session:
            conversation.updated(self, transaction, request, crossing, early, now)
        else:
            lines = "" if early else self.negotiate(request, now)
            said = EVERY_METHOD if early else self.call.other(self).methods
            self.grant(transaction, Crossing(abilities=Abilities(methods=said)), early, lines, now)

    def on_prack(
        self, transaction: ServerTransaction, request: Request, crossing: Crossing, early: str, now: float
    ) -> None:
        """PRACK where nothing waits for it (RFC 3262 3)."""
        self.board.endpoint.respond(transaction, 481, now)

    def _on_reinvite(
        self, transaction: ServerTransaction, request: Request, dialog: Dialog, now: float
    ) -> None:
        dialog.remote_cseq = request.cseq
        endpoint = self.board.endpoint
        if extensions_refused(self.board, transaction, request, now):
            return
        try:
            crossing = crossing_of(request)
        except Unacceptable as unacceptable:
            endpoint.respond(transaction, unacceptable.status, now, headers=unacceptable.headers)
            return
        if request.max_forwards == 0:
            endpoint.respond(transaction, 483, now)
        elif too_short(request, self.board.settings):
            shortest = self.board.settings.min_session_expires_s
            endpoint.respond(transaction, 422, now, headers=f"Min-SE: {shortest}\r\n")
        else:
            if "allow" in request.fields:
                self.methods = methods(request)
            self.call.converse().reinvited(self, transaction, request, crossing, now)

    def _reinvite(
        self, body: str, abilities: Abilities, max_forwards: int, user: ClientUser, now: float
    ) -> InviteClient:
        dialog = self._confirmed()
        headers = (
            f"{self.contact}{ALLOW_LINES[abilities.methods]}"
            f"{SUPPORTED_LINES[abilities.supported & PRECONDITION | TIMER]}{require_line(abilities)}"
            f"{self.wish()}{content_type(body)}"
        )
        request = dialog.request("INVITE", headers, body, max_forwards)
        self.authorize(request)
        return self.board.endpoint.send_invite(request, dialog.target_flow, user, now)

    def _ask(self, request: OutgoingRequest, dialog: Dialog, user: ClientUser, now: float) -> None:
        self.authorize(request)
        if self.credentials is not None:
            user = Challenged(self, dialog, request, user)
        self.board.endpoint.send_request(request, dialog.target_flow, user, now)

    def _confirmed(self) -> Dialog:
        dialog = self.dialog
        assert dialog is not None, "this leg has no dialog yet"
        return dialog
