"""An endpoint with a core that notes what it is given and answers what it is told to answer."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sip.endpoint import Endpoint, Identifiers
from engine.sip.flow import Flow, Outbox
from engine.sip.message import Request, Response, parse_message
from engine.sip.timers import NEVER, TimerValues
from engine.sip.transactions.transaction import ServerTransaction

FAR = Flow("udp", "192.0.2.9", 5062, 1, "pstn")


class Counts:
    """A tally: what was counted, in order."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.responses: list[str] = []
        self.retransmissions: list[str] = []
        self.kinds: list[str] = []

    def sip_request(self, method: str, direction: str, trunk: str) -> None:
        self.requests.append(f"{direction} {method} {trunk}")

    def sip_response(self, method: str, code: int, direction: str, trunk: str) -> None:
        self.responses.append(f"{direction} {method} {code} {trunk}")

    def retransmission(self, direction: str) -> None:
        self.retransmissions.append(direction)

    def malformed(self, kind: str) -> None:
        self.kinds.append(kind)


class Tokens:
    """Identifiers that can be told apart: t1, t2, …"""

    def __init__(self) -> None:
        self.given = 0

    def token(self) -> str:
        self.given += 1
        return f"t{self.given}"


@dataclass
class Given:
    """A request as the core got it."""

    transaction: ServerTransaction
    request: Request


class Door:
    """The core, and the endpoint that it stands behind. `answer` is what every request gets, 0 for nothing."""

    def __init__(self, answer: int = 0, identifiers: Identifiers | None = None) -> None:
        self.now = 1000.0
        self.answer = answer
        self.refusal: tuple[int, str] | None = None
        self.given: list[Given] = []
        self.malformed_invites: list[int] = []
        self.acks: list[Request] = []
        self.cancels: list[Request] = []
        self.counts = Counts()
        self.outbox: Outbox = []
        self.endpoint = Endpoint(
            self,
            TimerValues(),
            identifiers or Tokens(),
            self.counts,
            self.outbox,
            {"udp": "192.0.2.1:5060", "tcp": "192.0.2.1:5070"},
        )

    # --- the core ---

    def turn_away(self, request: Request, flow: Flow, now: float) -> tuple[int, str] | None:
        return self.refusal

    def on_malformed(self, status: int, flow: Flow, now: float) -> None:
        self.malformed_invites.append(status)

    def on_request(self, transaction: ServerTransaction, request: Request, now: float) -> None:
        self.given.append(Given(transaction, request))
        transaction.user = self
        if self.answer:
            self.endpoint.respond(transaction, self.answer, now, tag="ours")

    def on_ack(self, request: Request, flow: Flow, now: float) -> None:
        self.acks.append(request)

    def on_cancel(self, request: Request, now: float) -> None:
        self.cancels.append(request)

    # --- the wire ---

    def receive(self, data: bytes, flow: Flow = FAR) -> list[str]:
        """Gives a message in; what goes out because of it."""
        self.endpoint.receive(data, flow, self.now)
        return self.take()

    def take(self) -> list[str]:
        """What has gone out since the last call."""
        texts = [data.decode("utf-8", "surrogateescape") for _, data in self.outbox]
        self.outbox.clear()
        return texts

    def run(self, seconds: float) -> list[str]:
        """Lets time pass; what goes out in it."""
        end = self.now + seconds
        while self.endpoint.next_deadline <= end:
            self.now = max(self.now, self.endpoint.next_deadline)
            self.endpoint.expire(self.now)
        self.now = end
        return self.take()

    @property
    def quiet(self) -> bool:
        return self.endpoint.transactions_active == 0 and self.endpoint.next_deadline == NEVER


def answer_to(
    sent: str, status: int, tag: str = "they", *, via: str = "", cseq: str = "", more: str = ""
) -> bytes:
    """The response of the far end to a request that went out; `via` and `cseq` instead of its own, `more` in
    front of them: whole lines."""
    to = header(sent, "To")
    tagged = to if ";tag=" in to or not tag else f"{to};tag={tag}"
    lines = [
        f"SIP/2.0 {status} X",
        *([more] if more else []),
        via or f"Via: {header(sent, 'Via')}",
        f"From: {header(sent, 'From')}",
        f"To: {tagged}",
        f"Call-ID: {header(sent, 'Call-ID')}",
        cseq or f"CSeq: {header(sent, 'CSeq')}",
        "Content-Length: 0",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def header(text: str, name: str) -> str:
    """The value of the first header with this name; "" when there is none."""
    for line in text.split("\r\n"):
        if line.startswith(f"{name}: "):
            return line.removeprefix(f"{name}: ")
    return ""


def headers(text: str, name: str) -> list[str]:
    return [line.removeprefix(f"{name}: ") for line in text.split("\r\n") if line.startswith(f"{name}: ")]


def status(text: str) -> int:
    """The status of an answer that went out, which must be well-formed."""
    message = parse_message(text.encode("utf-8", "surrogateescape"))
    assert isinstance(message, Response)
    return message.status
