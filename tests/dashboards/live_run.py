"""One run of a real engine under a real Prometheus: calls of every outcome, a bad reload, a disk that takes no records,
a flood; and at the end the answers to every query of every dashboard."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from engine.cli.engine_client import EngineRefused, ask
from engine.lab.engine_process import Engine
from engine.lab.processes import Processes
from engine.lab.records import LabRecords
from engine.records.query import Record
from engine.settings import Settings, load_settings
from tests.dashboards.boards import ROOT, Query, queries, variables
from tests.dashboards.parties import (
    ANSWERS,
    ANSWERS_LATE,
    IS_BUSY,
    IS_OFF,
    REJECTS,
    RINGS_ON,
    Callees,
    Callers,
)
from tests.flows.stage import Stage

HOST = Stage().host
ENGINE = (HOST, 5060)
CALLEES = (HOST, 5090)
NOBODY = f"udp://{HOST}:5099"
PROMETHEUS = f"http://{HOST}:9090"
STRANGERS_HOST = "127.0.0.1"
MOST_CALLS = 20

CALLER = "13800000001"
UNBOUND, INCOMPLETE, EXPIRED, TO_NOBODY = (
    "700100000019999",
    "70010000001",
    "700100000010008",
    "700100000010007",
)

_HEADER = "model,x,y,a,b,expires_at,direction,max_duration_s,tenant,order_id\n"
_RULES = ROOT / "config" / "prometheus"
_WINDOW_S = 15


def dialled(callee: str) -> str:
    """The 700 number on which the caller reaches him."""
    return f"70010000001000{callee[-1]}"


@dataclass(slots=True)
class Seen:
    """What came of it. `statuses`: final statuses by what was tried. `midway`, `last`: pages of /metrics, the last
    one while draining. `records`: all of them, from the disk. `answers`: Prometheus' to each query; `variables`: by
    dashboard and definition."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    midway: str = ""
    last: str = ""
    answers: dict[Query, list[dict[str, Any]]] = field(default_factory=dict)
    variables: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    alerts: list[dict[str, Any]] = field(default_factory=list)
    rules: list[dict[str, Any]] = field(default_factory=list)
    top: dict[str, Any] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)


async def run(folder: Path) -> Seen:
    """Everything that it writes lies in `folder`; nothing is left running."""
    config = _configure(folder)
    settings = load_settings(config, [])
    processes = Processes()
    callees = await Callees.start(CALLEES)
    callers, strangers = await Callers.start(HOST, ENGINE), await Callers.start(STRANGERS_HOST, ENGINE)
    prometheus = None
    try:
        prometheus = await _start_prometheus(folder, processes)
        engine = await Engine.start(
            config,
            (),
            settings.control.address(),
            data_dir=folder / "var",
            log=folder / "engine.log",
            processes=processes,
        )
        try:
            seen = await _Run(folder, config, settings, callers, strangers).all()
        finally:
            await engine.stop()
        seen.records = LabRecords(folder / "var", settings).of_calls_since(0)
        return seen
    finally:
        for party in (callees, callers, strangers):
            party.stop()
        if prometheus is not None:
            await processes.end(prometheus)
        processes.end_all_now()


class _Run:
    def __init__(
        self, folder: Path, config: Path, settings: Settings, callers: Callers, strangers: Callers
    ) -> None:
        self._table = folder / "bindings.csv"
        self._config = config
        self._settings = settings
        self._callers = callers
        self._strangers = strangers
        self._seen = Seen()
        self._began = 0.0
        self._enough = False  # traffic

    async def all(self) -> Seen:
        seen = self._seen
        _, peer = await asyncio.open_connection(*ENGINE, local_addr=(HOST, 0))
        async with asyncio.timeout(30):  # so that it has seen the counters before they move
            while not (await _query("query", query="mask700_ready == 1"))["result"]:
                await asyncio.sleep(0.2)
        self._began = await _now()
        traffic = asyncio.create_task(self._traffic(8.0))
        await self._reload()
        await traffic
        await self._flood()
        await self._without_disk(2.5)
        traffic = asyncio.create_task(self._traffic(60.0))
        await asyncio.sleep(1)
        seen.midway = await _get(f"http://{self._settings.control.listen}/metrics")
        seen.top = await self._top()
        self._enough = True
        await traffic
        await self._ask()
        await asyncio.to_thread(ask, self._settings, "drain")
        await self._try("drained", self._callers.call(CALLER, dialled(ANSWERS)))
        seen.last = await _get(f"http://{self._settings.control.listen}/metrics")
        peer.close()
        return seen

    async def _traffic(self, seconds: float) -> None:
        """For so long, or until there is enough: each quarter of a second one call that is answered, and one of another
        kind."""
        others: list[tuple[str, Callable[[], Coroutine[Any, Any, int]]]] = [
            ("busy", lambda: self._callers.call(CALLER, dialled(IS_BUSY))),
            ("rejects", lambda: self._callers.call(CALLER, dialled(REJECTS))),
            ("off", lambda: self._callers.call(CALLER, dialled(IS_OFF))),
            ("rings on", lambda: self._callers.call(CALLER, dialled(RINGS_ON))),
            ("gives up", lambda: self._callers.call(CALLER, dialled(RINGS_ON), give_up=True)),
            ("late", lambda: self._callers.call(CALLER, dialled(ANSWERS_LATE))),
            ("twice", lambda: self._callers.call(CALLER, dialled(ANSWERS), twice=True)),
            ("unbound", lambda: self._callers.call(CALLER, UNBOUND)),
            ("stranger", lambda: self._callers.call("13800009999", dialled(ANSWERS))),
            ("incomplete", lambda: self._callers.call(CALLER, INCOMPLETE)),
            ("expired", lambda: self._callers.call(CALLER, EXPIRED)),
            ("unknown source", lambda: self._strangers.call(CALLER, dialled(ANSWERS))),
        ]
        async with asyncio.TaskGroup() as group:
            for step in range(int(seconds * 4)):
                if self._enough:
                    break
                answered = self._callers.call(CALLER, dialled(ANSWERS), talk_s=0.5)
                group.create_task(self._try("answers", answered))
                what, other = others[step % len(others)]
                group.create_task(self._try(what, other()))
                await self._strangers.send(b"HELLO engine\r\n\r\n")
                await self._callers.send(b"OPTIONS sip:x SIP/2.0\r\nVia: nonsense\r\n\r\n")
                await asyncio.sleep(0.25)

    async def _flood(self) -> None:
        """More calls at once than the engine takes."""
        async with asyncio.TaskGroup() as group:
            for _ in range(2 * MOST_CALLS):
                group.create_task(
                    self._try("flood", self._callers.call(CALLER, dialled(ANSWERS), talk_s=0.5))
                )

    async def _reload(self) -> None:
        good = self._table.read_text("ascii")
        self._table.write_text(good + "AXB,not a number,,1,2,,,,,\n", "ascii")
        try:
            await asyncio.to_thread(ask, self._settings, "bindings.reload")
        except EngineRefused:
            pass
        else:
            raise AssertionError("a bad table was loaded")
        self._table.write_text(good, "ascii")
        await asyncio.to_thread(ask, self._settings, "bindings.reload")

    async def _without_disk(self, seconds: float) -> None:
        """The signalling process may not write files any more, and then may again. A call that was answered meanwhile
        has its 200 when its record is written."""
        pid = (await asyncio.to_thread(ask, self._settings, "stats"))["signalling_pid"]
        before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, before[1]))
        async with asyncio.TaskGroup() as group:
            try:
                for _ in range(int(seconds * 4)):
                    call = self._callers.call(CALLER, dialled(ANSWERS))
                    group.create_task(self._try("no disk", call))
                    await asyncio.sleep(0.25)
            finally:
                resource.prlimit(pid, resource.RLIMIT_FSIZE, before)

    async def _try(self, what: str, call: Coroutine[Any, Any, int]) -> None:
        self._seen.statuses[what, await call] += 1

    async def _top(self) -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "engine.cli.main", "top", "--once", "--json", "--interval", "1"),
            *("--config", str(self._config)),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
        return dict(json.loads(output))

    async def _ask(self) -> None:
        seen = self._seen
        now = await _now()
        for query in queries():
            expression = _filled_in(query.expr)
            if query.instant:
                answer = await _query("query", query=expression, time=now)
            else:
                answer = await _query("query_range", query=expression, start=self._began, end=now, step=1)
            seen.answers[query] = answer["result"]
        for board, definition in variables():
            selector, _, label = definition.removeprefix("label_values(").removesuffix(")").rpartition(", ")
            series = await _query("series", **{"match[]": _filled_in(selector)})
            seen.variables[board, definition] = [one[label] for one in series]
        seen.alerts = (await _query("alerts"))["alerts"]
        seen.rules = [rule for group in (await _query("rules"))["groups"] for rule in group["rules"]]


def _configure(folder: Path) -> Path:
    rows = [
        f"AXB,{dialled(callee)},,{CALLER},{callee},,,,,order-{callee[-1]}\n"
        for callee in (ANSWERS, IS_BUSY, REJECTS, IS_OFF, RINGS_ON, ANSWERS_LATE)
    ]
    rows.append(f"AXB,{EXPIRED},,{CALLER},{ANSWERS},2020-01-01T00:00:00Z,,,,\n")
    (folder / "bindings.csv").write_text(_HEADER + "".join(rows), "ascii")
    config = folder / "engine.toml"
    config.write_text(f"""
data_dir = "{folder / "var"}"
[sip]
listen = ["udp://{HOST}:5060", "tcp://{HOST}:5060"]
advertise = "{HOST}"
t1_ms = 200
max_calls = {MOST_CALLS}
[calls]
ring_timeout_s = 1
[control]
listen = "{HOST}:8700"
[bindings]
table = "{folder / "bindings.csv"}"
[records]
fsync_ms = 500
[[trunks]]
name = "pstn"
peers = ["{HOST}"]
next_hops = ["udp://{CALLEES[0]}:{CALLEES[1]}"]
prefixes = [""]
trust_identity = true
[[trunks]]
name = "spare"
next_hops = ["{NOBODY}"]
prefixes = ["8615"]
probe_interval_s = 1
probe_down_after = 1
""")
    return config


async def _start_prometheus(folder: Path, processes: Processes) -> asyncio.subprocess.Process:
    """With the repository's configuration, at a pace of a second."""
    config = yaml.safe_load((_RULES / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(_RULES / pattern) for pattern in config["rule_files"]]
    (scrape,) = config["scrape_configs"]
    scrape["static_configs"] = [{"targets": [f"{HOST}:8700"]}]
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    process = await processes.start(
        [
            "prometheus",
            f"--config.file={path}",
            f"--storage.tsdb.path={folder / 'prometheus'}",
            f"--web.listen-address={PROMETHEUS.removeprefix('http://')}",
            "--log.level=warn",
        ],
        output=folder / "prometheus.log",
    )
    async with asyncio.timeout(30):
        while True:
            try:
                await _get(f"{PROMETHEUS}/-/ready")
            except OSError:
                await asyncio.sleep(0.1)
            else:
                return process


def _filled_in(expression: str) -> str:
    """As Grafana does it."""
    for variable, value in (
        ("$node", ".+"),
        ("$trunk", ".+"),
        ("$__rate_interval", f"{_WINDOW_S}s"),
        ("$__range", "1m"),
    ):
        expression = expression.replace(variable, value)
    return expression


async def _now() -> float:
    """Prometheus' clock."""
    return float((await _query("query", query="time()"))["result"][0])


async def _query(what: str, **parameters: Any) -> Any:
    answer = json.loads(await _get(f"{PROMETHEUS}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"))
    assert answer["status"] == "success", answer
    return answer["data"]


async def _get(url: str) -> str:
    def get() -> str:
        with urllib.request.urlopen(url, timeout=10) as response:
            return str(response.read().decode())

    return await asyncio.to_thread(get)
