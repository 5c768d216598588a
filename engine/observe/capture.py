"""Messages for a HEP3 collector, as the signalling process gives them away: one `send` per wake-up to a process of
low priority, which masks, packs and sends them (`engine.observe.capture_sender`).

The socket's buffer is the queue: what it does not take is dropped and counted, so signalling never waits. A call
that begins while the buffer is half full is left out whole, so that what does arrive are complete calls.
"""

from __future__ import annotations

import fcntl
import socket
import termios
from binascii import crc32
from collections import OrderedDict
from collections.abc import Callable
from struct import Struct, unpack
from typing import Final, NamedTuple, Protocol

SENT: Final = "sent"
DROPPED: Final = "dropped"  # no room for it, or too long for a packet
FAILED: Final = "failed"  # the collector or the way to it refused it

LARGEST_BATCH: Final = 262_144  # octets
_FULL_BATCH: Final = 131_072
_TEN_THOUSAND: Final = 10_000
_LOOKS_PER_ENTRY: Final = 4

# octets of the message, when, whether it came in, over TCP, which own end, far port, octets of host and correlation
_ENTRY: Final = Struct("!IQ??BHBB")


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


class Entry(NamedTuple):
    """One message, as it goes from process to process. `at`: microseconds since the epoch; `own`: index of the
    engine's own end; `correlation` is empty for a message of no call."""

    at: int
    incoming: bool
    tcp: bool
    own: int
    host: str
    port: int
    correlation: bytes
    data: bytes


def entries(batch: bytes) -> list[Entry]:
    """What `Capture.flush` sent."""
    found: list[Entry] = []
    place = 0
    while place < len(batch):
        octets, at, incoming, tcp, own, port, host, correlation = _ENTRY.unpack_from(batch, place)
        place += _ENTRY.size
        name = batch[place : place + host].decode()
        place += host
        mark = batch[place : place + correlation]
        place += correlation
        found.append(Entry(at, incoming, tcp, own, name, port, mark, batch[place : place + octets]))
        place += octets
    return found


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
        """Looks at a few of the oldest at a time: what ended long ago goes, what is up stays for another round."""
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
    """`offer` takes a message, `flush` sends what a wake-up had. `counted` holds how many messages were dropped
    here; the sender's own figures are added to it by who hears them.

    `clock` gives microseconds since the epoch; `sample` is in percent of the calls; `own` counts the UDP sockets.
    """

    def __init__(
        self,
        own: int,
        clock: Callable[[], int],
        *,
        sample: float = 100.0,
        most_calls: int = 200_000,
        linger_s: float = 64.0,
        counted: dict[str, int] | None = None,
    ) -> None:
        self.counted = {} if counted is None else counted
        self._own = own
        self._sample = round(sample * 100)  # of ten thousand
        self._correlations = Correlations(most_calls, round(linger_s * 1000), clock)
        self._socket: socket.socket | None = None
        self._half = 0
        self._batch: list[bytes] = []
        self._octets = 0

    def connect(self, to: socket.socket | None) -> None:
        """From now on messages go there: a non-blocking SOCK_SEQPACKET; None: nowhere."""
        self._socket = to
        self._half = 0 if to is None else to.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2

    # --- whose a message is ---

    def begun(self, record: Record, call_id: str) -> None:
        """A call and its caller's Call-ID: it is captured whole or not at all."""
        chosen = int(record.record_id[:8], 16) % _TEN_THOUSAND < self._sample and self._has_room()
        self._correlations.add(call_id, record, record.record_id.encode() if chosen else None)

    def dialled(self, record: Record, caller_id: str, call_id: str) -> None:
        """A callee's Call-ID, of the call with that caller's Call-ID."""
        known = self._correlations.get(caller_id)
        self._correlations.add(call_id, record, None if known is None else known[1])

    # --- what it says ---

    def offer(self, at: int, incoming: bool, far: FarEnd, data: bytes, call_id: str) -> None:
        """One message; `at` in microseconds since the epoch."""
        known = self._correlations.get(call_id)
        if known is None:
            if not self._samples(call_id):
                return
            correlation: bytes | None = b""
        else:
            correlation = known[1]
        if correlation is None:
            return
        tcp = far.transport != "udp"
        own = 0 if tcp or not 0 < far.local <= self._own else far.local - 1
        host = far.host.encode()
        head = _ENTRY.pack(len(data), at, incoming, tcp, own, far.port, len(host), len(correlation))
        entry = head + host + correlation + data
        if self._octets + len(entry) > _FULL_BATCH:
            self.flush()
        self._batch.append(entry)
        self._octets += len(entry)

    def flush(self) -> None:
        """Gives the wake-up's messages away, or drops them. Never waits."""
        if not self._batch:
            return
        batch, count = b"".join(self._batch), len(self._batch)
        self._batch.clear()
        self._octets = 0
        try:
            if self._socket is not None and len(batch) <= LARGEST_BATCH:
                self._socket.send(batch)
                return
        except OSError:  # no room (BlockingIOError), or nobody there any more
            pass
        self.counted[DROPPED] = self.counted.get(DROPPED, 0) + count

    # --- within ---

    def _samples(self, call_id: str) -> bool:
        """Of no call: a probe, a stranger's, or what came too late. By its Call-ID, so that answers come too."""
        if self._sample >= _TEN_THOUSAND:
            return True
        return crc32(call_id.encode("utf-8", "surrogateescape")) % _TEN_THOUSAND < self._sample

    def _has_room(self) -> bool:
        if self._socket is None:
            return False
        try:
            waiting = fcntl.ioctl(self._socket, termios.TIOCOUTQ, b"\0\0\0\0")
        except OSError:
            return False
        return bool(unpack("i", waiting)[0] < self._half)
