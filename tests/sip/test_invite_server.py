"""RFC 3261 17.2.1 as corrected by RFC 6026: every row, every timer, and whatever comes in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from engine.sip.message import Request
from engine.sip.timers import NEVER, TimerValues
from engine.sip.transactions.invite_server import TABLE, Input, InviteServer, State
from engine.sip.transactions.transaction import IllegalInput
from tests.sip.machines import TCP, TICK, UDP, Bench, asked, figure, late

# Figure 7 of RFC 3261 with figure 3 of RFC 6026. A stray ACK in PROCEEDING and CONFIRMED is absorbed.
FIGURE = {
    ("PROCEEDING", "INVITE"): "PROCEEDING",
    ("PROCEEDING", "ACK"): "PROCEEDING",
    ("PROCEEDING", "SEND_PROVISIONAL"): "PROCEEDING",
    ("PROCEEDING", "SEND_SUCCESS"): "ACCEPTED",
    ("PROCEEDING", "SEND_FAILURE"): "COMPLETED",
    ("COMPLETED", "INVITE"): "COMPLETED",
    ("COMPLETED", "ACK"): "CONFIRMED",
    ("COMPLETED", "TIMER_G"): "COMPLETED",
    ("COMPLETED", "TIMER_H"): "TERMINATED",
    ("CONFIRMED", "INVITE"): "CONFIRMED",
    ("CONFIRMED", "ACK"): "CONFIRMED",
    ("CONFIRMED", "TIMER_I"): "TERMINATED",
    ("ACCEPTED", "INVITE"): "ACCEPTED",
    ("ACCEPTED", "ACK"): "ACCEPTED",
    ("ACCEPTED", "SEND_SUCCESS"): "ACCEPTED",
    ("ACCEPTED", "TIMER_L"): "TERMINATED",
}


def begin(flow: Flow = UDP, timers: TimerValues | None = None) -> tuple[Bench, InviteServer]:
    bench = Bench(timers)
    return bench, InviteServer(bench.layer, "z9hG4bK77ef 192.0.2.9:5062 INVITE", flow, asked())


def send(machine: InviteServer, bench: Bench, status: int) -> None:
    machine.send(status, b"SIP/2.0 %d X\r\n\r\n" % status, bench.now)


def again(machine: InviteServer, bench: Bench) -> None:
    machine.receive(asked(), bench.now)


def acknowledge(machine: InviteServer, bench: Bench) -> None:
    machine.receive(asked("ACK"), bench.now)


def statuses(bench: Bench) -> list[int]:
    return [int(line.split()[1]) for line in bench.collect()]


def test_the_table_is_the_figure() -> None:
    assert figure(TABLE, State, Input) == FIGURE


def test_nothing_is_repeated_before_anything_was_sent() -> None:
    bench, machine = begin()
    again(machine, bench)
    assert statuses(bench) == []
    assert bench.counted == []
    bench.run(7200.0)
    assert machine.state == State.PROCEEDING


def test_the_invite_again_gets_the_last_provisional_response_again() -> None:
    bench, machine = begin()
    send(machine, bench, 100)
    send(machine, bench, 180)
    again(machine, bench)
    again(machine, bench)
    assert statuses(bench) == [100, 180, 180, 180]
    assert bench.counted == ["out", "out"]
    assert not machine.answered


def test_timer_g_doubles_from_t1_up_to_t2_until_timer_h() -> None:
    bench, machine = begin()
    send(machine, bench, 486)
    bench.run(40.0)
    nominal = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len(bench.sent) == len(nominal)
    for turn, time in enumerate(bench.sending_times):
        earliest, latest = late(nominal[turn], turn)
        assert earliest <= time <= latest
    assert bench.counted == ["out"] * 10
    assert machine.state == State.TERMINATED
    assert bench.quiet


@pytest.mark.parametrize(("t1", "t2"), [(0.02, 0.04), (2.0, 16.0)])
def test_timer_g_follows_its_settings(t1: float, t2: float) -> None:
    bench, machine = begin(timers=TimerValues(t1=t1, t2=t2))
    send(machine, bench, 486)
    bench.run(65 * t1 + 1.0)
    gaps = [
        after - before for before, after in zip(bench.sending_times, bench.sending_times[1:], strict=False)
    ]
    assert gaps[0] == pytest.approx(t1, abs=2 * TICK)
    assert max(gaps) == pytest.approx(t2, abs=2 * TICK)
    assert bench.quiet


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_timer_h_is_64_t1(flow: Flow) -> None:
    bench, machine = begin(flow)
    send(machine, bench, 404)
    bench.run(31.99)
    assert machine.state == State.COMPLETED
    bench.run(2 * TICK)
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_over_tcp_a_failure_is_sent_once() -> None:
    bench, machine = begin(TCP)
    send(machine, bench, 404)
    bench.run(40.0)
    assert len(bench.sent) == 1


def test_a_failure_is_repeated_for_a_repeated_invite() -> None:
    bench, machine = begin()
    send(machine, bench, 404)
    again(machine, bench)
    assert statuses(bench) == [404, 404]


def test_the_ack_ends_the_repeating_and_timer_i_absorbs_more_of_them() -> None:
    bench, machine = begin()
    send(machine, bench, 486)
    bench.run(0.6)
    acknowledge(machine, bench)
    assert machine.state == State.CONFIRMED
    bench.run(4.9)
    acknowledge(machine, bench)
    again(machine, bench)
    assert machine.state == State.CONFIRMED
    bench.run(0.2)
    assert machine.state == State.TERMINATED
    assert len(bench.sent) == 2
    assert bench.quiet


def test_timer_i_is_zero_over_tcp() -> None:
    bench, machine = begin(TCP)
    send(machine, bench, 486)
    acknowledge(machine, bench)
    bench.run(2 * TICK)
    assert machine.state == State.TERMINATED
    assert bench.quiet


@pytest.mark.parametrize("flow", [UDP, TCP])
def test_a_success_absorbs_the_invite_until_timer_l(flow: Flow) -> None:
    """RFC 6026: the 2xx is repeated by its user only, through this machine or beside it."""
    bench, machine = begin(flow)
    send(machine, bench, 200)
    assert machine.answered
    assert machine.accepted
    bench.run(31.9)
    again(machine, bench)
    acknowledge(machine, bench)
    send(machine, bench, 200)
    assert statuses(bench) == [200]
    bench.run(0.2)
    assert machine.state == State.TERMINATED
    assert [status for _, status in bench.sent] == ["SIP/2.0 200 X"] * 2
    assert bench.quiet


@pytest.mark.parametrize(
    ("first", "then"),
    [(486, 486), (486, 200), (486, 180), (200, 486), (200, 180)],
)
def test_a_second_final_answer_of_another_kind_is_our_own_fault(first: int, then: int) -> None:
    bench, machine = begin()
    send(machine, bench, first)
    state = machine.state
    with pytest.raises(IllegalInput, match="SEND"):
        send(machine, bench, then)
    assert machine.state == state
    assert statuses(bench) == [first]


def test_what_is_over_takes_nothing_more() -> None:
    bench, machine = begin()
    send(machine, bench, 486)
    bench.run(33.0)
    for act in (again, acknowledge):
        with pytest.raises(IllegalInput, match="TERMINATED"):
            act(machine, bench)
    for status in (180, 200, 486):
        with pytest.raises(IllegalInput, match="TERMINATED"):
            send(machine, bench, status)


def test_what_only_an_answer_needs_is_let_go_with_the_final_one() -> None:
    for status in (200, 486):
        bench, machine = begin()
        machine.user = user = Caller()
        machine.head = machine.to = machine.tail = "Via"
        send(machine, bench, 180)
        assert [machine.user, machine.head] == [user, "Via"]
        send(machine, bench, status)
        assert not any((machine.user, machine.head, machine.to, machine.tail))


class Caller:
    """Who answers the INVITE."""

    def on_cancel(self, request: Request, now: float) -> None:
        raise AssertionError("nobody has cancelled")


@dataclass
class Model:
    """What the figure says, with nominal times."""

    timers: TimerValues
    reliable: bool
    state: str = "PROCEEDING"
    last: int = 0
    interval: float = 0.0
    repeat_at: float = NEVER
    end_at: float = NEVER

    def send(self, status: int, now: float) -> list[int] | None:
        """What goes out; None where it must not be sent."""
        kind = "SUCCESS" if 200 <= status < 300 else "PROVISIONAL" if status < 200 else "FAILURE"
        if self.state == "ACCEPTED" and kind == "SUCCESS":
            return [status]
        if self.state != "PROCEEDING":
            return None
        self.last = status
        if kind == "SUCCESS":
            self.state, self.end_at = "ACCEPTED", now + 64 * self.timers.t1
        elif kind == "FAILURE":
            self.state, self.end_at = "COMPLETED", now + 64 * self.timers.t1
            if not self.reliable:
                self.interval = self.timers.t1
                self.repeat_at = now + self.interval
        return [status]

    def invite(self) -> list[int]:
        return [self.last] if self.last and self.state in ("PROCEEDING", "COMPLETED") else []

    def ack(self, now: float) -> list[int]:
        if self.state == "COMPLETED":
            self.state, self.repeat_at = "CONFIRMED", NEVER
            self.end_at = now if self.reliable else now + self.timers.t4
        return []

    def tick(self, now: float) -> list[int]:
        if self.end_at <= now:
            self.state, self.repeat_at, self.end_at = "TERMINATED", NEVER, NEVER
        elif self.repeat_at <= now:
            self.interval = min(2 * self.interval, self.timers.t2)
            self.repeat_at = now + self.interval
            return [self.last]
        return []


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(100, 699) | st.sampled_from([100, 180, 200, 486])),
    st.tuples(st.just("pass"), st.integers(0, 70_000) | st.sampled_from([0, 20, 500, 4000, 5000, 32_000])),
    st.tuples(st.just("invite"), st.just(0)),
    st.tuples(st.just("ack"), st.just(0)),
)


@given(st.lists(STEPS, max_size=25), st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
def test_whatever_comes_it_does_what_the_figure_says(
    steps: list[tuple[str, int]], reliable: bool, t1: float
) -> None:
    timers = TimerValues(t1=t1)
    bench, machine = begin(TCP if reliable else UDP, timers)
    model = Model(timers, reliable)
    steps += [("send", 404), ("pass", 64_000), ("pass", 64_000)]
    for what, number in steps:
        expected: list[int] | None
        if what == "send":
            expected = model.send(number, bench.now)
            if expected is None:
                with pytest.raises(IllegalInput):
                    send(machine, bench, number)
                expected = []
            else:
                send(machine, bench, number)
        elif what == "pass":
            expected = model.tick(bench.turn(number / 1000, model.repeat_at, model.end_at))
        elif what == "invite":
            expected = model.invite()
            again(machine, bench)
        else:
            expected = model.ack(bench.now)
            acknowledge(machine, bench)
        assert statuses(bench) == expected
        assert State(machine.state).name == model.state
        if model.state == "TERMINATED":
            break
        assert machine.answered == (model.state != "PROCEEDING")
        assert machine.accepted == (model.state == "ACCEPTED")
    assert model.state == "TERMINATED"
    bench.run(100.0)
    assert bench.quiet
    assert statuses(bench) == []
