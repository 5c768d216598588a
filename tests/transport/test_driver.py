"""One wake-up: read, run the core, keep the records, send, set the timer; and UDP sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from time import monotonic

import asyncio_dgram
import pytest

from engine.sip.flow import Flow
from engine.sip.timers import NEVER
from engine.transport.udp import UdpSocket
from tests.transport.core import HOST, PATIENCE_S, RECEIVE_BUFFER, Engine, free_port

REQUEST = b"OPTIONS sip:a SIP/2.0\r\n\r\n"
RESPONSE = b"SIP/2.0 200 OK\r\n\r\n"
UNREACHABLE = Flow("udp", "255.255.255.255", 5060)  # not without asking the kernel for it


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine().listen_udp()
    yield engine
    engine.driver.close()


@pytest.fixture
def plain() -> Iterator[socket.socket]:
    """A client whose datagrams are there before the loop turns."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        client.bind((HOST, 0))
        client.setblocking(False)
        yield client


async def test_a_datagram_comes_in_with_its_flow_and_the_answer_goes_back(engine: Engine) -> None:
    engine.core.answer = lambda data: b"answer to " + data
    client = await asyncio_dgram.connect((HOST, engine.port))
    await client.send(b"hello")
    data, source = await asyncio.wait_for(client.recv(), PATIENCE_S)
    assert data == b"answer to hello"
    assert source == (HOST, engine.port)
    [received] = engine.core.received
    assert type(received.data) is bytes
    flow = received.flow
    assert (flow.transport, flow.host, flow.port) == ("udp", *client.sockname)
    assert (flow.local, flow.trunk) == (1, "lab")
    assert monotonic() - PATIENCE_S < received.now <= monotonic()
    await client.send(b"again")
    await asyncio.wait_for(client.recv(), PATIENCE_S)
    assert engine.core.received[1].flow is flow
    client.close()


async def test_the_socket_is_read_in_batches_and_in_order(engine: Engine, plain: socket.socket) -> None:
    sent = [b"%d" % number for number in range(500)]
    for data in sent:
        plain.sendto(data, (HOST, engine.port))
    await engine.core.wait(lambda: len(engine.core.received) == 500)
    assert engine.core.data == sent
    sizes: dict[int, int] = {}
    times: dict[int, set[float]] = {}
    for received in engine.core.received:
        sizes[received.wake_up] = sizes.get(received.wake_up, 0) + 1
        times.setdefault(received.wake_up, set()).add(received.now)
    assert max(sizes.values()) == 64
    assert len(sizes) == 8
    assert all(len(of_one) == 1 for of_one in times.values())


async def test_under_traffic_datagrams_wait_for_others(plain: socket.socket) -> None:
    """Eight in an interval are traffic; what comes then is read together at the end of the interval."""
    engine = Engine(batch_s=0.05).listen_udp()
    for number in range(8):
        plain.sendto(b"%d" % number, (HOST, engine.port))
    await engine.core.wait(lambda: len(engine.core.received) == 8)
    busy_since = engine.core.received[-1].now
    for number in range(8, 16):
        await asyncio.sleep(0.001)
        plain.sendto(b"%d" % number, (HOST, engine.port))
    await engine.core.wait(lambda: len(engine.core.received) == 16)
    assert {received.now for received in engine.core.received[8:]} == {engine.core.received[-1].now}
    assert engine.core.received[-1].now >= busy_since + 0.049
    engine.driver.close()


@pytest.mark.parametrize(("batch_s", "at_once"), [(PATIENCE_S, 7), (0.0, 100)])
async def test_few_datagrams_or_any_without_batches_are_read_at_once(
    plain: socket.socket, batch_s: float, at_once: int
) -> None:
    """None waits for an interval, which is as long here as the test's patience."""
    engine = Engine(batch_s).listen_udp()
    for number in range(at_once):
        plain.sendto(b"%d" % number, (HOST, engine.port))
        await _heard(engine, number + 1)
    assert len({received.now for received in engine.core.received}) == at_once
    engine.driver.close()


async def test_when_traffic_ends_datagrams_are_read_at_once_again(plain: socket.socket) -> None:
    engine = Engine(batch_s=0.3).listen_udp()
    for number in range(20):
        plain.sendto(b"%d" % number, (HOST, engine.port))
    await _heard(engine, 20)
    await asyncio.sleep(0.35)  # an interval that brings nothing
    sent_at = monotonic()
    plain.sendto(b"late", (HOST, engine.port))
    await _heard(engine, 21)
    assert engine.core.received[-1].now < sent_at + 0.25
    engine.driver.close()


async def _heard(engine: Engine, count: int) -> None:
    await engine.core.wait(lambda: len(engine.core.received) == count)


async def test_timers_get_their_turn_while_datagrams_pour_in(engine: Engine, plain: socket.socket) -> None:
    pouring = True

    def pour(data: bytes) -> None:
        if pouring:
            for _ in range(2):
                plain.sendto(data, (HOST, engine.port))

    for number in range(200):
        plain.sendto(b"%d" % number, (HOST, engine.port))
    engine.core.answer = pour
    engine.core.next_deadline = monotonic() + 0.01
    engine.driver.settle()
    await engine.core.wait(lambda: engine.core.expired)
    pouring = False
    assert engine.core.expired[0] < engine.core.received[0].now + 1.0


async def test_records_are_kept_before_anything_is_sent(engine: Engine, plain: socket.socket) -> None:
    arrived_before: list[bytes] = []

    def look() -> None:
        try:
            arrived_before.append(plain.recv(100))
        except BlockingIOError:
            arrived_before.append(b"nothing")

    engine.core.on_keep = look
    engine.core.answer = lambda data: data.upper()
    plain.sendto(b"one", (HOST, engine.port))
    await engine.core.wait(lambda: engine.core.received)
    assert arrived_before[0] == b"nothing"
    assert arrived_before[1] == b"ONE"


async def test_records_are_kept_when_nothing_is_sent(engine: Engine, plain: socket.socket) -> None:
    kept = engine.core.kept
    plain.sendto(b"one", (HOST, engine.port))
    await engine.core.wait(lambda: engine.core.received)
    assert engine.core.kept > kept


async def test_a_fault_of_the_core_is_reported_and_the_rest_goes_on(
    engine: Engine, plain: socket.socket
) -> None:
    def answer(data: bytes) -> bytes:
        if data == b"bad":
            raise ValueError("a fault of ours")
        return data.upper()

    engine.core.answer = answer
    for data in (b"one", b"bad", b"two", b"bad"):
        plain.sendto(data, (HOST, engine.port))
    await engine.core.wait(lambda: len(engine.core.received) == 4)
    assert engine.core.reports == [("receive", "a fault of ours")] * 2
    assert [plain.recv(100), plain.recv(100)] == [b"ONE", b"TWO"]


async def test_records_that_cannot_be_kept_are_reported_and_the_rest_goes_on(
    engine: Engine, plain: socket.socket
) -> None:
    def fail() -> None:
        raise OSError("the disk is full")

    engine.core.on_keep = fail
    engine.core.answer = lambda data: data.upper()
    engine.core.next_deadline = monotonic()
    plain.sendto(b"one", (HOST, engine.port))
    await engine.core.wait(lambda: engine.core.expired)
    assert engine.core.reports[0] == ("records", "the disk is full")
    assert plain.recv(100) == b"ONE"


async def test_no_call_is_answered_by_a_wake_up_whose_records_could_not_be_kept(
    engine: Engine, plain: socket.socket
) -> None:
    def fail() -> None:
        raise RuntimeError("a fault of ours")

    loop = asyncio.get_running_loop()
    engine.core.on_keep = fail
    engine.core.answer = lambda data: data
    for data in (b"SIP/2.0 200 OK\r\n", b"SIP/2.0 180 Ringing\r\n"):
        plain.sendto(data, (HOST, engine.port))
    assert (await asyncio.wait_for(loop.sock_recv(plain, 100), 5)).startswith(b"SIP/2.0 180")
    engine.core.on_keep = lambda: None
    plain.sendto(b"SIP/2.0 200 again\r\n", (HOST, engine.port))
    assert (await asyncio.wait_for(loop.sock_recv(plain, 100), 5)).startswith(b"SIP/2.0 200 again")


# --- what cannot be sent ---


@pytest.mark.parametrize(
    "flow",
    [UNREACHABLE, Flow("udp", "::1", 5060), Flow("tcp", HOST, 5060)],
)
async def test_a_request_that_cannot_be_sent_fails_at_once(engine: Engine, flow: Flow) -> None:
    engine.send(REQUEST, flow)
    assert engine.core.failed == [flow]


async def test_nobody_waits_for_a_response(engine: Engine) -> None:
    engine.send(RESPONSE, UNREACHABLE)
    assert engine.core.failed == []


async def test_one_message_that_is_too_large_does_not_fail_the_others(engine: Engine) -> None:
    engine.send(REQUEST + b"x" * 66_000, Flow("udp", HOST, free_port()))
    assert engine.core.failed == []


async def test_what_follows_from_a_failure_is_sent_in_the_same_wake_up(
    engine: Engine, plain: socket.socket
) -> None:
    there = Flow("udp", *plain.getsockname())
    engine.core.on_failed = lambda flow: engine.core.outbox.append((there, b"elsewhere"))
    engine.send(REQUEST, UNREACHABLE)
    assert plain.recv(100) == b"elsewhere"
    assert engine.core.outbox == []


async def test_a_fault_while_a_failure_is_told_is_reported_and_the_rest_is_sent(
    engine: Engine, plain: socket.socket
) -> None:
    def fail(flow: Flow) -> None:
        raise ValueError("a fault of ours")

    engine.core.on_failed = fail
    engine.core.outbox.append((UNREACHABLE, REQUEST))
    engine.send(REQUEST, Flow("udp", *plain.getsockname()))
    assert engine.core.reports == [("transport", "a fault of ours")]
    assert plain.recv(100) == REQUEST
    engine.driver.failed(UNREACHABLE)
    assert len(engine.core.reports) == 2


async def test_without_a_udp_socket_nothing_goes_over_udp() -> None:
    engine = Engine()
    flow = Flow("udp", HOST, engine.port, 1)
    engine.send(REQUEST, flow)
    assert engine.core.failed == [flow]
    engine.driver.close()


async def test_each_flow_leaves_by_its_socket(engine: Engine, plain: socket.socket) -> None:
    second = free_port()
    engine.driver.listen_udp(HOST, second, RECEIVE_BUFFER)
    engine.core.answer = lambda data: data
    plain.sendto(b"x", (HOST, second))
    await engine.core.wait(lambda: engine.core.received)
    assert engine.core.received[0].flow.local == 2
    assert plain.recvfrom(100) == (b"x", (HOST, second))
    for local, port in ((0, engine.port), (1, engine.port), (2, second), (3, engine.port)):
        engine.send(b"y", Flow("udp", HOST, plain.getsockname()[1], local))
        assert plain.recvfrom(100) == (b"y", (HOST, port))


# --- timers ---


async def test_the_wheel_is_turned_when_it_asks_for_it(engine: Engine) -> None:
    due = monotonic() + 0.03
    engine.core.next_deadline = due
    engine.driver.settle()
    await engine.core.wait(lambda: engine.core.expired)
    assert due - 0.002 <= engine.core.expired[0] < due + PATIENCE_S


async def test_an_earlier_deadline_is_not_kept_waiting(engine: Engine) -> None:
    engine.core.next_deadline = monotonic() + 60.0
    engine.driver.settle()
    engine.core.next_deadline = monotonic() + 0.01
    engine.driver.settle()
    await engine.core.wait(lambda: engine.core.expired)
    assert len(engine.core.expired) == 1


async def test_a_later_deadline_is_asked_for_again(engine: Engine) -> None:
    """The timer comes at the old time, finds nothing, and is set anew."""
    later = monotonic() + 0.05

    def still_waiting(now: float) -> None:
        if now < later:
            engine.core.next_deadline = later

    engine.core.on_expire = still_waiting
    engine.core.next_deadline = monotonic() + 0.01
    engine.driver.settle()
    engine.core.next_deadline = later
    engine.driver.settle()
    await engine.core.wait(lambda: engine.core.expired and engine.core.expired[-1] >= later)
    assert len(engine.core.expired) <= 4


async def test_a_fault_in_a_timer_is_reported_and_the_next_one_comes(engine: Engine) -> None:
    def fail(now: float) -> None:
        if len(engine.core.expired) == 1:
            engine.core.next_deadline = now
            raise ValueError("a fault of ours")

    engine.core.on_expire = fail
    engine.core.next_deadline = monotonic()
    engine.driver.settle()
    await engine.core.wait(lambda: len(engine.core.expired) == 2)
    assert engine.core.reports == [("timer", "a fault of ours")]
    assert engine.core.next_deadline == NEVER


async def test_the_loops_own_lag_is_measured(engine: Engine) -> None:
    await engine.core.wait(lambda: engine.core.lags)
    blocked_until = monotonic() + 0.15
    while monotonic() < blocked_until:
        pass
    seen = len(engine.core.lags)
    await engine.core.wait(lambda: len(engine.core.lags) > seen)
    assert max(engine.core.lags[seen:]) > 0.04


async def test_what_is_closed_hears_nothing_more(engine: Engine, plain: socket.socket) -> None:
    engine.core.next_deadline = monotonic() + 0.01
    engine.driver.settle()
    engine.driver.close()
    plain.sendto(b"late", (HOST, engine.port))
    await asyncio.sleep(0.03)
    assert engine.core.received == []
    assert engine.core.expired == []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind((HOST, engine.port))


# --- sockets ---


def test_a_port_in_use_is_an_error() -> None:
    first = UdpSocket(HOST, 0, 1, RECEIVE_BUFFER, lambda host: "lab")
    with pytest.raises(OSError, match="in use"):
        UdpSocket(*first.address, 2, RECEIVE_BUFFER, lambda host: "lab")
    first.close()


def test_ipv6_sources_are_written_as_addresses() -> None:
    try:
        ours = UdpSocket("::1", 0, 4, RECEIVE_BUFFER, lambda host: "six" if host == "::1" else "unknown")
    except OSError:
        pytest.skip("there is no IPv6 here")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as far:
        far.bind(("::1", 0))
        port = far.getsockname()[1]
        far.sendto(b"hello", ours.address)
        [(data, flow)] = ours.read()
        assert (data, flow.host, flow.port, flow.local, flow.trunk) == (b"hello", "::1", port, 4, "six")
        assert ours.send(b"back", flow)
        assert far.recv(100) == b"back"
    # Its IPv4 part is not ours too: sources of IPv4 would come in a spelling that no list of peers knows.
    with pytest.raises(OSError, match="Invalid argument"):
        UdpSocket("::ffff:127.0.0.1", 0, 5, RECEIVE_BUFFER, lambda host: "six")
    ours.close()


def test_an_empty_and_a_largest_datagram_are_read_whole() -> None:
    ours = UdpSocket(HOST, 0, 1, RECEIVE_BUFFER, lambda host: "lab")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        for data in (b"", b"x" * 65_507):
            far.sendto(data, ours.address)
        assert [len(data) for data, _ in ours.read()] == [0, 65_507]
    assert ours.read() == []
    ours.close()


def test_far_ends_are_not_remembered_without_end() -> None:
    """Beyond a bound they are forgotten; the flow of who speaks again is another, to the same place."""
    ours = UdpSocket(HOST, 0, 1, RECEIVE_BUFFER, lambda host: "lab")
    seen: set[int] = set()
    for address in range(3):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
            far.bind((f"127.0.0.{10 + address}", 0))
            far.sendto(b"x", ours.address)
            far.sendto(b"x", ours.address)
            flows = [flow for _, flow in ours.read()]
            assert flows[0] is flows[1]
            assert flows[0].host == f"127.0.0.{10 + address}"
            seen.add(id(flows[0]))
    assert len(seen) == 3
    ours.close()


async def test_what_the_records_let_go_is_sent_in_the_same_wake_up(
    engine: Engine, plain: socket.socket
) -> None:
    """A 200 that waited for the disk, say, when nothing else is to be sent."""
    flow = Flow("udp", HOST, plain.getsockname()[1], 1, "lab")
    held = [RESPONSE]

    def let_go() -> None:
        if held:
            engine.core.outbox.append((flow, held.pop()))

    engine.core.on_keep = let_go
    engine.driver.settle()
    assert engine.core.outbox == []
    assert plain.recv(1000) == RESPONSE
