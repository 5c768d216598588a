"""One flow over a bad network: a lossy relay in front of the engine, another one behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engine.lab.flow import Flow
from engine.lab.lab import Outcome, Place
from tests.flows.lossy_relay import Conditions, Counts, LossyRelay, Spoil
from tests.flows.stage import CALLEE_PORT, ENGINE_PORT, Stage

_CALLERS_DOOR = 5070
_CALLEES_DOOR = 5091


@dataclass(slots=True)
class BadNetworkRun:
    """What came of the flow, and what the network did on the callers' and on the callees' side."""

    outcome: Outcome
    callers_side: Counts
    callees_side: Counts


async def run_over_bad_network(
    flow: Flow,
    folder: Path,
    conditions: Conditions,
    seed: int = 1,
    *,
    to_caller: Spoil | None = None,
    to_callee: Spoil | None = None,
) -> BadNetworkRun:
    """Run it with its own engine, everything written below `folder`. `to_…`: changes what a party gets."""
    stage = Stage(callee_hop=_CALLEES_DOOR)
    host = stage.host
    callers_side = await LossyRelay.start((host, _CALLERS_DOOR), (host, ENGINE_PORT), conditions, seed)
    callees_side = await LossyRelay.start((host, _CALLEES_DOOR), (host, CALLEE_PORT), conditions, seed + 1)
    callers_side.spoil_back = to_caller
    callees_side.spoil = to_callee
    # so that ACK and BYE, which go to the callee's Contact, meet the same network
    callees_side.spoil_back = lambda data: data.replace(b":5090", b":5091")
    place = replace(
        Place.of(stage.settings()), engine={"udp": f"{host}:{_CALLERS_DOOR}"}, callee=(host, CALLEE_PORT)
    )
    try:
        (outcome,) = await stage.lab(folder, place).run([flow])
    finally:
        await callers_side.stop()
        await callees_side.stop()
    return BadNetworkRun(outcome, callers_side.counts, callees_side.counts)
