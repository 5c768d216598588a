"""A bench for single transaction machines: a layer, a clock, and a user that notes what it hears."""

from __future__ import annotations

from enum import IntEnum

from engine.sip.flow import Flow, Outbox
from engine.sip.message import Request, Response, parse_message
from engine.sip.outgoing import OutgoingRequest
from engine.sip.timers import NEVER, TimerValues, TimerWheel
from engine.sip.transactions.transaction import Layer, Table
from tests.sip import samples

UDP = Flow("udp", "192.0.2.9", 5062, 1, "pstn")
TCP = Flow("tcp", "192.0.2.9", 5062, 4, "pstn")
TICK = 0.01
START = 1000.0


class Heard:
    """A client's user: status codes, "timeout" and "error" in the order in which it heard of them."""

    def __init__(self, fails: bool = False) -> None:
        self.events: list[str] = []
        self.fails = fails

    def on_response(self, response: Response, now: float) -> None:
        self._note(str(response.status))

    def on_timeout(self, now: float) -> None:
        self._note("timeout")

    def on_transport_error(self, now: float) -> None:
        self._note("error")

    def _note(self, event: str) -> None:
        self.events.append(event)
        if self.fails:
            raise RuntimeError("a fault of ours")


class Bench:
    """`sent` is what was sent, as (seconds since the start, first line); `counted` the directions of repeats."""

    def __init__(self, timers: TimerValues | None = None) -> None:
        self.now = START
        self.outbox: Outbox = []
        self.wheel = TimerWheel()
        self.timers = timers or TimerValues()
        self.counted: list[str] = []
        self.layer = Layer(self.outbox, self.wheel, self.timers, self.counted.append)
        self.sent: list[tuple[float, str]] = []

    def run(self, seconds: float) -> None:
        """Lets time pass, turning the wheel whenever it asks for it."""
        self.collect()
        end = self.now + seconds
        while self.wheel.next_deadline <= end:
            self.now = max(self.now, self.wheel.next_deadline)
            self.wheel.expire(self.now)
            self.collect()
        self.now = end

    def turn(self, seconds: float, *deadlines: float) -> float:
        """Jumps ahead and turns the wheel once; a little farther where one of the deadlines would be so near
        that the wheel may be up to a tick late with it. The time it is then."""
        time = self.now + seconds
        while any(time - 1.1 * TICK < deadline <= time + 0.1 * TICK for deadline in deadlines):
            time += 1.3 * TICK
        self.now = time
        self.wheel.expire(time)
        return time

    def collect(self) -> list[str]:
        """First lines of what has been sent since the last call."""
        lines = [data.split(b"\r\n", 1)[0].decode() for _, data in self.outbox]
        self.sent += [(self.now - START, line) for line in lines]
        self.outbox.clear()
        return lines

    @property
    def sending_times(self) -> list[float]:
        return [time for time, _ in self.sent]

    @property
    def quiet(self) -> bool:
        """Nothing waits any more, in no table and on no wheel."""
        return not self.layer.clients and not self.layer.servers and self.wheel.next_deadline == NEVER


def invite(headers: str = "Contact: <sip:we@192.0.2.1>\r\n") -> OutgoingRequest:
    """An INVITE of ours, with a route, a header and a body that its ACK and CANCEL must not repeat."""
    return OutgoingRequest(
        "INVITE",
        "sip:13800000002@192.0.2.9:5062",
        "<sip:700123456789012@192.0.2.1>;tag=we",
        "<sip:13800000002@192.0.2.9>",
        "one@192.0.2.1",
        7,
        66,
        "Route: <sip:192.0.2.9;lr>\r\nRoute: <sip:192.0.2.10;lr>\r\n",
        headers,
        samples.SDP,
    )


def answer(status: int, method: str = "INVITE", tag: str = "they") -> Response:
    """A response to a request of ours."""
    tagged = f";tag={tag}" if tag else ""
    message = parse_message(
        samples.response(f"SIP/2.0 {status} X", cseq=f"CSeq: 7 {method}", to=f"To: <sip:a@192.0.2.9>{tagged}")
    )
    assert isinstance(message, Response)
    return message


def asked(method: str = "INVITE", **changed: str) -> Request:
    """A request of theirs."""
    message = parse_message(samples.request(method, **changed))
    assert isinstance(message, Request)
    return message


def figure(table: Table, states: type[IntEnum], inputs: type[IntEnum]) -> dict[tuple[str, str], str]:
    """The table as names: (state, input) → next state."""
    return {
        (states(state).name, inputs(given).name): states(then).name
        for (state, given), (then, _) in table.items()
    }


def late(seconds: float, turns: int) -> tuple[float, float]:
    """Between when and when a timer comes, if `turns` timers of the wheel have come one after the other."""
    return seconds, seconds + turns * (TICK + 0.001)
