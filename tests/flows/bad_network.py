"""One flow over a bad network: a lossy relay in front of the engine, another one behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from engine.lab.flow import Flow
from engine.lab.network import CALLEES_DOOR, BadNetwork, behind
from engine.lab.place import Place
from engine.lab.relay import Conditions, Counts, Spoil
from engine.lab.sides import Outcome
from tests.flows.stage import CALLEE_PORT, Stage


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
    """Run it with its own engine, on this network instead of its own, everything written below `folder`.

    `to_…`: changes what a party gets.
    """
    stage = Stage(callee_hop=CALLEES_DOOR)
    place = replace(Place.of(stage.settings()), callee=(stage.host, CALLEE_PORT))
    network = await BadNetwork.start(place, conditions, seed, to_caller=to_caller, to_callee=to_callee)
    try:
        (outcome,) = await stage.lab(folder, behind(place)).run([flow.on_a_good_network()])
    finally:
        await network.stop()
    return BadNetworkRun(outcome, network.callers_side, network.callees_side)
