"""TCP connections: made once, used in both directions, made again when they have gone."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.sip.flow import Flow
from tests.transport.core import HOST, PATIENCE_S, free_port
from tests.transport.far_ends import Network

REQUEST = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
ANOTHER = b"BYE sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n"
RESPONSE = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"


async def test_a_request_of_ours_goes_back_over_their_connection(network: Network) -> None:
    """By its number, and by their address when the number is not known."""
    engine = await network.engine()
    client = await network.connect(engine)
    client.write(REQUEST)
    await engine.core.wait(lambda: engine.core.received)
    flow = engine.core.received[0].flow
    for known in (flow, Flow("tcp", HOST, 5060, flow.local), Flow("tcp", HOST, client.port)):
        engine.send(ANOTHER, known)
        assert await client.read(len(ANOTHER)) == ANOTHER
    client.write(RESPONSE)
    await engine.core.wait(lambda: len(engine.core.received) == 2)
    assert engine.core.received[1].flow is flow


async def test_a_connection_is_made_once_and_used_in_both_directions(network: Network) -> None:
    engine = await network.engine()
    far_end = await network.far_end()
    for number in range(3):
        engine.send(b"%d" % number + ANOTHER, far_end.flow)
    client = await far_end.accepted()
    assert await client.read(3 + 3 * len(ANOTHER)) == b"0" + ANOTHER + b"1" + ANOTHER + b"2" + ANOTHER
    engine.send(REQUEST, far_end.flow)
    assert await client.read(len(REQUEST)) == REQUEST
    client.write(RESPONSE + REQUEST)
    await engine.core.wait(lambda: len(engine.core.received) == 2)
    flow = engine.core.received[1].flow
    assert (flow.host, flow.port) == (HOST, far_end.port)
    engine.send(RESPONSE, flow)
    assert await client.read(len(RESPONSE)) == RESPONSE
    assert len(far_end.clients) == 1
    assert engine.core.failed == []


async def test_a_connection_that_was_closed_is_made_again(network: Network) -> None:
    engine = await network.engine(idle_s=0.1)
    far_end = await network.far_end()
    for _ in range(2):
        engine.send(ANOTHER, far_end.flow)
        client = await far_end.accepted()
        assert await client.ended() == ANOTHER
        await client.close()
    for _ in range(2):
        engine.send(ANOTHER, far_end.flow)
        client = await far_end.accepted()
        await client.read(len(ANOTHER))
        client.writer.write_eof()
        assert await client.ended() == b""
        await client.close()
    assert len(engine.core.failed) == 2  # those that they have closed; not ours


async def test_an_answer_whose_connection_has_gone_takes_a_new_one(network: Network) -> None:
    """RFC 3261 18.2.2: to the address it came from and the port of its Via."""
    engine = await network.engine()
    far_end = await network.far_end()
    client = await network.connect(engine)
    client.write(REQUEST)
    await engine.core.wait(lambda: engine.core.received)
    flow = engine.core.received[0].flow
    client.writer.write_eof()
    await client.ended()
    engine.send(RESPONSE, Flow("tcp", HOST, far_end.port, flow.local))
    assert await (await far_end.accepted()).read(len(RESPONSE)) == RESPONSE


async def test_who_cannot_be_connected_to_fails_at_once(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.transport.backoff._REFUSED_S", 0.0)
    engine = await network.engine()
    nobody = Flow("tcp", HOST, free_port(), 0, "pstn")
    engine.send(REQUEST, nobody)
    engine.send(ANOTHER, nobody)
    await engine.core.wait(lambda: engine.core.failed)
    assert engine.core.failed == [nobody]
    far_end = await network.far_end(nobody.port)
    engine.send(REQUEST, nobody)
    assert await (await far_end.accepted()).read(len(REQUEST)) == REQUEST
    assert len(engine.core.failed) == 1


async def test_nobody_waits_for_a_response_that_cannot_be_sent(network: Network) -> None:
    engine = await network.engine()
    engine.send(RESPONSE, Flow("tcp", HOST, free_port()))
    nobody = Flow("tcp", HOST, free_port())
    engine.send(REQUEST, nobody)
    await engine.core.wait(lambda: engine.core.failed)
    assert engine.core.failed == [nobody]


async def test_a_next_hop_that_resets_the_connection_fails_what_waits_there(network: Network) -> None:
    engine = await network.engine()
    far_end = await network.far_end()
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST))
    client.reset()
    await engine.core.wait(lambda: engine.core.failed)
    [failed] = engine.core.failed
    assert (failed.transport, failed.host, failed.port) == ("tcp", HOST, far_end.port)


async def test_a_next_hop_that_closes_the_connection_fails_what_waits_there(network: Network) -> None:
    engine = await network.engine()
    far_end = await network.far_end()
    engine.send(REQUEST, far_end.flow)
    client = await far_end.accepted()
    await client.read(len(REQUEST))
    client.writer.write_eof()
    await engine.core.wait(lambda: engine.core.failed)
    [failed] = engine.core.failed
    assert (failed.transport, failed.host, failed.port) == ("tcp", HOST, far_end.port)


async def test_some_connections_are_kept_for_those_made_here(network: Network) -> None:
    engine = await network.engine(most=10)
    engine.core.answer = lambda data: RESPONSE
    for _ in range(9):
        client = await network.connect(engine)
        client.write(REQUEST)
        await client.read(len(RESPONSE))
    assert await (await network.connect(engine)).ended() in (b"", b"reset")
    far_end = await network.far_end()
    engine.send(REQUEST, far_end.flow)
    assert await (await far_end.accepted()).read(len(REQUEST)) == REQUEST
    assert engine.core.failed == []


async def test_strangers_have_a_small_share_of_the_connections(network: Network) -> None:
    engine = await network.engine(most=100, trunk="unknown")
    engine.core.answer = lambda data: RESPONSE
    clients = [await network.connect(engine) for _ in range(2)]
    for client in clients:
        client.write(REQUEST)
        assert await client.read(len(RESPONSE)) == RESPONSE
    assert await (await network.connect(engine)).ended() in (b"", b"reset")
    assert engine.core.malformed == ["connections"]
    far_end = await network.far_end()  # a next hop may be of no trunk's peers
    engine.send(REQUEST, far_end.flow)
    assert await (await far_end.accepted()).read(len(REQUEST)) == REQUEST
    await clients[0].close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            again = await network.connect(engine)
            again.write(REQUEST)
            if await again.read_or_end(len(RESPONSE)) == RESPONSE:
                break


async def test_strangers_may_not_rest_long(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.transport.streams._STRANGER_IDLE_S", 0.1)
    engine = await network.engine(message_s=0.2, trunk="unknown")
    client = await network.connect(engine)
    assert await client.ended() in (b"", b"reset")


async def test_what_waits_in_all_connections_together_is_bounded(network: Network) -> None:
    engine = await network.engine(most_unsent=200_000)
    large = b"INVITE sip:a SIP/2.0\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    far_ends = [await network.far_end() for _ in range(5)]
    engine.core.outbox += [(far_end.flow, large) for far_end in far_ends]
    engine.driver.settle()
    assert engine.core.failed == [far_end.flow for far_end in far_ends[3:]]
    for far_end in far_ends[:3]:
        assert await (await far_end.accepted()).read(len(large)) == large
    engine.send(large, far_ends[0].flow)  # they have read, so there is room again
    assert await far_ends[0].clients[0].read(len(large)) == large


async def test_a_peer_that_resets_its_own_connection_costs_nothing(network: Network) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: RESPONSE
    client, other = await network.connect(engine), await network.connect(engine)
    client.write(REQUEST)
    await client.read(len(RESPONSE))
    client.reset()
    other.write(REQUEST)
    await other.read(len(RESPONSE))
    assert engine.core.failed == []


async def test_what_waits_for_a_connection_is_bounded(network: Network) -> None:
    engine = await network.engine()
    far_end = await network.far_end()
    large = b"INVITE sip:a SIP/2.0\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    engine.core.outbox += [(far_end.flow, large)] * 40
    engine.driver.settle()
    refused = len(engine.core.failed)
    assert 20 < refused < 30
    client = await far_end.accepted()
    assert await client.read((40 - refused) * len(large)) == (40 - refused) * large


async def test_no_connection_is_made_beyond_the_limit(network: Network) -> None:
    engine = await network.engine(most=1)
    far_end = await network.far_end()
    client = await network.connect(engine)
    client.write(REQUEST)
    await engine.core.wait(lambda: engine.core.received)
    engine.send(REQUEST, far_end.flow)
    assert engine.core.failed == [far_end.flow]


async def test_a_connection_that_is_one_too_many_when_it_stands_fails(network: Network) -> None:
    """Another one came in while it was being made; whichever stood first stays."""
    engine = await network.engine(most=1)
    far_end = await network.far_end()
    with socket.socket() as quick:
        quick.connect((HOST, engine.port))  # in the backlog before the loop turns
        engine.send(REQUEST, far_end.flow)
        await engine.core.wait(lambda: engine.core.malformed)
        client = await far_end.accepted()
        if await client.read_or_end(len(REQUEST)) != REQUEST:
            await engine.core.wait(lambda: engine.core.failed)
            assert engine.core.failed == [far_end.flow]
        assert engine.core.malformed == ["connections"]


async def test_what_was_written_last_still_arrives(network: Network) -> None:
    engine = await network.engine()
    far_end = await network.far_end()
    theirs = await network.connect(engine)
    theirs.write(REQUEST)
    engine.send(REQUEST, far_end.flow)
    ours = await far_end.accepted()
    await engine.core.wait(lambda: engine.core.received)
    for flow in (engine.core.received[0].flow, far_end.flow):
        engine.core.outbox.append((flow, ANOTHER))
    engine.driver.settle()
    engine.driver.close()
    assert await theirs.ended() == ANOTHER
    assert await ours.ended() == REQUEST + ANOTHER
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await network.connect(engine)


async def test_who_sends_its_last_and_listens_on_is_answered(network: Network) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: RESPONSE
    client = await network.connect(engine)
    client.write(REQUEST)
    client.writer.write_eof()
    assert await client.ended() == RESPONSE
