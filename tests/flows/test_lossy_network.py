"""Calls over a bad network, on both sides of the engine: they complete, and records agree with both sides."""

from pathlib import Path

import pytest

from engine.lab.flow import load_flow
from engine.lab.relay import Conditions
from tests.flows.bad_network import run_over_bad_network
from tests.flows.stage import SCENARIOS

pytestmark = [pytest.mark.sipp, pytest.mark.slow, pytest.mark.xdist_group("sipp")]

FLOW = load_flow(SCENARIOS / "lossy").scaled(50, 200, 2.0)
TENTH = Conditions(loss=0.1, duplication=0.1, delay_s=0.02)


async def test_a_tenth_lost_and_doubled_on_both_sides(tmp_path: Path) -> None:
    run = await run_over_bad_network(FLOW, tmp_path, TENTH, seed=11)
    assert run.outcome.verdict.problems == []
    assert run.outcome.verdict.passed == 200
    for counts in (run.callers_side, run.callees_side):
        assert counts.lost > 100
        assert counts.doubled > 100
