"""RFC 3261 17.1.2: every row, every timer, and whatever comes in whatever order."""

from __future__ import annotations

import weakref
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sip.flow import Flow
from engine.sip.timers import NEVER, TimerValues
from engine.sip.transactions.non_invite_client import TABLE, Input, NonInviteClient, State
from engine.sip.transactions.transaction import IllegalInput
from tests.sip.machines import TCP, TICK, UDP, Bench, Heard, answer, figure, late

# Figure 6 of RFC 3261.
FIGURE = {
    ("TRYING", "PROVISIONAL"): "PROCEEDING",
    ("TRYING", "FINAL"): "COMPLETED",
    ("TRYING", "TIMER_E"): "TRYING",
    ("TRYING", "TIMER_F"): "TERMINATED",
    ("TRYING", "TRANSPORT_ERROR"): "TERMINATED",
    ("PROCEEDING", "PROVISIONAL"): "PROCEEDING",
    ("PROCEEDING", "FINAL"): "COMPLETED",
    ("PROCEEDING", "TIMER_E"): "PROCEEDING",
    ("PROCEEDING", "TIMER_F"): "TERMINATED",
    ("PROCEEDING", "TRANSPORT_ERROR"): "TERMINATED",
    ("COMPLETED", "PROVISIONAL"): "COMPLETED",
    ("COMPLETED", "FINAL"): "COMPLETED",
    ("COMPLETED", "TIMER_K"): "TERMINATED",
    ("COMPLETED", "TRANSPORT_ERROR"): "COMPLETED",
}


def begin(
    flow: Flow = UDP, timers: TimerValues | None = None, fails: bool = False
) -> tuple[Bench, NonInviteClient, Heard]:
    bench, heard = Bench(timers), Heard(fails)
    data = b"BYE sip:a@192.0.2.9 SIP/2.0\r\n\r\n"
    return bench, NonInviteClient(bench.layer, "z9hG4bKours BYE", flow, data, heard, bench.now), heard


def respond(machine: NonInviteClient, bench: Bench, status: int) -> None:
    machine.receive(answer(status, "BYE"), bench.now)


def test_the_table_is_the_figure() -> None:
    assert figure(TABLE, State, Input) == FIGURE


def test_timer_e_doubles_from_t1_up_to_t2_until_timer_f() -> None:
    bench, machine, heard = begin()
    bench.run(40.0)
    nominal = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert len(bench.sent) == len(nominal)
    for turn, time in enumerate(bench.sending_times):
        earliest, latest = late(nominal[turn], turn)
        assert earliest <= time <= latest
    assert bench.counted == ["out"] * 10
    assert heard.events == ["timeout"]
    assert machine.state == State.TERMINATED
    assert bench.quiet


def test_once_there_is_a_provisional_response_timer_e_is_t2() -> None:
    bench, machine, heard = begin()
    bench.run(0.6)
    respond(machine, bench, 100)
    bench.run(40.0)
    nominal = [0.0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert len(bench.sent) == len(nominal)
    for turn, time in enumerate(bench.sending_times):
        earliest, latest = late(nominal[turn], turn)
        assert earliest <= time <= latest
    assert heard.events == ["100", "timeout"]
    assert bench.quiet


@pytest.mark.parametrize("flow", [UDP, TCP])
@pytest.mark.parametrize("provisional", [False, True])
def test_timer_f_is_64_t1(flow: Flow, provisional: bool) -> None:
    bench, machine, heard = begin(flow)
    if provisional:
        respond(machine, bench, 100)
    bench.run(31.99)
    assert machine.state == (State.PROCEEDING if provisional else State.TRYING)
    bench.run(2 * TICK)
    assert heard.events[-1] == "timeout"
    assert bench.quiet


def test_over_tcp_the_request_goes_once() -> None:
    bench, _, _ = begin(TCP)
    bench.run(40.0)
    assert len(bench.sent) == 1
    assert bench.counted == []


@pytest.mark.parametrize("status", [200, 404, 503, 603])
def test_timer_k_absorbs_and_knows_repeated_answers(status: int) -> None:
    bench, machine, heard = begin()
    assert not machine.repeats(answer(status, "BYE"))
    respond(machine, bench, status)
    bench.run(4.9)
    assert machine.repeats(answer(status, "BYE"))
    assert not machine.repeats(answer(100, "BYE"))
    respond(machine, bench, status)
    respond(machine, bench, 100)
    assert machine.state == State.COMPLETED
    bench.run(0.2)
    assert machine.state == State.TERMINATED
    assert heard.events == [str(status)]
    assert len(bench.sent) == 1
    assert bench.quiet


def test_timer_k_follows_t4() -> None:
    bench, machine, _ = begin(timers=TimerValues(t4=0.1))
    respond(machine, bench, 200)
    bench.run(0.12)
    assert bench.quiet


def test_timer_k_is_zero_over_tcp() -> None:
    bench, machine, heard = begin(TCP)
    respond(machine, bench, 200)
    bench.run(2 * TICK)
    assert heard.events == ["200"]
    assert bench.quiet


@pytest.mark.parametrize("provisional", [False, True])
def test_a_transport_error_ends_what_has_not_been_answered(provisional: bool) -> None:
    bench, machine, heard = begin()
    if provisional:
        respond(machine, bench, 100)
    machine.transport_failed(bench.now)
    assert heard.events[-1] == "error"
    bench.run(40.0)
    assert len(bench.sent) == 1
    assert bench.quiet


def test_who_has_the_final_answer_is_let_go() -> None:
    bench, machine, heard = begin()
    alive = weakref.ref(heard)
    del heard
    respond(machine, bench, 100)
    assert alive() is not None
    respond(machine, bench, 200)
    assert alive() is None


def test_a_transport_error_says_nothing_to_who_has_an_answer() -> None:
    bench, machine, heard = begin()
    respond(machine, bench, 200)
    machine.transport_failed(bench.now)
    assert heard.events == ["200"]
    assert machine.state == State.COMPLETED


def test_what_is_over_takes_nothing_more() -> None:
    bench, machine, _ = begin()
    machine.transport_failed(bench.now)
    for status in (100, 200, 404):
        with pytest.raises(IllegalInput, match="TERMINATED"):
            respond(machine, bench, status)
    with pytest.raises(IllegalInput, match="TERMINATED"):
        machine.transport_failed(bench.now)


@pytest.mark.parametrize("flow", [UDP, TCP])
@pytest.mark.parametrize("statuses", [(200,), (404,), (100, 200)])
def test_it_comes_to_its_end_although_its_user_fails(flow: Flow, statuses: tuple[int, ...]) -> None:
    bench, machine, heard = begin(flow, fails=True)
    for status in statuses:
        bench.run(0.7)
        with pytest.raises(RuntimeError, match="a fault of ours"):
            respond(machine, bench, status)
    bench.run(33.0)
    assert heard.events == [str(status) for status in statuses]
    assert bench.quiet


@dataclass
class Model:
    """What the figure says, with nominal times."""

    timers: TimerValues
    reliable: bool
    now: float
    state: str = "TRYING"
    interval: float = 0.0
    repeat_at: float = NEVER
    end_at: float = NEVER

    def __post_init__(self) -> None:
        self.end_at = self.now + 64 * self.timers.t1
        if not self.reliable:
            self.interval = self.timers.t1
            self.repeat_at = self.now + self.interval

    def respond(self, status: int, now: float) -> list[str]:
        """What the user hears."""
        if self.state == "COMPLETED":
            return []
        if status < 200:
            self.state = "PROCEEDING"
        else:
            self.state, self.repeat_at = "COMPLETED", NEVER
            self.end_at = now if self.reliable else now + self.timers.t4
        return [str(status)]

    def fail(self) -> list[str]:
        if self.state == "COMPLETED":
            return []
        self._end()
        return ["error"]

    def tick(self, now: float) -> tuple[int, list[str]]:
        """How often the request is sent, and what the user hears."""
        if self.end_at <= now:
            heard = [] if self.state == "COMPLETED" else ["timeout"]
            self._end()
            return 0, heard
        if self.repeat_at <= now:
            self.interval = min(2 * self.interval, self.timers.t2)
            if self.state == "PROCEEDING":
                self.interval = self.timers.t2
            self.repeat_at = now + self.interval
            return 1, []
        return 0, []

    def _end(self) -> None:
        self.state, self.repeat_at, self.end_at = "TERMINATED", NEVER, NEVER


STEPS = st.one_of(
    st.tuples(st.just("respond"), st.integers(100, 699) | st.sampled_from([100, 200])),
    st.tuples(st.just("pass"), st.integers(0, 40_000) | st.sampled_from([0, 20, 500, 4000, 5000, 32_000])),
    st.tuples(st.just("fail"), st.just(0)),
)


@given(st.lists(STEPS, max_size=25), st.booleans(), st.sampled_from([0.1, 0.5, 1.0]))
def test_whatever_comes_it_does_what_the_figure_says(
    steps: list[tuple[str, int]], reliable: bool, t1: float
) -> None:
    timers = TimerValues(t1=t1)
    bench, machine, heard = begin(TCP if reliable else UDP, timers)
    model = Model(timers, reliable, bench.now)
    assert len(bench.collect()) == 1
    for what, number in [*steps, ("pass", 64_000)]:
        sent = 0
        if what == "respond":
            expected = model.respond(number, bench.now)
            respond(machine, bench, number)
        elif what == "pass":
            sent, expected = model.tick(bench.turn(number / 1000, model.repeat_at, model.end_at))
        else:
            expected = model.fail()
            machine.transport_failed(bench.now)
        assert len(bench.collect()) == sent
        assert heard.events == expected
        assert State(machine.state).name == model.state
        heard.events.clear()
        if model.state == "TERMINATED":
            break
    assert model.state == "TERMINATED"
    bench.run(100.0)
    assert bench.quiet
    assert bench.collect() == []
    assert heard.events == []
