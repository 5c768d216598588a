"""`[sip]`: addresses to listen on, and bounds."""

import pytest

from engine.sip.settings import ListenAddress, SipSettings


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("udp://127.0.0.1:5060", ListenAddress("udp", "127.0.0.1", 5060)),
        ("tcp://0.0.0.0:1", ListenAddress("tcp", "0.0.0.0", 1)),
        ("tcp://[::1]:65535", ListenAddress("tcp", "::1", 65535)),
    ],
)
def test_listen_addresses(text: str, address: ListenAddress) -> None:
    assert ListenAddress.parse(text) == address
    assert str(address) == text
    assert SipSettings(listen=[text]).check() == []
    assert SipSettings(listen=[text]).listen_addresses() == [address]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1:5060",
        "udp:127.0.0.1:5060",
        "sctp://127.0.0.1:5060",
        "tls://127.0.0.1:5061",
        "udp://localhost:5060",
        "udp://127.0.0.1",
        "udp://127.0.0.1:",
        "udp://127.0.0.1:65536",
        "udp://127.0.0.1:٥",
        "udp://::1",
    ],
)
def test_what_is_no_listen_address(text: str) -> None:
    assert [key for key, _ in SipSettings(listen=[text]).check()] == ["listen[0]"]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "[::1]", "sip.example.net", "a", "sbc-1.example.net."])
def test_hosts_to_advertise(host: str) -> None:
    assert SipSettings(advertise=host).check() == []


@pytest.mark.parametrize(
    "host", ["", "0.0.0.0", "::", "1.2.3", "1.2.3.256", "a b", "a@b", "-a", "a..b", "a:5060"]
)
def test_what_nobody_could_reach(host: str) -> None:
    assert [key for key, _ in SipSettings(advertise=host).check()] == ["advertise"]


def test_every_bound_is_kept() -> None:
    settings = SipSettings(
        workers=0,
        t1_ms=0,
        t2_ms=0,
        t4_ms=0,
        max_transactions=0,
        max_calls=0,
        tcp_max_connections=0,
        tcp_idle_s=0,
        tcp_message_timeout_s=0,
        receive_buffer_bytes=0,
        batch_ms=51,
    )
    assert {key for key, _ in settings.check()} == {
        *("workers", "t1_ms", "t2_ms", "t4_ms", "max_transactions", "max_calls", "tcp_max_connections"),
        *("tcp_idle_s", "tcp_message_timeout_s", "receive_buffer_bytes", "batch_ms"),
    }


@pytest.mark.parametrize("batch_ms", [0, 10, 50])
def test_datagrams_wait_for_others_up_to_50_ms(batch_ms: int) -> None:
    assert SipSettings(batch_ms=batch_ms).check() == []
    assert [key for key, _ in SipSettings(batch_ms=-1).check()] == ["batch_ms"]
