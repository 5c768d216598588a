"""The control socket: who may open it, what it answers, and whom it lets go."""

import asyncio
import json
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from engine.app import unix_door
from engine.app.control_socket import LONGEST_REQUEST, ControlSocket, RefusedWith
from engine.app.link import LinkLost, Refused


async def answer(op: str, arguments: dict[str, Any]) -> object:
    if op == "refuse":
        raise Refused("not today")
    if op == "refuse with":
        raise RefusedWith({"error": "bad rows", "problems": [1, 2]})
    if op == "lost":
        raise LinkLost("gone")
    if op == "fail":
        raise ZeroDivisionError
    if op == "big":
        return "x" * 10_000_000
    return {"op": op, **arguments}


@asynccontextmanager
async def opened(path: Path, send_seconds: float = 10) -> AsyncIterator[None]:
    doors = ControlSocket(answer, send_seconds)
    with unix_door.bind(path) as door:
        await doors.open(door)
        yield
        await doors.close()


@asynccontextmanager
async def client(path: Path) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_unix_connection(sock=unix_door.connect(path, 5))
    try:
        yield reader, writer
    finally:
        writer.close()
        await asyncio.gather(writer.wait_closed(), return_exceptions=True)


async def asked(path: Path, *lines: bytes) -> list[Any]:
    async with client(path) as (reader, writer):
        writer.write(b"".join(line + b"\n" for line in lines))
        return [json.loads(await asyncio.wait_for(reader.readline(), 5)) for _ in lines]


async def test_questions_are_answered_in_order(tmp_path: Path) -> None:
    async with opened(tmp_path / "control.sock"):
        answers = await asked(
            tmp_path / "control.sock",
            b'{"op":"x","n":1}',
            b'{"op":"refuse"}',
            b'{"op":"refuse with"}',
            b'{"op":"lost"}',
            b'{"op":"fail"}',
            b"nonsense",
            b'{"n":1}',
            b"[1]",
            b'{"op":' + b"[" * 50_000,
            b'{"op":"x","n":2}',
        )
    assert answers == [
        {"ok": True, "result": {"op": "x", "n": 1}},
        {"ok": False, "error": "not today"},
        {"ok": False, "error": "bad rows", "problems": [1, 2]},
        {"ok": False, "error": "gone"},
        {"ok": False, "error": "internal error, see the log"},
        {"ok": False, "error": "a request is one JSON object a line"},
        {"ok": False, "error": 'a request needs an "op"'},
        {"ok": False, "error": "a request is one JSON object a line"},
        {"ok": False, "error": "a request is one JSON object a line"},
        {"ok": True, "result": {"op": "x", "n": 2}},
    ]


async def test_only_its_owner_may_open_it(tmp_path: Path) -> None:
    async with opened(tmp_path / "control.sock"):
        assert (tmp_path / "control.sock").stat().st_mode & 0o777 == 0o600


async def test_a_directory_too_deep_for_a_socket_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    async with opened(deep / "control.sock"):
        assert (await asked(deep / "control.sock", b'{"op":"x"}'))[0]["ok"]


async def test_what_a_dead_engine_left_is_replaced(tmp_path: Path) -> None:
    unix_door.bind(tmp_path / "control.sock").close()
    with pytest.raises(ConnectionRefusedError):
        unix_door.connect(tmp_path / "control.sock", 5)
    async with opened(tmp_path / "control.sock"):
        assert (await asked(tmp_path / "control.sock", b'{"op":"x"}'))[0]["ok"]


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        unix_door.connect(tmp_path / "control.sock", 5)


async def test_a_request_without_end_is_refused(tmp_path: Path) -> None:
    async with opened(tmp_path / "control.sock"), client(tmp_path / "control.sock") as (reader, writer):
        writer.write(b"x" * (LONGEST_REQUEST + 1))
        refusal = json.loads(await asyncio.wait_for(reader.readline(), 5))
        assert refusal == {"ok": False, "error": "a request has at most 65536 bytes"}
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await asyncio.wait_for(reader.readexactly(1), 5)


async def test_a_client_that_does_not_read_is_let_go_and_the_others_are_served(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with opened(path, send_seconds=0.05):
        with unix_door.connect(path, 5) as slow:
            slow.sendall(b'{"op":"big"}\n')
            assert (await asked(path, b'{"op":"x"}'))[0]["ok"]
            hung_up = select.poll()
            hung_up.register(slow, 0)  # nothing but the other side's hanging up
            assert await asyncio.to_thread(hung_up.poll, 5000)


async def test_too_many_clients(tmp_path: Path) -> None:
    path = tmp_path / "control.sock"
    async with opened(path):
        others: list[socket.socket] = []
        try:
            for _ in range(32):
                others.append(unix_door.connect(path, 5))
                assert await _asks(others[-1])
            with unix_door.connect(path, 5) as one_too_many:
                assert not await _asks(one_too_many)
            others.pop().close()
            async with asyncio.timeout(5):
                while True:  # until the engine has seen that one left
                    with unix_door.connect(path, 5) as late:
                        if await _asks(late):
                            break
        finally:
            for other in others:
                other.close()


async def _asks(door: socket.socket) -> bool:
    """Whether this client is answered."""
    door.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(door, b'{"op":"x"}\n')
        return bool(await loop.sock_recv(door, 1000))
    except ConnectionError:
        return False
