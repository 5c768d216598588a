"""HEP3 packets, octet by octet, and as a decoder of its own reads them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.observe.hep import MOST_OCTETS, Address, Agent, encode
from tests.observe.hep_receiver import decode

AT = 1_790_000_000_123_456
HERE, THERE = Address.of("127.0.0.1", 5060), Address.of("10.0.0.2", 5090)


def test_a_packet_octet_by_octet() -> None:
    packet = encode("udp", THERE, HERE, AT, b"SIP", b"c0ffee", 700, Agent(700, "node-1", "pw").ending())
    assert packet is not None
    assert packet.hex(" ") == (
        "48 45 50 33 00 86"  # HEP3, 134 octets
        " 00 00 00 01 00 07 02"  # IPv4
        " 00 00 00 02 00 07 11"  # UDP
        " 00 00 00 03 00 0a 0a 00 00 02"
        " 00 00 00 04 00 0a 7f 00 00 01"
        " 00 00 00 07 00 08 13 e2"
        " 00 00 00 08 00 08 13 c4"
        " 00 00 00 09 00 0a 6a b1 3b 80"
        " 00 00 00 0a 00 0a 00 01 e2 40"
        " 00 00 00 0b 00 07 01"  # SIP
        " 00 00 00 0c 00 0a 00 00 02 bc"
        " 00 00 00 0e 00 08 70 77"
        " 00 00 00 13 00 0c 6e 6f 64 65 2d 31"
        " 00 00 00 11 00 0c 63 30 66 66 65 65"
        " 00 00 00 0f 00 09 53 49 50"
    )


def test_ipv6_and_tcp() -> None:
    packet = encode("tcp", Address.of("::1", 1), Address.of("fe80::2%eth0", 65535), AT, b"x", b"", 0, b"")
    assert packet is not None
    found = decode(packet)
    assert (found.number(1), found.number(2)) == (10, 6)
    assert (found.source, found.destination) == (("::1", 1), ("fe80::2", 65535))
    assert not {3, 4, 14, 17, 19} & found.chunks.keys()


def test_two_families_meet_as_ipv6() -> None:
    packet = encode("udp", Address.of("::1", 1), THERE, AT, b"x", b"", 0, b"")
    assert packet is not None
    assert decode(packet).chunks[6] == bytes(10) + b"\xff\xff\x0a\0\0\2"


def test_what_no_datagram_holds_is_not_packed() -> None:
    empty = encode("udp", HERE, THERE, AT, b"", b"", 1, b"")
    assert empty is not None
    room = MOST_OCTETS - len(empty)
    assert len(encode("udp", HERE, THERE, AT, bytes(room), b"", 1, b"") or b"") == MOST_OCTETS
    assert encode("udp", HERE, THERE, AT, bytes(room + 1), b"", 1, b"") is None


def test_a_password_is_not_printed() -> None:
    assert "secret" not in repr(Agent(1, "node", "secret"))


def test_a_name_is_no_address() -> None:
    with pytest.raises(OSError):
        Address.of("localhost", 1)


@given(
    st.binary(max_size=2000),
    st.text("0123456789abcdef", max_size=16),
    st.integers(0, 2**32 * 1_000_000 - 1),
    st.integers(0, 2**32 - 1),
    st.ip_addresses(v=4),
    st.integers(0, 65535),
)
def test_whatever_is_packed_is_read_again(
    payload: bytes, correlation: str, at: int, agent: int, host: object, port: int
) -> None:
    source = Address.of(str(host), port)
    packet = encode("udp", source, HERE, at, payload, correlation.encode(), agent, b"")
    assert packet is not None
    found = decode(packet)
    assert found.chunks[15] == payload
    assert found.correlation == correlation
    assert found.number(9) * 1_000_000 + found.number(10) == at
    assert found.number(12) == agent
    assert found.source == (str(host), port)
