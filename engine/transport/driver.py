"""The driver between sockets and the pure rooms: one wake-up reads, runs the core, keeps its records, sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from engine.sip.flow import Flow, Outbox
from engine.sip.timers import NEVER
from engine.transport.streams import Streams, awaits_answer
from engine.transport.udp import UdpSocket

_SHORTEST_WAIT_S = 0.001
_LAG_PERIOD_S = 0.1
_FORGIVE_S = 1.0  # how long who sends rubbish is not listened to

# Under traffic the sockets are polled instead of waited for, as network drivers do: messages come in handfuls, and one
# wake-up, one journal write and warm caches serve several of them. It delays a message by one interval (`batch_s`) at
# most. Fewer messages per interval than these are each read at once: there a wake-up more costs nobody anything.
_BUSY: Final = 8


class Core(Protocol):
    """`engine.sip.endpoint.Endpoint`, as the driver sees it."""

    outbox: Outbox

    @property
    def next_deadline(self) -> float: ...
    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...
    def expire(self, now: float) -> None: ...
    def transport_failed(self, flow: Flow, now: float) -> None: ...
    def came_back(self, data: bytes, now: float) -> None: ...


class Figures(Protocol):
    def observe_loop_lag(self, seconds: float) -> None: ...
    def unheard(self, count: int) -> None: ...


class Tap(Protocol):
    """Who sees every message. It neither raises nor waits."""

    def received(self, messages: list[tuple[bytes, Flow]]) -> None: ...
    def sent(self, messages: list[tuple[Flow, bytes]]) -> None: ...


class Driver:
    """Owns the sockets and the one timer.

    `keep` is called before anything is sent: what must not be lost is with the kernel when it returns.
    `trunk_of` names the trunk of a host. `report` hears of faults of ours; the wake-up goes on after them.
    `batch_s`: how long datagrams may wait for others under traffic, 0 for never.
    """

    def __init__(
        self,
        core: Core,
        keep: Callable[[], None],
        trunk_of: Callable[[str], str],
        report: Callable[[str, Exception], None],
        figures: Figures,
        loop: asyncio.AbstractEventLoop,
        batch_s: float = 0.01,
    ) -> None:
        self._core = core
        self._keep = keep
        self._trunk_of = trunk_of
        self._report = report
        self._figures = figures
        self._loop = loop
        self._batch_s = batch_s
        self._interval_end = 0.0
        self._heard = 0  # datagrams in this interval
        self._udp: list[UdpSocket] = []
        self.streams: Streams | None = None
        self.tap: Tap | None = None  # after the core has heard a message, and before one is sent
        self._timer: asyncio.TimerHandle | None = None
        self._armed = NEVER
        self._lag_due = 0.0
        self._forgive_at = 0.0
        self._lag_timer: asyncio.TimerHandle | None = None

    # --- start and stop ---

    def listen_udp(self, host: str, port: int, receive_buffer: int) -> None:
        """Binds a UDP socket and reads it. Raises OSError."""
        number = len(self._udp) + 1
        socket = UdpSocket(host, port, number, receive_buffer, self._trunk_of)
        self._udp.append(socket)
        self._wait_for(socket)

    def forget_trunks(self) -> None:
        """Whose trunk an address belongs to may have changed: asked again with its next message."""
        for socket in self._udp:
            socket.forget()
        if self.streams is not None:
            self.streams.forget_trunks()

    def start(self) -> None:
        """Begins to turn the wheel and to watch the loop's own lag."""
        self._lag_due = monotonic() + _LAG_PERIOD_S
        self._lag_timer = self._loop.call_later(_LAG_PERIOD_S, self._watch_lag)
        self.settle()

    def close(self) -> None:
        """Stops reading. Streams still send what has been given to them, if the loop lives a little longer."""
        for socket in self._udp:
            self._loop.remove_reader(socket.fileno())
            socket.close()
        self._udp.clear()
        self._armed = 0.0  # earlier than any deadline: no timer is set any more
        for timer in (self._timer, self._lag_timer):
            if timer is not None:
                timer.cancel()
        if self.streams is not None:
            self.streams.close()

    # --- one wake-up ---

    def deliver(self, data: bytes, flow: Flow) -> None:
        """A message that came over a stream; `settle` is to follow."""
        try:
            self._core.receive(data, flow, monotonic())
        except Exception as error:
            self._report("receive", error)
        if self.tap is not None:
            self.tap.received([(data, flow)])

    def settle(self) -> None:
        """Ends a wake-up: keeps the records, sends what is to be sent, sets the timer."""
        outbox = self._core.outbox
        self._keep_records()
        while outbox:
            batch = outbox[:]
            outbox.clear()
            if self.tap is not None:
                self.tap.sent(batch)
            for flow, data in batch:
                if flow.transport == "udp":
                    socket = self._socket_of(flow)
                    sent = socket is not None and socket.send(data, flow)
                else:
                    sent = self.streams is not None and self.streams.send(data, flow)
                if not sent and awaits_answer(data):
                    self._tell_failed(flow)
            self._keep_records()  # of what could not be sent; it may also let go what had to wait for the disk
        deadline = self._core.next_deadline
        if deadline < self._armed:
            if self._timer is not None:
                self._timer.cancel()
            self._armed = deadline
            wait = max(deadline - monotonic(), _SHORTEST_WAIT_S)
            self._timer = self._loop.call_later(wait, self._on_timer)

    def failed(self, flow: Flow) -> None:
        """A stream to `flow` could not be opened or broke."""
        self._tell_failed(flow)
        self.settle()

    # --- within ---

    def _socket_of(self, flow: Flow) -> UdpSocket | None:
        number = flow.local
        if 0 < number <= len(self._udp):
            return self._udp[number - 1]
        return self._udp[0] if self._udp else None

    def _keep_records(self) -> None:
        try:
            self._keep()
        except Exception as error:
            self._report("records", error)
            # Nobody knows what has been kept: no call is answered now. Whoever answered repeats his 2xx.
            outbox = self._core.outbox
            outbox[:] = [item for item in outbox if not item[1].startswith(b"SIP/2.0 2")]

    def _tell_failed(self, flow: Flow) -> None:
        try:
            self._core.transport_failed(flow, monotonic())
        except Exception as error:
            self._report("transport", error)

    def _wait_for(self, socket: UdpSocket) -> None:
        self._loop.add_reader(socket.fileno(), self._on_readable, socket)

    def _on_readable(self, socket: UdpSocket) -> None:
        """Reads at once; where much arrives, the socket is polled from here on. What is left over is readable again,
        after timers and streams have had their turn."""
        arrived = socket.read()
        if socket.errors_due or not arrived:
            self._take_errors(socket)
        if not arrived:
            return
        self._take(arrived)
        now = monotonic()
        if now >= self._interval_end:
            self._interval_end = now + self._batch_s
            self._heard = 0
        self._heard += len(arrived)
        if self._heard >= _BUSY and self._batch_s > 0 and not socket.more and not socket.closed:
            self._loop.remove_reader(socket.fileno())
            self._loop.call_later(self._batch_s, self._poll, socket)

    def _poll(self, socket: UdpSocket) -> None:
        if socket.closed:
            return
        arrived = socket.read()
        if socket.errors_due:
            self._take_errors(socket)
        if arrived:
            self._take(arrived)
        if socket.closed:
            return
        if socket.more:  # timers and streams get their turn first
            self._loop.call_soon(self._poll, socket)
        elif len(arrived) >= _BUSY:
            self._loop.call_later(self._batch_s, self._poll, socket)
        else:
            self._wait_for(socket)

    def _take(self, arrived: list[tuple[bytes, Flow]]) -> None:
        now = monotonic()
        receive = self._core.receive
        for data, flow in arrived:
            try:
                receive(data, flow, now)
            except Exception as error:
                self._report("receive", error)
        if self.tap is not None:
            self.tap.received(arrived)
        self.settle()

    def _take_errors(self, socket: UdpSocket) -> None:
        came_back = socket.errors()
        for data in came_back:
            try:
                self._core.came_back(data, monotonic())
            except Exception as error:
                self._report("transport", error)
        if came_back:
            self.settle()

    def _on_timer(self) -> None:
        self._timer = None
        self._armed = NEVER
        try:
            self._core.expire(monotonic())
        except Exception as error:
            self._report("timer", error)
        self.settle()

    def _watch_lag(self) -> None:
        now = monotonic()
        self._figures.observe_loop_lag(max(0.0, now - self._lag_due))
        if now >= self._forgive_at:
            self._forgive_at = now + _FORGIVE_S
            unheard = sum([socket.forgive() for socket in self._udp])
            if unheard:
                self._figures.unheard(unheard)
        self._lag_due = now + _LAG_PERIOD_S
        self._lag_timer = self._loop.call_later(_LAG_PERIOD_S, self._watch_lag)
