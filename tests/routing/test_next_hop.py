import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.routing.next_hop import NextHop


@pytest.mark.parametrize(
    ("text", "hop", "written"),
    [
        ("udp://127.0.0.1:5090", NextHop("udp", "127.0.0.1", 5090), "udp://127.0.0.1:5090"),
        ("tcp://127.0.0.1", NextHop("tcp", "127.0.0.1", 5060), "tcp://127.0.0.1:5060"),
        ("udp://[::1]:5080", NextHop("udp", "::1", 5080), "udp://[::1]:5080"),
        ("tcp://[2001:DB8::1]", NextHop("tcp", "2001:db8::1", 5060), "tcp://[2001:db8::1]:5060"),
        ("udp://10.0.0.1:65535", NextHop("udp", "10.0.0.1", 65535), "udp://10.0.0.1:65535"),
    ],
)
def test_parse(text: str, hop: NextHop, written: str) -> None:
    assert NextHop.parse(text) == hop
    assert str(hop) == written


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must look like"),
        ("127.0.0.1:5060", "must look like"),
        ("sip:127.0.0.1", "must look like"),
        ("tls://127.0.0.1", "transport"),
        ("UDP://127.0.0.1", "transport"),
        ("udp://", "IP address"),
        ("udp://gateway.example.cn:5060", "IP address"),
        ("udp://127.0.0.1/", "IP address"),
        ("udp://127.0.0.1:5060/", "port"),
        ("udp://127.0.0.256", "IP address"),
        ("udp://127.0.0.1:", "port"),
        ("udp://127.0.0.1:0", "port"),
        ("udp://127.0.0.1:65536", "port"),
        ("udp://127.0.0.1:+5060", "port"),
        ("udp://127.0.0.1:５０６０", "port"),
        ("udp://127.0.0.1:000005060", "port"),
        ("udp://::1:5060", "brackets"),
        ("udp://[::1", "[address]:port"),
        ("udp://[::1]5060", "[address]:port"),
        ("udp://[127.0.0.1]:5060", "brackets"),
        ("udp://[]:5060", "IP address"),
        ("udp://[fe80::1%eth0]:5060", "IP address"),
    ],
)
def test_errors_say_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=r".") as told:
        NextHop.parse(text)
    assert complaint in str(told.value)
    assert f'"{text}"' in str(told.value)


@given(
    st.sampled_from(["udp", "tcp"]),
    st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)),
    st.integers(1, 65535),
)
def test_what_is_written_is_read(transport: str, address: object, port: int) -> None:
    hop = NextHop(transport, str(address), port)
    assert NextHop.parse(str(hop)) == hop
