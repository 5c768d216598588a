"""What a leg leaves running when it answers an INVITE or hangs up: a 2xx until its ACK, a BYE until its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from engine.calls.hiding import Crossing
from engine.sip.flow import Flow
from engine.sip.message import Response
from engine.sip.timers import NEVER, Timed

if TYPE_CHECKING:
    from engine.calls.leg import Leg


class Acknowledged(Protocol):
    """Who sent a 2xx to an INVITE and hears what became of it."""

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None: ...
    def on_unacknowledged(self, leg: Leg, now: float) -> None: ...


class Acceptance(Timed):
    """A 2xx on its way: repeated from T1 up to T2 until acknowledged, over TCP too, 64·T1 at most (13.3.1.4)."""

    __slots__ = ("cseq", "data", "flow", "give_up_at", "interval", "leg", "owner")

    def __init__(self, leg: Leg, data: bytes, flow: Flow, cseq: int, owner: Acknowledged, now: float) -> None:
        super().__init__()
        timers = leg.board.endpoint.timers
        self.leg = leg
        self.data = data
        self.flow = flow
        self.cseq = cseq
        self.owner = owner
        self.interval = timers.t1
        self.give_up_at = now + timers.transaction
        leg.board.endpoint.wheel.schedule(self, now + self.interval)

    def stop(self) -> None:
        self.deadline = NEVER

    def wake(self, now: float) -> None:
        endpoint = self.leg.board.endpoint
        if now >= self.give_up_at:
            self.leg.acceptance = None
            self.owner.on_unacknowledged(self.leg, now)
            return
        endpoint.outbox.append((self.flow, self.data))
        self.leg.board.tally.retransmission("out")
        self.interval = min(2 * self.interval, endpoint.timers.t2)
        endpoint.wheel.schedule(self, min(now + self.interval, self.give_up_at))


class Parting:
    """Hangs up as soon as it may: the call ended before the ACK to our 2xx had come."""

    __slots__ = ("_cause",)

    def __init__(self, cause: int) -> None:
        self._cause = cause

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        leg.hang_up(self._cause, now)

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        leg.hang_up(self._cause, now)


class Left:
    """The call has ended before the far end acknowledged our 2xx: that is repeated all the same until the ACK comes, or
    its INVITE would never end there (RFC 3261 13.3.1.4)."""

    __slots__ = ()

    def on_acknowledged(self, leg: Leg, crossing: Crossing, now: float) -> None:
        leg.close()

    def on_unacknowledged(self, leg: Leg, now: float) -> None:
        leg.close()


class Farewell:
    """Who sent a BYE: however it is answered, or not, the leg is over (RFC 3261 15.1.1)."""

    __slots__ = ("leg",)

    def __init__(self, leg: Leg) -> None:
        self.leg = leg

    def on_response(self, response: Response, now: float) -> None:
        if response.status >= 200:
            self.leg.leave()

    def on_timeout(self, now: float) -> None:
        self.leg.leave()

    def on_transport_error(self, now: float) -> None:
        self.leg.leave()
