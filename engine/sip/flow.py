"""Where a message came from and where one goes: a socket or connection, and the far end's address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"
"""The trunk of who belongs to none."""


@dataclass(slots=True, eq=False)
class Flow:
    """One far end, as the transport knows it.

    transport  "udp" or "tcp"
    host, port the far end's address, host as an IP literal without brackets
    local      number of the socket (UDP) or of the connection (TCP) it belongs to; 0: whichever leads there
    trunk      name of the trunk it belongs to, "unknown" for none; a metric label
    faults     messages of its that were no SIP, since the transport last forgave them
    """

    transport: str
    host: str
    port: int
    local: int = 0
    trunk: str = UNKNOWN
    faults: int = 0

    @property
    def reliable(self) -> bool:
        """True where the transport itself repeats what is lost (RFC 3261 17.1.1.1)."""
        return self.transport != "udp"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


# What the core wants sent, in order. The driver empties it at the end of each wake-up.
Outbox = list[tuple[Flow, bytes]]
