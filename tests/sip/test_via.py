"""Where answers go and which Vias they carry (RFC 3261 18.2, RFC 3581)."""

from __future__ import annotations

import pytest

from engine.sip.flow import Flow
from tests.sip.door import Door, header, headers
from tests.sip.samples import request


@pytest.mark.parametrize(
    ("via", "source", "target", "answered"),
    [
        pytest.param(
            "192.0.2.9:5062;branch=z9hG4bK1", ("192.0.2.9", 5062), ("192.0.2.9", 5062),
            "192.0.2.9:5062;branch=z9hG4bK1", id="as it stands",
        ),
        pytest.param(
            "192.0.2.9:5062;branch=z9hG4bK1", ("192.0.2.9", 6000), ("192.0.2.9", 5062),
            "192.0.2.9:5062;branch=z9hG4bK1", id="the port of the Via",
        ),
        pytest.param(
            "192.0.2.9;branch=z9hG4bK1", ("192.0.2.9", 6000), ("192.0.2.9", 5060),
            "192.0.2.9;branch=z9hG4bK1", id="5060 where it has none",
        ),
        pytest.param(
            "192.0.2.9:5062;branch=z9hG4bK1;rport", ("192.0.2.9", 6000), ("192.0.2.9", 6000),
            "192.0.2.9:5062;branch=z9hG4bK1;rport=6000;received=192.0.2.9", id="rport",
        ),
        pytest.param(
            "192.0.2.9:5062;rport=1;branch=z9hG4bK1", ("192.0.2.9", 6000), ("192.0.2.9", 6000),
            "192.0.2.9:5062;rport=6000;branch=z9hG4bK1;received=192.0.2.9", id="an rport that lies",
        ),
        pytest.param(
            "10.0.0.1:5062;branch=z9hG4bK1", ("192.0.2.9", 6000), ("192.0.2.9", 5062),
            "10.0.0.1:5062;branch=z9hG4bK1;received=192.0.2.9", id="received",
        ),
        pytest.param(
            "pbx.example;branch=z9hG4bK1", ("192.0.2.9", 6000), ("192.0.2.9", 5060),
            "pbx.example;branch=z9hG4bK1;received=192.0.2.9", id="a name",
        ),
        pytest.param(
            "pbx.example:5062;received=198.51.100.7;branch=z9hG4bK1;maddr=198.51.100.8;ttl=3",
            ("192.0.2.9", 6000), ("192.0.2.9", 5062),
            "pbx.example:5062;received=192.0.2.9;branch=z9hG4bK1;maddr=198.51.100.8;ttl=3",
            id="no address but the source's",
        ),
        pytest.param(
            "[2001:db8::9]:5062;branch=z9hG4bK1", ("2001:db8::9", 6000), ("2001:db8::9", 5062),
            "[2001:db8::9]:5062;branch=z9hG4bK1", id="IPv6",
        ),
        pytest.param(
            "[2001:db8::9];branch=z9hG4bK1;rport", ("2001:db8::9", 6000), ("2001:db8::9", 6000),
            "[2001:db8::9];branch=z9hG4bK1;rport=6000;received=2001:db8::9", id="IPv6 with rport",
        ),
        pytest.param(
            "192.0.2.200;branch=z9hG4bK1", ("2001:db8::9", 6000), ("2001:db8::9", 5060),
            "192.0.2.200;branch=z9hG4bK1;received=2001:db8::9", id="IPv4 in the Via, IPv6 on the wire",
        ),
    ],
)  # fmt: skip
def test_answers_over_udp_go_to_the_source(
    via: str, source: tuple[str, int], target: tuple[str, int], answered: str
) -> None:
    door = Door(answer=404)
    flow = Flow("udp", *source, 3, "pstn")
    door.endpoint.receive(request("OPTIONS", via=f"Via: SIP/2.0/UDP {via}"), flow, door.now)
    [(going, data)] = door.outbox
    assert (going.transport, going.host, going.port, going.local, going.trunk) == ("udp", *target, 3, "pstn")
    assert header(data.decode(), "Via") == f"SIP/2.0/UDP {answered}"


def test_a_symmetric_trunk_gets_its_answers_at_the_source_port() -> None:
    door = Door(answer=404)
    door.endpoint.symmetric = frozenset({"pstn"})
    for trunk, port in (("pstn", 6000), ("other", 5062)):
        flow = Flow("udp", "192.0.2.9", 6000, 1, trunk)
        via = f"Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK{trunk}"
        door.endpoint.receive(request("OPTIONS", via=via), flow, door.now)
        door.endpoint.receive(request("OPTIONS", via=via + "2", version="SIP/7.0"), flow, door.now)
        assert [(going.host, going.port) for going, _ in door.outbox] == [("192.0.2.9", port)] * 2
        door.take()


@pytest.mark.parametrize(("via", "port"), [("192.0.2.9", 5060), ("192.0.2.9:5062;rport", 5062)])
def test_answers_over_tcp_go_back_on_the_connection_or_to_the_port_of_the_via(via: str, port: int) -> None:
    """18.2.2: on the connection, and should that be gone, to the address it came from and the sent-by port."""
    door = Door(answer=404)
    flow = Flow("tcp", "192.0.2.9", 41_000, 17, "pstn")
    door.endpoint.receive(request("OPTIONS", via=f"Via: SIP/2.0/TCP {via};branch=z9hG4bK1"), flow, door.now)
    [(going, _)] = door.outbox
    assert (going.transport, going.host, going.port, going.local) == ("tcp", "192.0.2.9", port, 17)


@pytest.mark.parametrize(
    ("line", "asked", "first"),
    [
        ("SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1", [], "SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1"),
        (
            "SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport",
            [],
            "SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1;rport=5062;received=192.0.2.9",
        ),
        (
            "SIP/2.0/UDP a.example;branch=z9hG4bK1",
            ['SIP/2.0/TCP b.example;branch=z9hG4bK2;x="a,b"', "SIP/2.0/TLS c.example;branch=z9hG4bK3"],
            "SIP/2.0/UDP a.example;branch=z9hG4bK1;received=192.0.2.9",
        ),
    ],
)
def test_all_vias_come_back_in_order(line: str, asked: list[str], first: str) -> None:
    """On lines of their own, joined by commas, or both; only the topmost is touched."""
    door = Door(answer=404)
    joined = ", ".join([line, *asked])
    deeper = "SIP/2.0/UDP d.example:5070;branch=z9hG4bK4;received=198.51.100.4;rport=9"
    [answer] = door.receive(request("OPTIONS", via=f"Via: {joined}", more=f"v: {deeper}"))
    came = [element for value in headers(answer, "Via") for element in _elements(value)]
    assert came == [first, *asked, deeper]


def _elements(value: str) -> list[str]:
    """A comma list, commas in quotes left alone."""
    pieces = value.split('"')
    pieces[::2] = [piece.replace(",", "\n") for piece in pieces[::2]]
    return [element.strip() for element in '"'.join(pieces).split("\n")]
