"""The link: questions, answers and events between two processes, here between two ends in one."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.app.link import LONGEST_LINE, Link, LinkLost, Refused


@asynccontextmanager
async def pair(
    serve: Callable[[str, dict[str, Any]], object],
    told: Callable[[str, dict[str, Any]], None] | None = None,
    closed: Callable[[], None] | None = None,
) -> AsyncIterator[tuple[Link, Link]]:
    """The end that asks and hears events, and the end that serves."""
    ours, theirs = socket.socketpair()
    asking = await Link.open(ours, told=told, closed=closed)
    serving = await Link.open(theirs, serve=serve)
    try:
        yield asking, serving
    finally:
        asking.close()
        serving.close()
        await asyncio.sleep(0)  # the loop closes transports in its next turn


def echo(op: str, arguments: dict[str, Any]) -> object:
    if op == "refuse":
        raise Refused("not today")
    if op == "fail":
        raise ZeroDivisionError
    return {"op": op, **arguments}


async def test_each_question_gets_its_own_answer() -> None:
    async with pair(echo) as (link, _):
        answers = await asyncio.gather(*(link.ask("x", 5, number=number) for number in range(100)))
    assert answers == [{"op": "x", "number": number} for number in range(100)]


async def test_a_refusal_carries_its_text() -> None:
    async with pair(echo) as (link, _):
        with pytest.raises(Refused, match="not today"):
            await link.ask("refuse", 5)


async def test_a_fault_of_the_server_is_a_refusal_and_not_the_end() -> None:
    async with pair(echo) as (link, _):
        with pytest.raises(Refused, match="internal error"):
            await link.ask("fail", 5)
        assert await link.ask("x", 5) == {"op": "x"}


async def test_who_serves_nothing_says_so() -> None:
    async with pair(echo) as (_, serving):
        with pytest.raises(Refused, match='unknown op "x"'):
            await serving.ask("x", 5)


async def test_events_arrive_in_order() -> None:
    heard: list[tuple[str, dict[str, Any]]] = []
    third = asyncio.Event()

    def told(event: str, fields: dict[str, Any]) -> None:
        heard.append((event, fields))
        if len(heard) == 3:
            third.set()

    async with pair(echo, told) as (_, serving):
        for number in range(3):
            serving.tell("ready", number=number)
        await asyncio.wait_for(third.wait(), 5)
    assert heard == [("ready", {"number": number}) for number in range(3)]


async def test_no_answer_in_time() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        link = await Link.open(ours)
        with pytest.raises(LinkLost, match=r"no answer to stats in 0\.01 s"):
            await link.ask("stats", 0.01)
        link.close()
        await asyncio.sleep(0)


async def test_an_answer_that_comes_too_late_disturbs_nobody() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        link = await Link.open(ours)
        with pytest.raises(LinkLost):
            await link.ask("slow", 0.01)
        theirs.sendall(b'{"id":1,"ok":true,"result":"late"}\n{"id":2,"ok":true,"result":"right"}\n')
        assert await link.ask("next", 5) == "right"
        link.close()
        await asyncio.sleep(0)


async def test_the_end_of_the_other_process_ends_what_waits() -> None:
    gone = asyncio.Event()
    ours, theirs = socket.socketpair()
    link = await Link.open(ours, closed=gone.set)
    waiting = asyncio.ensure_future(link.ask("stats", 60))
    await asyncio.get_running_loop().sock_recv(_nonblocking(theirs), 1000)  # the question has left
    theirs.close()
    with pytest.raises(LinkLost, match="gone"):
        await waiting
    await asyncio.wait_for(gone.wait(), 5)
    with pytest.raises(LinkLost, match="closed"):
        await link.ask("stats", 60)
    link.tell("nobody hears", this=1)


async def test_lines_that_are_no_messages_are_passed_over() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        link = await Link.open(ours, serve=echo)
        theirs.sendall(
            b'nonsense\n[]\n\xff\n{}\n{"id":9,"ok":true}\n{"id":"x","ok":true}\n{"id":1,"op":"x"}\n'
        )
        answer = await asyncio.get_running_loop().sock_recv(_nonblocking(theirs), 1000)
        assert json.loads(answer) == {"id": 1, "ok": True, "result": {"op": "x"}}
        link.close()
        await asyncio.sleep(0)


async def test_a_line_without_end_closes_the_link() -> None:
    gone = asyncio.Event()
    ours, theirs = socket.socketpair()
    with theirs:
        await Link.open(ours, closed=gone.set)
        loop = asyncio.get_running_loop()
        theirs.setblocking(False)
        sending = asyncio.ensure_future(loop.sock_sendall(theirs, b"x" * (LONGEST_LINE + 100_000)))
        await asyncio.wait_for(gone.wait(), 10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_events_that_nobody_reads_are_dropped() -> None:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    link = await Link.open(ours)
    for _ in range(10_000):
        link.tell("noise", text="x" * 1000)
    link.close()
    received = 0
    loop = asyncio.get_running_loop()
    while chunk := await loop.sock_recv(theirs, 1 << 20):
        received += len(chunk)
    theirs.close()
    assert 500_000 < received < 5_000_000


@given(st.data())
def test_lines_may_be_cut_anywhere(data: st.DataObject) -> None:
    heard: list[int] = []
    link = Link(echo, lambda _, fields: heard.append(fields["n"]), lambda: None)
    stream = b"".join(json.dumps({"event": "e", "n": n, "text": "é" * n}).encode() + b"\n" for n in range(6))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        link.data_received(stream[start:end])
    assert heard == list(range(6))


def _nonblocking(end: socket.socket) -> socket.socket:
    end.setblocking(False)
    return end
