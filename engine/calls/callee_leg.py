"""The callee's side of a call that is being set up: the engine is the UAC (RFC 3261 section 13.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from engine.authorization.reason import ANSWER, Reason
from engine.calls.board import Board
from engine.calls.capabilities import ALLOW_LINES, RELIABLE, REQUIRE_LINES, SUPPORTED_LINES, TIMER, required
from engine.calls.challenged import without_credentials
from engine.calls.events import CallEvent, Event
from engine.calls.header_lines import content_type, early_media_line, reason_line
from engine.calls.hiding import SESSION_TYPE, Crossing, Unacceptable, cause_of, crossing_of
from engine.calls.leg import MOST_EARLY_DIALOGS, Leg
from engine.calls.session import SessionOrigin
from engine.calls.session_timer import shortest_of
from engine.routing.next_hop import NextHop
from engine.sip.dialog import Dialog, calling_dialog
from engine.sip.digest import Authorizer, Credentials, challenge_of
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow
from engine.sip.grammar import number_up_to
from engine.sip.message import Request, Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.transactions.invite_client import InviteClient
from engine.sip.transactions.transaction import UNHEARD, ServerTransaction

if TYPE_CHECKING:
    from engine.calls.call import Call

BAD_GATEWAY = 502
PROTOCOL_ERROR = 111  # Q.850: protocol error, unspecified
Acks = dict[str, tuple[bytes, Flow]]  # To tag of a 2xx → the ACK that it got, for when it comes again

_MOST_TRIES: Final = 3  # of one INVITE whose session interval is too short for the callee's side
_LONGEST_INTERVAL_S: Final = 7 * 86_400
_ASKED_AGAIN: Final = frozenset((401, 407, 422))  # settled on this leg, where they can be
_LAST_RSEQ: Final = 2**32 - 1
_MOST_UNWANTED = 16  # answers to one INVITE that are acknowledged and hung up; further ones are ignored
_BYE_AHEAD = 100  # how far the CSeq of a BYE to an unwanted 2xx is ahead: higher than any that was used


@dataclass(slots=True)
class Outward:
    """Whom to ring and what he sees; the same at every next hop.

    user         user part of Request-URI and To, as the trunk wants numbers
    shown        From without its tag
    headers      further lines of the trunk's own: asserted identity, privacy
    trunk        name of the trunk
    credentials  what answers a challenge of the trunk's far end, None for nothing
    """

    user: str
    shown: str
    headers: str
    trunk: str
    credentials: Credentials | None = None


@dataclass(slots=True)
class CalleeEarly:
    """An early dialog of the callee's side: the response that made it, and, once something is said in it, the dialog
    itself. `sequence`: the last RSeq that came in order, 0 before any."""

    response: Response
    sequence: int = 0
    dialog: Dialog | None = None
    origin: SessionOrigin | None = None


class CalleeLeg(Leg):
    """One INVITE to one next hop, with all the early dialogs that come of it. The first 2xx makes the dialog."""

    __slots__ = (
        "_acks",
        "_cancel_headers",
        "_early",
        "_invite",
        "_offered_reliable",
        "_provisional",
        "call_id",
    )

    def __init__(
        self, board: Board, call: Call, outward: Outward, hop: NextHop, crossing: Crossing, now: float
    ) -> None:
        super().__init__(board, call, Flow(hop.transport, hop.host, hop.port, 0, outward.trunk))
        host = f"[{hop.host}]" if ":" in hop.host else hop.host
        address = host if hop.port == 5060 else f"{host}:{hop.port}"
        transport = "" if hop.transport == "udp" else f";transport={hop.transport}"
        self.call_id = f"{self.tag}-{board.identifiers.token()}"
        self._acks: Acks = {}
        self._cancel_headers: str | None = None  # of the CANCEL, once the call is over for this INVITE
        self._provisional = False
        self.credentials = outward.credentials
        self._early: dict[str, CalleeEarly] = {}
        abilities = crossing.abilities
        options = abilities.supported | abilities.required
        self._offered_reliable = bool(options & RELIABLE)
        body = self.origin.write(crossing.session)
        request = OutgoingRequest(
            "INVITE",
            f"sip:{outward.user}@{address}{transport}",
            f"{outward.shown};tag={self.tag}",
            f"<sip:{outward.user}@{address}>",
            self.call_id,
            1,
            crossing.max_forwards,
            headers=f"{self.contact}{ALLOW_LINES[abilities.methods]}{SUPPORTED_LINES[options | TIMER]}"
            f"{REQUIRE_LINES[abilities.required]}{self.wish()}Accept: {SESSION_TYPE}\r\n{early_media_line(abilities)}"
            f"{outward.headers}{content_type(body)}",
            body=body,
        )
        board.legs[self.tag] = self
        self._invite: InviteClient = board.endpoint.send_invite(request, self.flow, self, now)

    @property
    def is_caller(self) -> bool:
        return False

    @property
    def invite_cseq(self) -> int:
        return self._invite.request.cseq

    @property
    def responded(self) -> bool:
        """True once anything came back, be it 100 or a challenge."""
        return self._provisional or self._invite.request.cseq > 1

    # --- in ---

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        early = None
        if self.dialog is None and request.call_id == self.call_id:
            early = self._early.get(request.from_tag)
        if early is None:
            super().on_request(transaction, request, now)
        elif request.method == "BYE":
            # A callee must not end an early dialog so (RFC 3261 15).
            self.board.endpoint.respond(transaction, 500, now)
        elif request.method == "INVITE":
            self.board.endpoint.respond(transaction, 491, now)  # ours is still open (14.2)
        else:
            dialog, _ = self._dialog_in(early)
            self.on_aside(transaction, request, dialog, self.tag + request.from_tag, now)

    def on_response(self, response: Response, now: float) -> None:
        status = response.status
        if status < 200:
            self._on_provisional(response, now)
        elif status < 300:
            self._on_success(response, now)
        elif status not in _ASKED_AGAIN or not self._tried_again(response, now):
            self.close()
            if not self._abandoned:
                crossing = Crossing(cause=cause_of(response))
                if "retry-after" in response.fields:
                    crossing.retry_after = _crossing(response).retry_after
                kind = Event.HOP_LOST if status == 503 else Event.FAILURE
                self.call.handle(CallEvent(kind, crossing, status), now)

    def on_timeout(self, now: float) -> None:
        self.close()
        if not self._abandoned:
            self.call.handle(CallEvent(Event.NO_RESPONSE), now)

    def on_transport_error(self, now: float) -> None:
        self.close()
        if not self._abandoned:
            self.call.handle(CallEvent(Event.HOP_LOST), now)

    # --- out ---

    def confirm(self, crossing: Crossing) -> None:
        """Acknowledges the callee's 2xx, with the answer of a late offer if the caller's ACK brought one."""
        tag = self._confirmed().remote_tag
        if tag not in self._acks:
            self._acks[tag] = self.acknowledge(self._invite.request.cseq, crossing)

    def abandon(self, cause: int, now: float) -> None:
        """The call is over for this INVITE before the caller has an answer. CANCEL is held until a provisional
        response has come (RFC 3261 9.1); a 2xx that crosses it, or was held back, is acknowledged and hung up."""
        if self._abandoned:
            return
        if self.dialog is not None:
            self.hang_up(cause, now)
            return
        self._cancel_headers = reason_line(cause)
        if self._provisional:
            self.board.endpoint.send_cancel(self._invite, self._cancel_headers, now)

    def hang_up(self, cause: int, now: float) -> None:
        self.confirm(Crossing())  # never leave a 2xx without its ACK, whatever else happens
        super().hang_up(cause, now)

    def break_off(self, status: int, cause: int, now: float) -> None:
        if self.dialog is None:
            self.abandon(cause, now)
        else:
            self.hang_up(cause, now)

    def close(self) -> None:
        """Leaves behind only what repeated and late 2xx still need for 64·T1."""
        super().close()
        self._invite.user = self._late_answers()

    # --- within ---

    def speaks(self, early: str) -> bool:
        """Whether an early dialog is still one: no more once another fork has answered, or after a challenge, with
        which the INVITE began anew."""
        tag = early[len(self.tag) :]
        return tag in self._early if self.dialog is None else tag == self.dialog.remote_tag

    def dialog_of(self, early: str) -> tuple[Dialog, SessionOrigin]:
        if early and self.dialog is None:
            known = self._early.get(early[len(self.tag) :])
            if known is not None:
                return self._dialog_in(known)
        return super().dialog_of(early)

    def _dialog_in(self, early: CalleeEarly) -> tuple[Dialog, SessionOrigin]:
        """Makes what it stands for as soon as it is needed; most early dialogs say nothing."""
        if early.dialog is None or early.origin is None:
            early.dialog = calling_dialog(self._invite.request, self.tag, early.response, self.flow)
            early.origin = self.origin.copy()
        return early.dialog, early.origin

    def _begin_dialog(self, response: Response, now: float) -> None:
        """The first 2xx: the dialog, which goes on counting where its early self was."""
        dialog = calling_dialog(self._invite.request, self.tag, response, self.flow)
        early = self._early.get(response.to_tag)
        if early is not None and early.dialog is not None and early.origin is not None:
            dialog.local_cseq, dialog.remote_cseq = early.dialog.local_cseq, early.dialog.remote_cseq
            self.origin = early.origin
        self._early = {}
        self.dialog = dialog
        self.settle(response, now)

    def _tried_again(self, response: Response, now: float) -> bool:
        """After 401 and 407 with credentials (RFC 3261 22.2), after 422 with the interval that the callee's side wants
        (RFC 4028 7.3): the same INVITE once more."""
        request = self._invite.request
        if self._abandoned or request.cseq >= _MOST_TRIES:
            return False
        if response.status == 422:
            headers = self._with_longer_interval(response, request.headers)
        else:
            headers = self._with_credentials(response, request)
        if not headers:
            return False
        self._early = {}
        self._provisional = False  # its CANCEL would be another one
        self._invite.user = UNHEARD
        self._invite = self.board.endpoint.send_invite(
            replace(request, cseq=request.cseq + 1, headers=headers), self.flow, self, now
        )
        return True

    def _with_longer_interval(self, response: Response, headers: str) -> str:
        shortest, wished = shortest_of(response), self.wish()
        least = max(self.board.settings.session_expires_s, self.shortest)
        if not wished or not least < shortest <= _LONGEST_INTERVAL_S:
            return ""  # what it was offered is long enough for what it says
        self.shortest = shortest
        headers = headers.replace(wished, self.wish())
        if self.authorizer is None:
            return headers
        return self.authorizer.line("INVITE", self._invite.request.uri) + without_credentials(headers)

    def _with_credentials(self, response: Response, request: OutgoingRequest) -> str:
        challenge = challenge_of(response)
        credentials = self.credentials
        if challenge is None or credentials is None or (self.authorizer is not None and not challenge.stale):
            return ""  # the same credentials would be refused again
        self.authorizer = Authorizer(challenge, credentials, self.board.identifiers.token())
        return self.authorizer.line("INVITE", request.uri) + without_credentials(request.headers)

    def _late_answers(self) -> LateAnswers:
        invite = self._invite
        return LateAnswers(self.board.endpoint, invite.request, invite.flow, self.tag, self._acks)

    @property
    def _abandoned(self) -> bool:
        return self._cancel_headers is not None

    def _on_provisional(self, response: Response, now: float) -> None:
        first = not self._provisional
        self._provisional = True
        if self._cancel_headers is not None:
            if first:
                self.board.endpoint.send_cancel(self._invite, self._cancel_headers, now)
            return
        if response.status in (100, 199):
            return  # 199 was never offered to it (RFC 6228 4), and tells the caller nothing
        tag = response.to_tag
        rseq = 0
        if tag:
            early = self._early.get(tag)
            if early is None:
                early = CalleeEarly(response)
                if len(self._early) < MOST_EARLY_DIALOGS:
                    self._early[tag] = early
            if "rseq" in response.fields and self._offered_reliable:
                rseq = number_up_to(response.value("rseq"), _LAST_RSEQ)
                if rseq <= 0 or not required(response) & RELIABLE:
                    rseq = 0
                elif early.sequence and rseq != early.sequence + 1:
                    return  # again, or too early: it will come again (RFC 3262 4)
                else:
                    early.sequence = rseq
        crossing = _crossing(response)
        event = CallEvent(Event.PROGRESS, crossing, response.status, early=self.tag + tag, rseq=rseq)
        self.call.handle(event, now)

    def _on_success(self, response: Response, now: float) -> None:
        dialog = self.dialog
        if dialog is not None and dialog.remote_tag == response.to_tag:
            again = self._acks.get(dialog.remote_tag)
            if again is not None:
                self.board.endpoint.send_again(*again)
            return
        if self._abandoned or dialog is not None:
            self._late_answers().on_response(response, now)
            if dialog is None:
                self.close()  # its transaction has nothing more to report than further 2xx
            return
        self._begin_dialog(response, now)
        try:
            crossing = crossing_of(response)
        except Unacceptable:
            # A session that cannot be read cannot be masked: the call fails rather than connect with half of it.
            self.hang_up(PROTOCOL_ERROR, now)
            self.call.handle(CallEvent(Event.FAILURE, Crossing(cause=PROTOCOL_ERROR), BAD_GATEWAY), now)
            return
        if not self.board.records.accepting:
            # There must be proof of a call before there is one: the caller hears 503, this side BYE.
            answer = ANSWER[Reason.STORE_UNAVAILABLE]
            self.hang_up(answer.cause, now)
            self.call.refuse(
                Reason.STORE_UNAVAILABLE, answer.status, answer.cause, self.board.retry_after_s, now
            )
            return
        self.call.handle(CallEvent(Event.ANSWER, crossing, early=self.tag + response.to_tag), now)


class LateAnswers:
    """Hears the 2xx that come too late or from another fork (RFC 3261 13.2.2.4): ACK and BYE for a new one, the
    ACK again for a known one."""

    __slots__ = ("_acks", "_endpoint", "_flow", "_sent", "_tag")

    def __init__(self, endpoint: Endpoint, sent: OutgoingRequest, flow: Flow, tag: str, acks: Acks) -> None:
        self._endpoint = endpoint
        self._sent = sent
        self._flow = flow
        self._tag = tag
        self._acks = acks

    def on_response(self, response: Response, now: float) -> None:
        if not 200 <= response.status < 300:
            return
        endpoint = self._endpoint
        again = self._acks.get(response.to_tag)
        if again is not None:
            endpoint.send_again(*again)
            return
        if len(self._acks) > _MOST_UNWANTED:
            return
        dialog = calling_dialog(self._sent, self._tag, response, self._flow)
        flow = dialog.target_flow
        self._acks[response.to_tag] = (endpoint.send_ack(dialog.ack(self._sent.cseq), flow), flow)
        dialog.local_cseq += _BYE_AHEAD
        endpoint.send_request(dialog.request("BYE", reason_line(16)), flow, UNHEARD, now)

    def on_timeout(self, now: float) -> None:
        pass

    def on_transport_error(self, now: float) -> None:
        pass


def _crossing(response: Response) -> Crossing:
    """What crosses of a response whose body may be left behind."""
    try:
        return crossing_of(response)
    except Unacceptable:
        return Crossing(cause=cause_of(response))
