"""The messages of chosen numbers' calls, kept in memory so that `calls show --ladder` can draw them.

An operator chooses a number; every call that begins from then on with that number as caller, dialled, shown or
callee is kept, both legs of it, until room or time runs out. Numbers and messages live in this process's memory
only. Everything is bounded: numbers, calls, messages and octets of a call, octets in all.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol

OCTETS_PER_CALL: Final = 1_048_576  # so that a call's answer fits into one line of the link
_UNDECIDED: Final = 4096  # calls of which it is not known yet whom they will ring
_FAREWELL_S: Final = 64.0  # after a call's end, while messages of it may still come


class FarEnd(Protocol):
    """`engine.sip.flow.Flow`."""

    @property
    def transport(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def local(self) -> int: ...


class CallRecord(Protocol):
    """`engine.calls.record.CallRecord`, as far as it is looked at here. Times in milliseconds since the epoch."""

    @property
    def record_id(self) -> str: ...
    @property
    def caller(self) -> str | None: ...
    @property
    def dialled(self) -> str | None: ...
    @property
    def shown(self) -> str | None: ...
    @property
    def callee(self) -> str | None: ...
    @property
    def a_call_id(self) -> str | None: ...
    @property
    def model(self) -> str | None: ...
    @property
    def direction(self) -> str | None: ...
    @property
    def disposition(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def out_trunk(self) -> str | None: ...
    @property
    def release_time(self) -> int | None: ...


class NoRoom(Exception):
    """No more numbers can be chosen."""


@dataclass(slots=True)
class Message:
    """`at`: microseconds since the epoch; `leg`: 0 is the caller's, then the callee's in order of their INVITEs;
    `far`: `udp://127.0.0.1:5090`; `again`: the same octets have been seen on that leg in that direction."""

    at: int
    incoming: bool
    leg: int
    far: str
    data: bytes
    again: bool


class TracedCall:
    """`left_out` counts the messages that there was no room for."""

    __slots__ = ("call_ids", "left_out", "messages", "octets", "record")

    def __init__(self, record: CallRecord) -> None:
        self.record = record
        self.call_ids = [record.a_call_id or ""]
        self.messages: list[Message] = []
        self.octets = 0
        self.left_out = 0

    def keep(self, at: int, incoming: bool, far: FarEnd, data: bytes, call_id: str, most: int) -> int:
        """Keeps a message; returns the octets that it takes, 0 when there is no room."""
        if len(self.messages) >= most or self.octets + len(data) > OCTETS_PER_CALL:
            self.left_out += 1
            return 0
        leg = self.call_ids.index(call_id)
        again = any(one.data == data and one.leg == leg and one.incoming == incoming for one in self.messages)
        host = f"[{far.host}]" if ":" in far.host else far.host
        there = f"{far.transport}://{host}:{far.port}"
        self.messages.append(Message(at, incoming, leg, there, data, again))
        self.octets += len(data)
        return len(data)


@dataclass(slots=True, frozen=True)
class Bounds:
    """How many numbers at a time, calls kept, messages of each, octets in all, and seconds after a call's end."""

    numbers: int = 16
    calls: int = 100
    messages_per_call: int = 200
    octets: int = 8 * 1_048_576
    keep_s: float = 3600.0


class Trace:
    """`clock` gives microseconds since the epoch."""

    def __init__(self, bounds: Bounds, clock: Callable[[], int]) -> None:
        self._bounds = bounds
        self._clock = clock
        self._chosen: dict[str, int] = {}  # number → until when, in microseconds
        self._undecided: OrderedDict[str, TracedCall] = OrderedDict()  # by record id
        self._kept: OrderedDict[str, TracedCall] = OrderedDict()
        self._by_call_id: dict[str, TracedCall] = {}
        self._octets = 0

    # --- of the operator ---

    def choose(self, number: str, seconds: float) -> None:
        """Traces that number's calls for so long from now: E.164 with `+`, or the digits of a 700 number. Raises
        NoRoom."""
        self.sweep()
        if number not in self._chosen and len(self._chosen) >= self._bounds.numbers:
            raise NoRoom(f"{self._bounds.numbers} numbers are traced already (trace.numbers)")
        self._chosen[number] = self._clock() + round(seconds * 1_000_000)

    def drop(self, number: str) -> bool:
        """False when it is not chosen. Its calls go on being kept."""
        return self._chosen.pop(number, None) is not None

    def chosen(self) -> list[tuple[str, float]]:
        """The numbers and for how many seconds more."""
        now = self._clock()
        return [(number, (until - now) / 1_000_000) for number, until in self._chosen.items() if until > now]

    def call(self, name: str) -> TracedCall | None:
        """By its record id, or by the Call-ID of one of its legs."""
        self.sweep()
        found = self._kept.get(name) or self._by_call_id.get(name)
        return found if found is not None and found.record.record_id in self._kept else None

    def calls(self) -> Iterator[TracedCall]:
        """Those that are kept, in order of their start."""
        self.sweep()
        return iter(self._kept.values())

    @property
    def octets(self) -> int:
        """How much all kept messages take."""
        return self._octets

    @property
    def idle(self) -> bool:
        """Nobody is chosen, and no kept call can have another message."""
        farewell = self._clock() // 1000 - _FAREWELL_S * 1000
        return not self._chosen and all(
            call.record.release_time is not None and call.record.release_time < farewell
            for call in self._kept.values()
        )

    # --- of the calls ---

    def begun(self, record: CallRecord) -> None:
        if self._chosen:
            call = TracedCall(record)
            self._undecided[record.record_id] = call
            self._by_call_id[call.call_ids[0]] = call
            if len(self._undecided) > _UNDECIDED:
                self._forget(self._undecided, next(iter(self._undecided)))

    def dialled(self, record: CallRecord, call_id: str) -> None:
        call = self._undecided.get(record.record_id) or self._kept.get(record.record_id)
        if call is not None:
            call.call_ids.append(call_id)
            self._by_call_id[call_id] = call

    def see(self, at: int, incoming: bool, far: FarEnd, data: bytes, call_id: str) -> None:
        """A message, after the core has heard it or before it is sent."""
        call = self._by_call_id.get(call_id)
        if call is None:
            return
        record = call.record
        if record.record_id in self._undecided and not self._decided(call):
            return
        if self._octets + len(data) > self._bounds.octets and not self._make_room(call, len(data)):
            call.left_out += 1
            return
        self._octets += call.keep(at, incoming, far, data, call_id, self._bounds.messages_per_call)

    def sweep(self) -> None:
        """Forgets whose time is over."""
        now = self._clock()
        for number in [number for number, until in self._chosen.items() if until <= now]:
            del self._chosen[number]
        if not self._chosen:
            for record_id in list(self._undecided):
                self._forget(self._undecided, record_id)
        ended_before = now // 1000 - self._bounds.keep_s * 1000
        for record_id, call in list(self._kept.items()):
            released = call.record.release_time
            if released is not None and released < ended_before:
                self._forget(self._kept, record_id)

    # --- within ---

    def _decided(self, call: TracedCall) -> bool:
        """Whether the message is to be kept: the call has a chosen number, or it may still turn out to."""
        record = call.record
        chosen = self._chosen
        if (
            record.caller in chosen
            or record.dialled in chosen
            or record.shown in chosen
            or record.callee in chosen
        ):
            if len(self._kept) >= self._bounds.calls and not self._forget_one_that_ended(call):
                self._forget(self._undecided, record.record_id)
                return False
            self._kept[record.record_id] = self._undecided.pop(record.record_id)
            return True
        if record.out_trunk is None and record.release_time is None:
            return True  # whom it will ring is not known yet
        self._forget(self._undecided, record.record_id)
        return False

    def _make_room(self, call: TracedCall, octets: int) -> bool:
        while self._octets + octets > self._bounds.octets:
            if not self._forget_one_that_ended(call):
                return False
        return True

    def _forget_one_that_ended(self, other_than: TracedCall) -> bool:
        """The oldest; False when all are up."""
        for record_id, call in self._kept.items():
            if call is not other_than and call.record.release_time is not None:
                self._forget(self._kept, record_id)
                return True
        return False

    def _forget(self, calls: OrderedDict[str, TracedCall], record_id: str) -> None:
        call = calls.pop(record_id)
        self._octets -= call.octets
        for call_id in call.call_ids:
            if self._by_call_id.get(call_id) is call:
                del self._by_call_id[call_id]
