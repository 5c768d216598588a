"""What this machine's sockets are doing: who listens, and whether anything arrives where nothing should."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from pathlib import Path

_TABLES = {"udp": "/proc/net/udp", "tcp": "/proc/net/tcp"}
_LISTENING = {"udp": "07", "tcp": "0A"}  # the kernel's socket states: unconnected, LISTEN


def listening(transport: str, host: str, port: int) -> bool:
    """True when a socket of this machine is bound to the IPv4 address (or to all) and port."""
    places = {_as_kernel_writes("0.0.0.0", port), _as_kernel_writes(host, port)}  # noqa: S104
    for line in Path(_TABLES[transport]).read_text(encoding="ascii").splitlines()[1:]:
        fields = line.split()
        if fields[1] in places and fields[3] == _LISTENING[transport]:
            return True
    return False


def free_port(transport: str, host: str, port: int) -> bool:
    """True when `port` can be bound now."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as probe:
        if transport == "tcp":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class SilentCallee(asyncio.DatagramProtocol):
    """Stands where the callee would and counts what arrives, which for a refused call must be nothing."""

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self._transport: asyncio.BaseTransport | None = None

    @staticmethod
    async def at(host: str, port: int) -> SilentCallee:
        """Bind it. Raises OSError."""
        loop = asyncio.get_running_loop()
        _, callee = await loop.create_datagram_endpoint(SilentCallee, local_addr=(host, port))
        return callee

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.append(data)

    async def close(self) -> None:
        """Free the port; what arrived is in `received`."""
        if self._transport is not None:
            self._transport.close()
        await asyncio.sleep(0)  # the loop closes the socket in its next turn


def _as_kernel_writes(host: str, port: int) -> str:
    """127.0.0.1:5060 as 0100007F:13C4: the address as a little-endian word."""
    (word,) = struct.unpack("<I", ipaddress.IPv4Address(host).packed)
    return f"{word:08X}:{port:04X}"
