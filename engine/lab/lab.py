"""The lab itself: starts engines side by side, plays the telephone network on both sides of each, flow after flow."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.lab.engine_process import Engine, EngineFailed
from engine.lab.figures import Figures
from engine.lab.flow import Flow
from engine.lab.network import CALLEES_DOOR
from engine.lab.place import Place, Places
from engine.lab.processes import Processes
from engine.lab.records import LabRecords
from engine.lab.sides import Outcome, Sides
from engine.settings import Settings

_FLOWS_AN_ENGINE = 8  # more of them are worth starting another one for
_ENGINES_A_CORE = 3  # most flows wait most of the time


def _nothing(outcome: Outcome) -> None:
    """Nobody wants to hear."""


@dataclass(slots=True)
class Lab:
    """`folder` is emptied and then holds everything that the run leaves: a folder for each flow, and those of the
    engines. `place` is where the first engine is; others are at 127.0.1.N. `watch` hears what a flow measures while
    it runs, `done` what came of it. `engines`: how many run at once."""

    config: Path
    overrides: Sequence[str]
    settings: Settings
    place: Place
    folder: Path
    scenario_roots: Sequence[Path]
    watch: Callable[[Flow, Figures], None]
    done: Callable[[Outcome], None] = _nothing
    processes: Processes = field(default_factory=Processes)
    engines: int = _ENGINES_A_CORE * (os.cpu_count() or 1)

    async def run(self, flows: Sequence[Flow]) -> list[Outcome]:
        """Run the flows, those that agree on the engine's settings on the same engine or engines. Raises EngineFailed,
        LabUnusable, SippMissing, BadScenario. Nothing is left running, however it ends."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        run = _Run(self, Places(self.place), stints_of(flows, self.place))
        lanes = min(len(run.stints), self.engines if run.places.several else 1)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(lanes):
                    group.create_task(run.lane())
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        order = {flow.name: index for index, flow in enumerate(flows)}
        return sorted(run.outcomes, key=lambda outcome: order[outcome.flow.name])


@dataclass(slots=True)
class Stint:
    """What one engine is started for. Stints of the same settings share their flows: who is free takes the next."""

    overrides: tuple[str, ...]
    flows: deque[Flow]


def stints_of(flows: Sequence[Flow], place: Place) -> deque[Stint]:
    """Flows by the overrides that their engine needs, those first that take longest."""
    groups: dict[tuple[str, tuple[str, ...]], list[Flow]] = {}
    for flow in flows:
        alone = flow.name if flow.file.own_engine or flow.file.environment else ""
        groups.setdefault((alone, _overrides(flow, place)), []).append(flow)
    stints: list[tuple[float, Stint]] = []
    for (_, overrides), group in groups.items():
        longest_first = sorted(group, key=lambda flow: -flow.expected_s)
        stint = Stint(overrides, deque(longest_first))
        longest = max(flow.expected_s for flow in group) + len(group)
        stints += [(longest, stint)] * -(-len(group) // _FLOWS_AN_ENGINE)
    stints.sort(key=lambda entry: -entry[0])
    return deque(stint for _, stint in stints)


@dataclass(slots=True)
class _Run:
    """One run of a lab."""

    lab: Lab
    places: Places
    stints: deque[Stint]
    outcomes: list[Outcome] = field(default_factory=list)
    _started: int = 0

    async def lane(self) -> None:
        """One engine after the other, until no flow is left."""
        while self.stints:
            stint = self.stints.popleft()
            if stint.flows:
                place = self.places.take()
                try:
                    await self._serve(stint, place)
                finally:
                    self.places.give_back(place)

    async def _serve(self, stint: Stint, place: Place) -> None:
        lab = self.lab
        self._started += 1
        name = "engine" if self._started == 1 else f"engine-{self._started}"
        data_dir = lab.folder / name
        overrides = (
            *lab.overrides,
            *place.overrides,
            *(override.replace("{callee_host}", place.callee[0]) for override in stint.overrides),
        )
        flow = stint.flows.popleft()
        lab.watch(flow, Figures())
        engine = await Engine.start(
            lab.config,
            overrides,
            place.control,
            data_dir=data_dir,
            log=lab.folder / f"{name}.log",
            processes=lab.processes,
            environment=flow.file.environment,
        )
        command = ["--config", str(lab.config)]
        for override in (*overrides, f"data_dir={json.dumps(str(data_dir))}"):
            command += ["--set", override]
        try:
            sides = Sides(
                engine,
                name,
                place,
                LabRecords(data_dir, lab.settings),
                lab.folder,
                lab.scenario_roots,
                command,
                lab.watch,
                lab.processes,
            )
            while await self._passed(sides, flow) and stint.flows:
                flow = stint.flows.popleft()
        finally:
            status = await engine.stop()
        if status != 0:
            raise EngineFailed(f"the engine's exit status is {status}\n{engine.last_words()}")
        if stint.flows:
            self.stints.append(stint)  # what a failed flow has left unfinished must not meet the next one

    async def _passed(self, sides: Sides, flow: Flow) -> bool:
        outcome = await sides.play(flow)
        sides.engine.check_alive()
        self.outcomes.append(outcome)
        self.lab.done(outcome)
        return outcome.passed


def _overrides(flow: Flow, place: Place) -> tuple[str, ...]:
    """What the flow sets, {callee_host} still in it, and where its callee is, unless it says so itself."""
    file = flow.file
    next_hops = f"trunks.{place.trunk}.next_hops"
    if next_hops in file.settings or (file.callee_transport == "udp" and file.network is None):
        return flow.overrides()
    port = CALLEES_DOOR if file.network is not None else place.callee[1]
    return (*flow.overrides(), f'{next_hops}=["{file.callee_transport}://{{callee_host}}:{port}"]')
