"""One call as a telephone of the simulated wire sees it, and what it hears in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.sip.flow import Flow
from engine.sip.message import Request, Response
from engine.sip.outgoing import OutgoingRequest
from engine.sip.timers import NEVER, Timed
from engine.sip.transactions.invite_client import InviteClient
from engine.sip.transactions.transaction import ServerTransaction

if TYPE_CHECKING:
    from tests.simulation.phone import Phone


class Asking:
    """Hears the answer to a request outside of a call."""

    def __init__(self) -> None:
        self.responses: list[Response] = []
        self.status = 0

    def on_response(self, response: Response, now: float) -> None:
        self.responses.append(response)
        self.status = response.status

    def on_timeout(self, now: float) -> None:
        self.status = 408

    def on_transport_error(self, now: float) -> None:
        self.status = 503


@dataclass
class Heard:
    """What came in within a call, in order."""

    requests: list[Request] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)  # to our INVITEs
    acks: list[Request] = field(default_factory=list)

    def statuses(self, cseq: int = 0) -> list[int]:
        return [response.status for response in self.responses if cseq in (0, response.cseq)]

    def request(self, method: str) -> Request:
        """The only request of that method."""
        (only,) = [request for request in self.requests if request.method == method]
        return only

    def count(self, method: str) -> int:
        return sum(request.method == method for request in self.requests)


class PhoneCall:
    """One call as its phone sees it.

    `status` is the final answer to the first INVITE, 0 before it; `released_by` is "" while it lasts, else
    "self", "peer" or, when it was never answered, "nobody". `auto_ack` False leaves ACKs to `acknowledge`, `auto_prack`
    True sends PRACK to reliable provisional responses.
    """

    def __init__(self, phone: Phone, incoming: bool) -> None:
        self.phone = phone
        self.incoming = incoming
        self.heard = Heard()
        self.status = 0
        self.answered = False  # a 2xx was sent or received for the first INVITE
        self.confirmed = False  # its ACK was received, or sent
        self.released_by = ""
        self.auto_ack = True
        self.auto_prack = False
        self._sequences: dict[str, int] = {}  # of the callee: tag → the last RSeq
        self._pracked: set[tuple[str, str]] = set()  # of the caller: To tag and RSeq
        self.offer_in_answer = False
        self.session_version = 1
        self.call_id = ""
        self.tag = ""
        self.forks: dict[str, str] = {}  # of the callee: name of the fork → its tag
        self.picked: list[str] = []  # tags of the forks that answered and were not hung up
        self.local = self.remote = self.remote_uri = ""
        self.remote_tag = ""
        self.routes = ""
        self.cseq = 10
        self.reinvite_statuses: list[int] = []  # final answers to our re-INVITEs
        self._cancelled = False
        self._invite: InviteClient | None = None
        self.reinviting: InviteClient | None = None
        self.reinvited: ServerTransaction | None = None
        self._transaction: ServerTransaction | None = None
        self._answering = (
            "",
            "",
            "",
        )  # what every answer to the INVITE begins with: several forks may give one
        self._acks: dict[int, tuple[bytes, Flow]] = {}
        self._repeats: dict[tuple[int, str], Repeat] = {}  # by CSeq and our tag

    # --- the caller ---

    def dial(self, dialled: str, offer: str, headers: str, uri: str) -> None:
        phone = self.phone
        c = phone.canaries.mark
        self.call_id = f"{phone.token()}@{c}.example"
        self.tag = phone.token()
        self.local = f"{phone.identity()};tag={self.tag}"
        self.remote = f'"{c} to" <sip:{dialled};isub={c}@{c}-to.example>;x={c}'
        self.offer_in_answer = not offer
        self.remote_uri = uri or f"sip:{dialled};npdi;rn=+8613{c}@{phone.engine.host};user=phone;x-{c}={c}"
        lines = phone.contact() + (phone.record_routes() if phone.record_route else "") + headers
        request = self._request("INVITE", lines, offer)
        self._invite = phone.endpoint.send_invite(request, phone.engine, self, phone.world.now)

    def cancel(self, headers: str = "") -> None:
        """Gives up; the CANCEL is held until a provisional response has come. After the answer it is a BYE."""
        self._cancelled = True
        if self.answered:
            self.hang_up()
        elif self.heard.responses and not self.status:
            self._send_cancel(headers)

    def acknowledge(self, session: str | None = None, cseq: int = 0) -> None:
        """Sends the ACK to the last 2xx; an answer goes with it where the 2xx brought the offer."""
        answered = [response for response in self.heard.responses if 200 <= response.status < 300]
        response = next(item for item in reversed(answered) if cseq in (0, item.cseq))
        body = session
        if body is None:
            body = self.phone.session(port=4006) if self.offer_in_answer else ""
        kind = "Content-Type: application/sdp\r\n" if body else ""
        ack = OutgoingRequest(
            "ACK", self.remote_uri, self.local, self.remote, self.call_id, response.cseq,
            routes=self.routes, headers=kind, body=body,
        )  # fmt: skip
        data = self.phone.endpoint.send_ack(ack, self.phone.engine)
        self._acks[response.cseq] = (data, self.phone.engine)
        self.confirmed = True

    # --- the callee ---

    def ringing(self, transaction: ServerTransaction, request: Request) -> None:
        self.heard.requests.append(request)
        self._transaction = transaction
        self._answering = (transaction.head, transaction.to, transaction.tail)
        transaction.user = self
        self.call_id = request.call_id
        self.tag = self.phone.token()
        self.local, self.remote = request.value("to"), request.value("from")
        contact = request.contact
        assert contact is not None
        self.remote_uri, self.remote_tag = contact.uri, request.from_tag
        self.offer_in_answer = not request.body

    @property
    def invite(self) -> Request:
        """The INVITE that made it ring."""
        return self.heard.requests[0]

    def ring(self, status: int = 180, session: str = "", fork: str = "", headers: str = "") -> None:
        """Sends a provisional response; each `fork` is an early dialog of its own."""
        transaction = self._open()
        if transaction is None:
            return
        tag = "" if status == 100 else self._tag_of(fork)
        self._respond(transaction, status, tag, session, headers)

    def ring_reliably(self, status: int = 183, session: str = "", fork: str = "") -> None:
        """The same until its PRACK comes (RFC 3262 3); not before that of the one before, nor to who knows no PRACK."""
        transaction, tag = self._open(), self._tag_of(fork)
        if transaction is None or "100rel" not in self.invite.value("supported"):
            return
        if any(waiting == tag and number < 0 for number, waiting in self._repeats):
            return
        number = self._sequences[tag] = self._sequences.get(tag, 40) + 1
        data = self._respond(transaction, status, tag, session, f"Require: 100rel\r\nRSeq: {number}\r\n")
        self._repeat(-number, tag, data, transaction.flow)

    def answer(self, session: str | None = None, fork: str = "", headers: str = "") -> None:
        """Sends 200 and repeats it until the ACK comes; an answer after the first is that of another fork."""
        transaction = self._transaction
        if transaction is None or (transaction.answered and not transaction.accepted) or self.released_by:
            return
        tag = self._tag_of(fork)
        if tag not in self.picked:
            self.picked.append(tag)
        if not self.answered:
            self._speak_as(tag)
            self.answered = True
            self.status = 200
        body = self.phone.session(port=5000) if session is None else session
        transaction.head, transaction.to, transaction.tail = self._answering
        data = self._respond(transaction, 200, tag, body, headers)
        self._repeat(self.invite.cseq, tag, data, transaction.flow)

    def reject(self, status: int = 486, headers: str = "", body: str = "") -> None:
        transaction = self._open()
        if transaction is not None:
            self.status = status
            self.released_by = "nobody"
            self.phone.endpoint.respond(
                transaction, status, self.phone.world.now, tag=self._tag_of(""), headers=headers, body=body
            )

    # --- either side ---

    def hang_up(self, headers: str = "", force: bool = False) -> None:
        """Sends BYE, in a call that is answered (`force`: also in one that is not)."""
        if self.released_by or not (self.answered or force):
            return
        self.released_by = "self"
        for repeat in self._repeats.values():
            repeat.stop()
        for tag in self.picked[1:] if self.incoming else ():
            self._speak_as(tag)
            self.send("BYE", headers)
        if self.picked:
            self._speak_as(self.picked[0])
        self.send("BYE", headers)

    def send(self, method: str, headers: str = "", body: str = "", cseq: int = 0) -> Asking:
        """Any request in the dialog but INVITE and ACK."""
        asking = Asking()
        request = self._request(method, headers, body, cseq)
        self.phone.endpoint.send_request(request, self.phone.engine, asking, self.phone.world.now)
        return asking

    def reinvite(self, session: str | None = None, headers: str = "") -> bool:
        """Sends a re-INVITE unless one is open; `session` "" leaves the offer to the other side."""
        if not self.confirmed or self.released_by or self.reinviting or self.reinvited:
            return False
        self.session_version += 1
        body = self.phone.session(version=self.session_version) if session is None else session
        self.offer_in_answer = not body
        request = self._request("INVITE", self.phone.contact() + headers, body)
        self.reinviting = self.phone.endpoint.send_invite(
            request, self.phone.engine, self, self.phone.world.now
        )
        return True

    def cancel_reinvite(self) -> None:
        if self.reinviting is not None:
            self.phone.endpoint.send_cancel(self.reinviting, "", self.phone.world.now)

    def accept_reinvite(self, session: str | None = None) -> None:
        """Answers the re-INVITE that waits; 491 while one of our own is open (RFC 3261 14.2)."""
        transaction = self.reinvited
        if transaction is None:
            return
        if self.reinviting is not None:
            self.refuse_reinvite(491)
            return
        self.reinvited = None
        request = [item for item in self.heard.requests if item.method == "INVITE"][-1]
        self.session_version += 1
        body = self.phone.session(port=5002, version=self.session_version) if session is None else session
        data = self._respond(transaction, 200, "", body)
        self._repeat(request.cseq, self.tag, data, transaction.flow)

    def ring_reinvite(self, status: int = 183) -> None:
        if self.reinvited is not None:
            self._respond(self.reinvited, status, "", "")

    def refuse_reinvite(self, status: int = 488, headers: str = "") -> None:
        transaction, self.reinvited = self.reinvited, None
        if transaction is not None:
            self.phone.endpoint.respond(transaction, status, self.phone.world.now, headers=headers)

    def owns(self, tag: str) -> bool:
        return tag == self.tag or tag in self.forks.values()

    @property
    def over(self) -> bool:
        return bool(self.released_by)

    # --- as the user of its transactions ---

    def on_response(self, response: Response, now: float) -> None:
        self.heard.responses.append(response)
        first = self._invite is not None and response.cseq == self._invite.request.cseq
        if response.status < 200:
            if first and self._cancelled and len(self.heard.responses) == 1:
                self._send_cancel("")
            if first and self.auto_prack and "rseq" in response.fields:
                self._prack(response)
        elif response.status < 300:
            self._on_success(response, first)
        elif first:
            self.status = response.status
            self.released_by = "nobody"
        else:
            self.reinviting = None
            self.reinvite_statuses.append(response.status)

    def on_timeout(self, now: float) -> None:
        if self.reinviting is not None:
            self.reinviting = None
            self.reinvite_statuses.append(408)
        else:
            self.status = 408
            self.released_by = "nobody"

    def on_transport_error(self, now: float) -> None:
        self.on_timeout(now)

    def on_cancel(self, request: Request, now: float) -> None:
        self.heard.requests.append(request)
        transaction = self.reinvited or self._open()
        if transaction is None:
            return
        self.phone.endpoint.respond(transaction, 487, now, tag="" if self.reinvited else self._tag_of(""))
        if self.reinvited is not None:
            self.reinvited = None
        else:
            self.status = 487
            self.released_by = "nobody"

    def on_ack(self, request: Request) -> None:
        self.heard.acks.append(request)
        repeat = self._repeats.pop((request.cseq, request.to_tag), None)
        if repeat is not None:
            repeat.stop()
        if self.incoming and request.cseq == self.invite.cseq and request.to_tag in self.picked:
            self.confirmed = True

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.heard.requests.append(request)
        endpoint = self.phone.endpoint
        if request.method == "BYE":
            endpoint.respond(transaction, 200, now)
            if request.to_tag in self.picked and len(self.picked) > 1:
                self.picked.remove(request.to_tag)  # a fork that lost
                self._speak_as(self.picked[0])
                return
            if request.to_tag != self.tag:
                return
            if not self.released_by:
                self.released_by = "peer"
            for repeat in self._repeats.values():
                repeat.stop()
            if self.reinvited is not None:
                endpoint.respond(self.reinvited, 487, now)
                self.reinvited = None
        elif request.method == "INVITE" and not self.over:
            if self.reinvited is not None:
                endpoint.respond(transaction, 500, now, headers="Retry-After: 1\r\n")
                return
            self.reinvited = transaction
            transaction.user = self
            self.phone.on_reinvite(self)
        elif request.method == "PRACK" and self._acknowledged(request) is False:
            endpoint.respond(transaction, 481, now)
        elif request.method in ("UPDATE", "PRACK") and request.body and not self.over:
            headers = f"{self.phone.contact()}Content-Type: application/sdp\r\n"
            body = self.phone.session(port=5004)
            endpoint.respond(transaction, 200, now, headers=headers, body=body)
        else:
            endpoint.respond(transaction, 481 if self.over else 200, now)

    # --- within ---

    def _acknowledged(self, request: Request) -> bool | None:
        """Stops repeating the reliable response; None where no telephone but a test sent it."""
        if not self._sequences:
            return None
        repeat = self._repeats.pop((-int(request.value("rack").split()[0]), request.to_tag), None)
        if repeat is not None:
            repeat.stop()
        return repeat is not None

    def _on_success(self, response: Response, first: bool) -> None:
        known = self._acks.get(response.cseq)
        if known is not None:
            self.phone.endpoint.send_again(*known)
            return
        if response.cseq in self._seen_successes():
            return  # waits for `acknowledge`
        if first:
            self.status = response.status
            self.answered = True
            self.remote = response.value("to")
            self.remote_tag = response.to_tag
            routes = response.values("record-route")
            self.routes = "".join([f"Route: {route}\r\n" for route in reversed(routes)])
        else:
            self.reinviting = None
            self.reinvite_statuses.append(response.status)
        if response.contact is not None:
            self.remote_uri = response.contact.uri
        if self.auto_ack:
            self.acknowledge(cseq=response.cseq)
        if first and self._cancelled:
            self.hang_up()  # the 2xx crossed the CANCEL

    def _seen_successes(self) -> list[int]:
        return [item.cseq for item in self.heard.responses[:-1] if 200 <= item.status < 300]

    def _send_cancel(self, headers: str) -> None:
        assert self._invite is not None
        self.phone.endpoint.send_cancel(self._invite, headers, self.phone.world.now)

    def _prack(self, response: Response) -> None:
        """In the early dialog that the response made, once."""
        key = (response.to_tag, response.value("rseq"))
        if key in self._pracked or response.contact is None:
            return
        self._pracked.add(key)
        self.cseq += 1
        routes = "".join([f"Route: {route}\r\n" for route in reversed(response.values("record-route"))])
        prack = OutgoingRequest(
            "PRACK", response.contact.uri, self.local, response.value("to"), self.call_id, self.cseq,
            routes=routes, headers=f"RAck: {key[1]} {response.cseq} INVITE\r\n",
        )  # fmt: skip
        self.phone.endpoint.send_request(prack, self.phone.engine, Asking(), self.phone.world.now)

    def _speak_as(self, tag: str) -> None:
        """One fork of this phone is who talks from now on."""
        self.tag = tag
        self.local = f"{self.invite.value('to')};tag={tag}"

    def _repeat(self, cseq: int, tag: str, data: bytes, flow: Flow) -> None:
        """Sends a 2xx again until its ACK comes; a fork that sends another one goes on with that."""
        known = self._repeats.pop((cseq, tag), None)
        if known is not None:
            known.stop()
        self._repeats[cseq, tag] = Repeat(self, cseq, data, flow)

    def _open(self) -> ServerTransaction | None:
        transaction = self._transaction
        return None if transaction is None or transaction.answered else transaction

    def _tag_of(self, fork: str) -> str:
        if not fork:
            return self.tag
        if fork not in self.forks:
            self.forks[fork] = self.phone.token()
        return self.forks[fork]

    def _respond(
        self, transaction: ServerTransaction, status: int, tag: str, session: str, headers: str = ""
    ) -> bytes:
        phone = self.phone
        lines = "" if status == 100 else phone.contact() + headers
        if tag and self.phone.record_route:
            lines += phone.record_routes()
        if session and "Content-Type:" not in headers:
            lines += "Content-Type: application/sdp\r\n"
        epid = f"{tag};epid={phone.canaries.mark}" if tag else ""
        return phone.endpoint.respond(
            transaction, status, phone.world.now, tag=epid, headers=lines, body=session
        )

    def _request(self, method: str, headers: str, body: str, cseq: int = 0) -> OutgoingRequest:
        if not cseq:
            self.cseq += 1
            cseq = self.cseq
        if body and "Content-Type:" not in headers:
            headers += "Content-Type: application/sdp\r\n"
        return OutgoingRequest(
            method, self.remote_uri, self.local, self.remote, self.call_id, cseq,
            routes=self.routes, headers=headers, body=body,
        )  # fmt: skip


class Repeat(Timed):
    """A 2xx of the phone on its way; without an ACK in 64·T1 the call is given up by BYE (RFC 3261 13.3.1.4)."""

    def __init__(self, call: PhoneCall, cseq: int, data: bytes, flow: Flow) -> None:
        super().__init__()
        endpoint = call.phone.endpoint
        self._call, self._cseq, self._data, self._flow = call, cseq, data, flow
        self._interval = endpoint.timers.t1
        self._until = call.phone.world.now + endpoint.timers.transaction
        endpoint.wheel.schedule(self, call.phone.world.now + self._interval)

    def stop(self) -> None:
        self.deadline = NEVER

    def wake(self, now: float) -> None:
        endpoint = self._call.phone.endpoint
        if self._cseq < 0 and (now >= self._until or self._call.status):
            return  # a provisional response, and the final one has been sent
        if now >= self._until:
            self._call.hang_up()
            return
        endpoint.outbox.append((self._flow, self._data))
        self._interval = min(2 * self._interval, endpoint.timers.t2)
        endpoint.wheel.schedule(self, min(now + self._interval, self._until))
