"""A next hop: where requests of a trunk are sent."""

import ipaddress
from dataclasses import dataclass, field

from engine.routing.health import HopHealth

DEFAULT_PORT = 5060  # RFC 3261 section 19.1.2, udp and tcp alike
TRANSPORTS = ("udp", "tcp")


@dataclass(slots=True, frozen=True)
class NextHop:
    """`transport`: "udp" or "tcp". `host`: an IP address, IPv6 without brackets. `port`: 1 to 65535. `health` is
    what is known of it just now, no part of what it is."""

    transport: str
    host: str
    port: int
    health: HopHealth = field(default_factory=HopHealth, compare=False, repr=False)

    @staticmethod
    def parse(text: str) -> "NextHop":
        """Read `udp://127.0.0.1:5090` or `tcp://[::1]`. Raises ValueError, saying what is wrong."""
        transport, separator, place = text.partition("://")
        if not separator:
            raise ValueError(f'"{text}" must look like udp://127.0.0.1:5060')
        if transport not in TRANSPORTS:
            raise ValueError(f'"{text}": transport must be udp or tcp')
        if place.startswith("["):
            host, bracket, rest = place[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ValueError(f'"{text}": an IPv6 address is written [address]:port')
            colon, port = rest[:1], rest[1:]
        else:
            host, colon, port = place.partition(":")
            if ":" in port:
                raise ValueError(f'"{text}": an IPv6 address stands in brackets, [address]:port')
        return NextHop(transport, _address(text, host, place.startswith("[")), _port(text, colon, port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport}://{host}:{self.port}"


def _address(text: str, host: str, bracketed: bool) -> str:
    """Names are refused: the call path never waits for a name server. So are IPv6 zones."""
    try:
        address = ipaddress.ip_address(host.replace("%", " "))
    except ValueError:
        raise ValueError(f'"{text}": host must be an IP address') from None
    if (address.version == 6) != bracketed:
        raise ValueError(f'"{text}": only an IPv6 address stands in brackets')
    return str(address)


def _port(text: str, colon: str, port: str) -> int:
    if not colon:
        return DEFAULT_PORT
    if not port.isdigit() or not port.isascii() or len(port) > 5 or not 1 <= int(port) <= 65535:
        raise ValueError(f'"{text}": port must be 1 to 65535')
    return int(port)
