"""Connections to next hops: made again when they break, pinged while they are quiet, never waited for twice."""

from __future__ import annotations

import asyncio

import pytest

from engine.sip.flow import Flow
from engine.transport.streams import Streams
from tests.transport.core import HOST, Engine, free_port
from tests.transport.far_ends import FarEnd, Network

REQUEST = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
RESPONSE = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
PING, PONG = b"\r\n\r\n", b"\r\n"


def streams(engine: Engine) -> Streams:
    assert engine.driver.streams is not None
    return engine.driver.streams


async def holding(network: Network, ping_s: float = 0.0, idle_s: float = 60.0) -> tuple[Engine, FarEnd]:
    engine = await network.engine(ping_s=ping_s, idle_s=idle_s)
    far_end = await network.far_end()
    streams(engine).hold(frozenset({(HOST, far_end.port)}))
    return engine, far_end


async def test_nobody_is_connected_to_before_it_is_needed(network: Network) -> None:
    engine, far_end = await holding(network)
    await asyncio.sleep(0.05)
    assert far_end.clients == []
    engine.send(REQUEST, far_end.flow)
    await far_end.accepted()


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_connection_that_breaks_is_made_again_and_used(network: Network, how: str) -> None:
    engine, far_end = await holding(network)
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST))
    client.reset() if how == "reset" else client.writer.write_eof()
    again = await far_end.accepted()
    [failed] = engine.core.failed  # what waited for an answer hears of it at once
    assert (failed.host, failed.port) == (HOST, far_end.port)
    engine.send(REQUEST, far_end.flow)
    assert await again.read(len(REQUEST)) == REQUEST
    assert len(far_end.clients) == 2
    streams(engine).hold(frozenset())
    again.reset()
    await engine.core.wait(lambda: len(engine.core.failed) == 2)
    await asyncio.sleep(0.05)
    assert len(far_end.clients) == 2  # no next hop any more


async def test_a_next_hop_that_comes_back_is_found_without_a_call(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.backoff._LONGEST_S", 0.05)
    engine = await network.engine()
    nobody = Flow("tcp", HOST, free_port())
    streams(engine).hold(frozenset({(HOST, nobody.port)}))
    engine.send(REQUEST, nobody)
    await engine.core.wait(lambda: engine.core.failed)
    engine.send(REQUEST, nobody)  # refused a moment ago: not tried again for it
    assert len(engine.core.failed) == 2
    far_end = await network.far_end(nobody.port)
    client = await far_end.accepted()
    engine.send(REQUEST, nobody)
    assert await client.read(len(REQUEST)) == REQUEST


async def test_who_did_not_even_refuse_is_not_waited_for_again(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A host that is switched off, say: each attempt would take the whole time-out."""
    monkeypatch.setattr("engine.transport.streams._CONNECT_TIMEOUT_S", 0.1)
    engine = await network.engine()
    loop = asyncio.get_running_loop()

    async def never(*_: object) -> object:
        return await loop.create_future()

    silent = Flow("tcp", HOST, free_port())
    monkeypatch.setattr(streams(engine), "_loop", _Unconnected(loop, never))
    engine.send(REQUEST, silent)
    await engine.core.wait(lambda: engine.core.failed)
    engine.send(REQUEST, silent)
    assert len(engine.core.failed) == 2  # at once


class _Unconnected:
    """The loop, but nobody can be connected to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: object) -> None:
        self._loop = loop
        self.create_connection = connect

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)


async def test_a_quiet_connection_is_pinged_and_does_not_grow_old(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.streams._SWEEP_S", 0.02)
    engine, far_end = await holding(network, ping_s=0.05, idle_s=0.4)
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST))
    for _ in range(10):  # longer than it may be idle
        assert await client.read(len(PING)) == PING
        client.write(PONG)
    client.write(RESPONSE)
    await engine.core.wait(lambda: engine.core.received)
    assert engine.core.data == [RESPONSE]
    assert (engine.core.failed, engine.core.malformed) == ([], [])


async def test_pongs_are_not_taken_for_pings(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two single CRLFs on end are no double one where they answer pings of ours; theirs are answered beside them."""
    monkeypatch.setattr("engine.transport.streams._SWEEP_S", 0.02)
    engine, far_end = await holding(network, ping_s=0.05)
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST))
    for _ in range(3):
        assert await client.read(len(PING)) == PING
        client.write(PONG)
    assert await client.read(len(PING)) == PING
    client.write(PONG + PING)
    assert await client.read(len(PONG) + len(PING)) == PONG + PING


async def test_who_answered_pings_and_stops_is_gone(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.streams._SWEEP_S", 0.02)
    monkeypatch.setattr("engine.transport.streams._PONG_S", 0.1)
    engine, far_end = await holding(network, ping_s=0.05)
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST) + len(PING))
    client.write(PONG)
    assert await client.read(len(PING)) == PING
    again = await far_end.accepted()  # no pong: this connection is given up, another one made
    [failed] = engine.core.failed
    assert (failed.host, failed.port) == (HOST, far_end.port)
    assert await client.ended() in (b"", b"reset")
    await again.read(len(PING))


async def test_who_never_answers_pings_is_let_be(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not everybody knows RFC 5626; TCP's own acknowledgements tell enough then."""
    monkeypatch.setattr("engine.transport.streams._SWEEP_S", 0.02)
    monkeypatch.setattr("engine.transport.streams._PONG_S", 0.05)
    engine, far_end = await holding(network, ping_s=0.05)
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    assert await client.read(len(REQUEST) + 4 * len(PING)) == REQUEST + 4 * PING
    assert engine.core.failed == []
    assert len(far_end.clients) == 1


async def test_connections_of_theirs_are_never_pinged(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.streams._SWEEP_S", 0.02)
    engine = await network.engine(ping_s=0.02, idle_s=0.3)
    client = await network.connect(engine)
    streams(engine).hold(frozenset({(HOST, client.port)}))
    assert await client.ended() in (b"", b"reset")


async def test_the_trunks_of_connections_are_asked_for_again(network: Network) -> None:
    engine = await network.engine()
    client = await network.connect(engine)
    client.write(REQUEST)
    await engine.core.wait(lambda: engine.core.received)
    flow = engine.core.received[0].flow
    assert flow.trunk == "lab"
    streams(engine)._trunk_of = lambda host: "unknown"
    engine.driver.forget_trunks()
    assert flow.trunk == "unknown"
