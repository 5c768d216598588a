"""RFC 3261 17.1.1 as corrected by RFC 6026: every row, every timer, and whatever comes in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from engine.sip.timers import NEVER, TimerValues
from engine.sip.transactions.invite_client import TABLE, Input, InviteClient, State
from engine.sip.transactions.transaction import IllegalInput
from tests.sip.machines import TCP, TICK, UDP, Bench, Heard, answer, figure, invite, late

VIA = "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKours;rport"

# Figure 5 of RFC 3261 with figure 4 of RFC 6026. PROCEEDING's timer B is ours: a cancelled INVITE (9.1).
FIGURE = {
    ("CALLING", "PROVISIONAL"): "PROCEEDING",
    ("CALLING", "SUCCESS"): "ACCEPTED",
    ("CALLING", "FAILURE"): "COMPLETED",
    ("CALLING", "TIMER_A"): "CALLING",
    ("CALLING", "TIMER_B"): "TERMINATED",
    ("CALLING", "TRANSPORT_ERROR"): "TERMINATED",
    ("PROCEEDING", "PROVISIONAL"): "PROCEEDING",
    ("PROCEEDING", "SUCCESS"): "ACCEPTED",
    ("PROCEEDING", "FAILURE"): "COMPLETED",
    ("PROCEEDING", "TIMER_B"): "TERMINATED",
    ("PROCEEDING", "TRANSPORT_ERROR"): "PROCEEDING",
    ("COMPLETED", "PROVISIONAL"): "COMPLETED",
    ("COMPLETED", "SUCCESS"): "COMPLETED",
    ("COMPLETED", "FAILURE"): "COMPLETED",
    ("COMPLETED", "TIMER_D"): "TERMINATED",
    ("COMPLETED", "TRANSPORT_ERROR"): "TERMINATED",
    ("ACCEPTED", "PROVISIONAL"): "ACCEPTED",
    ("ACCEPTED", "SUCCESS"): "ACCEPTED",
    ("ACCEPTED", "FAILURE"): "ACCEPTED",
    ("ACCEPTED", "TIMER_M"): "TERMINATED",
    ("ACCEPTED", "TRANSPORT_ERROR"): "ACCEPTED",
}


def begin(
    flow: Flow = UDP, timers: TimerValues | None = None, fails: bool = False
) -> tuple[Bench, InviteClient, Heard]:
    bench, heard = Bench(timers), Heard(fails)
    data = invite().render(VIA)
    machine = InviteClient(bench.layer, "z9hG4bKours INVITE", flow, invite(), VIA, data, heard, bench.now)
    return bench, machine, heard


def test_the_table_is_the_figure() -> None:
    assert figure(TABLE, State, Input) == FIGURE


def test_timer_a_doubles_from_t1_until_timer_b() -> None:
    bench, machine, heard = begin()
    bench.run(40.0)
    nominal = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert len(bench.sent) == len(nominal)
    for turn, (time, line) in enumerate(bench.sent):
        earliest, latest = late(nominal[turn], turn)
        assert earliest <= time <= latest
        assert line == "INVITE sip:13800000002@192.0.2.9:5062 SIP/2.0"
    assert bench.counted == ["out"] * 6
    assert heard.events == ["timeout"]
    assert machine.state == State.TERMINATED
    assert bench.quiet


@pytest.mark.parametrize("flow", [UDP, TCP])
@pytest.mark.parametrize("t1", [0.02, 0.5, 2.0])
def test_timer_b_is_64_t1(flow: Flow, t1: float) -> None:
    bench, _, heard = begin(flow, TimerValues(t1=t1))
    bench.run(64 * t1 - TICK)
    assert heard.events == []
    bench.run(3 * TICK)
    assert heard.events == ["timeout"]
    assert bench.quiet


def test_over_tcp_the_invite_goes_once() -> None:
    bench, _, _ = begin(TCP)
    bench.run(40.0)
    assert len(bench.sent) == 1
    assert bench.counted == []


def test_a_provisional_response_stops_timers_a_and_b() -> None:
    bench, machine, heard = begin()
    bench.run(0.6)
    machine.receive(answer(100, tag=""), bench.now)
    machine.receive(answer(180), bench.now)
    bench.run(7200.0)
    assert heard.events == ["100", "180"]
    assert len(bench.sent) == 2
    assert machine.state == State.PROCEEDING


def test_the_ack_to_a_failure_is_built_from_the_invite() -> None:
    """17.1.1.3: Request-URI, Via, From, Call-ID, CSeq number and Route of the INVITE, To of the response."""
    bench, machine, _ = begin()
    sent = bench.outbox[0][1].decode()
    bench.outbox.clear()
    machine.receive(answer(486, tag="far.end"), bench.now)
    [(flow, data)] = bench.outbox
    assert flow is UDP
    assert f"Via: {VIA}\r\n" in sent
    assert data.decode().split("\r\n") == [
        "ACK sip:13800000002@192.0.2.9:5062 SIP/2.0",
        f"Via: {VIA}",
        "Route: <sip:192.0.2.9;lr>",
        "Route: <sip:192.0.2.10;lr>",
        "Max-Forwards: 70",
        "From: <sip:700123456789012@192.0.2.1>;tag=we",
        "To: <sip:a@192.0.2.9>;tag=far.end",
        "Call-ID: one@192.0.2.1",
        "CSeq: 7 ACK",
        "Content-Length: 0",
        "",
        "",
    ]


def test_a_repeated_failure_is_acknowledged_again_and_absorbed_until_timer_d() -> None:
    bench, machine, heard = begin()
    machine.receive(answer(486), bench.now)
    bench.run(31.9)
    assert machine.repeats(answer(486))
    assert not machine.repeats(answer(180))
    machine.receive(answer(486), bench.now)
    machine.receive(answer(180), bench.now)
    machine.receive(answer(200), bench.now)
    bench.run(0.2)
    assert heard.events == ["486"]
    assert [line.split()[0] for _, line in bench.sent] == ["INVITE", "ACK", "ACK"]
    assert bench.counted == ["out"]
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_timer_d_is_zero_over_tcp() -> None:
    bench, machine, heard = begin(TCP)
    machine.receive(answer(486), bench.now)
    assert machine.state == State.COMPLETED
    bench.run(2 * TICK)
    assert machine.state == State.TERMINATED
    assert heard.events == ["486"]
    assert bench.quiet


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_every_2xx_reaches_the_user_until_timer_m(flow: Flow) -> None:
    """RFC 6026: the user acknowledges; 2xx of other forks come here too."""
    bench, machine, heard = begin(flow)
    machine.receive(answer(200, tag="one"), bench.now)
    bench.run(31.9)
    machine.receive(answer(200, tag="two"), bench.now)
    machine.receive(answer(486, tag="three"), bench.now)
    machine.receive(answer(183, tag="three"), bench.now)
    bench.run(0.2)
    assert heard.events == ["200", "200"]
    assert len(bench.sent) == 1
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_a_cancelled_invite_is_given_up_after_64_t1() -> None:
    bench, machine, heard = begin()
    machine.receive(answer(180), bench.now)
    bench.run(100.0)
    machine.expect_end(bench.now)
    bench.run(31.9)
    assert heard.events == ["180"]
    bench.run(0.2)
    assert heard.events == ["180", "timeout"]
    assert bench.quiet


@pytest.mark.parametrize("status", [200, 486])
def test_a_cancel_that_comes_too_late_changes_no_timer(status: int) -> None:
    bench, machine, heard = begin()
    machine.receive(answer(status), bench.now)
    bench.run(20.0)
    machine.expect_end(bench.now)
    bench.run(12.1)
    assert machine.state == State.TERMINATED
    machine.expect_end(bench.now)
    bench.run(100.0)
    assert heard.events == [str(status)]
    assert bench.quiet


def test_a_transport_error_ends_what_has_not_been_answered() -> None:
    bench, machine, heard = begin()
    machine.transport_failed(bench.now)
    assert heard.events == ["error"]
    assert machine.state == State.TERMINATED
    bench.run(40.0)
    assert len(bench.sent) == 1
    assert bench.quiet


@pytest.mark.parametrize("status", [100, 200, 486])
def test_a_transport_error_says_nothing_to_who_has_an_answer(status: int) -> None:
    bench, machine, heard = begin()
    machine.receive(answer(status), bench.now)
    machine.transport_failed(bench.now)
    assert heard.events == [str(status)]
    assert machine.state == {100: State.PROCEEDING, 200: State.ACCEPTED, 486: State.TERMINATED}[status]


@pytest.mark.parametrize("status", [180, 200, 486])
def test_what_is_over_takes_nothing_more(status: int) -> None:
    bench, machine, _ = begin()
    machine.transport_failed(bench.now)
    with pytest.raises(IllegalInput, match="TERMINATED"):
        machine.receive(answer(status), bench.now)
    with pytest.raises(IllegalInput, match="TERMINATED"):
        machine.transport_failed(bench.now)


@pytest.mark.parametrize("statuses", [(200,), (486,), (180, 200), (180, 603)])
def test_it_comes_to_its_end_although_its_user_fails(statuses: tuple[int, ...]) -> None:
    bench, machine, heard = begin(fails=True)
    for status in statuses:
        bench.run(0.7)
        with pytest.raises(RuntimeError, match="a fault of ours"):
            machine.receive(answer(status), bench.now)
    bench.run(33.0)
    assert heard.events == [str(status) for status in statuses]
    assert bench.quiet


@dataclass
class Model:
    """What the figure says, with nominal times."""

    t1: float
    reliable: bool
    now: float
    state: str = "CALLING"
    interval: float = 0.0
    repeat_at: float = NEVER
    end_at: float = NEVER

    def __post_init__(self) -> None:
        self.end_at = self.now + 64 * self.t1
        if not self.reliable:
            self.interval = self.t1
            self.repeat_at = self.now + self.t1

    def respond(self, status: int, now: float) -> tuple[list[str], list[str]]:
        """What is sent and what the user hears."""
        if status >= 300 and self.state == "COMPLETED":
            return ["ACK"], []
        if self.state == "COMPLETED" or (self.state == "ACCEPTED" and not 200 <= status < 300):
            return [], []
        if self.state == "ACCEPTED":
            return [], [str(status)]
        self.repeat_at = NEVER
        if status < 200:
            if self.state == "CALLING":
                self.end_at = NEVER
            self.state = "PROCEEDING"
            return [], [str(status)]
        if status < 300:
            self.state, self.end_at = "ACCEPTED", now + 64 * self.t1
            return [], [str(status)]
        self.state, self.end_at = "COMPLETED", now if self.reliable else now + 64 * self.t1
        return ["ACK"], [str(status)]

    def fail(self) -> tuple[list[str], list[str]]:
        if self.state in ("CALLING", "COMPLETED"):
            heard = ["error"] if self.state == "CALLING" else []
            self._end()
            return [], heard
        return [], []

    def cancel(self, now: float) -> None:
        if self.state == "PROCEEDING":
            self.end_at = now + 64 * self.t1

    def tick(self, now: float) -> tuple[list[str], list[str]]:
        if self.end_at <= now:
            heard = ["timeout"] if self.state in ("CALLING", "PROCEEDING") else []
            self._end()
            return [], heard
        if self.repeat_at <= now:
            self.interval *= 2
            self.repeat_at = now + self.interval
            return ["INVITE"], []
        return [], []

    def _end(self) -> None:
        self.state, self.repeat_at, self.end_at = "TERMINATED", NEVER, NEVER


STEPS = st.one_of(
    st.tuples(st.just("respond"), st.integers(100, 699) | st.sampled_from([100, 180, 200, 486])),
    st.tuples(st.just("pass"), st.integers(0, 70_000) | st.sampled_from([0, 20, 500, 1000, 32_000])),
    st.tuples(st.just("fail"), st.just(0)),
    st.tuples(st.just("cancel"), st.just(0)),
)


@given(st.lists(STEPS, max_size=25), st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
def test_whatever_comes_it_does_what_the_figure_says(
    steps: list[tuple[str, int]], reliable: bool, t1: float
) -> None:
    bench, machine, heard = begin(TCP if reliable else UDP, TimerValues(t1=t1))
    model = Model(t1, reliable, bench.now)
    assert [line.split()[0] for line in bench.collect()] == ["INVITE"]
    steps.append(("respond", 486))
    steps.append(("pass", 64_000))
    steps.append(("pass", 64_000))
    for what, number in steps:
        if what == "respond":
            expected = model.respond(number, bench.now)
            machine.receive(answer(number), bench.now)
        elif what == "pass":
            expected = model.tick(bench.turn(number / 1000, model.repeat_at, model.end_at))
        elif what == "fail":
            expected = model.fail()
            machine.transport_failed(bench.now)
        else:
            expected = [], []
            model.cancel(bench.now)
            machine.expect_end(bench.now)
        assert [line.split()[0] for line in bench.collect()] == expected[0]
        assert heard.events == expected[1]
        assert State(machine.state).name == model.state
        heard.events.clear()
        if model.state == "TERMINATED":
            break
    assert model.state == "TERMINATED"
    bench.run(100.0)
    assert bench.quiet
    assert bench.collect() == []
    assert heard.events == []


def test_a_repeated_success_is_told_from_that_of_another_branch() -> None:
    bench, machine, _ = begin()
    assert not machine.repeats(answer(200))
    machine.receive(answer(200), bench.now)
    assert machine.repeats(answer(200))
    assert not machine.repeats(answer(200, tag="fork"))
    assert not machine.repeats(answer(180))
    assert not machine.repeats(answer(486))
