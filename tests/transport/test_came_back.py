"""Datagrams that cannot get there: the system says so by ICMP, and the socket goes on as if nothing had been."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from engine.sip.flow import Flow
from engine.transport.udp import UdpSocket
from tests.transport.core import HOST, RECEIVE_BUFFER, Engine, free_port

REQUEST = b"INVITE sip:a SIP/2.0\r\n\r\n"
BUSY = 64  # datagrams: a socket that is read so much is polled from then on


@pytest.fixture(params=[0.0, 0.01], ids=["waited for", "polled"])
async def engine(request: pytest.FixtureRequest) -> AsyncIterator[Engine]:
    engine = Engine(request.param).listen_udp()
    yield engine
    engine.driver.close()


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        client.bind((HOST, 0))
        client.setblocking(False)
        yield client


def nowhere() -> Flow:
    return Flow("udp", HOST, free_port())


async def test_who_sent_it_hears_of_it(engine: Engine) -> None:
    engine.send(REQUEST, nowhere())
    await engine.core.wait(lambda: engine.core.back)
    assert engine.core.back == [REQUEST]
    assert engine.core.failed == []


async def test_what_follows_from_it_is_sent(engine: Engine, plain: socket.socket) -> None:
    there = Flow("udp", *plain.getsockname())
    engine.core.on_back = lambda: engine.core.outbox.append((there, b"elsewhere"))
    engine.send(REQUEST, nowhere())
    await engine.core.wait(lambda: engine.core.back)
    await engine.core.wait(lambda: not engine.core.outbox)
    assert plain.recv(100) == b"elsewhere"


async def test_a_fault_over_it_is_reported(engine: Engine) -> None:
    def fail() -> None:
        raise ValueError("a fault of ours")

    engine.core.on_back = fail
    engine.send(REQUEST, nowhere())
    await engine.core.wait(lambda: engine.core.reports)
    assert engine.core.reports == [("transport", "a fault of ours")]


async def test_no_datagram_is_lost_over_it(engine: Engine, plain: socket.socket) -> None:
    """The system tells of it in place of the next sending or reading, which both happen all the same."""
    dead, there = nowhere(), Flow("udp", *plain.getsockname())

    async def exchange(heard: int) -> None:
        for _ in range(BUSY):
            plain.sendto(b"hello", (HOST, engine.port))
            engine.core.outbox += [(dead, REQUEST), (there, b"x"), (dead, REQUEST)]
            engine.driver.settle()
            assert plain.recv(100) == b"x"
        await engine.core.wait(lambda: len(engine.core.received) == heard)

    for turn in range(1, 21):
        await exchange(turn * BUSY)
    assert engine.core.failed == []
    before = len(engine.core.back)
    engine.send(REQUEST, dead)  # nothing else arrives
    await engine.core.wait(lambda: len(engine.core.back) > before)
    plain.sendto(b"after", (HOST, engine.port))
    await engine.core.wait(lambda: engine.core.data[-1] == b"after")


@pytest.mark.parametrize(("host", "brought_back"), [(HOST, 520), ("::1", 1184)])
def test_the_beginning_comes_back(host: str, brought_back: int) -> None:
    """Of an ICMP message of 576 octets at most, of 1,280 with IPv6."""
    try:
        door = UdpSocket(host, 0, 1, RECEIVE_BUFFER, lambda host: "lab")
    except OSError:
        pytest.skip("there is no IPv6 here")
    there = Flow("udp", host, free_port())
    assert door.send(REQUEST + b"x" * 2000, there)
    assert door.read() == []
    assert door.errors_due
    assert door.errors() == [(REQUEST + b"x" * 2000)[:brought_back]]
    assert door.errors() == []
    assert not door.errors_due
    door.close()


def test_only_that_nobody_is_there_is_a_failure() -> None:
    """Too large a datagram is no failure of the way (RFC 3261 18.4)."""
    door = UdpSocket(HOST, 0, 1, RECEIVE_BUFFER, lambda host: "lab")
    assert door.send(b"x" * 70_000, nowhere())
    assert door.errors() == []
    door.close()
