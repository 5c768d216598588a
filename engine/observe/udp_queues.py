"""What the system knows about UDP sockets: how much waits to be read, and what it had to drop (Linux, proc(5))."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_PREFIX = "udp://"
_WORD = 8  # hexadecimal digits; an address is written as words in the machine's byte order
_LOCAL, _QUEUES, _DROPS = 1, 4, 12  # columns


@dataclass(slots=True)
class UdpQueue:
    """`waiting`: bytes as the system counts them, with its own overhead. `dropped`: datagrams since the socket was
    opened, most of them because the queue was full."""

    waiting: int = 0
    dropped: int = 0


def udp_queues(addresses: Iterable[str], proc: Path = Path("/proc/net")) -> dict[str, UdpQueue]:
    """Of those addresses that are bound, udp://127.0.0.1:5060; others are left out. Never raises OSError."""
    wanted = {_spelled(address): address for address in addresses if address.startswith(_PREFIX)}
    queues: dict[str, UdpQueue] = {}
    if not wanted:
        return queues
    for table in ("udp", "udp6"):
        try:
            lines = (proc / table).read_text("ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue  # another system, or one without IPv6
        for columns in map(str.split, lines):
            address = wanted.get(columns[_LOCAL])
            if address is not None:
                queue = queues.setdefault(address, UdpQueue())
                queue.waiting += int(columns[_QUEUES].partition(":")[2], 16)
                queue.dropped += int(columns[_DROPS])
    return queues


def _spelled(address: str) -> str:
    """udp://127.0.0.1:5060 as the table has it on this machine: 0100007F:13C4."""
    host, _, port = address.removeprefix(_PREFIX).rpartition(":")
    packed = ipaddress.ip_address(host.strip("[]")).packed.hex().upper()
    words = [packed[start : start + _WORD] for start in range(0, len(packed), _WORD)]
    if sys.byteorder == "little":
        words = ["".join(reversed([word[at : at + 2] for at in range(0, _WORD, 2)])) for word in words]
    return f"{''.join(words)}:{int(port):04X}"
