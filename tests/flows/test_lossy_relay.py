"""The lossy relay does to datagrams what it says."""

import asyncio

import asyncio_dgram

from engine.lab.relay import Conditions, LossyRelay

HOST = "127.0.0.1"


async def passed_through(conditions: Conditions, count: int, seed: int = 1) -> tuple[list[int], LossyRelay]:
    """Sends numbered datagrams through a relay; what arrived, in order, when everything sent has been read."""
    receiver = await asyncio_dgram.bind((HOST, 0))
    relay = await LossyRelay.start((HOST, 0), receiver.sockname[:2], conditions, seed)
    sender = await asyncio_dgram.connect(relay.address)
    arrived: list[int] = []

    async def read() -> None:
        while True:
            data, _ = await receiver.recv()
            arrived.append(int(data))
            if (
                relay.counts.read == count
                and len(arrived) == count - relay.counts.lost + relay.counts.doubled
            ):
                return

    reader = asyncio.create_task(read())
    for number in range(count):
        await sender.send(str(number).encode())
    await asyncio.wait_for(reader, 10)
    await relay.stop()
    receiver.close()
    sender.close()
    return arrived, relay


async def test_a_good_network_changes_nothing() -> None:
    arrived, relay = await passed_through(Conditions(), 50)
    assert arrived == list(range(50))
    assert (relay.counts.lost, relay.counts.doubled, relay.counts.sent) == (0, 0, 50)


async def test_loss_and_duplication_happen_as_often_as_asked() -> None:
    arrived, relay = await passed_through(Conditions(loss=0.2, duplication=0.2), 200)
    assert 20 <= relay.counts.lost <= 60
    assert 16 <= relay.counts.doubled <= 60
    assert set(arrived) < set(range(200))
    assert max(arrived.count(number) for number in arrived) == 2


async def test_delay_reorders() -> None:
    arrived, _ = await passed_through(Conditions(delay_s=0.05), 50)
    assert sorted(arrived) == list(range(50))
    assert arrived != sorted(arrived)


async def test_the_same_seed_loses_the_same() -> None:
    first, _ = await passed_through(Conditions(loss=0.3), 60, seed=7)
    second, _ = await passed_through(Conditions(loss=0.3), 60, seed=7)
    assert sorted(first) == sorted(second)


async def test_answers_come_back_to_who_asked_and_can_be_spoilt() -> None:
    answerer = await asyncio_dgram.bind((HOST, 0))
    relay = await LossyRelay.start((HOST, 0), answerer.sockname[:2], Conditions())
    relay.spoil = lambda data: data + b"!"
    relay.spoil_back = lambda data: data + b"?"
    asker = await asyncio_dgram.connect(relay.address)
    await asker.send(b"ask")
    data, source = await asyncio.wait_for(answerer.recv(), 5)
    assert data == b"ask!"
    await answerer.send(b"answer", source)
    data, source = await asyncio.wait_for(asker.recv(), 5)
    assert data == b"answer?"
    assert isinstance(source, tuple)
    assert source[:2] == relay.address
    await relay.stop()
    answerer.close()
    asker.close()


async def test_a_stopped_relay_has_closed_its_socket() -> None:
    relay = await LossyRelay.start((HOST, 0), (HOST, 9), Conditions())
    address = relay.address
    await relay.stop()
    other = await LossyRelay.start(address, (HOST, 9), Conditions())
    assert other.address == address
    await other.stop()
