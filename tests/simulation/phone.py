"""A telephone on the simulated wire. It speaks through an endpoint of its own, so it repeats what is lost; what it
says in a dialog it builds by itself, so that a fault of the engine's dialogs is not mirrored here.

Everything that it sends carries canaries (`Canaries`), its own real number among them.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow, Outbox
from engine.sip.message import Request
from engine.sip.outgoing import OutgoingRequest
from engine.sip.timers import TimerValues
from engine.sip.transactions.transaction import ServerTransaction
from tests.simulation.canaries import Canaries
from tests.simulation.phone_call import Asking, PhoneCall, Repeat
from tests.simulation.world import ENGINE, Address, Tokens, World


class Figures:
    """Counts nothing: what a phone sent is in the world's log."""

    def sip_request(self, method: str, direction: str, trunk: str) -> None: ...
    def sip_response(self, method: str, code: int, direction: str, trunk: str) -> None: ...
    def retransmission(self, direction: str) -> None: ...
    def malformed(self, kind: str) -> None:
        raise AssertionError(f"the engine sent something malformed: {kind}")


class Phone:
    """A node of the world and the core of its endpoint.

    `script` is asked what to do when it rings, `on_reinvite` when a session shall change; both get the call.
    """

    def __init__(
        self,
        world: World,
        name: str,
        number: str,
        address: Address,
        *,
        engine: Address = ENGINE,
        timers: TimerValues | None = None,
        rows: tuple[str, ...] | None = None,
    ) -> None:
        self.world = world
        self.name = name
        self.number = number
        self.address = address
        self.engine = Flow(world.transport, engine[0], engine[1], 1, "sim")
        self.canaries = Canaries(name, number, address[0], rows)
        self.calls: list[PhoneCall] = []
        self.script: Callable[[PhoneCall], None] = lambda call: None
        self.on_reinvite: Callable[[PhoneCall], None] = lambda call: call.accept_reinvite()
        self.record_route = True
        self.device = f"canary-{name}"  # user part of its Contact, but for the number
        self._tokens = Tokens(f"canary-{name}-")
        self._ready: Outbox = []
        self.repeats: list[Repeat] = []
        sent_by = dict.fromkeys(("udp", "tcp"), f"{address[0]}:{address[1]}")
        self.endpoint = Endpoint(self, timers or TimerValues(), self._tokens, Figures(), [], sent_by)
        world.add(self)

    # --- as a node ---

    @property
    def outbox(self) -> Outbox:
        sent = self.endpoint.outbox
        if sent:
            self._ready += [(flow, self.canaries.plant(data)) for flow, data in sent]
            sent.clear()
        return self._ready

    @property
    def next_deadline(self) -> float:
        return min([self.endpoint.next_deadline, *[repeat.deadline for repeat in self.repeats]])

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.endpoint.receive(self.canaries.without_vias(data), flow, now)

    def expire(self, now: float) -> None:
        self.endpoint.expire(now)
        for repeat in [one for one in self.repeats if one.deadline <= now]:
            if repeat in self.repeats:  # one before it may have stopped it
                repeat.stop()
                repeat.wake(now)

    def transport_failed(self, flow: Flow, now: float) -> None:
        self.endpoint.transport_failed(flow, now)

    # --- what its user does ---

    def call(self, dialled: str, *, offer: str | None = None, headers: str = "", uri: str = "") -> PhoneCall:
        """Dials. `offer` "" leaves the offer to the other side; whole lines in `headers` go in as they are; `uri`
        stands for the usual Request-URI."""
        call = PhoneCall(self, incoming=False)
        call.dial(dialled, self.session() if offer is None else offer, headers, uri)
        self.calls.append(call)
        return call

    def options(self, headers: str = "") -> Asking:
        """Asks the engine what it can, outside of any call."""
        return self.ask("OPTIONS", headers=headers)

    def ask(self, method: str, headers: str = "", to: str = "", body: str = "") -> Asking:
        """Any request outside of a dialog, or in an invented one."""
        asking = Asking()
        token = self._tokens.token()
        request = OutgoingRequest(
            method, f"sip:700100000000001@{self.engine.host}", f"{self.identity()};tag={token}",
            to or f"<sip:{self.engine.host}>", f"{token}-ask", 7, headers=headers, body=body,
        )  # fmt: skip
        self.endpoint.send_request(request, self.engine, asking, self.world.now)
        return asking

    def session(self, direction: str = "sendrecv", port: int = 4000, version: int = 1) -> str:
        return self.canaries.session(direction, port, version)

    # --- what it says of itself ---

    def identity(self) -> str:
        """A From with everything in it that gives its user away; the tag is to be added."""
        c = self.canaries.mark
        return (
            f'"{c} display" <sip:+86{self.number};cpc=ordinary;isup-oli={c};phone-context={c}.example'
            f"@{c}-home.example;user=phone>;epid={c}"
        )

    def contact(self) -> str:
        c = self.canaries.mark
        host, port = self.address
        transport = "" if self.world.transport == "udp" else f";transport={self.world.transport}"
        return (
            f'Contact: "{c}" <sip:{self.device}-{self.number}@{host}:{port}{transport};ob;gr=urn:uuid:{c}>'
            f';+sip.instance="<urn:uuid:{c}>";reg-id=1;+g.3gpp.icsi-ref="{c}"\r\n'
        )

    def record_routes(self) -> str:
        c = self.canaries.mark
        return f"Record-Route: <sip:{c}@{c}-rr1.example;lr>, <sip:{c}-rr2.example;lr>\r\n"

    def token(self) -> str:
        return self._tokens.token()

    # --- as the core of its endpoint ---

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        if request.method == "INVITE" and not request.to_tag:
            call = PhoneCall(self, incoming=True)
            self.calls.append(call)
            call.ringing(transaction, request)
            self.script(call)
            return
        for call in self.calls:
            if call.call_id == request.call_id and call.owns(request.to_tag):
                call.on_request(transaction, request, now)
                return
        status = 200 if request.method == "OPTIONS" and not request.to_tag else 481
        self.endpoint.respond(transaction, status, now, tag="" if request.to_tag else self.token())

    def on_malformed(self, status: int, flow: Flow, now: float) -> None: ...

    def turn_away(self, request: Request, flow: Flow, now: float) -> None:
        return None

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        for call in self.calls:
            if call.call_id == request.call_id and call.owns(request.to_tag):
                call.on_ack(request)
