"""What the four transaction machines share: the table's shape, the layer they live in, their users."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, Protocol

from engine.sip.flow import Flow, Outbox
from engine.sip.message import Request, Response
from engine.sip.timers import NEVER, Timed, TimerValues, TimerWheel

# (state, input) → (next state, actions), each machine's own IntEnums. Actions are told apart by identity: mypyc would
# make a number of an `int`.
Table = dict[tuple[int, int], tuple[int, tuple[IntEnum, ...]]]


class IllegalInput(Exception):
    """A machine was given an input that its RFC figure has no row for: our own fault, never a peer's."""


class ClientUser(Protocol):
    """Who sent a request and hears what became of it."""

    def on_response(self, response: Response, now: float) -> None: ...

    def on_timeout(self, now: float) -> None:
        """No final answer in 64·T1: to be treated as a 408 (RFC 3261 8.1.3.1)."""
        ...

    def on_transport_error(self, now: float) -> None:
        """It could not be sent: to be treated as a 503 (RFC 3261 8.1.3.1)."""
        ...


class Unheard:
    """The user of a request whose answer changes nothing any more: a CANCEL (the INVITE's own final response
    tells everything, RFC 3261 9.1), a BYE to somebody who is no part of a call, a transaction that is over."""

    __slots__ = ()

    def on_response(self, response: Response, now: float) -> None:
        pass

    def on_timeout(self, now: float) -> None:
        pass

    def on_transport_error(self, now: float) -> None:
        pass


UNHEARD: Final = Unheard()


class ServerUser(Protocol):
    """Who answers an INVITE and hears that its sender gave up."""

    def on_cancel(self, request: Request, now: float) -> None:
        """A CANCEL for it came; it has been answered already (RFC 3261 9.2)."""
        ...


class Fallback:
    """How a request goes over UDP after all: it went over TCP for its size only (RFC 3261 18.1.1)."""

    __slots__ = ("data", "flow", "via")

    def __init__(self, flow: Flow, via: str, data: bytes) -> None:
        self.flow = flow
        self.via = via
        self.data = data


class Layer:
    """What transactions need of the endpoint: the outbox, the wheel, the timer values and how to be forgotten."""

    __slots__ = ("attempts", "clients", "fallbacks", "outbox", "retransmitted", "servers", "timers", "wheel")

    def __init__(
        self, outbox: Outbox, wheel: TimerWheel, timers: TimerValues, retransmitted: Callable[[str], None]
    ) -> None:
        self.outbox = outbox
        self.wheel = wheel
        self.timers = timers
        self.retransmitted = retransmitted  # called with "in" or "out"
        self.clients: dict[str, ClientTransaction] = {}
        self.servers: dict[str, ServerTransaction] = {}
        self.fallbacks: dict[str, Fallback] = {}  # of client transactions
        # Of INVITEs by whatever way, as long as the transaction of the first lives (RFC 3261 8.2.2.2).
        self.attempts: set[str] = set()


class Transaction(Timed):
    """At most two timers run at once: one that repeats a message and one that ends the wait. A machine moves on the
    wheel only with an action that changes them, and before its user is called: who fails to hear a response keeps
    no machine from its end.

    `state` is 0 at first, in every machine. `sent` is the last message sent, as long as it may have to be repeated.
    Clients and servers set all the attributes themselves: one constructor per transaction, for every call has four.
    """

    __slots__ = ("end_at", "flow", "interval", "key", "layer", "repeat_at", "sent", "state")

    layer: Layer
    key: str
    flow: Flow
    state: int
    sent: bytes
    interval: float
    repeat_at: float
    end_at: float

    def transmit(self, data: bytes) -> None:
        self.sent = data
        self.layer.outbox.append((self.flow, data))

    def retransmit(self) -> None:
        if self.sent:
            self.layer.outbox.append((self.flow, self.sent))
            self.layer.retransmitted("out")

    def repeat_after(self, now: float, interval: float) -> None:
        """The message again after so many seconds, if the wait does not end before."""
        self.interval = interval
        self.repeat_at = now + interval
        self.arm()

    def end_after(self, now: float, seconds: float) -> None:
        """Nothing is repeated any more; the wait ends after so many seconds."""
        self.repeat_at = NEVER
        self.end_at = end_at = now + seconds
        self.layer.wheel.schedule(self, end_at)

    def arm(self) -> None:
        """Puts the earlier of the two timers onto the wheel."""
        self.layer.wheel.schedule(self, self.repeat_at if self.repeat_at < self.end_at else self.end_at)

    def disarm(self) -> None:
        self.deadline = self.repeat_at = self.end_at = NEVER


class ClientTransaction(Transaction):
    """One request of ours, sent as it is made: repeated after T1 except over a reliable transport (timers A and E),
    given up after 64·T1 (timers B and F). `user` may be replaced while responses can still come."""

    __slots__ = ("user",)

    def __init__(self, layer: Layer, key: str, flow: Flow, data: bytes, user: ClientUser, now: float) -> None:
        timers = layer.timers
        self.layer = layer
        self.key = key
        self.flow = flow
        self.state = 0
        self.sent = data
        self.interval = timers.t1
        self.end_at = now + timers.transaction
        self.slot = 0
        self.user = user
        layer.clients[key] = self
        layer.outbox.append((flow, data))
        if flow.transport == "udp":
            self.repeat_at = now + timers.t1
            layer.wheel.schedule(self, self.repeat_at)
        else:
            self.repeat_at = NEVER
            layer.wheel.schedule(self, self.end_at)

    def receive(self, response: Response, now: float) -> None:
        raise AssertionError("each client machine has its own")

    def repeats(self, response: Response) -> bool:
        """True for a final response that has come before, as far as that can be told."""
        raise AssertionError("each client machine has its own")

    def transport_failed(self, now: float) -> None:
        raise AssertionError("each client machine has its own")

    def fall_back(self, way: Fallback, now: float) -> None:
        """The same request once more, over UDP: nothing has come back, so whoever got both takes them for one."""
        self.flow = way.flow
        self.transmit(way.data)
        self.layer.retransmitted("out")
        self.repeat_after(now, self.layer.timers.t1)

    def forget(self) -> None:
        """Takes it out of the layer and lets its user go, so that nothing circular stays behind."""
        self.disarm()
        self.layer.clients.pop(self.key, None)
        if self.layer.fallbacks:
            self.layer.fallbacks.pop(self.key, None)
        self.user = UNHEARD


class ServerTransaction(Transaction):
    """One request of theirs. `head`, `to` and `tail` are the parts of every answer that come from it (8.2.6.2):
    the Via lines and From, the To value, Call-ID and CSeq. `in_dialog`: the To has a tag already. `tag` is what we
    put there, as soon as it is settled. `attempt` is its name among `Layer.attempts`, "" for none."""

    __slots__ = ("attempt", "head", "in_dialog", "method", "tag", "tail", "to", "user")

    def __init__(self, layer: Layer, key: str, flow: Flow, request: Request) -> None:
        self.layer = layer
        self.key = key
        self.flow = flow
        self.state = 0
        self.sent = b""
        self.interval = 0.0
        self.deadline = self.repeat_at = self.end_at = NEVER
        self.slot = 0
        self.method = request.method
        self.in_dialog = request.to_tag != ""
        self.user: ServerUser | None = None
        self.head = ""
        self.to = ""
        self.tail = ""
        self.tag = ""
        self.attempt = ""
        layer.servers[key] = self

    @property
    def answered(self) -> bool:
        """True once a final response has been sent."""
        raise AssertionError("each server machine has its own")

    @property
    def accepted(self) -> bool:
        """True for an INVITE with a 2xx: its ACK is the user's (RFC 6026)."""
        return False

    @property
    def confirmed(self) -> bool:
        """True for an INVITE whose failure has been acknowledged."""
        return False

    def receive(self, request: Request, now: float) -> None:
        """The request again, or its ACK."""
        raise AssertionError("each server machine has its own")

    def send(self, status: int, data: bytes, now: float) -> None:
        """Sends a response of ours; a second final one is an IllegalInput."""
        raise AssertionError("each server machine has its own")

    def lighten(self) -> None:
        """Lets go of all that only an answer needs: from here on it waits for 64·T1, with thousands like it."""
        self.user = None
        self.head = self.to = self.tail = ""

    def forget(self) -> None:
        self.disarm()
        self.layer.servers.pop(self.key, None)
        self.layer.attempts.discard(self.attempt)
        self.user = None
