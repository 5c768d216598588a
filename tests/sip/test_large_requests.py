"""Requests too large for a datagram (RFC 3261 18.1.1), and an engine that has no datagrams at all."""

from __future__ import annotations

import pytest

from engine.sip.endpoint import LARGE
from engine.sip.flow import Flow
from engine.sip.outgoing import OutgoingRequest
from tests.sip.door import FAR, Door, answer_to, header
from tests.sip.machines import Heard, invite

ELSEWHERE = Flow("udp", FAR.host, FAR.port, 1, "other")
METHODS = ("INVITE", "INFO")


def padded(method: str, octets: int) -> OutgoingRequest:
    """A request that has exactly so many octets over UDP."""
    request = invite()
    request.method = method
    request.headers += "X: \r\n"
    door = Door()
    send(door, request, FAR, Heard())
    missing = octets - len(door.take()[0])
    request.headers = request.headers.replace("X: ", "X: " + "x" * missing)
    return request


def send(door: Door, request: OutgoingRequest, flow: Flow, heard: Heard) -> None:
    if request.method == "INVITE":
        door.endpoint.send_invite(request, flow, heard, door.now)
    else:
        door.endpoint.send_request(request, flow, heard, door.now)


def large_door() -> Door:
    door = Door()
    door.endpoint.large_over_tcp = frozenset(["pstn"])
    return door


def sent(door: Door) -> list[tuple[Flow, str]]:
    found = [(flow, data.decode()) for flow, data in door.outbox]
    door.outbox.clear()
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("octets", "flow", "transport"),
    [
        (LARGE, FAR, "udp"),
        (LARGE + 1, FAR, "tcp"),
        (60_000, FAR, "tcp"),
        (LARGE + 1, ELSEWHERE, "udp"),
        (LARGE + 1, Flow("tcp", FAR.host, FAR.port, 7, "pstn"), "tcp"),
    ],
)
def test_what_is_too_large_for_a_datagram_goes_over_tcp(
    method: str, octets: int, flow: Flow, transport: str
) -> None:
    door, heard = large_door(), Heard()
    send(door, padded(method, octets), flow, heard)
    [(way, text)] = sent(door)
    assert (way.transport, way.host, way.port, way.trunk) == (transport, flow.host, flow.port, flow.trunk)
    assert header(text, "Via").startswith(f"SIP/2.0/{transport.upper()} ")
    door.receive(answer_to(text, 486), way)
    assert heard.events == ["486"]


@pytest.mark.parametrize("method", METHODS)
def test_refused_over_tcp_it_goes_over_udp(method: str) -> None:
    door, heard = large_door(), Heard()
    send(door, padded(method, LARGE + 1), FAR, heard)
    [(tcp, first)] = sent(door)
    door.endpoint.transport_failed(tcp, door.now)
    [(udp, second)] = sent(door)
    assert (udp, heard.events) == (FAR, [])
    assert header(second, "Via") == header(first, "Via").replace("TCP 192.0.2.1:5070", "UDP 192.0.2.1:5060")
    assert door.run(0.51) == [second]  # repeated from now on, as anything over UDP
    if method == "INVITE":
        door.endpoint.receive(answer_to(second, 486), FAR, door.now)
        [(way, ack)] = sent(door)
        assert (way, header(ack, "Via")) == (FAR, header(second, "Via"))
    else:
        door.receive(answer_to(second, 200))
    assert heard.events == ["486" if method == "INVITE" else "200"]
    door.run(33.0)
    assert door.quiet


def test_it_fails_when_udp_fails_too() -> None:
    door, heard = large_door(), Heard()
    send(door, padded("INVITE", LARGE + 1), FAR, heard)
    door.endpoint.transport_failed(sent(door)[0][0], door.now)
    door.endpoint.transport_failed(FAR, door.now)
    assert heard.events == ["error"]


def test_a_connection_that_breaks_once_something_has_come_back_is_no_refusal() -> None:
    door, heard = large_door(), Heard()
    send(door, padded("INFO", LARGE + 1), FAR, heard)
    [(tcp, text)] = sent(door)
    door.receive(answer_to(text, 100), tcp)
    door.endpoint.transport_failed(tcp, door.now)
    assert heard.events == ["100", "error"]
    assert sent(door) == []


def test_it_is_given_up_in_the_end() -> None:
    door, heard = large_door(), Heard()
    send(door, padded("INVITE", LARGE + 1), FAR, heard)
    door.endpoint.transport_failed(sent(door)[0][0], door.now)
    assert len(door.run(33.0)) == 7
    assert heard.events == ["timeout"]
    assert door.quiet


def test_without_a_udp_socket_everything_goes_over_tcp() -> None:
    """A target may name no transport, which means UDP where both can be had."""
    door, heard = large_door(), Heard()
    door.endpoint.datagrams = False
    for method in METHODS:
        send(door, padded(method, 500), FAR, heard)
    door.endpoint.send_again(door.endpoint.send_ack(invite(), FAR), FAR)
    for way, text in sent(door):
        assert (way.transport, way.host, way.port, way.local) == ("tcp", FAR.host, FAR.port, 0)
        assert header(text, "Via").startswith("SIP/2.0/TCP 192.0.2.1:5070;")
