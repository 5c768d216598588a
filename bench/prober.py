"""Post-dial delay under load: a few calls a second of our own beside SIPp's, stamped by the kernel.

SIPp reads a clock that ticks every 4 ms (CLOCK_MONOTONIC_COARSE), far coarser than what is measured here. So these
calls measure the time from sending INVITE to the arrival of 180 at our socket (SO_TIMESTAMPNS), in which no delay of
our own process counts. They are whole calls as SIPp makes them: 100, 180, 200, ACK, one second, BYE, 200.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field

from bench.bindings import Row

CALLS_PER_S = 20
TALK_S = 1.0
PATIENCE_S = 2.0
# Linux's number for the option and for the control message; Python's socket module has no name for it.
SO_TIMESTAMPNS = 35
SESSION = (
    "v=0\r\no=prober 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 20000 RTP/AVP 8 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    "a=ptime:20\r\na=sendrecv\r\n"
)
_CALL_ID = re.compile(r"^Call-ID: *(\S+)", re.MULTILINE | re.IGNORECASE)
_CSEQ = re.compile(r"^CSeq: *\d+ +(\w+)", re.MULTILINE | re.IGNORECASE)
_TO = re.compile(r"^To: *(.+?)\r?$", re.MULTILINE | re.IGNORECASE)
_CONTACT = re.compile(r"^Contact: *<([^>]+)>", re.MULTILINE | re.IGNORECASE)
_RECORD_ROUTE = re.compile(r"^Record-Route: *(.+?)\r?$", re.MULTILINE | re.IGNORECASE)


@dataclass(slots=True)
class _Call:
    call_id: str
    row: Row
    sent_ns: int = 0
    rang: bool = False
    within_dialog: str = ""
    """Request-URI and the routing and To headers of ACK and BYE"""


@dataclass(slots=True)
class Probes:
    """What the prober saw in one run."""

    made: int = 0
    completed: int = 0
    delays_ms: list[float] = field(default_factory=list)
    """INVITE → 180 of every call that rang"""


class Prober(threading.Thread):
    """Calls `rows` in turn through 127.0.0.1:`server_port` for `seconds`; `probes` says what it saw."""

    def __init__(self, local_port: int, server_port: int, rows: list[Row], seconds: float) -> None:
        super().__init__(name="prober", daemon=True)
        self._seconds = seconds
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("127.0.0.1", local_port))
        self._socket.setblocking(False)
        self._local = f"127.0.0.1:{local_port}"
        self._server = ("127.0.0.1", server_port)
        self._rows = rows
        self._calls: dict[str, _Call] = {}
        self._talking: deque[tuple[float, _Call]] = deque()
        self._run_id = f"{time.time_ns():x}"
        self.probes = Probes()

    def __enter__(self) -> Prober:
        """Call from now on."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Let the calls that stand end."""
        self.join(self._seconds + TALK_S + 2 * PATIENCE_S)
        self._socket.close()

    def run(self) -> None:
        """The thread."""
        next_call = time.monotonic()
        last_call = next_call + self._seconds
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while True:
            now = time.monotonic()
            if now > last_call:
                if not self._calls or now > last_call + TALK_S + PATIENCE_S:
                    return
            elif now >= next_call:
                self._invite()
                next_call += 1 / CALLS_PER_S
            while self._talking and self._talking[0][0] <= now:
                self._bye(self._talking.popleft()[1])
            poll.poll(5)
            self._read()

    def _invite(self) -> None:
        row = self._rows[self.probes.made % len(self._rows)]
        call = _Call(f"{self.probes.made}-{self._run_id}@prober", row)
        self.probes.made += 1
        self._calls[call.call_id] = call
        message = (
            f"INVITE sip:{row.x}@127.0.0.1:{self._server[1]} SIP/2.0\r\n"
            f"{self._first_headers(call, 'invite')}"
            f"To: <sip:{row.x}@127.0.0.1:{self._server[1]}>\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:{row.a}@{self._local}>\r\n"
            f"Content-Type: application/sdp\r\nContent-Length: {len(SESSION)}\r\n\r\n{SESSION}"
        ).encode()
        call.sent_ns = time.time_ns()
        self._socket.sendto(message, self._server)

    def _bye(self, call: _Call) -> None:
        self._send_within(call, "BYE", 2)

    def _send_within(self, call: _Call, method: str, number: int) -> None:
        target, _, headers = call.within_dialog.partition("\n")
        message = (
            f"{method} {target} SIP/2.0\r\n{self._first_headers(call, method.lower())}{headers}"
            f"CSeq: {number} {method}\r\nContent-Length: 0\r\n\r\n"
        )
        self._socket.sendto(message.encode(), self._server)

    def _first_headers(self, call: _Call, branch: str) -> str:
        return (
            f"Via: SIP/2.0/UDP {self._local};branch=z9hG4bK{branch}{call.call_id.partition('@')[0]}\r\n"
            f"From: <sip:{call.row.a}@{self._local}>;tag=prober\r\n"
            f"Call-ID: {call.call_id}\r\nMax-Forwards: 70\r\n"
        )

    def _read(self) -> None:
        while True:
            try:
                datagram, control, _, _ = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
            self._response(datagram.decode(errors="replace"), seconds * 1_000_000_000 + nanoseconds)

    def _response(self, text: str, arrived_ns: int) -> None:
        call_id, method = _CALL_ID.search(text), _CSEQ.search(text)
        call = self._calls.get(call_id.group(1)) if call_id else None
        if call is None or method is None or not text.startswith("SIP/2.0 "):
            return
        status = int(text[8:11])
        if method.group(1) == "BYE":
            del self._calls[call.call_id]
            self.probes.completed += status == 200
        elif status == 180 and not call.rang:
            call.rang = True
            self.probes.delays_ms.append((arrived_ns - call.sent_ns) / 1e6)
        elif status == 200:
            if not call.within_dialog:
                call.within_dialog = _dialog_of(text)
                self._talking.append((time.monotonic() + TALK_S, call))
            self._send_within(call, "ACK", 1)
        elif status >= 300:
            del self._calls[call.call_id]


def _dialog_of(answer: str) -> str:
    contact, to = _CONTACT.search(answer), _TO.search(answer)
    routes = [f"Route: {route}\r\n" for route in reversed(_RECORD_ROUTE.findall(answer))]
    target = contact.group(1) if contact else "sip:unknown"
    return f"{target}\n{''.join(routes)}To: {to.group(1) if to else ''}\r\n"
