"""A simulated wire under virtual time: nodes, latency, loss, duplication, reordering, all from one seed."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from engine.sip.flow import Flow, Outbox
from engine.sip.timers import NEVER

Address = tuple[str, int]

ENGINE: Address = ("127.0.0.9", 5060)


class Tokens:
    """Identifiers that differ from one another and are the same in each run."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._random = random.Random(prefix)

    def token(self) -> str:
        return f"{self._prefix}{self._random.getrandbits(64):016x}"


class Node(Protocol):
    """Something with an address that turns bytes and time into bytes."""

    @property
    def address(self) -> Address: ...
    @property
    def outbox(self) -> Outbox: ...
    def receive(self, data: bytes, flow: Flow, now: float) -> None: ...
    def expire(self, now: float) -> None: ...
    def transport_failed(self, flow: Flow, now: float) -> None: ...

    @property
    def next_deadline(self) -> float: ...


@dataclass
class Conditions:
    """What the wire does to a datagram, each way. Delays in seconds; shares 0 to 1."""

    delay: float = 0.005
    jitter: float = 0.0  # more than the gap between two datagrams reorders them
    loss: float = 0.0
    duplication: float = 0.0


@dataclass(frozen=True)
class Passed:
    """One datagram that was put on the wire."""

    time: float
    source: Address
    target: Address
    data: bytes
    lost: bool

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "surrogateescape")

    @property
    def start(self) -> str:
        return self.text.partition("\r\n")[0]


@dataclass
class World:
    """`log` keeps all that passed; `drop` may take single datagrams away (return True to lose one). What is sent
    to an `unreachable` address fails at once, as a refused connection does."""

    seed: int = 0
    conditions: Conditions = field(default_factory=Conditions)
    transport: str = "udp"

    def __post_init__(self) -> None:
        self.now = 1000.0
        self.random = random.Random(self.seed)
        self.log: list[Passed] = []
        self.drop: Callable[[Passed], bool] = lambda passed: False
        self.unreachable: set[Address] = set()
        self._nodes: dict[Address, Node] = {}
        self._flights: list[tuple[float, int, Address, Address, bytes]] = []
        self._plans: list[tuple[float, int, Callable[[], object]]] = []
        self._serial = count()
        self._flows: dict[tuple[Address, Address], Flow] = {}

    def add(self, node: Node) -> None:
        self._nodes[node.address] = node

    def at(self, delay: float, action: Callable[[], object]) -> None:
        """Does something `delay` seconds from now."""
        heapq.heappush(self._plans, (self.now + delay, next(self._serial), action))

    def run(self, seconds: float) -> None:
        """Lets virtual time pass; nothing in it sleeps."""
        end = self.now + seconds
        while True:
            self._collect()
            following = min(
                self._flights[0][0] if self._flights else NEVER,
                self._plans[0][0] if self._plans else NEVER,
                min((node.next_deadline for node in self._nodes.values()), default=NEVER),
            )
            if following > end:
                break
            self.now = max(self.now, following)
            self._step()
        self.now = end

    def quiet(self) -> bool:
        """Nothing is on the wire and no timer runs any more."""
        return not self._flights and all(node.next_deadline >= NEVER for node in self._nodes.values())

    def between(self, one: Address, other: Address) -> list[Passed]:
        """What passed between two addresses, either way."""
        return [passed for passed in self.log if {passed.source, passed.target} == {one, other}]

    def _step(self) -> None:
        while self._plans and self._plans[0][0] <= self.now:
            heapq.heappop(self._plans)[2]()
            self._collect()
        while self._flights and self._flights[0][0] <= self.now:
            _, _, source, target, data = heapq.heappop(self._flights)
            node = self._nodes.get(target)
            if node is not None:
                node.receive(data, self._flow(target, source), self.now)
                self._collect()
        for node in list(self._nodes.values()):
            if node.next_deadline <= self.now:
                node.expire(self.now)
        self._collect()

    def _flow(self, here: Address, far: Address) -> Flow:
        key = (here, far)
        if key not in self._flows:
            self._flows[key] = Flow(self.transport, far[0], far[1], 1, "sim")
        return self._flows[key]

    def _collect(self) -> None:
        for node in self._nodes.values():
            outbox = node.outbox
            while outbox:
                sendings = outbox[:]
                outbox.clear()
                for flow, data in sendings:
                    target = (flow.host, flow.port)
                    if target in self.unreachable:
                        node.transport_failed(flow, self.now)
                    else:
                        self._launch(node.address, target, data)

    def _launch(self, source: Address, target: Address, data: bytes) -> None:
        conditions = self.conditions
        lost = self.random.random() < conditions.loss
        passed = Passed(self.now, source, target, data, lost)
        lost = lost or self.drop(passed)
        self.log.append(Passed(self.now, source, target, data, lost))
        if lost:
            return
        copies = 2 if self.random.random() < conditions.duplication else 1
        for _ in range(copies):
            arrival = self.now + conditions.delay + self.random.random() * conditions.jitter
            heapq.heappush(self._flights, (arrival, next(self._serial), source, target, data))
