"""When a far end that could not be connected to, or did not stay, is tried again."""

from __future__ import annotations

from typing import Final

Address = tuple[str, int]  # host, port

_LONGEST_S: Final = 30.0  # between two attempts that nobody waits for
_REFUSED_S: Final = 0.1  # for so long after a refusal nobody is made to wait for the next one
_STAYED_S: Final = 10.0  # a connection that lived so long was a good one
_REMEMBERED: Final = 4096  # addresses; beyond it all are forgotten


class Backoff:
    """Of every address with which something went wrong: how often on end, and until when it is avoided.

    A refusal costs a request next to nothing, so it is tried again almost at once; silence costs the connection's
    whole time-out, so requests pass by until a trial that nobody waits for has succeeded.
    """

    def __init__(self, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._failures: dict[Address, int] = {}
        self._avoided: dict[Address, float] = {}

    def avoids(self, address: Address, now: float) -> bool:
        """Whether a request had better fail at once than try to connect."""
        return bool(self._avoided) and now < self._avoided.get(address, 0.0)

    def failed(self, address: Address, silent: bool, now: float) -> float:
        """No connection came to be; the seconds until the next trial. `silent`: nobody even refused it."""
        delay = self._count(address)
        self._avoided[address] = now + (delay + self._connect_timeout_s if silent else _REFUSED_S)
        return delay

    def lost(self, address: Address, lived_s: float) -> float:
        """A connection has gone; the seconds until it is made again. The first time it is made at once."""
        if lived_s >= _STAYED_S:
            self._failures.pop(address, None)
        delay = self._count(address)
        return 0.0 if self._failures[address] == 1 else delay

    def connected(self, address: Address) -> None:
        """It need not be avoided; whether it stays will be seen."""
        self._avoided.pop(address, None)

    def _count(self, address: Address) -> float:
        if len(self._failures) >= _REMEMBERED:
            self._failures.clear()
            self._avoided.clear()
        failures = self._failures[address] = self._failures.get(address, 0) + 1
        return min(float(1 << min(failures - 1, 10)), _LONGEST_S)
