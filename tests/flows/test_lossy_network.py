"""Calls over a bad network, on both sides of the engine: they complete, and records agree with both sides."""

from dataclasses import replace
from pathlib import Path

import pytest

from engine.lab.flow import load_flow
from engine.lab.lab import Place
from tests.flows.lossy_relay import Conditions, LossyRelay
from tests.flows.stage import CALLEE_PORT, ENGINE_PORT, Stage

pytestmark = [pytest.mark.sipp, pytest.mark.slow, pytest.mark.xdist_group("sipp")]

FLOW = Path(__file__).parent / "lossy"
STAGE = Stage(callee_hop=5091)
CALLERS_DOOR = (STAGE.host, 5070)
TENTH = Conditions(loss=0.1, duplication=0.1, delay_s=0.02)


async def test_a_tenth_lost_and_doubled_on_both_sides(tmp_path: Path) -> None:
    flow = load_flow(FLOW)
    callers_side = await LossyRelay.start(CALLERS_DOOR, (STAGE.host, ENGINE_PORT), TENTH, seed=11)
    callees_side = await LossyRelay.start((STAGE.host, 5091), (STAGE.host, CALLEE_PORT), TENTH, seed=12)
    # so that ACK and BYE, which go to the callee's Contact, meet the same network
    callees_side.spoil_back = lambda data: data.replace(b":5090", b":5091")
    place = replace(
        Place.of(STAGE.settings()),
        engine={"udp": f"{STAGE.host}:{CALLERS_DOOR[1]}"},
        callee=(STAGE.host, CALLEE_PORT),
    )
    try:
        (outcome,) = await STAGE.lab(tmp_path, place).run([flow])
    finally:
        await callers_side.stop()
        await callees_side.stop()
    assert outcome.verdict.problems == []
    assert outcome.verdict.passed == 200
    for relay in (callers_side, callees_side):
        assert relay.counts.lost > 100
        assert relay.counts.doubled > 100
