"""Far ends on real sockets for a real engine: a next hop that answers, and somebody who calls."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

HOST = "127.0.0.1"
PATIENCE_S = 15.0
SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)


def header(text: str, name: str) -> str:
    found = re.search(rf"^{name}: ?(.*?)\r?$", text, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def answer(request: str, status: int, contact: str, body: str = "") -> bytes:
    """The response to a request that came here."""
    vias = "".join(f"Via: {via}\r\n" for via in re.findall(r"^Via: (.*?)\r$", request, re.MULTILINE))
    to = header(request, "To")
    tag = "" if ";tag=" in to else ";tag=far"
    kind = "Content-Type: application/sdp\r\n" if body else ""
    return (
        f"SIP/2.0 {status} X\r\n{vias}From: {header(request, 'From')}\r\nTo: {to}{tag}\r\n"
        f"Call-ID: {header(request, 'Call-ID')}\r\nCSeq: {header(request, 'CSeq')}\r\nContact: <{contact}>\r\n"
        f"{kind}Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


class Phone(asyncio.DatagramProtocol):
    """One UDP address. `heard` are all messages that came, `react` what is answered to a request: a status, or
    nothing (0). An INVITE's 200 has a session."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.react: Callable[[str], int] = lambda request: 200
        self._noted = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None
        self.port = 0

    @staticmethod
    async def at(port: int = 0) -> Phone:
        loop = asyncio.get_running_loop()
        transport, phone = await loop.create_datagram_endpoint(Phone, local_addr=(HOST, port))
        phone._transport = transport
        phone.port = transport.get_extra_info("sockname")[1]
        return phone

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        text = data.decode()
        self.heard.append(text)
        self._noted.set()
        status = 0 if text.startswith(("SIP/", "ACK ")) else self.react(text)
        if status and self._transport is not None:
            body = SDP if text.startswith("INVITE ") and status == 200 else ""
            self._transport.sendto(answer(text, status, f"sip:far@{HOST}:{self.port}", body), addr)

    def send(self, text: str, port: int) -> None:
        assert self._transport is not None
        self._transport.sendto(text.encode(), (HOST, port))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    async def hears(self, start: str, count: int = 1) -> str:
        """The message number `count` that begins so, however long ago it came."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [text for text in self.heard if text.startswith(start)]) < count:
                self._noted.clear()
                await self._noted.wait()
        return found[count - 1]

    def invite(self, engine: int, call: str, caller: str, dialled: str, more: str = "") -> None:
        """Dials; `more` are further lines of the session."""
        body = SDP + more
        self.send(
            f"INVITE sip:{dialled}@{HOST}:{engine} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bK{call}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:{caller}@{HOST}>;tag={call}\r\nTo: <sip:{dialled}@{HOST}>\r\n"
            f"Call-ID: {call}\r\nCSeq: 1 INVITE\r\nContact: <sip:{caller}@{HOST}:{self.port}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}",
            engine,
        )

    def acknowledge(self, engine: int, response: str) -> None:
        """The ACK to a 200 that came here."""
        call = header(response, "Call-ID")
        target = header(response, "Contact").strip("<>")
        self.send(
            f"ACK {target} SIP/2.0\r\nVia: SIP/2.0/UDP {HOST}:{self.port};branch=z9hG4bKack{call}\r\n"
            f"Max-Forwards: 70\r\nFrom: {header(response, 'From')}\r\nTo: {header(response, 'To')}\r\n"
            f"Call-ID: {call}\r\nCSeq: 1 ACK\r\nContent-Length: 0\r\n\r\n",
            engine,
        )
