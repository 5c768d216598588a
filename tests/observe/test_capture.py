"""Messages on their way to a collector: bounded, sampled by calls, correlated, and never in anybody's way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from engine.observe.capture import DROPPED, FAILED, SENT, Capture, Correlations, OwnEnds
from engine.observe.hep import Address, Agent
from engine.sip.flow import Flow
from tests.observe.calls import Clock
from tests.observe.hep_receiver import Collector

AT = 1_790_000_000_123_456
FAR = Flow("udp", "127.0.0.2", 5090, 1)
HERE = OwnEnds([Address.of("127.0.0.1", 5060)], [])


@dataclass
class Record:
    record_id: str
    release_time: int | None = None


def sip(call_id: str, number: str = "13800000001") -> bytes:
    return f"BYE sip:{number}@x SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n".encode()


def capture(port: int = 9, **options: Any) -> Capture:
    return Capture(("127.0.0.1", port), HERE, Agent(7, "node", "pw"), Clock(), **options)


@asynccontextmanager
async def collected(**options: Any) -> AsyncIterator[tuple[Capture, Collector]]:
    collector = await Collector.open()
    capturing = capture(collector.port, **options)
    running = asyncio.create_task(capturing.run())
    try:
        yield capturing, collector
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await collector.close()


async def test_both_legs_of_a_call_arrive_correlated_and_masked() -> None:
    async with collected() as (capturing, collector):
        record = Record("00c0ffee00c0ffee")
        capturing.begun(record, "a-leg")
        capturing.dialled(record, "a-leg", "b-leg")
        capturing.offer(AT, True, FAR, sip("a-leg"), "a-leg")
        capturing.offer(AT + 5, False, Flow("tcp", "127.0.0.3", 5091, 9), sip("b-leg"), "b-leg")
        capturing.offer(AT + 6, True, FAR, sip("probe"), "probe")
        one, other, probe = await collector.wait_for(3)
    assert [one.correlation, other.correlation, probe.correlation] == [record.record_id] * 2 + [""]
    assert (one.source, one.destination) == (("127.0.0.2", 5090), ("127.0.0.1", 5060))
    assert (other.source, other.destination) == (("127.0.0.1", 5060), ("127.0.0.3", 5091))
    assert (one.number(2), other.number(2)) == (17, 6)
    assert one.time == AT / 1_000_000
    assert one.start == "BYE sip:138****0001@x SIP/2.0"
    assert (one.number(12), one.chunks[14], one.chunks[19]) == (7, b"pw", b"node")
    assert not any(b"13800000001" in octets for octets in collector.octets)
    assert capturing.counted == {SENT: 3}


async def test_numbers_go_in_clear_only_when_told_to() -> None:
    async with collected(mask=False) as (capturing, collector):
        capturing.offer(AT, True, FAR, sip("a"), "a")
        (packet,) = await collector.wait_for(1)
    assert packet.text.encode() == sip("a")


async def test_a_full_queue_drops_and_counts() -> None:
    capturing = capture(most_queued=100)
    for _ in range(150):
        capturing.offer(AT, True, FAR, sip("a"), "a")
    assert (capturing.waiting, capturing.counted) == (100, {DROPPED: 50})


async def test_a_call_that_begins_while_it_is_behind_is_left_out_whole() -> None:
    capturing = capture(most_queued=10)
    early, late = Record("00000001"), Record("00000002")
    capturing.begun(early, "early")
    for _ in range(5):
        capturing.offer(AT, True, FAR, sip("early"), "early")
    capturing.begun(late, "late")
    capturing.dialled(late, "late", "late-b")
    for call_id in ("late", "late-b", "early"):
        capturing.offer(AT, True, FAR, sip(call_id), call_id)
    assert capturing.waiting == 6


async def test_calls_are_sampled_whole() -> None:
    capturing = capture(sample=25.0, most_queued=1_000_000)
    for number in range(2000):
        record = Record(f"{number * 2654435761 % 2**32:08x}")
        capturing.begun(record, f"a{number}")
        capturing.dialled(record, f"a{number}", f"b{number}")
        before = capturing.waiting
        for call_id in (f"a{number}", f"b{number}", f"a{number}"):
            capturing.offer(AT, True, FAR, b"", call_id)
        assert capturing.waiting - before in (0, 3)
    assert 350 < capturing.waiting / 3 < 650
    outside = capturing.waiting
    for number in range(2000):  # of no call: by their Call-ID, each twice or not at all
        capturing.offer(AT, True, FAR, b"", f"probe{number}")
        capturing.offer(AT, True, FAR, b"", f"probe{number}")
    assert 700 < capturing.waiting - outside < 1300
    assert (capturing.waiting - outside) % 2 == 0


async def test_a_message_that_no_packet_holds_is_dropped() -> None:
    async with collected() as (capturing, collector):
        capturing.offer(AT, True, FAR, b"BYE sip:a SIP/2.0\r\nFrom: " + b"x" * 65_500 + b"\r\n\r\n", "a")
        capturing.offer(AT, True, Flow("udp", "no address", 1), sip("b"), "b")
        capturing.offer(AT, True, FAR, sip("c"), "c")
        await collector.wait_for(1)
    assert capturing.counted == {DROPPED: 2, SENT: 1}


async def test_a_collector_that_is_not_there_hurts_nobody() -> None:
    collector = await Collector.open()
    port = collector.port
    await collector.close()
    capturing = capture(port)
    running = asyncio.create_task(capturing.run())
    async with asyncio.timeout(10):
        while not capturing.counted.get(FAILED):
            capturing.offer(AT, True, FAR, sip("a"), "a")
            await asyncio.sleep(0.01)
    collector = await Collector.open(port)
    try:
        async with asyncio.timeout(10):
            while not collector.packets:
                capturing.offer(AT, True, FAR, sip("a"), "a")
                await asyncio.sleep(0.01)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await collector.close()


async def test_a_collector_that_talks_is_not_remembered() -> None:
    async with collected() as (capturing, collector):
        capturing.offer(AT, True, FAR, sip("a"), "a")
        await collector.wait_for(1)
        for _ in range(50):
            await collector.say(b"x" * 1000, collector.last_sender)
        capturing.offer(AT, True, FAR, sip("b"), "b")
        assert len(await collector.wait_for(2)) == 2


async def test_others_get_their_turn_while_a_backlog_is_sent() -> None:
    async with collected(most_queued=3000, cpu_percent=25.0) as (capturing, collector):
        for number in range(3000):
            capturing.offer(AT, True, FAR, sip(str(number)), str(number))
        turns = 0
        while capturing.waiting:
            await asyncio.sleep(0)
            turns += 1
        # Slices of a millisecond with rests in between: a backlog that is sent in one go would leave one turn.
        assert turns > 20
    assert capturing.counted.keys() <= {SENT, FAILED}
    assert collector.packets


@pytest.mark.parametrize(("local", "port"), [(1, 5060), (2, 5070), (0, 5060), (9, 5060)])
def test_which_own_end_a_message_came_to(local: int, port: int) -> None:
    ends = OwnEnds([Address.of("::1", 5060), Address.of("::1", 5070)], [Address.of("::1", 5080)])
    assert ends.of(Flow("udp", "::1", 1, local)).port == port
    assert ends.of(Flow("tcp", "::1", 1, local)).port == 5080
    assert OwnEnds([], [Address.of("::1", 5080)]).of(Flow("udp", "::1", 1, local)).port == 5080


def test_correlations_last_as_long_as_their_call_and_a_while() -> None:
    clock = Clock()
    known = Correlations(1000, 60_000, clock)
    up, ended = Record("up"), Record("ended")
    known.add("up", up, b"up")
    known.add("ended", ended, b"ended")
    ended.release_time = clock() // 1000
    clock.pass_(59)
    for number in range(20):
        known.add(f"a{number}", up, b"x")
    assert known.get("ended") is not None
    clock.pass_(2)
    for number in range(20):
        known.add(f"b{number}", up, b"x")
    assert known.get("ended") is None
    assert known.get("up") == (up, b"up")


def test_correlations_are_bounded() -> None:
    known = Correlations(10, 60_000, Clock())
    for number in range(100):
        known.add(str(number), Record("up"), b"x")
    assert len(known) == 10
