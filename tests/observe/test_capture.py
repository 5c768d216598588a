"""Messages on their way to a collector: bounded, sampled by calls, correlated, and never in anybody's way."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.observe.capture import DROPPED, FAILED, LARGEST_BATCH, SENT, Capture, Correlations, entries
from engine.observe.capture_sender import Orders, Sender, serve
from engine.sip.flow import Flow
from tests.observe.calls import Clock
from tests.observe.hep_receiver import Collector

AT = 1_790_000_000_123_456
FAR = Flow("udp", "127.0.0.2", 5090, 1)


@dataclass
class Record:
    record_id: str
    release_time: int | None = None


def sip(call_id: str, number: str = "13800000001") -> bytes:
    return f"BYE sip:{number}@x SIP/2.0\r\nCall-ID: {call_id}\r\nCSeq: 1 BYE\r\nContent-Length: 0\r\n\r\n".encode()


def orders(port: int = 9, mask: bool = True) -> Orders:
    own = [("127.0.0.1", 5060), ("127.0.0.1", 5070), ("127.0.0.1", 5080)]
    return Orders(("127.0.0.1", port), own, 7, "node", "pw", mask)


@contextmanager
def pair(buffer: int = 1_048_576) -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer // 2)  # the system doubles it
        yield ours, theirs


@contextmanager
def captured(
    own: int = 2, buffer: int = 1_048_576, **options: Any
) -> Iterator[tuple[Capture, socket.socket]]:
    """A capture, and where its batches come out."""
    capture = Capture(own, Clock(), **options)
    with pair(buffer) as (ours, theirs):
        theirs.setblocking(False)
        capture.connect(ours)
        yield capture, theirs


@asynccontextmanager
async def collected(mask: bool = True) -> AsyncIterator[tuple[Capture, Collector, socket.socket]]:
    """A capture, the sender behind it, and the collector; the socket is the capture's own."""
    collector = await Collector.open()
    capture = Capture(2, Clock())
    with pair() as (ours, theirs):
        ours.send(msgspec.json.encode(orders(collector.port, mask)))
        capture.connect(ours)
        serving = asyncio.create_task(serve(theirs))
        try:
            yield capture, collector, ours
        finally:
            ours.close()
            async with asyncio.timeout(10):
                await serving
            await collector.close()


def heard(theirs: socket.socket) -> list[bytes]:
    """The messages that have come out, until there are none."""
    found: list[bytes] = []
    while True:
        try:
            found += [entry.data for entry in entries(theirs.recv(LARGEST_BATCH))]
        except BlockingIOError:
            return found


async def test_both_legs_of_a_call_arrive_correlated_and_masked() -> None:
    async with collected() as (capture, collector, _):
        record = Record("00c0ffee00c0ffee")
        capture.begun(record, "a-leg")
        capture.dialled(record, "a-leg", "b-leg")
        capture.offer(AT, True, FAR, sip("a-leg"), "a-leg")
        capture.offer(AT + 5, False, Flow("tcp", "127.0.0.3", 5091, 9), sip("b-leg"), "b-leg")
        capture.offer(AT + 6, True, Flow("udp", "127.0.0.2", 5090, 2), sip("probe"), "probe")
        capture.flush()
        one, other, probe = await collector.wait_for(3)
    assert [one.correlation, other.correlation, probe.correlation] == [record.record_id] * 2 + [""]
    assert (one.source, one.destination) == (("127.0.0.2", 5090), ("127.0.0.1", 5060))
    assert (other.source, other.destination) == (("127.0.0.1", 5080), ("127.0.0.3", 5091))
    assert probe.destination == ("127.0.0.1", 5070)
    assert (one.number(2), other.number(2)) == (17, 6)
    assert one.time == AT / 1_000_000
    assert one.start == "BYE sip:138****0001@x SIP/2.0"
    assert (one.number(12), one.chunks[14], one.chunks[19]) == (7, b"pw", b"node")
    assert not any(b"13800000001" in octets for octets in collector.octets)
    assert capture.counted == {}


async def test_numbers_go_in_clear_only_when_told_to() -> None:
    async with collected(mask=False) as (capture, collector, _):
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.flush()
        (packet,) = await collector.wait_for(1)
    assert packet.text.encode() == sip("a")


async def test_what_was_given_away_is_sent_when_the_engine_ends() -> None:
    async with collected() as (capture, collector, ours):
        for number in range(100):
            capture.offer(AT, True, FAR, sip(str(number)), str(number))
        capture.flush()
        ours.close()
        assert len(await collector.wait_for(100)) == 100


async def test_the_sender_tells_its_figures() -> None:
    async with collected() as (capture, collector, ours):
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.offer(AT, True, Flow("udp", "no address", 1), sip("b"), "b")
        capture.flush()
        await collector.wait_for(1)
        async with asyncio.timeout(10):
            told = await asyncio.get_running_loop().sock_recv(ours, 4096)
    assert msgspec.json.decode(told) == {SENT: 1, DROPPED: 1}


def test_a_full_buffer_drops_and_counts() -> None:
    with captured(buffer=65_536) as (capture, theirs):
        for _ in range(300):
            capture.offer(AT, True, FAR, sip("a") + b"x" * 2000, "a")
            capture.flush()
        arrived = heard(theirs)
        assert 0 < len(arrived) < 300
        assert capture.counted == {DROPPED: 300 - len(arrived)}
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.flush()
        assert heard(theirs) == [sip("a")]


def test_a_sender_that_is_gone_hurts_nobody() -> None:
    with captured() as (capture, theirs):
        theirs.close()
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.flush()
        capture.connect(None)
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.flush()
        assert capture.counted == {DROPPED: 2}


def test_a_call_that_begins_while_it_is_behind_is_left_out_whole() -> None:
    with captured(buffer=65_536) as (capture, theirs):
        early, late = Record("00000001"), Record("00000002")
        capture.begun(early, "early")
        while capture._has_room():
            capture.offer(AT, True, FAR, sip("early") + b"x" * 1000, "early")
            capture.flush()
        capture.begun(late, "late")
        capture.dialled(late, "late", "late-b")
        heard(theirs)
        for call_id in ("late", "late-b", "early"):
            capture.offer(AT, True, FAR, sip(call_id), call_id)
        capture.flush()
        assert heard(theirs) == [sip("early")]
        assert capture.counted == {}


def test_a_wake_up_of_many_messages_goes_in_several_batches() -> None:
    with captured() as (capture, theirs):
        messages = [sip(str(number)) + b"x" * 60_000 for number in range(7)]
        for message in messages:
            capture.offer(AT, True, FAR, message, "a")
        capture.flush()
        assert heard(theirs) == messages


def test_calls_are_sampled_whole() -> None:
    with captured(sample=25.0) as (capture, theirs):
        calls = 0
        for number in range(2000):
            record = Record(f"{number * 2654435761 % 2**32:08x}")
            capture.begun(record, f"a{number}")
            capture.dialled(record, f"a{number}", f"b{number}")
            for call_id in (f"a{number}", f"b{number}", f"a{number}"):
                capture.offer(AT, True, FAR, b"x", call_id)
            capture.flush()
            arrived = len(heard(theirs))
            assert arrived in (0, 3)
            calls += arrived == 3
        assert 400 < calls < 600
        outside = 0
        for number in range(2000):  # of no call: by their Call-ID, each twice or not at all
            capture.offer(AT, True, FAR, b"x", f"probe{number}")
            capture.offer(AT, True, FAR, b"x", f"probe{number}")
            capture.flush()
            arrived = len(heard(theirs))
            assert arrived in (0, 2)
            outside += arrived == 2
        assert 400 < outside < 600


async def test_a_message_that_no_packet_holds_is_dropped() -> None:
    collector = await Collector.open()
    sender = Sender(orders(collector.port))
    with captured() as (capture, theirs):
        capture.offer(AT, True, FAR, b"BYE sip:a SIP/2.0\r\nFrom: " + b"x" * 65_500 + b"\r\n\r\n", "a")
        capture.offer(AT, True, FAR, sip("c"), "c")
        capture.flush()
        await sender.take(theirs.recv(LARGEST_BATCH))
    await collector.wait_for(1)
    assert sender.counted == {DROPPED: 1, SENT: 1}
    sender.close()
    await collector.close()


async def test_a_collector_may_come_late() -> None:
    collector = await Collector.open()
    port = collector.port
    await collector.close()
    sender = Sender(orders(port))
    with captured() as (capture, theirs):

        async def send() -> None:
            capture.offer(AT, True, FAR, sip("a"), "a")
            capture.flush()
            await sender.take(theirs.recv(LARGEST_BATCH))
            await asyncio.sleep(0.01)

        async with asyncio.timeout(10):
            while not sender.counted.get(FAILED):
                await send()
            collector = await Collector.open(port)
            while not collector.packets:
                await send()
    sender.close()
    await collector.close()


async def test_a_collector_that_talks_is_not_remembered() -> None:
    async with collected() as (capture, collector, _):
        capture.offer(AT, True, FAR, sip("a"), "a")
        capture.flush()
        await collector.wait_for(1)
        for _ in range(50):
            await collector.say(b"x" * 1000, collector.last_sender)
        capture.offer(AT, True, FAR, sip("b"), "b")
        capture.flush()
        assert len(await collector.wait_for(2)) == 2


@pytest.mark.parametrize(("local", "own"), [(1, 0), (2, 1), (0, 0), (9, 0)])
def test_which_own_end_a_message_came_to(local: int, own: int) -> None:
    with captured() as (capture, theirs):
        for transport in ("udp", "tcp"):
            capture.offer(AT, True, Flow(transport, "::1", 1, local), b"x", "a")
        capture.flush()
        udp, tcp = entries(theirs.recv(LARGEST_BATCH))
        assert (udp.own, udp.tcp, tcp.tcp) == (own, False, True)


@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans(), st.integers(0, 65535)), max_size=20))
def test_what_goes_from_process_to_process_is_read_as_it_was_written(
    messages: list[tuple[bytes, bool, int]],
) -> None:
    with captured() as (capture, theirs):
        for data, incoming, port in messages:
            capture.offer(AT, incoming, Flow("udp", "127.0.0.2", port, 1), data, "a")
        capture.flush()
        if messages:
            found = [
                (entry.data, entry.incoming, entry.port) for entry in entries(theirs.recv(LARGEST_BATCH))
            ]
            assert found == messages


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
