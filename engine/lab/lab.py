"""The lab itself: starts an engine, plays the telephone network on both sides of it, flow after flow."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from engine.lab.engine_process import Engine, EngineFailed
from engine.lab.flow import CALLEE, CALLER, CALLS, Flow
from engine.lab.judge import Verdict, call_id_pattern, is_of_flow, judge
from engine.lab.processes import Processes
from engine.lab.records import LabRecords, now_ms
from engine.lab.scenario import expanded
from engine.lab.sipp import Sipp, SippFailed, SippJob, SippResult
from engine.lab.sockets import SilentCallee, free_port
from engine.records.query import Record
from engine.routing.next_hop import NextHop
from engine.settings import Settings

CALLERS_HOST = "127.0.0.11"  # not the engine's: it is a canary on the callee's side
TRACED_CALLS = 50  # messages of longer flows are not kept

_RECORD_PATIENCE_S = 5.0
_LOOK_S = 0.05
_PROGRESS_S = 0.5


class LabUnusable(RuntimeError):
    """The lab cannot run here: the text says what is in the way."""


@dataclass(slots=True, frozen=True)
class Place:
    """Where everything of one lab is: the engine's listening places by transport, its HTTP door, the callee."""

    engine: dict[str, str]
    control: tuple[str, int]
    callee: tuple[str, int]
    trunk: str

    @staticmethod
    def of(settings: Settings) -> Place:
        """Raises LabUnusable when the configuration has no trunk towards a callee."""
        engine: dict[str, str] = {}
        for listen in settings.sip.listen:
            hop = NextHop.parse(listen)
            engine.setdefault(hop.transport, f"{hop.host}:{hop.port}")
        for trunk in settings.trunks:
            if trunk.next_hops and "" in trunk.prefixes:
                hop = NextHop.parse(trunk.next_hops[0])
                return Place(engine, settings.control.address(), (hop.host, hop.port), trunk.name)
        raise LabUnusable(
            'the lab needs a trunk with prefixes = [""] and a next hop, where it puts the callee'
        )

    def check_free(self) -> None:
        """Raises LabUnusable when somebody is there already."""
        wanted = [(transport, *_host_and_port(at)) for transport, at in self.engine.items()]
        wanted += [("tcp", *self.control), ("udp", *self.callee)]
        for transport, host, port in wanted:
            if not free_port(transport, host, port):
                raise LabUnusable(f"{transport} {host}:{port} is in use: is another engine or lab running?")


@dataclass(slots=True, frozen=True)
class Figures:
    """What a flow measured: SIPp's retransmissions on both sides, PDD in milliseconds at the caller, CPU of all the
    engine's processes per call in microseconds, their memory in bytes."""

    retransmissions: int = 0
    pdd_ms: tuple[float, ...] = ()
    cpu_us_per_call: float = 0.0
    memory: int = 0


@dataclass(slots=True)
class Outcome:
    """One flow that was run. `folder` holds its logs."""

    flow: Flow
    verdict: Verdict
    folder: Path
    figures: Figures

    @property
    def passed(self) -> bool:
        return not self.verdict.problems


@dataclass(slots=True)
class _Sides:
    """What both sides of a flow came to; `stray` is what arrived where nobody should be called."""

    caller: SippResult
    callee: SippResult | None
    stray: Sequence[bytes]


@dataclass(slots=True)
class Lab:
    """`folder` is emptied and then holds everything that the run leaves: a folder for each flow, and those of the
    engines. `place` is where callers and callees find the engine, or what stands between. `watch` hears (flow, calls
    done) while flows run."""

    config: Path
    overrides: Sequence[str]
    settings: Settings
    place: Place
    folder: Path
    scenario_roots: Sequence[Path]
    watch: Callable[[Flow, int], None]
    processes: Processes = field(default_factory=Processes)

    async def run(self, flows: Sequence[Flow]) -> list[Outcome]:
        """Run the flows, those that agree on the engine's settings on one engine. Raises EngineFailed,
        LabUnusable, SippMissing, BadScenario. Nothing is left running, however it ends."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        outcomes: list[Outcome] = []
        for number, (overrides, group) in enumerate(_by_engine(flows, self.place), start=1):
            name = "engine" if number == 1 else f"engine-{number}"
            engine = await Engine.start(
                self.config,
                (*self.overrides, *overrides),
                self.settings.control.address(),
                data_dir=self.folder / name,
                log=self.folder / f"{name}.log",
                processes=self.processes,
            )
            try:
                records = LabRecords(engine.data_dir, self.settings)
                for flow in group:
                    outcomes.append(await self._run_flow(flow, engine, records))
                    engine.check_alive()
            finally:
                status = await engine.stop()
            if status != 0:
                raise EngineFailed(f"the engine's exit status is {status}\n{engine.last_words()}")
        order = {flow.name: index for index, flow in enumerate(flows)}
        return sorted(outcomes, key=lambda outcome: order[outcome.flow.name])

    async def _run_flow(self, flow: Flow, engine: Engine, records: LabRecords) -> Outcome:
        folder = self.folder / flow.name
        self._lay_out(flow, folder)
        before, since = engine.usage(), now_ms()
        self.watch(flow, 0)
        try:
            sides = await self._run_sides(flow, folder, engine)
        except SippFailed as error:
            return Outcome(flow, Verdict(flow.calls, problems=[str(error)]), folder, Figures())
        after = engine.usage()
        found = await _records_of(flow, records, since, engine)
        figures = Figures(
            retransmissions=sum(
                side.retransmissions for side in (sides.caller, sides.callee) if side is not None
            ),
            pdd_ms=tuple(sorted(sides.caller.times_ms.get("pdd", []))),
            cpu_us_per_call=(after.cpu_s - before.cpu_s) * 1e6 / flow.calls,
            memory=after.memory,
        )
        return Outcome(flow, judge(flow, sides.caller, sides.callee, sides.stray, found), folder, figures)

    async def _run_sides(self, flow: Flow, folder: Path, engine: Engine) -> _Sides:
        if not flow.has_callee:
            silent = await SilentCallee.at(*self.place.callee)
            try:
                return _Sides(await self._run_caller(flow, folder, engine), None, silent.received)
            finally:
                await silent.close()
        callee = await Sipp.start(_callee_job(flow, folder, self.place), self.processes)
        try:
            caller_result = await self._run_caller(flow, folder, engine)
            await callee.finished(flow.file.patience_s)
        finally:
            callee_result = await callee.result()
        return _Sides(caller_result, callee_result, [])

    async def _run_caller(self, flow: Flow, folder: Path, engine: Engine) -> SippResult:
        caller = await Sipp.start(_caller_job(flow, folder, self.place), self.processes)
        try:
            while not await caller.finished(_PROGRESS_S):
                engine.check_alive()
                self.watch(flow, caller.progress())
        finally:
            result = await caller.result()
        return result

    def _lay_out(self, flow: Flow, folder: Path) -> None:
        """SIPp runs in a folder of its own, with the scenarios as it reads them."""
        folder.mkdir(parents=True, exist_ok=True)
        roots = (flow.folder, flow.folder.parent, *self.scenario_roots)
        for name in (CALLER, CALLEE):
            if (flow.folder / name).is_file():
                (folder / name).write_text(expanded(flow.folder / name, roots), encoding="utf-8")
        if (flow.folder / CALLS).is_file():
            shutil.copyfile(flow.folder / CALLS, folder / CALLS)


def _by_engine(flows: Sequence[Flow], place: Place) -> list[tuple[tuple[str, ...], list[Flow]]]:
    """Flows by the overrides that their engine needs."""

    def overrides(flow: Flow) -> tuple[str, ...]:
        host, port = place.callee
        if flow.file.callee_transport == "udp":
            return flow.overrides(host)
        hop = f"{flow.file.callee_transport}://{host}:{port}"
        return (*flow.overrides(host), f'trunks.{place.trunk}.next_hops=["{hop}"]')

    ordered = sorted(flows, key=lambda flow: (overrides(flow), flow.file.order, flow.name))
    return [(key, list(group)) for key, group in groupby(ordered, overrides)]


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


def _callee_job(flow: Flow, folder: Path, place: Place) -> SippJob:
    columns = flow.table.columns
    return SippJob(
        role="uas",
        folder=folder,
        local=place.callee,
        transport=flow.file.callee_transport,
        calls=flow.calls,
        hold_ms=flow.file.hold_ms,
        timeout_s=flow.file.timeout_s,
        calls_file=CALLS if (folder / CALLS).is_file() else "",
        index=columns.index("callee") if "callee" in columns else None,
        trace_messages=flow.calls <= TRACED_CALLS,
        extra=tuple(flow.file.sipp),
    )


async def _records_of(flow: Flow, records: LabRecords, since: int, engine: Engine) -> list[Record]:
    """The flow's records, waiting a little for the last of them: a record is complete when its call is."""
    deadline = asyncio.get_running_loop().time() + _RECORD_PATIENCE_S
    while True:
        found = [record for record in records.of_calls_since(since) if is_of_flow(record, flow)]
        if len(found) >= flow.calls or asyncio.get_running_loop().time() > deadline:
            return found
        if await engine.ended_within(_LOOK_S):
            return found


def _host_and_port(place: str) -> tuple[str, int]:
    host, _, port = place.rpartition(":")
    return host, int(port)
