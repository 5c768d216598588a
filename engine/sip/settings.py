"""`[sip]`: where the engine listens, its timers, and the bounds that keep a flood out of memory."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field

_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9]([A-Za-z0-9-]{0,62}))*\.?\Z")


@dataclass(slots=True, frozen=True)
class ListenAddress:
    """One entry of `sip.listen`: `udp://127.0.0.1:5060`, `tcp://[::1]:5060`. `host` carries no brackets."""

    transport: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"

    @staticmethod
    def parse(text: str) -> ListenAddress:
        """Raise ValueError, its text fit for the operator, when this is no address to listen on."""
        transport, mark, rest = text.partition("://")
        if not mark or transport not in ("udp", "tcp", "tls"):
            raise ValueError(f'"{text}" must look like udp://127.0.0.1:5060 or tcp://127.0.0.1:5060')
        if transport == "tls":
            raise ValueError(f'"{text}": TLS is not built yet')
        host, _, port = rest.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ValueError(f'"{text}": "{host}" is not an IP address') from None
        if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
            raise ValueError(f'"{text}": the port must be 1 to 65535')
        return ListenAddress(transport, host, int(port))


@dataclass(slots=True)
class SipSettings:
    listen: list[str] = field(default_factory=lambda: ["udp://127.0.0.1:5060", "tcp://127.0.0.1:5060"])
    workers: int = 1
    t1_ms: int = 500
    t2_ms: int = 4000
    t4_ms: int = 5000
    advertise: str = "127.0.0.1"
    max_transactions: int = 400_000
    max_calls: int = 100_000
    tcp_max_connections: int = 10_000
    tcp_idle_s: int = 3600
    tcp_message_timeout_s: int = 30
    tcp_ping_s: int = 95  # RFC 5626 4.4.1; a quiet connection to a next hop is pinged, 0: never
    receive_buffer_bytes: int = 8 * 1024 * 1024
    batch_ms: int = 20  # under traffic UDP sockets are read that often, 0: as soon as there is something

    def listen_addresses(self) -> list[ListenAddress]:
        """`listen`, parsed; `check` has proved that it can be."""
        return [ListenAddress.parse(text) for text in self.listen]

    def check(self) -> list[tuple[str, str]]:
        """What is wrong, as (key, what)."""
        problems = _listen_problems(self.listen)
        if self.workers != 1:
            wrong = "must be 1" if self.workers < 1 else "more than one worker is not built yet"
            problems.append(("workers", wrong))
        for key, value, low, high in (
            ("t1_ms", self.t1_ms, 10, 10_000),
            ("t2_ms", self.t2_ms, 10, 60_000),
            ("t4_ms", self.t4_ms, 10, 60_000),
            ("max_transactions", self.max_transactions, 1, 10_000_000),
            ("max_calls", self.max_calls, 1, 10_000_000),
            ("tcp_max_connections", self.tcp_max_connections, 1, 1_000_000),
            ("tcp_idle_s", self.tcp_idle_s, 1, 7 * 86_400),
            ("tcp_ping_s", self.tcp_ping_s, 0, 7 * 86_400),
            ("tcp_message_timeout_s", self.tcp_message_timeout_s, 1, 3600),
            ("receive_buffer_bytes", self.receive_buffer_bytes, 65_536, 1 << 30),
            ("batch_ms", self.batch_ms, 0, 50),
        ):
            if not low <= value <= high:
                problems.append((key, f"must be {low} to {high}, not {value}"))
        if self.t2_ms < self.t1_ms:
            problems.append(("t2_ms", f"must not be shorter than t1_ms ({self.t1_ms})"))
        if not _is_host(self.advertise):
            problems.append(("advertise", f'"{self.advertise}" is neither an IP address nor a host name'))
        return problems


def _listen_problems(listen: list[str]) -> list[tuple[str, str]]:
    if not listen:
        return [("listen", "needs at least one address")]
    problems: list[tuple[str, str]] = []
    seen: set[ListenAddress] = set()
    for index, text in enumerate(listen):
        try:
            address = ListenAddress.parse(text)
        except ValueError as error:
            problems.append((f"listen[{index}]", str(error)))
            continue
        if address in seen:
            problems.append((f"listen[{index}]", f'"{text}" stands here twice'))
        seen.add(address)
    return problems


def _is_host(text: str) -> bool:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        # four numbers that are no address are a slip, not a name
        return _HOST_NAME.match(text) is not None and not text.replace(".", "").isdigit()
    return not address.is_unspecified
