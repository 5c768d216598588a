"""A flow: a folder with a caller's scenario, perhaps a callee's, and what must come of it.

    NAME/uac.xml     the caller (SIPp scenario, may include parts)
    NAME/uas.xml     the callee; without it nothing at all may reach the callee's side
    NAME/uas_PORT.xml  what else there is on the callee's side, at another port (a next hop that fails, say)
    NAME/calls.csv   SIPp's -inf file: SEQUENTIAL, a comment that names the columns, a line for each call
    NAME/flow.toml   what it proves and what the records must say (FlowFile below)

Only uac.xml has to be there. A column of calls.csv that is named like a field of the call detail record says
what the record of that call must hold; so does the table [record] for every call of the flow. A line whose
column `callee` is empty is a call for which nobody's phone rings.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import msgspec

from engine.calls.record import CallRecord
from engine.lab.relay import Conditions

CALLER = "uac.xml"
CALLEE = "uas.xml"
CALLS = "calls.csv"

RECORD_FIELDS = tuple(field.name for field in fields(CallRecord))
_OTHER_CALLEE = re.compile(r"uas_(\d{1,5})\.xml")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")

Transport = Literal["udp", "tcp"]
Value = str | int | bool | list[str]


class BadFlow(ValueError):
    """A folder that is no flow; the text says which file and why."""


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """[network]: datagrams on both sides of the engine are lost and doubled with these probabilities, and each is
    held up for `delay_ms` at most; `seed` makes it the same every time."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_ms: float = 0.0
    seed: int = 1

    def conditions(self) -> Conditions:
        return Conditions(self.loss, self.duplication, self.delay_ms / 1000)


class FlowFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """flow.toml. `calls` 0: one for each line of calls.csv. `rate`: calls a second. `hold_ms`: SIPp's -d, the
    length of every <pause/>. `patience_s`: how long the callee may go on after the caller. `sipp`: more options
    for SIPp on both sides. `settings`: dotted keys of the configuration for this flow's engine; {callee_host} in
    them is where the lab has put the callee; `environment`: the engine's, for secrets, which stand in no
    configuration. `record`: fields of every call's record; "" stands for null. `recorded` false: what the caller
    sends leaves no record of its own; `summed`: attempts that are summed up, by reason. `own_engine`: no other
    flow runs on its engine. `order`: where it stands in the lab."""

    proves: str = ""
    order: int = 1000
    calls: int = 0
    rate: float = 20
    one_by_one: bool = False
    hold_ms: int = 100
    timeout_s: int = 20
    patience_s: float = 5
    load: bool = False
    transport: Transport = "udp"
    callee_transport: Transport = "udp"
    sipp: list[str] = []
    settings: dict[str, Value] = {}
    environment: dict[str, str] = {}
    network: Network | None = None
    recorded: bool = True
    summed: dict[str, int] = {}
    own_engine: bool = False
    record: dict[str, Value] = {}


@dataclass(slots=True, frozen=True)
class CallTable:
    """calls.csv: `columns` as its comment names them, `rows` with as many fields each."""

    columns: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()

    def row_of(self, number: int) -> dict[str, str]:
        """What is expected of the `number`-th call (from 1); SIPp begins again after the last line."""
        if not self.rows:
            return {}
        return dict(zip(self.columns, self.rows[(number - 1) % len(self.rows)], strict=True))


@dataclass(slots=True, frozen=True)
class Flow:
    """One flow, read and checked. `calls`: how many will be made."""

    name: str
    folder: Path
    file: FlowFile
    table: CallTable
    calls: int

    @property
    def has_callee(self) -> bool:
        return (self.folder / CALLEE).is_file()

    @property
    def other_callees(self) -> list[tuple[str, int]]:
        """Role and port of what else there is on the callee's side."""
        found = (_OTHER_CALLEE.fullmatch(path.name) for path in sorted(self.folder.glob("uas_*.xml")))
        return [(match.group(0).removesuffix(".xml"), int(match.group(1))) for match in found if match]

    @property
    def ringing(self) -> int:
        """How many of the calls reach the callee's side."""
        if "callee" not in self.table.columns:
            return self.calls
        return sum(self.table.row_of(number)["callee"] != "" for number in range(1, self.calls + 1))

    @property
    def expected_s(self) -> float:
        """About how long it runs."""
        hold_s = self.file.hold_ms / 1000
        if self.file.one_by_one:
            return self.calls * hold_s
        return self.calls / self.file.rate + hold_s

    def overrides(self) -> tuple[str, ...]:
        """The flow's settings as `--set` wants them (JSON's scalars and lists are TOML's), {callee_host} still in
        them."""
        return tuple(f"{key}={json.dumps(value)}" for key, value in sorted(self.file.settings.items()))

    def on_a_good_network(self) -> Flow:
        """The same flow without its bad network."""
        return replace(self, file=msgspec.structs.replace(self.file, network=None))

    def scaled(self, rate: float | None, calls: int | None, hold_s: float | None) -> Flow:
        """The same flow with another rate, number of calls or hold time, and time enough for it."""
        file = self.file
        if rate is not None:
            file = msgspec.structs.replace(file, rate=rate)
        if hold_s is not None:
            file = msgspec.structs.replace(file, hold_ms=round(hold_s * 1000))
        count = self.calls if calls is None else calls
        seconds = count / file.rate + file.hold_ms / 1000
        longest = max(file.timeout_s, round(30 + 1.5 * seconds))
        return replace(self, file=msgspec.structs.replace(file, timeout_s=longest), calls=count)


def flow_folders(root: Path) -> list[Path]:
    """Every folder below `root` that is a flow, by name."""
    return sorted(path.parent for path in root.glob(f"*/{CALLER}"))


def load_flow(folder: Path) -> Flow:
    """Read one folder. Raises BadFlow."""
    if not (folder / CALLER).is_file():
        raise BadFlow(f"{folder}: no flow, {CALLER} is missing")
    name = folder.resolve().name
    if not _NAME.fullmatch(name):
        raise BadFlow(f"{folder}: a flow's name is made of letters, digits, _ and -")
    file = _read_file(folder / "flow.toml")
    table = _read_calls(folder / CALLS)
    return Flow(name=name, folder=folder, file=file, table=table, calls=file.calls or len(table.rows) or 1)


def _read_file(path: Path) -> FlowFile:
    if not path.is_file():
        return FlowFile()
    try:
        file = msgspec.toml.decode(path.read_bytes(), type=FlowFile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadFlow(f"{path}: {error}") from None
    for field in file.record:
        if field not in RECORD_FIELDS:
            raise BadFlow(f"{path}: record.{field} is no field of the call detail record")
    network = file.network
    if network is not None:
        if file.transport != "udp" or file.callee_transport != "udp":
            raise BadFlow(f"{path}: a bad network carries UDP only")
        if not (0 <= network.loss < 1 and 0 <= network.duplication <= 1 and 0 <= network.delay_ms <= 10_000):
            raise BadFlow(
                f"{path}: network.loss and network.duplication are probabilities, delay_ms is 0 to 10000"
            )
    if file.calls < 0 or file.rate <= 0 or file.hold_ms < 0 or file.timeout_s <= 0:
        raise BadFlow(f"{path}: calls, rate, hold_ms and timeout_s are positive numbers")
    return file


def _read_calls(path: Path) -> CallTable:
    if not path.is_file():
        return CallTable()
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not lines or not lines[0].startswith("SEQUENTIAL"):
        raise BadFlow(f"{path}: the first line is SEQUENTIAL")
    names = next((line for line in lines if line.startswith("#")), "")
    rows = tuple(tuple(line.split(";")) for line in lines[1:] if not line.startswith("#"))
    if not names:
        return CallTable()
    columns = tuple(name.strip() for name in names.lstrip("# ").split(";"))
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise BadFlow(f"{path}: call {number} has {len(row)} fields, the comment names {len(columns)}")
    return CallTable(columns, rows)
