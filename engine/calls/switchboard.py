"""What is this request? The switchboard answers what needs no call, finds the leg of what belongs to one, and
takes an INVITE for a 700 number through authorization to its call."""

from __future__ import annotations

from dataclasses import dataclass

from engine.authorization.gate import Admitted, Ask, Attempt, Gate, Interconnected, Refused
from engine.authorization.reason import RETRY_LATER, Reason
from engine.calls.board import Board, extensions_refused
from engine.calls.call import Call
from engine.calls.call_state import State
from engine.calls.callee_leg import Outward
from engine.calls.caller_leg import CallerLeg
from engine.calls.capabilities import ALLOW
from engine.calls.header_lines import reason_line
from engine.calls.hiding import (
    SESSION_TYPE,
    Crossing,
    Unacceptable,
    caller_identity,
    crossing_of,
    dialled_text,
    validity,
)
from engine.calls.ports import Bindings, BindingsUnavailable, LookUpLater
from engine.calls.record import CallRecord
from engine.calls.session_timer import too_short
from engine.calls.summary import Summary
from engine.numbering.binding import Direction, Found
from engine.numbering.numbers import parse_dialled
from engine.routing.trunks import Trunk, TrunkTable
from engine.sip.digest import Credentials
from engine.sip.flow import Flow
from engine.sip.grammar import METHODS
from engine.sip.headers import MalformedHeader
from engine.sip.message import Request
from engine.sip.transactions.transaction import ServerTransaction

_WITHIN_DIALOGS = frozenset(("BYE", "PRACK", "UPDATE", "INFO"))
_ANONYMOUS = '"Anonymous" <sip:anonymous@anonymous.invalid>'  # RFC 3323 4.1.1.3


@dataclass(slots=True)
class Limits:
    """Beyond these, new calls are refused with 503 (overload). `retry_after_s` goes with every 503 and 480 of ours."""

    max_calls: int = 100_000
    max_transactions: int = 400_000
    retry_after_s: int = 5


class _Waiting:
    """An attempt whose look-up is on its way."""

    __slots__ = ("_attempt", "_call", "_crossing", "_switchboard")

    def __init__(self, switchboard: Switchboard, call: Call, attempt: Attempt, crossing: Crossing) -> None:
        self._switchboard = switchboard
        self._call = call
        self._attempt = attempt
        self._crossing = crossing

    def resume(self, found: Found | None, now: float) -> None:
        try:
            self._switchboard.decide(self._call, self._attempt, self._crossing, found, now)
        except Exception as error:
            self._call.break_off(error, now)


class Switchboard:
    """The core above the endpoint. `gate`, `trunks` and `limits` may be exchanged while calls run."""

    def __init__(
        self, board: Board, bindings: Bindings, gate: Gate, trunks: TrunkTable, limits: Limits
    ) -> None:
        self.board = board
        self.bindings = bindings
        self.gate = gate
        self.trunks = trunks
        self.limits = limits
        self.draining = False
        board.retry_after_s = limits.retry_after_s
        self._summary = Summary(board)

    # --- from the endpoint ---

    def turn_away(self, request: Request, flow: Flow, now: float) -> tuple[int, str] | None:
        """What is refused before anything is kept of it, and counted: strangers and floods. Status and headers of
        the answer. In a dialog its tag admits: a next hop need not be one of its trunk's peers."""
        endpoint = self.board.endpoint
        crowded = endpoint.transactions_active >= self.limits.max_transactions
        to_tag = request.to_tag
        if to_tag:
            known = to_tag in self.board.legs
            if crowded and not (known and request.method == "BYE"):
                self.board.tally.overload("transactions")
                return 503, self._retry_after()
            return None if known or self.trunks.by_source(flow.host) is not None else (481, "")
        trunk = self.trunks.by_source(flow.host)
        if request.method == "INVITE":
            return self._turn_away_attempt(trunk, flow, crowded, now)
        if trunk is None:
            return 403, ""
        if not trunk.enabled and request.method == "OPTIONS":
            return 503, self._retry_after()  # who asks before he calls shall call elsewhere
        if crowded:
            self.board.tally.overload("transactions")
            return 503, self._retry_after()
        return None

    def on_malformed(self, status: int, flow: Flow, now: float) -> None:
        """An INVITE that the endpoint has refused leaves its trace in the second's record."""
        trunk = self.trunks.by_source(flow.host)
        self._summary.count(None if trunk is None else trunk.name, flow.host, Reason.MALFORMED, now, status)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """What was not turned away, but for the CANCELs, which the endpoint pairs with their INVITE."""
        try:
            self._dispatch(transaction, request, now)
        except Exception as error:
            # Our own fault must not leave the caller without an answer, nor the attempt without a record.
            self._fail_internally(transaction, error, now)

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        """The ACK to a 2xx; one that fits nothing is dropped (there is no answer to an ACK)."""
        leg = self.board.legs.get(request.to_tag)
        if leg is not None and leg.dialog is not None and leg.dialog.call_id == request.call_id:
            leg.on_ack(request, now)

    # --- from the driver ---

    def drain(self) -> None:
        """No new calls from now on; those in progress go on."""
        self.draining = True

    def end_call(self, record_id: str, now: float) -> bool:
        """Ends a call on an operator's word; False when there is none with this record id."""
        call = self.board.calls.get(record_id)
        if call is None:
            return False
        call.end(Reason.ENDED_BY_PLATFORM, now)
        return True

    def close(self, now: float) -> None:
        """Ends every call at once, with a BYE to each side, also where one would wait for the ACK to its 2xx, and
        a record of each; writes what has been counted and not yet written."""
        self.drain()
        for call in list(self.board.calls.values()):
            call.end(Reason.ENDED_BY_PLATFORM, now)
        for leg in list(self.board.legs.values()):
            leg.part(now)
        self._summary.flush()

    # --- authorization, second half: after the look-up ---

    def decide(
        self, call: Call, attempt: Attempt, crossing: Crossing, found: Found | None, now: float
    ) -> None:
        """Goes on with an attempt once the store has said who stands behind the number (None: it can't)."""
        if call.state != State.SCREENING:
            return  # the caller gave up meanwhile
        if found is None:
            self._refuse(call, self.gate.refusal(Reason.STORE_UNAVAILABLE), now)
            return
        binding = found.binding
        if binding is not None:
            record = call.record
            record.tenant, record.order_id = binding.tenant, binding.order_id or None
            record.binding_id, record.model = binding.id, binding.model.name
            call.model = binding.model.name
        utc = self.board.clock.utc_ms() / 1000
        decision = self.gate.decide(attempt, found, utc)
        if isinstance(decision, Admitted):
            self._admit(call, attempt, decision, crossing, utc, now)
        else:
            self._refuse(call, decision, now)

    # --- within ---

    def _dispatch(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        to_tag = request.to_tag
        endpoint = self.board.endpoint
        if to_tag:
            leg = self.board.legs.get(to_tag)
            if leg is None:
                endpoint.respond(transaction, 481, now)
            else:
                leg.on_request(transaction, request, now)
            return
        method = request.method
        if method == "INVITE":
            self._on_invite(transaction, request, now)
        elif method not in METHODS:
            endpoint.respond(transaction, 501, now, tag=self._tag(), headers=ALLOW)
        elif method in _WITHIN_DIALOGS:
            endpoint.respond(transaction, 481, now, tag=self._tag())  # no dialog is named (15.1.2)
        elif method != "OPTIONS":
            endpoint.respond(transaction, 405, now, tag=self._tag(), headers=ALLOW)
        elif extensions_refused(self.board, transaction, request, now):
            return
        elif self.draining:
            endpoint.respond(transaction, 503, now, tag=self._tag(), headers=self._retry_after())
        else:
            endpoint.respond(
                transaction, 200, now, tag=self._tag(), headers=f"{ALLOW}Accept: {SESSION_TYPE}\r\n"
            )

    def _on_invite(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """An attempt: first what the message is (not asked while draining), then authorization."""
        board = self.board
        flow = transaction.flow
        if not board.endpoint.claim(transaction, f"{request.cseq} {request.from_tag} {request.call_id}"):
            self._refuse_malformed(transaction, 482, "", now)  # by another way (RFC 3261 8.2.2.2)
            return
        crossing = Crossing()
        if not self.draining:
            if extensions_refused(board, transaction, request, now):
                self.on_malformed(420, flow, now)
                return
            try:
                crossing = crossing_of(request)
            except Unacceptable as unacceptable:
                self._refuse_malformed(transaction, unacceptable.status, unacceptable.headers, now)
                return
            settings = board.settings
            if "session-expires" in request.fields and too_short(request, settings):
                # Its caller tries again at once (RFC 4028 7.4).
                self._refuse_malformed(transaction, 422, f"Min-SE: {settings.min_session_expires_s}\r\n", now)
                return
        trunk = self.trunks.by_source(flow.host)
        dialled = parse_dialled(dialled_text(request))
        caller = caller_identity(request, trunk is not None and trunk.trust_identity)
        record = CallRecord(
            record_id=board.identifiers.token(),
            node=board.node,
            caller=None if caller is None else caller.e164,
            dialled=dialled.digits or None,
            setup_time=board.clock.utc_ms(),
            a_call_id=request.call_id,
            in_trunk=None if trunk is None else trunk.name,
            source=flow.host,
        )
        call = Call(board, record, now)
        try:
            call.caller = CallerLeg(board, call, transaction, request)
        except MalformedHeader:
            call.forget()
            if not self.draining:
                self._refuse_malformed(transaction, 400, "", now)
                return
            status, headers = self._sum_up(trunk, flow, Reason.DRAINING, now)
            board.endpoint.respond(transaction, status, now, tag=self._tag(), headers=headers)
            return
        if "expires" in request.fields:
            valid_s = validity(request)
            if valid_s is not None:
                call.expire_after(valid_s, now)
        self._authorize(call, Attempt(trunk, caller, dialled), request, crossing, now)

    def _authorize(
        self, call: Call, attempt: Attempt, request: Request, crossing: Crossing, now: float
    ) -> None:
        gate = self.gate
        if self.draining:
            self._refuse(call, gate.refusal(Reason.DRAINING), now)
            return
        if request.max_forwards == 0:
            self._refuse(call, gate.refusal(Reason.LOOP), now)
            return
        screened = gate.screen(attempt)
        if isinstance(screened, Ask):
            try:
                found = self.bindings.look_up(screened.number, screened.caller)
            except BindingsUnavailable as error:
                self.board.faults.report("look-up", error)
                self._refuse(call, gate.refusal(Reason.STORE_UNAVAILABLE), now)
                return
            if isinstance(found, LookUpLater):
                call.trying(request, now)
                found.then = _Waiting(self, call, attempt, crossing).resume
                return
            self.decide(call, attempt, crossing, found, now)
            if call.state == State.CALLING:
                call.trying(request, now)
        elif isinstance(screened, Interconnected):
            call.trying(request, now)
            self._interconnect(call, attempt, screened, crossing, now)
        else:
            self._refuse(call, screened, now)

    def _admit(
        self, call: Call, attempt: Attempt, admitted: Admitted, crossing: Crossing, utc: float, now: float
    ) -> None:
        binding, translation, trunk = admitted.binding, admitted.translation, admitted.trunk
        record = call.record
        record.direction = "a_to_b" if translation.direction == Direction.A_TO_B else "b_to_a"
        record.callee = translation.callee.e164
        record.shown = translation.shown.digits
        record.out_trunk = trunk.name
        if translation.remembers_caller and attempt.caller is not None:
            self.board.last_callers.remember(binding.id, attempt.caller, utc)
        shown = f"<sip:{translation.shown.on_wire(trunk.number_format)}@{self.board.advertise}>"
        outward = Outward(
            user=translation.callee.on_wire(trunk.number_format),
            shown=shown,
            headers=f"P-Asserted-Identity: {shown}\r\n" if trunk.assert_identity else "",
            trunk=trunk.name,
            credentials=_credentials(trunk),
        )
        longest = self.board.settings.max_duration_s
        talk = min(binding.max_duration_s, longest) if binding.max_duration_s else longest
        trusting = trunk.trust_identity and attempt.trunk is not None and attempt.trunk.trust_identity
        call.occupy(None if attempt.trunk is None else attempt.trunk.incoming, trunk.outgoing, utc)
        call.dial(outward, trunk.reachable, crossing, trusting, talk, now)

    def _interconnect(
        self, call: Call, attempt: Attempt, screened: Interconnected, crossing: Crossing, now: float
    ) -> None:
        """To another carrier's platform: the number as dialled; the caller asserted to a trusted trunk only, since
        that platform has to find its binding, and anonymous for everybody behind it (RFC 3325 7)."""
        trunk = screened.trunk
        utc = self.board.clock.utc_ms() / 1000
        limited = self.gate.limited(attempt.trunk, trunk, utc)
        if limited is not None:
            self._refuse(call, limited, now)
            return
        call.record.out_trunk = trunk.name
        identity = ""
        if trunk.trust_identity and attempt.caller is not None:
            number = attempt.caller.on_wire(trunk.number_format)
            identity = f"P-Asserted-Identity: <sip:{number}@{self.board.advertise}>\r\nPrivacy: id\r\n"
        outward = Outward(
            screened.number.on_wire(trunk.number_format),
            _ANONYMOUS,
            identity,
            trunk.name,
            _credentials(trunk),
        )
        trusting = trunk.trust_identity and attempt.trunk is not None and attempt.trunk.trust_identity
        call.occupy(None if attempt.trunk is None else attempt.trunk.incoming, trunk.outgoing, utc)
        call.dial(outward, trunk.reachable, crossing, trusting, self.board.settings.max_duration_s, now)

    def _refuse(self, call: Call, refused: Refused, now: float) -> None:
        retry_after = self.limits.retry_after_s if refused.reason in RETRY_LATER else 0
        call.refuse(refused.reason, refused.status, refused.cause, retry_after, now)

    def _refuse_malformed(
        self, transaction: ServerTransaction, status: int, headers: str, now: float
    ) -> None:
        self.board.endpoint.respond(transaction, status, now, tag=self._tag(), headers=headers)
        self.on_malformed(status, transaction.flow, now)

    def _turn_away_attempt(
        self, trunk: Trunk | None, flow: Flow, crowded: bool, now: float
    ) -> tuple[int, str] | None:
        board = self.board
        cause = ""
        if trunk is None or not trunk.enabled:
            reason = Reason.DRAINING if self.draining else Reason.UNKNOWN_SOURCE
        elif len(board.calls) >= self.limits.max_calls:
            reason, cause = Reason.OVERLOAD, "calls"
        elif crowded:
            reason, cause = Reason.OVERLOAD, "transactions"
        elif not board.records.accepting:
            reason, cause = Reason.STORE_UNAVAILABLE, "records"
        else:
            return None
        if cause:
            board.tally.overload(cause)
        return self._sum_up(trunk, flow, reason, now)

    def _sum_up(self, trunk: Trunk | None, flow: Flow, reason: Reason, now: float) -> tuple[int, str]:
        """Counts an attempt for the second's record; status and headers of its answer."""
        refusal = self.gate.refusal(reason)
        headers = self._retry_after() if reason in RETRY_LATER else ""
        self._summary.count(None if trunk is None else trunk.name, flow.host, reason, now)
        return refusal.status, headers + reason_line(refusal.cause)

    def _fail_internally(self, transaction: ServerTransaction, error: Exception, now: float) -> None:
        user = transaction.user
        if isinstance(user, CallerLeg) and user.call.state != State.ENDED:
            user.call.break_off(error, now)
        else:
            self.board.faults.report("request", error)
        if not transaction.answered:
            self.board.endpoint.respond(transaction, 500, now, tag=self._tag(), headers=reason_line(41))

    def _retry_after(self) -> str:
        return f"Retry-After: {self.limits.retry_after_s}\r\n"

    def _tag(self) -> str:
        return self.board.identifiers.token()


def _credentials(trunk: Trunk) -> Credentials | None:
    return Credentials(trunk.username, trunk.password) if trunk.username else None
