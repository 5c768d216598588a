"""One run of a flow: SIPp on both sides of an engine that is there, and what came of it."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from engine.lab.engine_process import Engine
from engine.lab.figures import Figures, Meter
from engine.lab.flow import CALLEE, CALLER, CALLS, Flow
from engine.lab.judge import Verdict, attempts_of, call_id_pattern, is_of_flow, is_sum, judge
from engine.lab.network import BadNetwork, behind
from engine.lab.place import LabUnusable, Place
from engine.lab.processes import Processes
from engine.lab.records import LabRecords, now_ms
from engine.lab.scenario import expanded
from engine.lab.sipp import Sipp, SippFailed, SippJob, SippResult
from engine.lab.sockets import SilentCallee
from engine.records.query import Record

CALLERS_HOST = "127.0.0.11"  # not the engine's: it is a canary on the callee's side
TRACED_CALLS = 50  # messages of longer flows are not kept

_RECORD_PATIENCE_S = 5.0
_LOOK_S = 0.05
_PROGRESS_S = 0.5


@dataclass(slots=True)
class Outcome:
    """One flow that was run. `folder` holds its logs, `engine` is the name of the engine that it ran on."""

    flow: Flow
    verdict: Verdict
    folder: Path
    engine: str
    figures: Figures

    @property
    def passed(self) -> bool:
        return not self.verdict.problems


@dataclass(slots=True)
class Sides:
    """Plays flows against one engine at one place. `folder` gets a folder for each flow; `command` is what a
    scenario's `./mask700 …` runs, so that it can do to the engine what an operator does. `watch` hears what a flow
    measures while it runs."""

    engine: Engine
    name: str
    place: Place
    records: LabRecords
    folder: Path
    scenario_roots: Sequence[Path]
    command: Sequence[str]
    watch: Callable[[Flow, Figures], None]
    processes: Processes
    _stray: list[bytes] = field(default_factory=list)

    async def play(self, flow: Flow) -> Outcome:
        """Raises LabUnusable, SippMissing, BadScenario, EngineFailed; nothing of the flow is left running."""
        folder = self.folder / flow.name
        self._lay_out(flow, folder)
        since = now_ms()
        self.watch(flow, Figures())
        try:
            caller, callees, figures = await self._run(flow, folder)
        except SippFailed as error:
            return Outcome(flow, Verdict(flow.calls, problems=[str(error)]), folder, self.name, Figures())
        found = await self._records_of(flow, since)
        verdict = judge(flow, caller, callees, self._stray, found)
        return Outcome(flow, verdict, folder, self.name, figures)

    async def _run(self, flow: Flow, folder: Path) -> tuple[SippResult, Mapping[str, SippResult], Figures]:
        jobs = _callee_jobs(flow, folder, self.place)
        results: dict[str, SippResult] = {}
        async with AsyncExitStack() as stack:
            place = self.place
            if flow.file.network is not None:
                network = await BadNetwork.start(
                    place, flow.file.network.conditions(), flow.file.network.seed
                )
                stack.push_async_callback(network.stop)
                place = behind(place)
            if not flow.has_callee:
                silent = await SilentCallee.at(*place.callee)
                self._stray = silent.received
                stack.push_async_callback(silent.close)
            else:
                self._stray = []
            callees: list[Sipp] = []
            for job in jobs:
                callee = await Sipp.start(job, self.processes)
                callees.append(callee)
                stack.push_async_callback(_into, results, callee)
            caller = await Sipp.start(_caller_job(flow, folder, place), self.processes)
            stack.push_async_callback(_into, results, caller)
            standings = [callee.standing for callee in callees]
            now = asyncio.get_running_loop().time
            meter = Meter(caller.standing, standings, self.engine, now(), self.engine.usage())
            again_before = await self._sent_again(flow)
            while not await caller.finished(_PROGRESS_S):
                self.engine.check_alive()
                again = await self._sent_again(flow)
                self.watch(flow, meter.read(now(), again - again_before))
            patient_until = now() + flow.file.patience_s
            for callee in callees:
                await callee.finished(max(0.0, patient_until - now()))
            again = await self._sent_again(flow)
        return results.pop("caller"), results, meter.read(now(), again - again_before)

    async def _sent_again(self, flow: Flow) -> int:
        return await self.engine.retransmissions() if flow.file.load else 0

    async def _records_of(self, flow: Flow, since: int) -> list[Record]:
        """The flow's records, waiting a little for the last of them: a record is complete when its call is."""
        wanted = flow.calls if flow.file.recorded else 0
        summed = sum(flow.file.summed.values())
        deadline = asyncio.get_running_loop().time() + _RECORD_PATIENCE_S
        while True:
            records = self.records.of_calls_since(since)
            sums = [record for record in records if is_sum(record)]
            found = [record for record in records if is_of_flow(record, flow)]
            enough = len(found) >= wanted and sum(attempts_of(record) for record in sums) >= summed
            found += sums
            if enough or asyncio.get_running_loop().time() > deadline:
                return found
            if await self.engine.ended_within(_LOOK_S):
                return found

    def _lay_out(self, flow: Flow, folder: Path) -> None:
        """SIPp runs in a folder of its own, with the scenarios as it reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        roots = (flow.folder, flow.folder.parent, *self.scenario_roots)
        for name in (CALLER, CALLEE, *(f"{role}.xml" for role, _ in flow.other_callees)):
            if (flow.folder / name).is_file():
                (folder / name).write_text(expanded(flow.folder / name, roots), encoding="utf-8")
        if (flow.folder / CALLS).is_file():
            shutil.copyfile(flow.folder / CALLS, folder / CALLS)
        script = folder / "mask700"
        program = shlex.join([sys.executable, "-m", "engine.cli.main"])
        options = shlex.join(self.command)
        script.write_text(f'#!/bin/sh\ncd {shlex.quote(str(Path.cwd()))} && exec {program} "$@" {options}\n')
        script.chmod(0o755)


async def _into(results: dict[str, SippResult], side: Sipp) -> None:
    role = side.job.role
    results[{"uac": "caller", "uas": "callee"}.get(role, role)] = await side.result()


def _caller_job(flow: Flow, folder: Path, place: Place) -> SippJob:
    transport = flow.file.transport
    if transport not in place.engine:
        raise LabUnusable(f"{flow.name} calls over {transport}, sip.listen has none")
    return SippJob(
        role="uac",
        folder=folder,
        local=(CALLERS_HOST, 0),
        remote=place.engine[transport],
        transport=transport,
        calls=flow.calls,
        rate=flow.file.rate,
        at_once=1 if flow.file.one_by_one else 0,
        hold_ms=flow.file.hold_ms,
        timeout_s=flow.file.timeout_s,
        calls_file=CALLS if (folder / CALLS).is_file() else "",
        call_id=call_id_pattern(flow),
        trace_messages=flow.calls <= TRACED_CALLS,
        extra=tuple(flow.file.sipp),
    )


def _callee_jobs(flow: Flow, folder: Path, place: Place) -> list[SippJob]:
    """One for each place on the callee's side."""
    host, port = place.callee
    columns = flow.table.columns
    at = [("uas", port)] if flow.has_callee else []
    return [
        SippJob(
            role=role,
            folder=folder,
            local=(host, own_port),
            transport=flow.file.callee_transport,
            calls=flow.ringing,
            hold_ms=flow.file.hold_ms,
            timeout_s=flow.file.timeout_s,
            calls_file=CALLS if (folder / CALLS).is_file() else "",
            index=columns.index("callee") if "callee" in columns else None,
            trace_messages=flow.calls <= TRACED_CALLS,
            extra=tuple(flow.file.sipp),
        )
        for role, own_port in (*at, *flow.other_callees)
    ]
