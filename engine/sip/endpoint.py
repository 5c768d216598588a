"""The endpoint: bytes in, bytes out. It parses, finds the transaction, and hands the rest to the core above.

It owns no socket and no clock: `receive` takes a datagram or a framed message with its flow and the time,
`expire` the time; what is to be sent lies in the outbox, and `next_deadline` says when to come again.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Protocol

from engine.sip.flow import Flow, Outbox
from engine.sip.message import MalformedMessage, Request, Response, parse_message
from engine.sip.outgoing import OutgoingRequest, octets
from engine.sip.phrases import status_line
from engine.sip.timers import TimerValues, TimerWheel
from engine.sip.transactions.invite_client import InviteClient
from engine.sip.transactions.invite_server import InviteServer
from engine.sip.transactions.non_invite_client import NonInviteClient
from engine.sip.transactions.non_invite_server import NonInviteServer
from engine.sip.transactions.transaction import UNHEARD, ClientUser, Fallback, Layer, ServerTransaction
from engine.sip.via import answer_flow, answered_vias, server_key

COOKIE = "z9hG4bK"  # RFC 3261 8.1.1.7
LARGE = 1300  # octets; a larger request must not go over UDP where TCP can be had (18.1.1)


class Core(Protocol):
    """What decides about requests: the transaction user of everything that starts with a request of theirs."""

    def turn_away(self, request: Request, flow: Flow, now: float) -> tuple[int, str] | None:
        """Whether a new request, of any method but ACK and CANCEL, is not worth a transaction: the status and the
        header lines of its one answer; None for what may have one."""
        ...

    def on_malformed(self, status: int, flow: Flow, now: float) -> None:
        """An INVITE outside of dialogs that was malformed; it has been answered with that status."""
        ...

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        """A new request other than ACK and CANCEL that was not turned away; to be answered."""
        ...

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        """The ACK to a 2xx."""
        ...


class Identifiers(Protocol):
    """Where randomness comes from."""

    def token(self) -> str:
        """16 hexadecimal digits that nobody can guess and that never come twice."""
        ...


class Tally(Protocol):
    """Counters of messages; labels are bounded by who counts."""

    def sip_request(self, method: str, direction: str, trunk: str) -> None: ...
    def sip_response(self, method: str, code: int, direction: str, trunk: str) -> None: ...
    def retransmission(self, direction: str) -> None: ...
    def malformed(self, kind: str) -> None: ...


class Endpoint:
    """The transaction layer and its door. `sent_by` maps a transport to the host:port of our Via.

    `symmetric` holds the names of the trunks whose answers over UDP go to the source port, asked for or not,
    `large_over_tcp` of those whose large requests go over TCP. `datagrams`: whether anything can be sent over UDP.
    """

    def __init__(
        self,
        core: Core,
        timers: TimerValues,
        identifiers: Identifiers,
        tally: Tally,
        outbox: Outbox,
        sent_by: dict[str, str],
    ) -> None:
        self.outbox = outbox
        self.timers = timers
        self.wheel = TimerWheel()
        self.symmetric: frozenset[str] = frozenset()
        self.large_over_tcp: frozenset[str] = frozenset()
        self.datagrams = True
        self._core = core
        self._identifiers = identifiers
        self._tally = tally
        self._via_before_branch = {
            transport: f"SIP/2.0/{transport.upper()} {address};branch="
            for transport, address in sent_by.items()
        }
        self._tag_key = identifiers.token().encode()
        self._layer = Layer(outbox, self.wheel, timers, tally.retransmission)

    # --- in ---

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        """One datagram or one framed message."""
        try:
            message = parse_message(data)
        except MalformedMessage as malformed:
            if malformed.kind == "empty" and data:
                return  # CRLFs that keep a way through a NAT open
            flow.faults += 1
            self._tally.malformed(malformed.kind)
            request = malformed.request
            if request is not None and request.method != "ACK":
                self._refuse(request, malformed.status, "", flow)
                if request.method == "INVITE" and not request.to_tag:
                    self._core.on_malformed(malformed.status, flow, now)
            return
        if isinstance(message, Response):
            self._receive_response(message, flow, now)
        else:
            self._receive_request(message, flow, now)

    def expire(self, now: float) -> None:
        """Everything whose time has come by `now` happens."""
        self.wheel.expire(now)

    @property
    def next_deadline(self) -> float:
        return self.wheel.next_deadline

    @property
    def transactions_active(self) -> int:
        return len(self._layer.servers) + len(self._layer.clients)

    @property
    def attempts_claimed(self) -> int:
        return len(self._layer.attempts)

    def transport_failed(self, flow: Flow, now: float) -> None:
        """Nothing can be sent to `flow`: what waits there for an answer hears of it at once (8.1.3.1)."""
        waiting = [
            client
            for client in self._layer.clients.values()
            if client.flow is flow
            or (
                client.flow.transport == flow.transport
                and client.flow.host == flow.host
                and client.flow.port == flow.port
            )
        ]
        fallbacks = self._layer.fallbacks
        for client in waiting:
            way = fallbacks.pop(client.key, None) if fallbacks else None
            if way is not None and client.state == 0:
                client.fall_back(way, now)
            else:
                client.transport_failed(now)

    def came_back(self, data: bytes, now: float) -> None:
        """The network brings back the beginning of a datagram of ours: it cannot get there (18.4). A request that was
        to begin something fails at once; one within a dialog is repeated on, for a far end that is only starting
        again. Nobody else knows the branch, so nobody can forge this."""
        head = data.split(b"\r\n", 2)
        if len(head) < 3:
            return  # too little to tell whose it was
        method = head[0].partition(b" ")[0]
        branch = head[1].partition(b";branch=")[2].partition(b";")[0]
        client = self._layer.clients.get(f"{branch.decode('latin-1')} {method.decode('latin-1')}")
        if client is not None and client.state == 0:
            to = client.sent.partition(b"\r\nTo: ")[2].partition(b"\r\n")[0]
            if b";tag=" not in to:
                client.transport_failed(now)

    # --- out ---

    def send_request(self, request: OutgoingRequest, flow: Flow, user: ClientUser, now: float) -> None:
        """Sends a request other than INVITE, CANCEL and ACK in a transaction of its own."""
        if not self.datagrams:
            flow = _over_tcp(flow)
        branch = COOKIE + self._identifiers.token()
        method = request.method
        self._tally.sip_request(method, "out", flow.trunk)
        via = self._via(flow, branch)
        data = request.render(via)
        key = f"{branch} {method}"
        if len(data) > LARGE and flow.transport == "udp" and flow.trunk in self.large_over_tcp:
            self._layer.fallbacks[key] = Fallback(flow, via, data)
            flow = _over_tcp(flow)
            data = request.render(self._via(flow, branch))
        NonInviteClient(self._layer, key, flow, data, user, now)

    def send_invite(self, request: OutgoingRequest, flow: Flow, user: ClientUser, now: float) -> InviteClient:
        if not self.datagrams:
            flow = _over_tcp(flow)
        branch = COOKIE + self._identifiers.token()
        self._tally.sip_request("INVITE", "out", flow.trunk)
        via = self._via(flow, branch)
        data = request.render(via)
        key = f"{branch} INVITE"
        if len(data) > LARGE and flow.transport == "udp" and flow.trunk in self.large_over_tcp:
            self._layer.fallbacks[key] = Fallback(flow, via, data)
            flow = _over_tcp(flow)
            via = self._via(flow, branch)
            data = request.render(via)
        return InviteClient(self._layer, key, flow, request, via, data, user, now)

    def send_cancel(self, invite: InviteClient, headers: str, now: float) -> None:
        """Sends the CANCEL of an INVITE of ours; the caller has seen to it that a provisional response came (9.1)."""
        cancel = invite.request.accompanying("CANCEL", invite.request.to, headers)
        self._tally.sip_request("CANCEL", "out", invite.flow.trunk)
        invite.expect_end(now)
        key = invite.key.removesuffix("INVITE") + "CANCEL"  # the same branch (9.1)
        NonInviteClient(self._layer, key, invite.flow, cancel.render(invite.via), UNHEARD, now)

    def send_ack(self, request: OutgoingRequest, flow: Flow) -> bytes:
        """Sends the ACK to a 2xx, a transaction of its own without a machine (13.2.2.4); returns it for repeats.
        Over UDP however large it is: nobody would hear that TCP is refused."""
        if not self.datagrams:
            flow = _over_tcp(flow)
        data = request.render(self._via(flow, COOKIE + self._identifiers.token()))
        self._tally.sip_request("ACK", "out", flow.trunk)
        self.outbox.append((flow, data))
        return data

    def send_again(self, data: bytes, flow: Flow) -> None:
        """Sends an ACK once more, for a repeated 2xx."""
        self._tally.retransmission("out")
        self.outbox.append((flow if self.datagrams else _over_tcp(flow), data))

    def respond(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        tag: str = "",
        headers: str = "",
        body: str = "",
    ) -> bytes:
        """Answers a request; returns the bytes, which a 2xx to an INVITE needs for its repeats (13.3.1.4).

        `tag` goes into the To unless the request brought one; `headers` are whole lines.
        """
        our_tag = f";tag={tag}" if tag and not transaction.in_dialog else ""
        length = len(body) if body.isascii() else octets(body)
        data = (
            f"{status_line(status)}{transaction.head}To: {transaction.to}{our_tag}\r\n{transaction.tail}{headers}"
            f"Content-Length: {length}\r\n\r\n{body}"
        ).encode("utf-8", "surrogateescape")
        self._tally.sip_response(transaction.method, status, "out", transaction.flow.trunk)
        if status >= 200:
            transaction.tag = tag
        transaction.send(status, data, now)
        return data

    def claim(self, transaction: ServerTransaction, attempt: str) -> bool:
        """Names what an INVITE has in common with itself by another way (8.2.2.2), as long as its transaction lives;
        False when another transaction has that name."""
        attempts = self._layer.attempts
        if attempt in attempts:
            return False
        attempts.add(attempt)
        transaction.attempt = attempt
        return True

    # --- within ---

    def _via(self, flow: Flow, branch: str) -> str:
        return f"{self._via_before_branch[flow.transport]}{branch};rport"

    def _receive_response(self, response: Response, flow: Flow, now: float) -> None:
        vias = response.fields["via"]
        if len(vias) > 1 or "," in vias[0]:
            self._tally.malformed("via")  # not ours: we put in one, and it comes back alone (8.1.3.3)
            return
        method = response.cseq_method
        branch = response.top_via.params.get("branch", "")
        client = self._layer.clients.get(f"{branch} {method}")  # 17.1.3
        if client is None:
            self._tally.sip_response(method, response.status, "in", flow.trunk)
            return
        if client.repeats(response):
            self._tally.retransmission("in")
        else:
            # A next hop need not be one of the trunk's peers.
            self._tally.sip_response(method, response.status, "in", client.flow.trunk)
        client.receive(response, now)

    def _receive_request(self, request: Request, flow: Flow, now: float) -> None:
        method = request.method
        servers = self._layer.servers
        if method == "ACK":
            self._receive_ack(request, servers.get(server_key(request, flow, "INVITE")), flow, now)
            return
        key = server_key(request, flow, method)
        known = servers.get(key)
        if known is not None:
            self._tally.retransmission("in")
            known.receive(request, now)
            return
        self._tally.sip_request(method, "in", flow.trunk)
        invite: ServerTransaction | None = None
        if method == "CANCEL":
            invite = servers.get(server_key(request, flow, "INVITE"))
            refusal = (481, "") if invite is None else None  # 9.2
        else:
            refusal = self._core.turn_away(request, flow, now)
        if refusal is not None:
            self._refuse(request, refusal[0], refusal[1], flow)
            return
        transaction: ServerTransaction
        answering = answer_flow(request, flow, flow.trunk in self.symmetric)
        if method == "INVITE":
            transaction = InviteServer(self._layer, key, answering, request)
        else:
            transaction = NonInviteServer(self._layer, key, answering, request)
        fields = request.fields
        transaction.head = f"{answered_vias(request, flow)}From: {fields['from'][0]}\r\n"
        transaction.to = fields["to"][0]
        transaction.tail = f"Call-ID: {request.call_id}\r\nCSeq: {request.cseq} {method}\r\n"
        if invite is not None:
            self._cancel(transaction, invite, request, now)
        else:
            self._core.on_request(transaction, request, now)

    def _receive_ack(
        self, request: Request, invite: ServerTransaction | None, flow: Flow, now: float
    ) -> None:
        if invite is not None and invite.confirmed:
            self._tally.retransmission("in")
        else:
            self._tally.sip_request("ACK", "in", flow.trunk)
        if invite is None or invite.accepted:
            self._core.on_ack(request, flow, now)
        else:
            invite.receive(request, now)

    def _cancel(
        self, cancel: ServerTransaction, invite: ServerTransaction, request: Request, now: float
    ) -> None:
        """9.2: answered 200, with the To tag of the INVITE's own answers, and the INVITE's user hears of it while
        it can still matter."""
        self.respond(cancel, 200, now, tag=invite.tag or self._identifiers.token())
        if not invite.answered and invite.user is not None:
            invite.user.on_cancel(request, now)

    def _refuse(self, request: Request, status: int, more: str, flow: Flow) -> None:
        """Answers without a transaction, so once only: the same request again gets the same answer, its To tag
        made of what it answers (8.2.7). Headers that are not there have no line in it; `more` are whole lines."""
        vias = answered_vias(request, flow)
        from_, to = request.value("from"), request.value("to")
        call_id, cseq = request.value("call-id"), request.value("cseq")
        if to and not request.to_tag:
            known = f"{vias}{from_}\n{to}\n{call_id}\n{cseq}".encode("utf-8", "surrogateescape")
            to += ";tag=" + blake2b(known, key=self._tag_key, digest_size=8).hexdigest()
        lines = (("From", from_), ("To", to), ("Call-ID", call_id), ("CSeq", cseq))
        headers = "".join([f"{name}: {value}\r\n" for name, value in lines if value])
        self._tally.sip_response(request.method, status, "out", flow.trunk)
        answering = answer_flow(request, flow, flow.trunk in self.symmetric)
        answer = f"{status_line(status)}{vias}{headers}{more}Content-Length: 0\r\n\r\n"
        self.outbox.append((answering, answer.encode("utf-8", "surrogateescape")))


def _over_tcp(flow: Flow) -> Flow:
    """The same far end, over TCP."""
    return Flow("tcp", flow.host, flow.port, 0, flow.trunk) if flow.transport == "udp" else flow
