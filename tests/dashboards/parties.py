"""A telephone network of two sockets for a test: callers, and callees who do what their number says.

Plain SIP over UDP on loopback addresses, where nothing is lost: nobody here repeats anything unless he is told to.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from itertools import count

import asyncio_dgram

Address = tuple[str, int]

_PATIENCE_S = 10.0
_RINGS_S = 0.1
_SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n"
_COPIED = ("Via", "From", "To", "Call-ID", "CSeq")

ANSWERS, IS_BUSY, REJECTS, IS_OFF, RINGS_ON, ANSWERS_LATE = (f"1390000000{n}" for n in range(1, 7))
"""Callees. The last one hears only the second INVITE."""


def header(message: str, name: str) -> str:
    found = re.search(rf"(?mi)^{name}: *(.*?)\r?$", message)
    return found[1] if found else ""


def status_of(message: str) -> int:
    return int(message[8:11]) if message.startswith("SIP/2.0 ") else 0


class Callees:
    """Everybody behind one next hop."""

    def __init__(self, server: asyncio_dgram.DatagramServer, address: Address) -> None:
        self._server = server
        self._address = address
        self._heard: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin(self._serve())

    @staticmethod
    async def start(address: Address) -> Callees:
        return Callees(await asyncio_dgram.bind(address), address)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        self._server.close()

    async def _serve(self) -> None:
        while True:
            data, source = await self._server.recv()
            assert isinstance(source, tuple)
            self._take(data.decode(), source)

    def _take(self, message: str, source: Address) -> None:
        method = message.partition(" ")[0]
        if method == "INVITE":
            call_id = header(message, "Call-ID")
            self._heard[call_id] = self._heard.get(call_id, 0) + 1
            first = self._heard[call_id] == 1
            if (ANSWERS_LATE in message.partition("\r\n")[0]) != first:
                self._begin(self._ring(message, source))
        elif method == "CANCEL":
            self._begin(self._answer(message, source, "200 OK"))
            self._begin(self._answer(message.replace("CANCEL", "INVITE"), source, "487 Request Terminated"))
        elif method in ("BYE", "OPTIONS"):
            self._begin(self._answer(message, source, "200 OK"))

    async def _ring(self, invite: str, source: Address) -> None:
        start = invite.partition("\r\n")[0]
        for number, refusal in ((IS_BUSY, "486 Busy Here"), (REJECTS, "603 Decline"), (IS_OFF, "480 Away")):
            if number in start:
                await self._answer(invite, source, refusal)
                return
        await asyncio.sleep(_RINGS_S)
        await self._answer(invite, source, "180 Ringing")
        if RINGS_ON not in start:
            await asyncio.sleep(_RINGS_S)
            await self._answer(invite, source, "200 OK", _SDP)

    async def _answer(self, request: str, source: Address, status: str, body: str = "") -> None:
        lines = [f"{name}: {header(request, name)}" for name in _COPIED]
        if ";tag=" not in lines[2]:
            lines[2] += ";tag=callee"
        lines.append(f"Contact: <sip:{self._address[0]}:{self._address[1]}>")
        await self._server.send(_message(f"SIP/2.0 {status}", lines, body), source)

    def _begin(self, work: asyncio._CoroutineLike[None]) -> None:
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class Callers:
    """Everybody who calls from one address."""

    def __init__(self, socket: asyncio_dgram.DatagramServer, engine: Address) -> None:
        self._socket = socket
        self._engine = engine
        self._numbers = count(1)
        self._calls: dict[str, asyncio.Queue[str]] = {}
        self._task = asyncio.create_task(self._serve())

    @staticmethod
    async def start(host: str, engine: Address) -> Callers:
        return Callers(await asyncio_dgram.bind((host, 0)), engine)

    def stop(self) -> None:
        self._task.cancel()
        self._socket.close()

    async def call(
        self,
        caller: str,
        dialled: str,
        *,
        talk_s: float = 0.0,
        give_up: bool = False,
        twice: bool = False,
        on_answer: Callable[[], None] = lambda: None,
    ) -> int:
        """The final status. An answered call is hung up after `talk_s`; `give_up` cancels it while it rings; `twice`
        repeats the INVITE as if its answer had been lost."""
        call_id = f"{next(self._numbers)}-{id(self):x}"
        mine = self._calls[call_id] = asyncio.Queue()
        identity = (caller, dialled, call_id)
        invite = self._request("INVITE", *identity, 1, body=_SDP)
        await self.send(invite)
        if twice:
            await self.send(invite)
        to, cancelled = "", False
        try:
            async with asyncio.timeout(_PATIENCE_S):
                while (status := status_of(answer := await mine.get())) < 200 or "INVITE" not in header(
                    answer, "CSeq"
                ):
                    to = header(answer, "To")
                    if give_up and not cancelled and status >= 180:
                        cancelled = True
                        await self.send(self._request("CANCEL", *identity, 1))
            to = header(answer, "To")
            await self.send(self._request("ACK", *identity, 1, to, invited=status >= 300))
            if status == 200:
                on_answer()
                await asyncio.sleep(talk_s)
                await self.send(self._request("BYE", *identity, 2, to, header(answer, "Contact")))
                async with asyncio.timeout(_PATIENCE_S):
                    while "BYE" not in header(await mine.get(), "CSeq"):
                        pass
            return status
        finally:
            del self._calls[call_id]

    async def send(self, data: bytes) -> None:
        """Whatever it is."""
        await self._socket.send(data, self._engine)

    async def _serve(self) -> None:
        while True:
            data, _ = await self._socket.recv()
            message = data.decode()
            mine = self._calls.get(header(message, "Call-ID"))
            if mine is not None:
                mine.put_nowait(message)

    def _request(
        self,
        method: str,
        caller: str,
        dialled: str,
        call_id: str,
        cseq: int,
        to: str = "",
        contact: str = "",
        invited: bool = True,
        body: str = "",
    ) -> bytes:
        """`invited`: of the INVITE's own transaction (CANCEL, ACK to a failure)."""
        engine = f"{self._engine[0]}:{self._engine[1]}"
        uri = contact.strip("<>") or f"sip:{dialled}@{engine}"
        branch = f"z9hG4bK{call_id}" + ("" if invited and cseq == 1 else method)
        host, port = self._socket.sockname
        lines = [
            f"Via: SIP/2.0/UDP {host}:{port};branch={branch};rport",
            "Max-Forwards: 70",
            f"From: <sip:{caller}@{host}>;tag={call_id}",
            f"To: {to or f'<sip:{dialled}@{engine}>'}",
            f"Call-ID: {call_id}",
            f"CSeq: {cseq} {method}",
            f"Contact: <sip:{caller}@{host}:{port}>",
        ]
        return _message(f"{method} {uri} SIP/2.0", lines, body)


def _message(start: str, lines: list[str], body: str) -> bytes:
    if body:
        lines = [*lines, "Content-Type: application/sdp"]
    return "\r\n".join([start, *lines, f"Content-Length: {len(body)}", "", body]).encode()
