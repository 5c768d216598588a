"""When a next hop counts as down, and when as up again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.routing.health import ALIVE_UNLESS, HopHealth


def test_it_takes_so_many_failures_on_end_and_so_many_answers() -> None:
    health = HopHealth(down_after=3, up_after=2)
    assert health.up
    assert [health.failed("timeout", now) for now in (1.0, 2.0)] == [False, False]
    assert not health.answered(200, 3.0)  # begins anew
    assert [health.failed("timeout", now) for now in (4.0, 5.0, 6.0)] == [False, False, True]
    assert (health.up, health.since, health.said) == (False, 6.0, "timeout")
    assert not health.answered(200, 7.0)
    assert not health.failed("transport", 8.0)  # and here too
    assert [health.answered(200, now) for now in (9.0, 10.0)] == [False, True]
    assert (health.up, health.since, health.said) == (True, 10.0, "200")


@pytest.mark.parametrize("status", [200, 404, 405, 481, 486, 500, 501, 603])
def test_whoever_answers_is_alive(status: int) -> None:
    health = HopHealth(down_after=1, up_after=1)
    assert not health.answered(status, 1.0)
    health.failed("timeout", 2.0)
    assert health.answered(status, 3.0)
    assert health.up


@pytest.mark.parametrize("status", ALIVE_UNLESS)
def test_but_not_who_cannot_take_anything(status: int) -> None:
    health = HopHealth(down_after=1)
    assert health.answered(status, 1.0)
    assert (health.up, health.said) == (False, str(status))


def test_a_call_that_gets_through_outweighs_probes_that_nobody_answers() -> None:
    health = HopHealth(down_after=2)
    for now in (10.0, 20.0, 30.0):
        assert not health.failed("timeout", now)
        health.heard_at = now + 1  # a call rings
    assert health.up
    assert not health.failed("timeout", 40.0)
    assert health.failed("timeout", 50.0)


def test_evidence_against_what_it_counts_as_is_unsettled() -> None:
    health = HopHealth(down_after=2, up_after=2)
    assert not health.unsettled
    health.failed("timeout", 1.0)
    assert health.unsettled
    health.failed("timeout", 2.0)
    assert not health.unsettled
    health.answered(200, 3.0)
    assert health.unsettled
    health.answered(200, 4.0)
    assert not health.unsettled


def test_who_is_not_probed_any_more_is_trusted() -> None:
    health = HopHealth(down_after=1)
    health.on_suspicion = lambda now: pytest.fail("nobody listens any more")
    health.failed("timeout", 1.0)
    assert health.trust(2.0)
    assert (health.up, health.since, health.said) == (True, 2.0, "")
    health.on_suspicion(3.0)
    assert not health.trust(4.0)


@given(st.lists(st.sampled_from([200, 405, 408, 503, 0])), st.integers(1, 4), st.integers(1, 4))
def test_it_changes_only_after_a_run_of_the_other_kind(said: list[int], down: int, up: int) -> None:
    health = HopHealth(down, up)
    run, counted = 0, True
    for now, status in enumerate(said):
        good = status not in (*ALIVE_UNLESS, 0)
        run = 0 if good == counted else run + 1
        changed = health.answered(status, now) if status else health.failed("timeout", now)
        assert changed == (run == (down if counted else up))
        if changed:
            counted, run = not counted, 0
        assert health.up == counted
