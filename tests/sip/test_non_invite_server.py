"""RFC 3261 17.2.2 and RFC 4320: every row, timer J, and whatever comes in whatever order."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from engine.sip.timers import NEVER, TimerValues
from engine.sip.transactions.non_invite_server import TABLE, Input, NonInviteServer, State
from engine.sip.transactions.transaction import IllegalInput
from tests.sip.machines import TCP, TICK, UDP, Bench, asked, figure

# Figure 8 of RFC 3261.
FIGURE = {
    ("TRYING", "REQUEST"): "TRYING",
    ("TRYING", "SEND_PROVISIONAL"): "PROCEEDING",
    ("TRYING", "SEND_FINAL"): "COMPLETED",
    ("PROCEEDING", "REQUEST"): "PROCEEDING",
    ("PROCEEDING", "SEND_PROVISIONAL"): "PROCEEDING",
    ("PROCEEDING", "SEND_FINAL"): "COMPLETED",
    ("COMPLETED", "REQUEST"): "COMPLETED",
    ("COMPLETED", "TIMER_J"): "TERMINATED",
}


def begin(flow: Flow = UDP, timers: TimerValues | None = None) -> tuple[Bench, NonInviteServer]:
    bench = Bench(timers)
    return bench, NonInviteServer(bench.layer, "z9hG4bK77ef 192.0.2.9:5062 BYE", flow, asked("BYE"))


def send(machine: NonInviteServer, bench: Bench, status: int) -> None:
    machine.send(status, b"SIP/2.0 %d X\r\n\r\n" % status, bench.now)


def again(machine: NonInviteServer, bench: Bench) -> None:
    machine.receive(asked("BYE"), bench.now)


def statuses(bench: Bench) -> list[int]:
    return [int(line.split()[1]) for line in bench.collect()]


def test_the_table_is_the_figure() -> None:
    assert figure(TABLE, State, Input) == FIGURE


def test_a_repeated_request_is_absorbed_before_there_is_an_answer() -> None:
    bench, machine = begin()
    again(machine, bench)
    bench.run(7200.0)
    assert bench.sent == []
    assert bench.counted == []
    assert not machine.answered


def test_a_repeated_request_gets_the_last_answer_again_until_timer_j() -> None:
    bench, machine = begin()
    send(machine, bench, 100)
    again(machine, bench)
    send(machine, bench, 200)
    bench.run(31.9)
    again(machine, bench)
    again(machine, bench)
    bench.run(0.2)
    assert [line for _, line in bench.sent] == [f"SIP/2.0 {status} X" for status in (100, 100, 200, 200, 200)]
    assert bench.counted == ["out"] * 3
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_no_answer_is_repeated_by_itself() -> None:
    bench, machine = begin()
    send(machine, bench, 200)
    bench.run(40.0)
    assert len(bench.sent) == 1


@pytest.mark.parametrize("t1", [0.02, 0.5, 2.0])
def test_timer_j_is_64_t1(t1: float) -> None:
    bench, machine = begin(timers=TimerValues(t1=t1))
    send(machine, bench, 404)
    bench.run(64 * t1 - TICK)
    assert machine.state == State.COMPLETED
    bench.run(3 * TICK)
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_timer_j_is_zero_over_tcp() -> None:
    bench, machine = begin(TCP)
    send(machine, bench, 200)
    bench.run(2 * TICK)
    assert machine.state == State.TERMINATED
    assert bench.quiet


@pytest.mark.parametrize("then", [100, 200, 486])
def test_a_second_final_answer_is_our_own_fault(then: int) -> None:
    bench, machine = begin()
    send(machine, bench, 200)
    with pytest.raises(IllegalInput, match="COMPLETED, SEND"):
        send(machine, bench, then)
    assert statuses(bench) == [200]
    bench.run(33.0)
    with pytest.raises(IllegalInput, match="TERMINATED"):
        send(machine, bench, then)
    with pytest.raises(IllegalInput, match="TERMINATED"):
        again(machine, bench)


def test_what_only_an_answer_needs_is_let_go_with_the_final_one() -> None:
    bench, machine = begin()
    machine.head = machine.to = machine.tail = "Via"
    send(machine, bench, 100)
    assert machine.head == "Via"
    send(machine, bench, 200)
    assert not any((machine.user, machine.head, machine.to, machine.tail))


@dataclass
class Model:
    """What the figure says, with nominal times."""

    t1: float
    reliable: bool
    state: str = "TRYING"
    last: int = 0
    end_at: float = NEVER

    def send(self, status: int, now: float) -> list[int] | None:
        """What goes out; None where it must not be sent."""
        if self.state == "COMPLETED":
            return None
        self.last = status
        self.state = "PROCEEDING" if status < 200 else "COMPLETED"
        if status >= 200:
            self.end_at = now if self.reliable else now + 64 * self.t1
        return [status]

    def request(self) -> list[int]:
        return [self.last] if self.last else []

    def tick(self, now: float) -> None:
        if self.end_at <= now:
            self.state, self.end_at = "TERMINATED", NEVER


STEPS = st.one_of(
    st.tuples(st.just("send"), st.integers(100, 699) | st.sampled_from([100, 200])),
    st.tuples(st.just("pass"), st.integers(0, 40_000) | st.sampled_from([0, 20, 32_000])),
    st.tuples(st.just("request"), st.just(0)),
)


@given(st.lists(STEPS, max_size=25), st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
def test_whatever_comes_it_does_what_the_figure_says(
    steps: list[tuple[str, int]], reliable: bool, t1: float
) -> None:
    bench, machine = begin(TCP if reliable else UDP, TimerValues(t1=t1))
    model = Model(t1, reliable)
    for what, number in [*steps, ("send", 503), ("pass", 64_000)]:
        expected: list[int] | None = []
        if what == "send":
            expected = model.send(number, bench.now)
            if expected is None:
                with pytest.raises(IllegalInput):
                    send(machine, bench, number)
                expected = []
            else:
                send(machine, bench, number)
        elif what == "pass":
            model.tick(bench.turn(number / 1000, model.end_at))
        else:
            expected = model.request()
            again(machine, bench)
        assert statuses(bench) == expected
        assert State(machine.state).name == model.state
        if model.state == "TERMINATED":
            break
        assert machine.answered == (model.state == "COMPLETED")
    assert model.state == "TERMINATED"
    bench.run(100.0)
    assert bench.quiet
    assert statuses(bench) == []
