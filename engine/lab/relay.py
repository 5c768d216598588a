"""A bad network between two parties on this machine: loses, doubles, delays and so reorders datagrams, both ways."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import asyncio_dgram

Address = tuple[str, int]
Spoil = Callable[[bytes], bytes]

_MOST_UNDER_WAY = 20_000


@dataclass(slots=True, frozen=True)
class Conditions:
    """`loss` and `duplication`: probabilities for each datagram. `delay_s`: the longest; each copy draws its own, so
    that later ones may arrive first."""

    loss: float = 0.0
    duplication: float = 0.0
    delay_s: float = 0.0


@dataclass(slots=True)
class Counts:
    """Datagrams: read, lost on purpose, doubled, and sent on (each copy)."""

    read: int = 0
    lost: int = 0
    doubled: int = 0
    sent: int = 0


class LossyRelay:
    """Whoever sends to `listen` reaches `target`, by a socket of its own, and gets its answers back.

    `spoil` changes what goes towards the target. At most a bounded number of datagrams is under way; what comes
    beyond that is lost, as on any network.
    """

    def __init__(
        self, listen: asyncio_dgram.DatagramServer, target: Address, conditions: Conditions, seed: int
    ) -> None:
        self.counts = Counts()
        self.spoil: Spoil | None = None
        self.spoil_back: Spoil | None = None
        self._listen = listen
        self._target = target
        self._conditions = conditions
        self._random = random.Random(seed)
        self._far_sides: dict[Address, asyncio_dgram.DatagramServer] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    async def start(listen: Address, target: Address, conditions: Conditions, seed: int = 1) -> LossyRelay:
        """Begin to relay. Raises OSError."""
        relay = LossyRelay(await asyncio_dgram.bind(listen), target, conditions, seed)
        relay._begin(relay._serve())
        return relay

    @property
    def address(self) -> Address:
        host, port = self._listen.sockname[:2]
        return str(host), int(port)

    async def stop(self) -> None:
        """Close every socket; what is still under way is lost."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for stream in (self._listen, *self._far_sides.values()):
            stream.close()
        await asyncio.sleep(0)  # the loop closes the sockets in its next turn

    async def _serve(self) -> None:
        while True:
            data, source = await self._listen.recv()
            assert isinstance(source, tuple)
            client = (str(source[0]), int(source[1]))
            far = self._far_sides.get(client)
            if far is None:
                far = await asyncio_dgram.bind((self._listen.sockname[0], 0))
                self._far_sides[client] = far
                self._begin(self._serve_back(far, client))
            self._pass_on(self.spoil(data) if self.spoil else data, far, self._target)

    async def _serve_back(self, far: asyncio_dgram.DatagramServer, client: Address) -> None:
        while True:
            data, _ = await far.recv()
            self._pass_on(self.spoil_back(data) if self.spoil_back else data, self._listen, client)

    def _pass_on(self, data: bytes, way: asyncio_dgram.DatagramServer, to: Address) -> None:
        self.counts.read += 1
        if self._random.random() < self._conditions.loss or len(self._tasks) > _MOST_UNDER_WAY:
            self.counts.lost += 1
            return
        copies = 1
        if self._random.random() < self._conditions.duplication:
            self.counts.doubled += 1
            copies = 2
        for _ in range(copies):
            self._begin(self._deliver(data, way, to, self._random.uniform(0, self._conditions.delay_s)))

    async def _deliver(
        self, data: bytes, way: asyncio_dgram.DatagramServer, to: Address, after_s: float
    ) -> None:
        await asyncio.sleep(after_s)
        try:
            await way.send(data, to)
        except (OSError, asyncio_dgram.TransportClosed):
            return
        self.counts.sent += 1

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
