"""A wall clock that somebody sets while calls are up: no time of a call is before another, no duration absurd."""

import pytest

from engine.authorization.reason import Reason
from tests.simulation.engine import EPOCH_MS
from tests.simulation.scene import Scene

HOUR = 3_600_000
JUMPS = [HOUR, -HOUR, 10 * 365 * 24 * HOUR, -20 * 365 * 24 * HOUR]


@pytest.mark.parametrize("jump", JUMPS)
@pytest.mark.parametrize("when", ["ringing", "talking", "both"])
def test_times_stay_in_order_and_durations_true(jump: int, when: str) -> None:
    scene = Scene()
    call = scene.dial()
    scene.ringing.ring()
    scene.run(2)
    if when != "talking":
        scene.engine.clock_set_ms += jump
    scene.ringing.answer()
    scene.run(30)
    if when != "ringing":
        scene.engine.clock_set_ms += jump
    scene.run(30)
    call.hang_up()
    scene.run(1)
    record = scene.record
    assert record.setup_time is not None
    assert 0 <= record.setup_time - EPOCH_MS < 1000
    assert record.ringing_time is not None
    assert record.answer_time is not None
    assert record.release_time is not None
    assert record.setup_time <= record.ringing_time <= record.answer_time <= record.release_time
    assert record.ring_ms == record.answer_time - record.ringing_time == pytest.approx(2000, abs=150)
    assert record.talk_ms == record.release_time - record.answer_time == pytest.approx(60_000, abs=150)


@pytest.mark.parametrize("jump", JUMPS)
def test_an_attempt_that_fails(jump: int) -> None:
    scene = Scene()
    scene.dial()
    scene.ringing.ring()
    scene.run(2)
    scene.engine.clock_set_ms += jump
    scene.run(3)
    scene.ringing.reject(486)
    scene.run(1)
    record = scene.record
    assert record.ring_ms == pytest.approx(5000, abs=150)
    assert record.talk_ms is None
    assert record.release_time is not None
    assert record.release_time - (record.setup_time or 0) == pytest.approx(5000, abs=150)


@pytest.mark.parametrize("jump", JUMPS)
def test_a_second_of_refusals(jump: int) -> None:
    scene = Scene()
    scene.engine.records.accepting = False
    scene.dial(seconds=0.1)
    scene.engine.clock_set_ms += jump
    scene.run(2)
    record = scene.record
    assert record.reason == Reason.STORE_UNAVAILABLE.name.lower()
    assert (record.release_time or 0) >= (record.setup_time or 0)
