"""Messages on their way to a HEP3 collector: a bounded queue, a bounded share of the processor, and a datagram each.

The call path pays one `append` per message. Masking and packing happen later, in slices between wake-ups, and never
take more than `cpu_percent` of the time; what the queue cannot hold is dropped and counted. A call that begins
while the queue is half full is left out whole, so that what does arrive are complete calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from binascii import crc32
from collections import OrderedDict, deque
from collections.abc import Callable
from time import perf_counter
from typing import Final, Protocol

import asyncio_dgram

from engine.observe.hep import Address, Agent, encode
from engine.observe.logs import get_logger
from engine.observe.masked_sip import masked_message

SENT: Final = "sent"
DROPPED: Final = "dropped"  # the queue was full, or the message is too long for a packet
FAILED: Final = "failed"  # the collector or the way to it refused it

_SLICE_S: Final = 0.001  # of work on end
_LONGEST_REST_S: Final = 0.1
_RECONNECT_S: Final = 5.0
_LOOKS_PER_ENTRY: Final = 4
_TEN_THOUSAND: Final = 10_000

_log = get_logger("capture")


class FarEnd(Protocol):
    """`engine.sip.flow.Flow`, as far as it is told to a collector."""

    @property
    def transport(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def local(self) -> int: ...


class Record(Protocol):
    """`engine.calls.record.CallRecord`: what becomes of a call. Times are in milliseconds since the epoch."""

    @property
    def record_id(self) -> str: ...
    @property
    def release_time(self) -> int | None: ...


class OwnEnds:
    """Which address of the engine's own stands opposite a far end. Connections over TCP go by the socket that
    listens, also those that are made from here: so a collector draws one engine, not one for each connection."""

    def __init__(self, udp: list[Address], tcp: list[Address]) -> None:
        """In the order in which the sockets listen: a flow's number begins at 1."""
        self._udp = udp or tcp
        self._tcp = tcp or udp

    def of(self, far: FarEnd) -> Address:
        if far.transport != "udp":
            return self._tcp[0]
        return self._udp[far.local - 1] if 0 < far.local <= len(self._udp) else self._udp[0]


class Correlations:
    """What both legs of a call are correlated by, found by their Call-IDs: while the call is up and a while after.

    `most` bounds how many there are: then the oldest go, whatever becomes of them.
    """

    def __init__(self, most: int, linger_ms: int, clock: Callable[[], int]) -> None:
        self._most = most
        self._linger_ms = linger_ms
        self._clock = clock
        self._known: OrderedDict[str, tuple[Record, bytes | None]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def add(self, call_id: str, record: Record, correlation: bytes | None) -> None:
        """None: of a call that is left out."""
        self._known[call_id] = (record, correlation)
        self._forget_some()

    def get(self, call_id: str) -> tuple[Record, bytes | None] | None:
        return self._known.get(call_id)

    def _forget_some(self) -> None:
        """Looks at a few of the oldest at a time: what has ended long ago goes, what is up stays for another round."""
        known = self._known
        ended_before = self._clock() // 1000 - self._linger_ms
        for _ in range(min(_LOOKS_PER_ENTRY, len(known))):
            call_id = next(iter(known))
            released = known[call_id][0].release_time
            if released is None:
                known.move_to_end(call_id)
            elif released < ended_before:
                del known[call_id]
            else:
                break
        while len(known) > self._most:
            known.popitem(last=False)


class Capture:
    """`offer` takes a message, `run` sends. `counted` holds how many messages were sent, dropped and failed.

    `clock` gives microseconds since the epoch; `sample` is in percent of the calls, `cpu_percent` of the time.
    """

    def __init__(
        self,
        collector: tuple[str, int],
        own: OwnEnds,
        agent: Agent,
        clock: Callable[[], int],
        *,
        mask: bool = True,
        sample: float = 100.0,
        most_queued: int = 10_000,
        most_calls: int = 200_000,
        linger_s: float = 64.0,
        cpu_percent: float = 25.0,
        counted: dict[str, int] | None = None,
    ) -> None:
        self.counted = {} if counted is None else counted
        self._collector = collector
        self._own = own
        self._agent = agent.number
        self._ending = agent.ending()
        self._key = os.urandom(32)
        self._mask = mask
        self._sample = round(sample * 100)  # of ten thousand
        self._most_queued = most_queued
        self._rest = 100.0 / cpu_percent - 1.0  # seconds of rest for one of work
        self._correlations = Correlations(most_calls, round(linger_s * 1000), clock)
        self._queue: deque[tuple[int, bool, FarEnd, bytes, bytes]] = deque()
        self._wanted = asyncio.Event()
        self._complained = False

    @property
    def waiting(self) -> int:
        """How many messages wait to be sent."""
        return len(self._queue)

    # --- whose a message is ---

    def begun(self, record: Record, call_id: str) -> None:
        """A call and its caller's Call-ID: it is captured whole or not at all."""
        chosen = int(record.record_id[:8], 16) % _TEN_THOUSAND < self._sample
        room = 2 * len(self._queue) < self._most_queued
        self._correlations.add(call_id, record, record.record_id.encode() if chosen and room else None)

    def dialled(self, record: Record, caller_id: str, call_id: str) -> None:
        """A callee's Call-ID, of the call with that caller's Call-ID."""
        known = self._correlations.get(caller_id)
        correlation = None if known is None else known[1]
        self._correlations.add(call_id, record, correlation)

    # --- what it says ---

    def offer(self, at: int, incoming: bool, far: FarEnd, data: bytes, call_id: str) -> None:
        """One message; `at` in microseconds since the epoch. Never waits."""
        known = self._correlations.get(call_id)
        if known is None:
            # Of no call: a probe, a stranger's, or what came too late. It is sampled by its Call-ID.
            if (
                self._sample < _TEN_THOUSAND
                and crc32(call_id.encode("utf-8", "surrogateescape")) % _TEN_THOUSAND >= self._sample
            ):
                return
            correlation: bytes | None = b""
        else:
            correlation = known[1]
        if correlation is None:
            return
        if len(self._queue) >= self._most_queued:
            self._count(DROPPED)
            return
        self._queue.append((at, incoming, far, data, correlation))
        self._wanted.set()

    # --- the way there ---

    async def run(self) -> None:
        """Sends until cancelled."""
        while True:
            try:
                stream = await asyncio_dgram.connect(self._collector)
            except OSError as error:
                self._complain(error)
                self._lose(FAILED)
                await asyncio.sleep(_RECONNECT_S)
                continue
            listening = asyncio.create_task(_listen(stream), name="what the collector says")
            try:
                await self._send_all(stream)
            except asyncio_dgram.TransportClosed:
                await asyncio.sleep(_RECONNECT_S)
            finally:
                listening.cancel()
                stream.close()

    async def _send_all(self, stream: asyncio_dgram.DatagramClient) -> None:
        queue = self._queue
        while True:
            await self._wanted.wait()
            begun = now = perf_counter()
            while queue and now - begun < _SLICE_S:
                packet = self._packet(*queue.popleft())
                if packet is not None:
                    await self._send(stream, packet)
                now = perf_counter()
            if not queue:
                self._wanted.clear()
            await asyncio.sleep(min((now - begun) * self._rest, _LONGEST_REST_S))

    async def _send(self, stream: asyncio_dgram.DatagramClient, packet: bytes) -> None:
        try:
            await stream.send(packet)
        except OSError as error:  # also of a packet before it: nobody listens there
            self._complain(error)
            self._count(FAILED)
        else:
            self._count(SENT)

    def _packet(self, at: int, incoming: bool, far: FarEnd, data: bytes, correlation: bytes) -> bytes | None:
        try:
            if self._mask:
                data = masked_message(data, self._key)
            there, here = Address.of(far.host, far.port), self._own.of(far)
            source, destination = (there, here) if incoming else (here, there)
            packet = encode(
                far.transport, source, destination, at, data, correlation, self._agent, self._ending
            )
        except Exception:
            packet = None  # rather none than one that is not masked
        if packet is None:
            self._count(DROPPED)
        return packet

    def _lose(self, result: str) -> None:
        self.counted[result] = self.counted.get(result, 0) + len(self._queue)
        self._queue.clear()
        self._wanted.clear()

    def _count(self, result: str) -> None:
        self.counted[result] = self.counted.get(result, 0) + 1

    def _complain(self, error: OSError) -> None:
        """Once: the counters tell the rest."""
        if not self._complained:
            self._complained = True
            _log.warning("the collector cannot be reached", why=error.strerror or str(error))


async def _listen(stream: asyncio_dgram.DatagramClient) -> None:
    """Takes away what the collector says, which nobody here needs, and which would stay in memory."""
    while True:
        with contextlib.suppress(OSError):
            await stream.recv()
