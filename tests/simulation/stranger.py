"""Somebody on the wire who writes his messages by hand: byte for byte, right or wrong."""

from __future__ import annotations

from engine.sip.flow import Flow, Outbox
from engine.sip.timers import NEVER
from tests.simulation.world import ENGINE, Address, World

STRANGER: Address = ("127.0.5.55", 5066)


class Stranger:
    """A node of the world that answers nothing by itself. `heard` keeps what it got, in order."""

    def __init__(self, world: World, address: Address = STRANGER) -> None:
        self.world = world
        self.address = address
        self.outbox: Outbox = []
        self.heard: list[str] = []
        self.next_deadline = NEVER
        self._engine = Flow(world.transport, ENGINE[0], ENGINE[1], 1, "sim")
        world.add(self)

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.heard.append(data.decode("utf-8", "surrogateescape"))

    def expire(self, now: float) -> None: ...
    def transport_failed(self, flow: Flow, now: float) -> None: ...

    def send(self, text: str) -> None:
        """One datagram to the engine, as it stands."""
        self.outbox.append((self._engine, text.encode("utf-8", "surrogateescape")))

    def request(
        self,
        method: str,
        *lines: str,
        uri: str = "sip:700100000000001@127.0.0.9",
        branch: str = "z9hG4bKone",
        from_: str = "<sip:13800000001@127.0.5.55>;tag=from",
        to: str = "<sip:700100000000001@127.0.0.9>",
        call_id: str = "by-hand",
        cseq: int = 1,
        contact: bool = True,
        via: str = "",
        body: str = "",
    ) -> None:
        """Sends a request that is right unless told otherwise; `lines` go in as they are."""
        host, port = self.address
        head = [
            f"{method} {uri} SIP/2.0",
            via or f"Via: SIP/2.0/{self.world.transport.upper()} {host}:{port};branch={branch}",
            f"From: {from_}",
            f"To: {to}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            *lines,
        ]
        if contact:
            head.append(f"Contact: <sip:by-hand@{host}:{port}>")
        head.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(head) + f"\r\n\r\n{body}")

    def answer(self, request: str, status: int, *lines: str, tag: str = "by-hand", body: str = "") -> None:
        """Answers a request that it has heard."""
        kept = [
            line
            for line in request.partition("\r\n\r\n")[0].split("\r\n")
            if line.partition(":")[0] in ("Via", "From", "Call-ID", "CSeq")
        ]
        to = next(line for line in request.split("\r\n") if line.startswith("To:"))
        if tag and ";tag=" not in to:
            to += f";tag={tag}"
        head = [f"SIP/2.0 {status} By Hand", *kept, to, *lines, f"Content-Length: {len(body)}"]
        self.send("\r\n".join(head) + f"\r\n\r\n{body}")

    def statuses(self) -> list[int]:
        return [int(text[8:11]) for text in self.heard if text.startswith("SIP/2.0 ")]

    def last(self, start: str = "") -> str:
        return [text for text in self.heard if text.startswith(start)][-1]
