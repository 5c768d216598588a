"""The engine on the simulated wire: the real core with a table in memory and records in a list."""

from __future__ import annotations

import copy
import pickle
from dataclasses import dataclass, field

from engine.authorization.gate import Gate, Policy
from engine.calls.board import Board
from engine.calls.ports import BindingsUnavailable, LookUpLater
from engine.calls.record import CallRecord, EntryKind
from engine.calls.settings import CallSettings
from engine.calls.switchboard import Limits, Switchboard
from engine.numbering.binding import Direction, Found, Model, NumberBinding
from engine.numbering.numbers import MaskedNumber, RealNumber, parse_real
from engine.observe.tally import Tally
from engine.routing.trunks import Trunk, TrunkSettings, TrunkTable
from engine.sip.dialog import Dialog
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Flow, Outbox
from engine.sip.timers import TimerValues
from tests.simulation.world import ENGINE, Address, Tokens, World

EPOCH_MS = 1_790_000_000_000


class Table:
    """Bindings in memory. `unavailable` and `later` make it the store that is down, and the slow one; `broken`
    the one with a fault of its own."""

    def __init__(self) -> None:
        self.bindings: list[NumberBinding] = []
        self.callers: dict[str, RealNumber] = {}
        self.unavailable = False
        self.broken = False
        self.later: list[tuple[LookUpLater, Found]] | None = None

    def add(
        self,
        model: Model,
        x: str,
        a: str | tuple[str, ...],
        b: str | None,
        y: str | None = None,
        **rest: object,
    ) -> NumberBinding:
        group = (a,) if isinstance(a, str) else a
        binding = NumberBinding(
            f"{len(self.bindings):024x}", "default", "", model, MaskedNumber(x), MaskedNumber(y) if y else None,
            tuple(real(number) for number in group), real(b) if b else None,
            **rest,  # type: ignore[arg-type]
        )  # fmt: skip
        self.bindings.append(binding)
        return binding

    def look_up(self, number: MaskedNumber, caller: RealNumber) -> Found | LookUpLater:
        if self.broken:
            raise RuntimeError("simulated")
        if self.unavailable:
            raise BindingsUnavailable("simulated")
        found = Found(None)
        for binding in self.bindings:
            for masked, party in binding.dialling_pairs():
                if masked == number:
                    found.number_bound = True
                    if party in (None, caller):
                        found = Found(binding, False, self.callers.get(binding.id))
                        return self._answer(found)
        return self._answer(found)

    def remember(self, binding_id: str, caller: RealNumber, utc: float) -> None:
        if self.broken:
            raise RuntimeError("simulated")
        self.callers[binding_id] = caller

    def _answer(self, found: Found) -> Found | LookUpLater:
        if self.later is None:
            return found
        ticket = LookUpLater()
        self.later.append((ticket, found))
        return ticket


@dataclass
class Kept:
    """Records as they were when they were written. `start_places` tells how many datagrams had been put on the
    wire before each START. `broken`: so many writes to come fail."""

    world: World
    accepting: bool = True
    broken: int = 0
    starts: list[CallRecord] = field(default_factory=list)
    ends: list[CallRecord] = field(default_factory=list)
    start_places: dict[str, int] = field(default_factory=dict)
    legs: list[bytes] = field(default_factory=list)  # of each START, pickled as they were

    def write(self, kind: EntryKind, record: CallRecord, legs: tuple[Dialog, Dialog] | None = None) -> None:
        if self.broken:
            self.broken -= 1
            raise OSError("simulated: no space left")
        if kind == EntryKind.START:
            self.starts.append(copy.copy(record))
            self.legs.append(pickle.dumps(legs))
            self.start_places[record.record_id] = len(self.world.log)
        else:
            self.ends.append(copy.copy(record))


class SimulatedEngine:
    """A node of the world, as the driver has it: what the core raises is reported and survived. `faults` must
    stay empty unless a test wants one."""

    def __init__(
        self,
        world: World,
        trunks: list[TrunkSettings] | None = None,
        settings: CallSettings | None = None,
        policy: Policy | None = None,
        timers: TimerValues | None = None,
        limits: Limits | None = None,
        address: Address = ENGINE,
    ) -> None:
        self.world = world
        self.address = address
        self.outbox: Outbox = []
        self.table = Table()
        self.records = Kept(world)
        self.tally = Tally()
        self.faults: list[Exception] = []
        self.clock_set_ms = 0  # by how much somebody has set the wall clock
        identifiers = Tokens("")
        sent_by = dict.fromkeys(("udp", "tcp"), f"{address[0]}:{address[1]}")
        self.board = Board(
            settings or CallSettings(), "node", address[0], sent_by, identifiers, self, self.records,
            self.table, self.tally, self,
        )  # fmt: skip
        table = TrunkTable(Trunk.of(trunk) for trunk in (trunks or [pstn(("127.0.0.2", 5090))]))
        self.switchboard = Switchboard(
            self.board, self.table, Gate(policy or Policy(), table), table, limits or Limits()
        )
        self.endpoint = Endpoint(
            self.switchboard, timers or TimerValues(), identifiers, self.tally, self.outbox, sent_by
        )
        self.endpoint.symmetric = frozenset(trunk.name for trunk in table.trunks if trunk.symmetric)
        self.board.endpoint = self.endpoint
        world.add(self)

    def utc_ms(self) -> int:
        return EPOCH_MS + self.clock_set_ms + round((self.world.now - 1000.0) * 1000)

    def report(self, where: str, error: Exception) -> None:
        self.faults.append(error)

    def receive(self, data: bytes, flow: Flow, now: float) -> None:
        if flow.trunk == "sim":  # as the driver names it
            trunk = self.switchboard.trunks.by_source(flow.host)
            flow.trunk = "unknown" if trunk is None else trunk.name
        try:
            self.endpoint.receive(data, flow, now)
        except Exception as error:
            self.faults.append(error)

    def expire(self, now: float) -> None:
        try:
            self.endpoint.expire(now)
        except Exception as error:
            self.faults.append(error)

    def transport_failed(self, flow: Flow, now: float) -> None:
        self.endpoint.transport_failed(flow, now)

    def flow_to(self, address: Address) -> Flow:
        """Some way to an address, as the transport would name one that broke."""
        return Flow(self.world.transport, address[0], address[1], 0, "pstn")

    @property
    def next_deadline(self) -> float:
        return self.endpoint.next_deadline


def pstn(*hops: Address, name: str = "pstn", transport: str = "udp", **rest: object) -> TrunkSettings:
    """A trunk that trusts everybody in 127.0.0.0/8 and takes every real number, unless told otherwise."""
    given: dict[str, object] = {
        "name": name,
        "peers": ["127.0.0.0/8"],
        "next_hops": [f"{transport}://{host}:{port}" for host, port in hops],
        "prefixes": [""],
        "trust_identity": True,
    }
    given.update(rest)
    return TrunkSettings(**given)  # type: ignore[arg-type]


def real(text: str) -> RealNumber:
    number = parse_real(text)
    assert number is not None, text
    return number


BOTH = Direction.BOTH
