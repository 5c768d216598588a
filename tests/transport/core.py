"""A core that does what a test tells it, behind a real driver on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass

from engine.sip.flow import Flow, Outbox
from engine.sip.timers import NEVER
from engine.transport.driver import Driver
from engine.transport.streams import Streams

HOST = "127.0.0.1"
PATIENCE_S = 5.0
RECEIVE_BUFFER = 4 * 1024 * 1024


@dataclass
class Received:
    """A message as the core got it; `wake_up` counts how often records had been kept by then."""

    data: bytes
    flow: Flow
    now: float
    wake_up: int


class Core:
    """Notes everything. `answer` makes the answer to a message (None: none); `wait` waits for something noted."""

    def __init__(self) -> None:
        self.outbox: Outbox = []
        self.next_deadline = NEVER
        self.received: list[Received] = []
        self.expired: list[float] = []
        self.failed: list[Flow] = []
        self.back: list[bytes] = []
        self.kept = 0
        self.reports: list[tuple[str, str]] = []
        self.malformed: list[str] = []
        self.not_heard = 0
        self.lags: list[float] = []
        self.answer: Callable[[bytes], bytes | None] = lambda data: None
        self.on_expire: Callable[[float], None] = lambda now: None
        self.on_failed: Callable[[Flow], None] = lambda flow: None
        self.on_back: Callable[[], None] = lambda: None
        self.on_keep: Callable[[], None] = lambda: None
        self._noted = asyncio.Event()

    # --- of the driver ---

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        self.received.append(Received(data, flow, now, self.kept))
        self._noted.set()
        answer = self.answer(data)
        if answer is not None:
            self.outbox.append((flow, answer))

    def expire(self, now: float) -> None:
        self.expired.append(now)
        self.next_deadline = NEVER
        self._noted.set()
        self.on_expire(now)

    def transport_failed(self, flow: Flow, now: float) -> None:
        self.failed.append(flow)
        self._noted.set()
        self.on_failed(flow)

    def came_back(self, data: bytes, now: float) -> None:
        self.back.append(data)
        self._noted.set()
        self.on_back()

    # --- of whoever else is told things ---

    def keep(self) -> None:
        self.kept += 1
        self.on_keep()

    def report(self, where: str, error: Exception) -> None:
        self.reports.append((where, str(error)))
        self._noted.set()

    def count_malformed(self, kind: str) -> None:
        self.malformed.append(kind)
        self._noted.set()

    def unheard(self, count: int) -> None:
        self.not_heard += count

    def observe_loop_lag(self, seconds: float) -> None:
        self.lags.append(seconds)
        self._noted.set()

    # --- of the tests ---

    async def wait(self, done: Callable[[], object]) -> None:
        """Until `done()` is true, which something noted here makes it."""
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                self._noted.clear()
                await self._noted.wait()

    @property
    def data(self) -> list[bytes]:
        return [received.data for received in self.received]


class Engine:
    """A core, its driver and the port that both its transports listen on."""

    def __init__(self, batch_s: float = 0.01) -> None:
        self.core = Core()
        self.driver = Driver(
            self.core,
            self.core.keep,
            lambda host: "lab" if host == HOST else "unknown",
            self.core.report,
            self.core,
            asyncio.get_running_loop(),
            batch_s,
        )
        self.port = free_port()

    def listen_udp(self) -> Engine:
        self.driver.listen_udp(HOST, self.port, RECEIVE_BUFFER)
        self.driver.start()
        return self

    async def listen_tcp(
        self,
        most: int = 100,
        idle_s: float = 60.0,
        message_s: float = 60.0,
        trunk: str = "lab",
        most_unsent: int = 64 * 1_048_576,
        ping_s: float = 0.0,
    ) -> Engine:
        """Streams with these limits, everybody of this trunk, and the driver started."""
        self.driver.streams = Streams(
            self.driver,
            lambda host: trunk,
            self.core.count_malformed,
            most,
            idle_s,
            message_s,
            asyncio.get_running_loop(),
            most_unsent,
            ping_s,
        )
        await self.driver.streams.listen(HOST, self.port)
        self.driver.start()
        return self

    def send(self, data: bytes, flow: Flow) -> None:
        """As if the core had wanted it sent."""
        self.core.outbox.append((flow, data))
        self.driver.settle()


def free_port() -> int:
    """A port that neither UDP nor TCP uses here."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            udp.bind((HOST, 0))
            port = int(udp.getsockname()[1])
            with contextlib.suppress(OSError):
                tcp.bind((HOST, port))
                return port
