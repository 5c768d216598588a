"""How long the signalling process is silent: an OPTIONS every few milliseconds, answers stamped by the kernel."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time

from bench.prober import SO_TIMESTAMPNS

PINGER_PORT = 5172
_PATIENCE_S = 1.0


class Pinger(threading.Thread):
    """Sends OPTIONS at a steady pace until it is left; `answers_ms` are the times to the answers, `unanswered` the
    number of those that none came for."""

    def __init__(self, server_port: int, interval_s: float) -> None:
        super().__init__(name="pinger", daemon=True)
        self.answers_ms: list[float] = []
        self._server = ("127.0.0.1", server_port)
        self._interval_s = interval_s
        self._sent: dict[int, int] = {}
        self._over = threading.Event()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("127.0.0.1", PINGER_PORT))
        self._socket.setblocking(False)

    @property
    def unanswered(self) -> int:
        return len(self._sent)

    def __enter__(self) -> Pinger:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()
        self._socket.close()

    def run(self) -> None:
        """The thread."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        number, next_at = 0, time.monotonic()
        while not self._over.is_set():
            if time.monotonic() >= next_at:
                self._send(number)
                number += 1
                next_at += self._interval_s
            poll.poll(max(0.0, (next_at - time.monotonic()) * 1000))
            self._read()
        until = time.monotonic() + _PATIENCE_S
        while self._sent and time.monotonic() < until:
            poll.poll(50)
            self._read()

    def _send(self, number: int) -> None:
        host, port = self._server
        message = (
            f"OPTIONS sip:{host}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 127.0.0.1:{PINGER_PORT};branch=z9hG4bKping{number}\r\n"
            f"From: <sip:pinger@127.0.0.1>;tag=p\r\nTo: <sip:{host}:{port}>\r\n"
            f"Call-ID: ping{number}\r\nCSeq: {number + 1} OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        ).encode()
        self._sent[number] = time.time_ns()
        self._socket.sendto(message, self._server)

    def _read(self) -> None:
        while True:
            try:
                data, control, _, _ = self._socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            except ConnectionRefusedError:
                continue
            seconds, nanoseconds = struct.unpack("qq", control[0][2][:16])
            number = int(data.partition(b"\r\nCall-ID: ping")[2].partition(b"\r\n")[0])
            sent = self._sent.pop(number, None)
            if sent is not None:
                self.answers_ms.append((seconds * 1_000_000_000 + nanoseconds - sent) / 1e6)
