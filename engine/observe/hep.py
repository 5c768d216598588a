"""HEP3: one captured message as HOMER, sngrep and heplify take it (HEP3 Network Protocol Specification).

A packet is "HEP3", its length, and chunks: vendor (0: the standard's own), type, length, value. All numbers are
unsigned and big-endian; each length counts its own header.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from struct import Struct
from typing import Final

MOST_OCTETS: Final = 65_507  # of a packet: what one UDP datagram holds over IPv4

_SIP: Final = 1  # of chunk 11
_UDP: Final = 17  # IP protocol numbers
_TCP: Final = 6

_FAMILY: Final = 1
_PROTOCOL: Final = 2
_SOURCE_4: Final = 3
_DESTINATION_4: Final = 4
_SOURCE_6: Final = 5
_DESTINATION_6: Final = 6
_SOURCE_PORT: Final = 7
_DESTINATION_PORT: Final = 8
_SECONDS: Final = 9
_MICROSECONDS: Final = 10
_PAYLOAD_TYPE: Final = 11
_AGENT: Final = 12
_PASSWORD: Final = 14
_PAYLOAD: Final = 15
_CORRELATION: Final = 17
_NODE: Final = 19

_HEAD: Final = Struct("!4sH")
_CHUNK: Final = Struct("!HHH")
# Everything of fixed length in one go, an IPv4 packet's and an IPv6 packet's: type and length before each value.
_FIXED_4: Final = Struct("!HHHB HHHB HHH4s HHH4s HHHH HHHH HHHI HHHI HHHB HHHI")
_FIXED_6: Final = Struct("!HHHB HHHB HHH16s HHH16s HHHH HHHH HHHI HHHI HHHB HHHI")
_OVERHEAD: Final = 6  # of a chunk


@dataclass(slots=True)
class Agent:
    """Who captures. `number` is the capture agent's id (32 bits); `name` and `password` may be empty."""

    number: int
    name: str
    password: str = field(default="", repr=False)

    def ending(self) -> bytes:
        """Its name and password as chunks, the same in each packet."""
        chunks = b""
        for kind, text in ((_PASSWORD, self.password), (_NODE, self.name)):
            if text:
                chunks += _chunk(kind, text.encode())
        return chunks


@dataclass(slots=True, frozen=True)
class Address:
    """One end: `packed` is the IP address in 4 or 16 octets."""

    packed: bytes
    port: int

    @staticmethod
    def of(host: str, port: int) -> Address:
        """`host`: an IP literal without brackets, a scope (`%eth0`) passed over. Raises OSError."""
        bare = host.partition("%")[0]
        return Address(socket.inet_pton(socket.AF_INET6 if ":" in bare else socket.AF_INET, bare), port)


def encode(
    transport: str,
    source: Address,
    destination: Address,
    microseconds: int,
    payload: bytes,
    correlation: bytes,
    agent: int,
    ending: bytes,
) -> bytes | None:
    """One packet; None when it would be longer than a datagram.

    `transport` is "udp" or "tcp", `microseconds` since the epoch, `correlation` empty for none; `agent` and
    `ending` are an Agent's. Both addresses are of one family, or the packet is an IPv6 one with mapped addresses.
    """
    seconds, rest = divmod(microseconds, 1_000_000)
    protocol = _UDP if transport == "udp" else _TCP
    sender, receiver = source.packed, destination.packed
    if len(sender) == len(receiver) == 4:
        layout, family, octets, kinds = _FIXED_4, 2, 4, (_SOURCE_4, _DESTINATION_4)
    else:
        layout, family, octets, kinds = _FIXED_6, 10, 16, (_SOURCE_6, _DESTINATION_6)
        sender, receiver = _as_ipv6(sender), _as_ipv6(receiver)
    fixed = layout.pack(
        *(0, _FAMILY, _OVERHEAD + 1, family),
        *(0, _PROTOCOL, _OVERHEAD + 1, protocol),
        *(0, kinds[0], _OVERHEAD + octets, sender),
        *(0, kinds[1], _OVERHEAD + octets, receiver),
        *(0, _SOURCE_PORT, _OVERHEAD + 2, source.port),
        *(0, _DESTINATION_PORT, _OVERHEAD + 2, destination.port),
        *(0, _SECONDS, _OVERHEAD + 4, seconds & 0xFFFFFFFF),
        *(0, _MICROSECONDS, _OVERHEAD + 4, rest),
        *(0, _PAYLOAD_TYPE, _OVERHEAD + 1, _SIP),
        *(0, _AGENT, _OVERHEAD + 4, agent),
    )
    length = _HEAD.size + len(fixed) + len(ending) + _OVERHEAD + len(payload)
    if correlation:
        length += _OVERHEAD + len(correlation)
    if length > MOST_OCTETS:
        return None
    parts = [_HEAD.pack(b"HEP3", length), fixed, ending]
    if correlation:
        parts.append(_chunk(_CORRELATION, correlation))
    parts.append(_chunk(_PAYLOAD, payload))
    return b"".join(parts)


def _chunk(kind: int, value: bytes) -> bytes:
    return _CHUNK.pack(0, kind, _OVERHEAD + len(value)) + value


def _as_ipv6(packed: bytes) -> bytes:
    """RFC 4291 2.5.5.2."""
    return packed if len(packed) == 16 else b"\0" * 10 + b"\xff\xff" + packed
