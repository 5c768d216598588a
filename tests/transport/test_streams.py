"""TCP: messages cut out of connections, and nobody who may hold up the rest."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from tests.transport.core import HOST, PATIENCE_S
from tests.transport.far_ends import Client, Network

REQUEST = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
ANOTHER = b"BYE sip:a SIP/2.0\r\nContent-Length: 0\r\n\r\n"
RESPONSE = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"
PING, PONG = b"\r\n\r\n", b"\r\n"


async def test_a_message_comes_in_with_its_flow_and_the_answer_goes_back(network: Network) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: RESPONSE
    client = await network.connect(engine)
    client.write(REQUEST)
    assert await client.read(len(RESPONSE)) == RESPONSE
    [received] = engine.core.received
    assert received.data == REQUEST
    assert type(received.data) is bytes
    flow = received.flow
    assert (flow.transport, flow.host, flow.port, flow.trunk) == ("tcp", HOST, client.port, "lab")
    assert flow.local > 0


@pytest.mark.parametrize("size", [1, 7, 30])
async def test_a_message_may_come_in_pieces(network: Network, size: int) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: RESPONSE
    client = await network.connect(engine)
    stream = REQUEST + ANOTHER + REQUEST
    for start in range(0, len(stream), size):
        client.write(stream[start : start + size])
        await asyncio.sleep(0)
    assert await client.read(3 * len(RESPONSE)) == 3 * RESPONSE
    assert engine.core.data == [REQUEST, ANOTHER, REQUEST]


async def test_many_messages_may_come_at_once_and_are_kept_once(network: Network) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: data
    client = await network.connect(engine)
    kept = engine.core.kept
    client.write(REQUEST * 500)
    assert await client.read(500 * len(REQUEST)) == 500 * REQUEST
    assert engine.core.data == [REQUEST] * 500
    assert engine.core.kept - kept < 100


async def test_a_fault_of_the_core_is_reported_and_the_connection_goes_on(network: Network) -> None:
    engine = await network.engine()

    def answer(data: bytes) -> bytes:
        if data == ANOTHER:
            raise ValueError("a fault of ours")
        return RESPONSE

    engine.core.answer = answer
    client = await network.connect(engine)
    client.write(REQUEST + ANOTHER + REQUEST)
    assert await client.read(2 * len(RESPONSE)) == 2 * RESPONSE
    assert engine.core.reports == [("receive", "a fault of ours")]


async def test_a_ping_gets_its_pong_and_keeps_the_connection(network: Network) -> None:
    engine = await network.engine(idle_s=0.4)
    client = await network.connect(engine)
    until = monotonic() + 0.7
    while monotonic() < until:
        client.write(PING)
        assert await client.read(2) == PONG
        await asyncio.sleep(0.05)
    assert engine.core.received == []
    assert engine.core.malformed == []
    client.write(PING * 10_000)
    client.write(REQUEST)
    await engine.core.wait(lambda: engine.core.received)
    assert len(await client.ended()) <= 2 * 10_000


# --- limits ---


async def test_half_a_message_that_stays_half_closes_the_connection(network: Network) -> None:
    engine = await network.engine(message_s=0.1)
    engine.core.answer = lambda data: RESPONSE
    client = await network.connect(engine)
    client.write(REQUEST[:-1])
    begun = monotonic()
    assert await client.ended() in (b"", b"reset")
    assert 0.1 <= monotonic() - begun < PATIENCE_S
    assert engine.core.malformed == ["slow"]
    assert engine.core.received == []


async def test_half_a_message_that_grows_slowly_does_too(network: Network) -> None:
    engine = await network.engine(message_s=0.1)
    client = await network.connect(engine)
    slow = asyncio.create_task(_drip(client, REQUEST))
    await engine.core.wait(lambda: engine.core.malformed)
    assert engine.core.malformed == ["slow"]
    assert await client.ended() in (b"", b"reset")
    slow.cancel()


async def test_messages_one_after_the_other_are_not_slow(network: Network) -> None:
    """Each begins in the same piece as the one before it ends: there is always half a message waiting."""
    engine = await network.engine(message_s=0.5)
    client = await network.connect(engine)
    client.write(REQUEST[:10])
    for _ in range(15):
        await asyncio.sleep(0.04)
        client.write(REQUEST[10:] + REQUEST[:10])
    await engine.core.wait(lambda: len(engine.core.received) == 15)
    assert engine.core.malformed == []


async def test_an_idle_connection_is_closed(network: Network) -> None:
    engine = await network.engine(idle_s=0.1)
    client = await network.connect(engine)
    client.write(REQUEST)
    assert await client.ended() in (b"", b"reset")
    assert engine.core.malformed == []
    assert len(engine.core.received) == 1


async def test_too_many_connections_are_refused_until_one_has_gone(network: Network) -> None:
    engine = await network.engine(most=2)
    engine.core.answer = lambda data: RESPONSE
    first, second = await network.connect(engine), await network.connect(engine)
    for client in (first, second):
        client.write(REQUEST)
        await client.read(len(RESPONSE))
    third = await network.connect(engine)
    assert await third.ended() in (b"", b"reset")
    assert engine.core.malformed == ["connections"]
    await first.close()
    async with asyncio.timeout(PATIENCE_S):
        while True:
            fourth = await network.connect(engine)
            fourth.write(REQUEST)
            if await fourth.read_or_end(len(RESPONSE)) == RESPONSE:
                break
    second.write(REQUEST)
    assert await second.read(len(RESPONSE)) == RESPONSE


async def test_who_does_not_read_is_dropped(network: Network) -> None:
    """16 MB of answers wait for a far end that reads none of them: more than the kernel takes and we keep."""
    engine = await network.engine()
    large = b"SIP/2.0 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    engine.core.answer = lambda data: large
    client = await network.connect(engine, limit=1024)
    client.write(ANOTHER * 300)
    await engine.core.wait(lambda: len(engine.core.received) == 300)
    other = await network.connect(engine)
    engine.core.answer = lambda data: RESPONSE
    other.write(REQUEST)
    assert await other.read(len(RESPONSE)) == RESPONSE
    got = 0
    try:
        while data := await asyncio.wait_for(client.reader.read(1_000_000), PATIENCE_S):
            got += len(data)
    except ConnectionError:
        pass
    assert got < 300 * len(large)
    assert engine.core.failed == []


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"INVITE sip:a SIP/2.0\r\nContent-Length: many\r\n\r\n", "length"),
        (b"INVITE sip:a SIP/2.0\r\nContent-Length: 99999999\r\n\r\n", "size"),
    ],
)
async def test_a_stream_that_cannot_be_cut_is_answered_and_closed(
    network: Network, head: bytes, kind: str
) -> None:
    engine = await network.engine()
    engine.core.answer = lambda data: RESPONSE
    client = await network.connect(engine)
    client.write(REQUEST + head + REQUEST)
    assert await client.ended() == 2 * RESPONSE
    assert engine.core.data == [REQUEST, head]
    assert engine.core.malformed == [kind]


async def test_headers_without_end_are_cut_off(network: Network) -> None:
    engine = await network.engine()
    client = await network.connect(engine)
    client.write(b"INVITE sip:a SIP/2.0\r\n" + b"X: y\r\n" * 20_000)
    assert await client.ended() in (b"", b"reset")
    assert engine.core.malformed == ["size"]
    assert engine.core.received == []


async def _drip(client: Client, data: bytes) -> None:
    for octet in data:
        client.write(bytes([octet]))
        await asyncio.sleep(0.02)
