"""The HTTP door, asked over a socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.app.http import HealthAndMetrics, HttpServer, bind


class Engine:
    def __init__(self, why_not: str = "") -> None:
        self.why_not = why_not

    async def readiness(self) -> str:
        return self.why_not

    async def page(self) -> bytes:
        return b"mask700_calls_active 0\n"


@asynccontextmanager
async def serving(engine: Engine, look_s: float = 5.0) -> AsyncIterator[int]:
    server = HttpServer(HealthAndMetrics(engine.readiness, engine.page), look_s)
    with bind("127.0.0.1", 0) as door:
        port: int = door.getsockname()[1]
        task = asyncio.create_task(server.serve(sockets=[door]))
        try:
            yield port
        finally:
            server.should_exit = True
            await task


async def ask(port: int, request: str) -> tuple[str, str, str]:
    """Status line, headers, body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = (await asyncio.wait_for(reader.read(), 5)).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    status, _, headers = head.partition("\r\n")
    return status, headers, body


async def test_every_path() -> None:
    async with serving(Engine()) as port:
        status, headers, body = await ask(port, "GET /metrics")
        assert (status, body) == ("HTTP/1.1 200 OK", "mask700_calls_active 0\n")
        assert "content-type: text/plain; version=0.0.4" in headers
        assert (await ask(port, "GET /livez"))[::2] == ("HTTP/1.1 200 OK", "ok\n")
        assert (await ask(port, "GET /readyz?verbose"))[::2] == ("HTTP/1.1 200 OK", "ok\n")
        assert (await ask(port, "HEAD /readyz"))[::2] == ("HTTP/1.1 200 OK", "")
        assert (await ask(port, "GET /"))[0] == "HTTP/1.1 404 Not Found"
        status, headers, _ = await ask(port, "POST /metrics")
        assert status == "HTTP/1.1 405 Method Not Allowed"
        assert "allow: GET, HEAD" in headers


async def test_readiness_says_why_not() -> None:
    engine = Engine("draining")
    async with serving(engine) as port:
        assert (await ask(port, "GET /readyz"))[::2] == ("HTTP/1.1 503 Service Unavailable", "draining\n")
        assert (await ask(port, "GET /livez"))[0] == "HTTP/1.1 200 OK"
        engine.why_not = ""
        assert (await ask(port, "GET /readyz"))[0] == "HTTP/1.1 200 OK"


async def test_what_is_no_http_is_refused() -> None:
    async with serving(Engine()) as port:
        assert (await ask(port, "\x00\x01 nonsense"))[0] == "HTTP/1.1 400 Bad Request"
        assert (await ask(port, "GET /livez"))[0] == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "said", [b"", b"GET /livez HTTP/1.1\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /"]
)
async def test_connections_cannot_be_held_for_nothing(said: bytes) -> None:
    """Not even all of them: who watches over the engine gets in again."""
    async with serving(Engine(), look_s=0.05) as port:
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
        for _, writer in held:
            writer.write(said)
        for reader, writer in held:
            with contextlib.suppress(ConnectionResetError):
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
        assert (await ask(port, "GET /livez"))[0] == "HTTP/1.1 200 OK"


async def test_who_waits_for_an_answer_is_not_let_go() -> None:
    engine = Engine()
    asked, answer = asyncio.Event(), asyncio.Event()

    async def slowly() -> str:
        asked.set()
        await answer.wait()
        return ""

    engine.readiness = slowly  # type: ignore[method-assign]
    async with serving(engine, look_s=0.01) as port:
        waiting = asyncio.create_task(ask(port, "GET /readyz"))
        await asked.wait()
        await asyncio.wait([waiting], timeout=0.1)  # ten looks
        answer.set()
        assert (await waiting)[0] == "HTTP/1.1 200 OK"


async def test_an_address_that_is_taken() -> None:
    with bind("127.0.0.1", 0) as door, pytest.raises(OSError, match="in use"):
        bind("127.0.0.1", door.getsockname()[1])
