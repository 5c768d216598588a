"""The wheel: never early, at most one tick late, once each, and nothing left behind."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

import engine.sip.timers
from engine.sip.timers import NEVER, Timed, TimerValues, TimerWheel

if engine.sip.timers.__file__.endswith(".so"):
    pytest.skip("a compiled Timed takes no interpreted subclass", allow_module_level=True)

TICK = 0.01
SLACK = 1e-5  # rounding of the clock and of the wheel itself
# Where a clock may stand: just booted, weeks and years of uptime, seconds since 1970 and beyond.
CLOCKS = [0.0, 0.005, 57.0, 1000.0, 86_400.0 * 49, 1e8, 1.79e9, 4e9]


class Probe(Timed):
    """Notes when it wakes, and may do something then."""

    def __init__(self, log: list[Probe] | None = None, then: Callable[[float], None] | None = None) -> None:
        super().__init__()
        self.woken: list[float] = []
        self.log = log
        self.then = then

    def wake(self, now: float) -> None:
        self.woken.append(now)
        if self.log is not None:
            self.log.append(self)
        if self.then is not None:
            self.then(now)


@dataclass
class Clock:
    """Turns a wheel as the driver does: whenever it asks to be turned."""

    now: float
    wheel: TimerWheel = field(default_factory=TimerWheel)

    def run_to(self, time: float) -> None:
        while self.wheel.next_deadline <= time:
            self.now = max(self.now, self.wheel.next_deadline)
            self.wheel.expire(self.now)
        self.now = time
        self.wheel.expire(time)


def test_the_values_of_appendix_a_follow_from_t1_t2_t4() -> None:
    timers = TimerValues()
    assert (timers.t1, timers.t2, timers.t4, timers.transaction, timers.give_up) == (
        0.5,
        4.0,
        5.0,
        32.0,
        25.0,
    )
    assert (TimerValues(t1=0.02).transaction, TimerValues(t1=0.02).give_up) == (1.28, 1.0)


@pytest.mark.parametrize("start", CLOCKS)
@pytest.mark.parametrize(
    "after", [0.0, 0.0001, 0.009, TICK, 0.29, 0.5, 0.57, 1.13, 32.0, 40.96, 180.0, 14_400.0]
)
def test_it_wakes_at_most_one_tick_late_and_once(start: float, after: float) -> None:
    clock = Clock(start)
    clock.wheel.expire(start)
    probe = Probe()
    clock.wheel.schedule(probe, start + after)
    clock.run_to(start + after - SLACK)
    assert probe.woken == []
    clock.run_to(start + after + TICK)
    assert len(probe.woken) == 1
    assert start + after <= probe.woken[0] <= start + after + TICK + SLACK
    clock.run_to(start + after + 20_000)
    assert len(probe.woken) == 1
    assert clock.wheel.next_deadline == NEVER


@pytest.mark.parametrize("start", CLOCKS)
def test_the_first_deadline_of_all_is_kept_before_the_wheel_knows_the_time(start: float) -> None:
    clock = Clock(start)
    late, early = Probe(), Probe()
    clock.wheel.schedule(late, start + 7200)
    clock.wheel.schedule(early, start + 0.5)
    assert start + 0.5 <= clock.wheel.next_deadline <= start + 0.5 + TICK + SLACK
    clock.run_to(start + 1)
    assert (len(early.woken), len(late.woken)) == (1, 0)
    clock.run_to(start + 7201)
    assert len(late.woken) == 1


@pytest.mark.parametrize("slot", [1, 29, 57, 58, 113, 5_799, 100_000_000_057])
def test_the_time_that_the_wheel_asks_for_is_late_enough(slot: int) -> None:
    """57 / 100 * 100 is less than 57: asked for again and again, it would never wake."""
    wheel = TimerWheel()
    probe = Probe()
    wheel.schedule(probe, (slot - 0.5) / 100)
    wheel.expire(wheel.next_deadline)
    assert len(probe.woken) == 1


def test_a_jump_wakes_everything_that_it_passes() -> None:
    clock = Clock(1000.0)
    probes = [Probe() for _ in range(500)]
    for number, probe in enumerate(probes):
        clock.wheel.schedule(probe, 1000.0 + number)
    clock.wheel.expire(1250.0)
    assert [len(probe.woken) for probe in probes[:250]] == [1] * 250
    assert not any(probe.woken for probe in probes[252:])
    clock.run_to(2000.0)
    assert all(len(probe.woken) == 1 for probe in probes)


def test_turned_in_time_it_keeps_the_order_of_deadlines() -> None:
    clock = Clock(50.0)
    log: list[Probe] = []
    probes = {delay: Probe(log) for delay in (3.0, 0.5, 32.0, 0.52, 4.0, 31.98, 600.0, 45.0, 599.0)}
    for delay, probe in probes.items():
        clock.wheel.schedule(probe, 50.0 + delay)
    clock.run_to(1000.0)
    assert log == [probes[delay] for delay in sorted(probes)]


def test_within_one_tick_who_came_first_wakes_first() -> None:
    wheel = TimerWheel()
    log: list[Probe] = []
    probes = [Probe(log) for _ in range(20)]
    for probe in probes:
        wheel.schedule(probe, 9.001)
    wheel.expire(10.0)
    assert log == probes


def test_a_deadline_moved_later_wakes_then_and_only_then() -> None:
    clock = Clock(10.0)
    probe = Probe()
    clock.wheel.schedule(probe, 10.5)
    clock.wheel.schedule(probe, 12.0)
    clock.run_to(11.9)
    assert probe.woken == []
    clock.run_to(13.0)
    assert probe.woken == [pytest.approx(12.0, abs=TICK + SLACK)]


def test_a_deadline_moved_earlier_wakes_then_and_only_then() -> None:
    clock = Clock(10.0)
    probe = Probe()
    clock.wheel.schedule(probe, 42.0)
    clock.wheel.schedule(probe, 10.5)
    clock.run_to(50.0)
    assert probe.woken == [pytest.approx(10.5, abs=TICK + SLACK)]


def test_a_deadline_that_is_taken_back_does_not_come() -> None:
    clock = Clock(10.0)
    by_never, by_attribute, dropped = Probe(), Probe(), Probe()
    for probe in (by_never, by_attribute, dropped):
        clock.wheel.schedule(probe, 11.0)
    clock.wheel.schedule(by_never, NEVER)
    by_attribute.deadline = NEVER
    clock.wheel.drop(dropped)
    clock.run_to(60.0)
    assert [len(probe.woken) for probe in (by_never, by_attribute, dropped)] == [0, 0, 0]
    assert clock.wheel.next_deadline == NEVER
    for probe in (by_never, by_attribute, dropped):
        clock.wheel.schedule(probe, 61.0)
    clock.run_to(62.0)
    assert [len(probe.woken) for probe in (by_never, by_attribute, dropped)] == [1, 1, 1]


def test_what_is_dropped_is_let_go_at_once() -> None:
    wheel = TimerWheel()
    probe = Probe()
    wheel.schedule(probe, 14_400.0)
    wheel.drop(probe)
    wheel.drop(probe)
    gone = weakref.ref(probe)
    del probe
    assert gone() is None
    assert wheel.next_deadline == NEVER


def test_who_wakes_may_schedule_itself() -> None:
    clock = Clock(100.0)
    probe = Probe(then=lambda now: clock.wheel.schedule(probe, now + 0.5))
    clock.wheel.schedule(probe, 100.5)
    clock.run_to(105.2)
    assert probe.woken == [pytest.approx(100.5 + 0.5 * turn, abs=(turn + 2) * TICK) for turn in range(10)]


def test_who_wakes_and_is_due_at_once_wakes_with_the_next_tick() -> None:
    clock = Clock(100.0)
    probe = Probe(then=lambda now: clock.wheel.schedule(probe, now))
    clock.wheel.schedule(probe, 100.0)
    clock.run_to(101.0)
    assert 90 <= len(probe.woken) <= 101


def test_who_is_overdue_for_ever_keeps_nobody_out() -> None:
    wheel = TimerWheel()
    probe = Probe(then=lambda now: wheel.schedule(probe, now - 5.0))
    other = Probe()
    wheel.schedule(probe, 9.0)
    wheel.schedule(other, 9.5)
    for turn in range(5):
        wheel.expire(10.0 + turn * TICK)
    assert len(probe.woken) == 5
    assert len(other.woken) == 1


def test_who_wakes_may_move_and_drop_others_of_the_same_tick() -> None:
    wheel = TimerWheel()
    moved, dropped, later = Probe(), Probe(), Probe()

    def act(now: float) -> None:
        wheel.schedule(moved, 20.0)
        wheel.drop(dropped)
        wheel.schedule(later, 15.0)

    first = Probe(then=act)
    for probe in (first, moved, dropped):
        wheel.schedule(probe, 9.001)
    wheel.expire(10.0)
    assert [len(probe.woken) for probe in (first, moved, dropped, later)] == [1, 0, 0, 0]
    wheel.expire(16.0)
    wheel.expire(21.0)
    assert [len(probe.woken) for probe in (first, moved, dropped, later)] == [1, 1, 0, 1]


def test_who_fails_to_wake_keeps_nobody_from_it() -> None:
    wheel = TimerWheel()

    def fail(now: float) -> None:
        raise RuntimeError("a fault of ours")

    ahead, failing, behind, next_tick = Probe(), Probe(then=fail), Probe(), Probe()
    for probe in (ahead, failing, behind):
        wheel.schedule(probe, 9.001)
    wheel.schedule(next_tick, 9.5)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        wheel.expire(10.0)
    assert wheel.next_deadline <= 10.0
    wheel.expire(10.0)
    assert [len(probe.woken) for probe in (ahead, failing, behind, next_tick)] == [1, 1, 1, 1]
    wheel.schedule(behind, 11.0)
    wheel.expire(12.0)
    assert len(behind.woken) == 2
    assert wheel.next_deadline == NEVER


def test_a_million_schedules_leave_nothing_behind() -> None:
    clock = Clock(1000.0)
    probes = [Probe() for _ in range(8)]
    schedule, drop = clock.wheel.schedule, clock.wheel.drop
    for _ in range(62_500):
        now = clock.now
        for probe in probes[:4]:  # as transactions do
            schedule(probe, now + 32.0)
            schedule(probe, now + 0.5)
            schedule(probe, NEVER)
        for probe in probes[4:]:  # as calls do
            schedule(probe, now + 14_400.0)
            drop(probe)
        clock.run_to(now + 0.02)
    assert _entries(clock.wheel, 3) < 20_000
    clock.run_to(clock.now + 60.0)
    assert clock.wheel.next_deadline == NEVER
    assert _entries(clock.wheel, 3) < 100
    assert not any(probe.woken for probe in probes)


def _entries(thing: object, depth: int) -> int:
    """How many references there are in it, in what it refers to, and so on."""
    referents = gc.get_referents(thing)
    return len(referents) + (sum(_entries(part, depth - 1) for part in referents) if depth else 0)


_DELAYS = st.floats(0.0, 60.0) | st.sampled_from([0.0, TICK, 0.5, 5.0, 32.0]) | st.floats(0.0, 10_000.0)
_STEPS = st.one_of(
    st.tuples(st.just("schedule"), st.integers(0, 5), _DELAYS),
    st.tuples(st.just("never"), st.integers(0, 5), st.just(0.0)),
    st.tuples(st.just("drop"), st.integers(0, 5), st.just(0.0)),
    st.tuples(st.just("run"), st.just(0), _DELAYS),
    st.tuples(st.just("jump"), st.just(0), _DELAYS),
)


@given(st.lists(_STEPS, max_size=40), st.sampled_from(CLOCKS))
def test_whatever_is_scheduled_wakes_once_and_in_time(
    steps: list[tuple[str, int, float]], start: float
) -> None:
    clock = Clock(start)
    probes = [Probe() for _ in range(6)]
    deadlines = [NEVER] * 6
    for what, number, seconds in steps:
        if what == "schedule":
            deadlines[number] = clock.now + seconds
            clock.wheel.schedule(probes[number], deadlines[number])
        elif what == "never":
            deadlines[number] = NEVER
            clock.wheel.schedule(probes[number], NEVER)
        elif what == "drop":
            deadlines[number] = NEVER
            clock.wheel.drop(probes[number])
        else:
            end = clock.now + seconds
            if what == "run":
                clock.run_to(end)
            else:
                clock.now = end
                clock.wheel.expire(end)
            for number, probe in enumerate(probes):
                deadline = deadlines[number]
                if probe.woken:
                    assert len(probe.woken) == 1
                    assert probe.woken[0] >= deadline - SLACK
                    assert what == "jump" or probe.woken[0] <= deadline + TICK + SLACK
                    deadlines[number] = NEVER
                    probe.woken.clear()
                else:
                    assert deadline > end - TICK - SLACK
        assert clock.wheel.next_deadline <= min(deadlines) + TICK + SLACK
    clock.run_to(clock.now + 10_001.0)
    assert clock.wheel.next_deadline == NEVER
    assert [bool(probe.woken) for probe in probes] == [deadline < NEVER for deadline in deadlines]
