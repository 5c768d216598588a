"""TCP: connections that come in, connections that are made, messages cut out of both."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol, cast

from engine.sip.flow import UNKNOWN, Flow
from engine.sip.framing import StreamError, StreamFramer
from engine.transport.backoff import Address, Backoff
from engine.transport.udp import MOST_FAULTS

_WRITE_LIMIT: Final = 1_048_576  # bytes that a far end may leave unread before its connection is dropped
_PENDING_LIMIT: Final = 1_048_576  # bytes that may wait for a connection to be made
_UNSENT_LIMIT: Final = 64 * 1_048_576  # bytes that wait, over all connections
_STRANGER_SHARE: Final = 50  # one connection in so many may be somebody's who belongs to no trunk,
_STRANGER_IDLE_S: Final = 10.0  # if he does not rest for so long
_RESERVED_SHARE: Final = 10  # one in so many is kept for connections that are made here
_CONNECT_TIMEOUT_S: Final = 4.0
_UNACKNOWLEDGED_MS: Final = (
    15_000  # what a far end does not acknowledge for so long ends a connection made here
)
_PONG_S: Final = 10.0  # RFC 5626 4.4.1
_SWEEP_S: Final = 1.0


class Deliver(Protocol):
    """`engine.transport.driver.Driver`, as streams see it."""

    def deliver(self, data: bytes, flow: Flow) -> None: ...
    def settle(self) -> None: ...
    def failed(self, flow: Flow) -> None: ...


class Streams:
    """All connections, found by their number or by the far end's address.

    `most` bounds how many there are, `most_unsent` the octets that wait in all of them; `idle_s` closes those
    where nothing moves; a message that has begun must be complete within `message_s`. `malformed` is told the
    kind of what is no SIP.

    Next hops (`hold`) are special: a connection to one that breaks is made again, and one that is quiet for
    `ping_s` is pinged (RFC 5626 4.4.1; 0: never), which also keeps it from being closed.
    """

    def __init__(
        self,
        driver: Deliver,
        trunk_of: Callable[[str], str],
        malformed: Callable[[str], None],
        most: int,
        idle_s: float,
        message_s: float,
        loop: asyncio.AbstractEventLoop,
        most_unsent: int = _UNSENT_LIMIT,
        ping_s: float = 0.0,
    ) -> None:
        self.driver = driver
        self.malformed = malformed
        self.idle_s = idle_s
        self.message_s = message_s
        self.backoff = Backoff(_CONNECT_TIMEOUT_S)
        self._ping_s = ping_s
        self._held: frozenset[Address] = frozenset()
        self._closed = False
        self._trunk_of = trunk_of
        self._most = most
        self._most_incoming = most - most // _RESERVED_SHARE
        self._most_strangers = max(1, most // _STRANGER_SHARE)
        self._strangers = 0
        self._most_unsent = most_unsent
        self._unsent = 0  # never less than waits: it falls when it is counted anew
        self._loop = loop
        self._last_number = 0
        self._by_number: dict[int, Connection] = {}
        self._by_address: dict[Address, Connection] = {}
        self._pending: dict[Address, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._sweep_s = min(_SWEEP_S, idle_s / 4, message_s / 4)
        self._sweeper = loop.call_later(self._sweep_s, self._sweep)

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._by_number)

    async def listen(self, host: str, port: int) -> None:
        """Raises OSError."""
        self._servers.append(
            await self._loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        )

    def hold(self, addresses: frozenset[Address]) -> None:
        """These are the next hops now. One is connected to when it is first needed, and from then on."""
        self._held = addresses

    def send(self, data: bytes, flow: Flow) -> bool:
        """Over the connection that the flow names, else one to its address, else a new one. False when it
        can't be, or had better not be tried just now."""
        address = (flow.host, flow.port)
        connection = self._by_number.get(flow.local)
        if connection is None or not connection.usable:
            waiting = self._pending.get(address)
            if waiting is not None:
                if self.backoff.avoids(address, monotonic()):
                    return False
                if sum(map(len, waiting)) + len(data) > _PENDING_LIMIT or not self.may_wait(len(data)):
                    return False
                waiting.append(data)
                return True
            connection = self._by_address.get(address)
        if connection is not None and connection.usable:
            return connection.write(data)
        if (
            self.backoff.avoids(address, monotonic())
            or len(self._by_number) + len(self._pending) >= self._most
        ):
            return False
        if not self.may_wait(len(data)):
            return False
        self._begin(flow, [data])
        return True

    def close(self) -> None:
        self._closed = True
        self._sweeper.cancel()
        for server in self._servers:
            server.close()
        for task in self._tasks:
            task.cancel()
        for connection in list(self._by_number.values()):
            connection.close()

    def forget_trunks(self) -> None:
        """The trunks of all connections are asked for again."""
        for connection in self._by_number.values():
            connection.belong(self._trunk_of)
        self._strangers = sum([connection.stranger for connection in self._by_number.values()])

    # --- of the connections ---

    def opened(self, connection: Connection, host: str, port: int) -> Flow | None:
        """A number for a new connection; None when there are too many of its kind."""
        trunk = self._trunk_of(host)
        connection.stranger = trunk == UNKNOWN and not connection.made_here
        if len(self._by_number) >= (self._most if connection.made_here else self._most_incoming) or (
            connection.stranger and self._strangers >= self._most_strangers
        ):
            self.malformed("connections")
            return None
        self._strangers += connection.stranger
        self._last_number += 1
        self._by_number[self._last_number] = connection
        self._by_address[(host, port)] = connection
        return Flow("tcp", host, port, self._last_number, trunk)

    def may_wait(self, octets: int) -> bool:
        """Whether so many octets more may wait to be sent; counted if so."""
        self._unsent += octets
        if self._unsent <= self._most_unsent:
            return True
        self._count_unsent()
        self._unsent += octets
        if self._unsent <= self._most_unsent:
            return True
        self._unsent -= octets
        return False

    def lost(self, flow: Flow, lived_s: float) -> None:
        """A connection that was made here is broken: who waits there hears of it, and a next hop is connected to
        again."""
        address = (flow.host, flow.port)
        if address in self._held and not self._closed:
            self._loop.call_later(self.backoff.lost(address, lived_s), self._reconnect, flow)
        self.driver.failed(flow)

    def closed(self, connection: Connection, flow: Flow) -> None:
        self._strangers -= connection.stranger
        self._by_number.pop(flow.local, None)
        if self._by_address.get((flow.host, flow.port)) is connection:
            del self._by_address[(flow.host, flow.port)]

    # --- within ---

    def _begin(self, flow: Flow, waiting: list[bytes]) -> None:
        self._pending[flow.host, flow.port] = waiting
        task = self._loop.create_task(self._connect(flow))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reconnect(self, flow: Flow) -> None:
        """Nobody waits for this one, unless a request comes meanwhile."""
        address = (flow.host, flow.port)
        known = self._by_address.get(address)
        standing = address in self._pending or (known is not None and known.usable)
        wanted = address in self._held and not self._closed and not standing
        if wanted and len(self._by_number) + len(self._pending) < self._most:
            self._begin(flow, [])

    async def _connect(self, flow: Flow) -> None:
        address = (flow.host, flow.port)
        connection = None
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                _, connection = await self._loop.create_connection(lambda: Connection(self, True), *address)
            self.backoff.connected(address)
        except OSError as error:  # refused, unreachable, or TimeoutError
            delay = self.backoff.failed(address, isinstance(error, TimeoutError), monotonic())
            if address in self._held and not self._closed:
                self._loop.call_later(delay, self._reconnect, flow)
        unsent = [
            data
            for data in self._pending.pop(address, [])
            if connection is None or not connection.write(data)  # there may be too many connections by now
        ]
        if any(map(awaits_answer, unsent)):
            self.driver.failed(flow)

    def _count_unsent(self) -> None:
        pending = sum([len(data) for waiting in self._pending.values() for data in waiting])
        self._unsent = pending + sum([connection.unsent for connection in self._by_number.values()])

    def _sweep(self) -> None:
        now = monotonic()
        self._count_unsent()
        for connection in list(self._by_number.values()):
            if connection.overdue(now):
                connection.abort()
        if self._ping_s:
            for address in self._held:
                held = self._by_address.get(address)
                if held is not None and held.made_here:
                    held.ping(now, self._ping_s)
        self._sweeper = self._loop.call_later(self._sweep_s, self._sweep)


class Connection(asyncio.Protocol):
    """One connection, in either direction; both directions carry requests and responses (RFC 3261 18.1.1).

    `made_here`: we made it, so its far end is a next hop or a target. `stranger`: its far end is of no trunk.
    """

    __slots__ = (
        *("_begun", "_broken", "_ended_here", "_flow", "_framer", "_moved", "_pinged", "_pongs", "_since"),
        *("_streams", "_transport", "made_here", "stranger"),
    )

    def __init__(self, streams: Streams, made_here: bool = False) -> None:
        self._streams = streams
        self.made_here = made_here
        self.stranger = False
        self._ended_here = False
        self._broken = False
        self._framer = StreamFramer()
        self._transport: asyncio.Transport | None = None
        self._flow: Flow | None = None
        self._moved = self._since = monotonic()
        self._pinged = 0.0  # when the ping was sent whose pong is awaited, 0 for none
        self._pongs = False  # whether its far end has ever answered one
        self._begun = 0.0  # when the message that is still incomplete began, 0 for none

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no asyncio class, only of their shape.
        self._transport = cast(asyncio.Transport, transport)
        far_end = transport.get_extra_info("peername")
        if far_end is not None:  # it may have gone already
            self._flow = self._streams.opened(self, far_end[0], far_end[1])
        if self._flow is None:
            self._transport.abort()
        elif self.made_here:
            # A far end that is gone without a word is found out by what it leaves unacknowledged, pings too.
            door = transport.get_extra_info("socket")
            door.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)

    def data_received(self, data: bytes) -> None:
        flow = self._flow
        if flow is None or self._broken:
            return
        now = monotonic()
        self._moved = now
        try:
            messages = self._framer.feed(data)
        except StreamError as error:
            # Where the next message begins is unknown from here on: what could be cut out is answered, then it ends.
            self._streams.malformed(error.kind)
            messages = error.messages
            self._broken = True
        if self._pinged and not self._framer.pongs_due:
            self._pinged = 0.0
            self._pongs = True
        pings = self._framer.pings
        if pings:
            self._framer.pings = 0
            self.write(b"\r\n" * min(pings, 16))  # RFC 5626 4.4.1
        for message in messages:
            self._streams.driver.deliver(message, flow)
        if flow.faults >= MOST_FAULTS:
            self._broken = True
        if not self._framer.pending and not self._broken:
            self._begun = 0.0
        elif messages or not self._begun:
            self._begun = now  # of a broken one: how long it may take to read what it is still told
        self._streams.driver.settle()
        if self._broken:
            self.close()

    def connection_lost(self, error: Exception | None) -> None:
        flow = self._flow
        self._transport = None
        if flow is not None:
            self._flow = None
            self._streams.closed(self, flow)
            if self.made_here and (error is not None or not self._ended_here):
                # A next hop that went away with what it was sent: nothing is repeated over TCP (18.4), and no
                # answer comes over a connection that its far end has ended, in whichever way.
                self._streams.lost(flow, monotonic() - self._since)

    def ping(self, now: float, quiet_s: float) -> None:
        """Pings a far end that is quiet. One that has answered pings before and does not any more is gone."""
        if not self._pinged:
            if now - self._moved >= quiet_s and self.write(b"\r\n\r\n"):
                self._framer.pongs_due = 1
                self._pinged = now
        elif now - self._pinged > _PONG_S:
            if self._pongs and self._transport is not None:
                self._transport.abort()  # not ended by us: who waits there hears of it
            self._framer.pongs_due = 0
            self._pinged = 0.0

    def belong(self, trunk_of: Callable[[str], str]) -> None:
        """Finds its trunk anew."""
        if self._flow is not None:
            self._flow.trunk = trunk_of(self._flow.host)
            self.stranger = self._flow.trunk == UNKNOWN and not self.made_here

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    @property
    def unsent(self) -> int:
        """Octets that wait to be sent."""
        transport = self._transport
        return 0 if transport is None else transport.get_write_buffer_size()

    def write(self, data: bytes) -> bool:
        """False when it is closed, or its far end does not read."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() + len(data) > _WRITE_LIMIT or not self._streams.may_wait(
            len(data)
        ):
            self.abort()
            return False
        self._moved = monotonic()
        transport.write(data)
        return True

    def overdue(self, now: float) -> bool:
        if self._begun and now - self._begun > self._streams.message_s:
            if not self._broken:
                self._streams.malformed("slow")
            return True
        idle_s = self._streams.idle_s
        return now - self._moved > (min(idle_s, _STRANGER_IDLE_S) if self.stranger else idle_s)

    def close(self) -> None:
        """Ends it once everything written has been sent."""
        self._ended_here = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._ended_here = True
        if self._transport is not None:
            self._transport.abort()


def awaits_answer(data: bytes) -> bool:
    """True for a request: only then somebody waits who has to hear that it can't be sent."""
    return not data.startswith(b"SIP/")
