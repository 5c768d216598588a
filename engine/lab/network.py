"""A bad network for a flow: a lossy relay in front of its engine, another one behind it."""

from __future__ import annotations

from dataclasses import replace

from engine.lab.place import Place, host_and_port
from engine.lab.relay import Conditions, Counts, LossyRelay, Spoil

CALLERS_DOOR = 5070  # where callers reach the engine
CALLEES_DOOR = 5091  # where the engine reaches the callee: its next hop has to say so


class BadNetwork:
    """Both relays, at the place's address."""

    def __init__(self, callers_side: LossyRelay, callees_side: LossyRelay) -> None:
        self._callers_side = callers_side
        self._callees_side = callees_side

    @staticmethod
    async def start(
        place: Place,
        conditions: Conditions,
        seed: int = 1,
        *,
        to_caller: Spoil | None = None,
        to_callee: Spoil | None = None,
    ) -> BadNetwork:
        """Between the callers, the engine and the callee of `place`. `to_…`: changes what a party gets.

        Raises OSError.
        """
        host, port = place.callee
        engine = host_and_port(place.engine["udp"])
        callers_side = await LossyRelay.start((engine[0], CALLERS_DOOR), engine, conditions, seed)
        callees_side = await LossyRelay.start((host, CALLEES_DOOR), (host, port), conditions, seed + 1)
        callers_side.spoil_back = to_caller
        callees_side.spoil = to_callee
        # so that ACK and BYE, which go to the callee's Contact, meet the same network
        contact, door = f":{port}".encode(), f":{CALLEES_DOOR}".encode()
        callees_side.spoil_back = lambda data: data.replace(contact, door)
        return BadNetwork(callers_side, callees_side)

    @property
    def callers_side(self) -> Counts:
        return self._callers_side.counts

    @property
    def callees_side(self) -> Counts:
        return self._callees_side.counts

    async def stop(self) -> None:
        await self._callers_side.stop()
        await self._callees_side.stop()


def behind(place: Place) -> Place:
    """The place as callers see it from the other end of a bad network."""
    host, _ = host_and_port(place.engine["udp"])
    return replace(place, engine={"udp": f"{host}:{CALLERS_DOOR}"})
