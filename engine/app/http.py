"""The HTTP door of the control process: /metrics for Prometheus, /livez and /readyz for who watches over it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from engine.observe.metrics import CONTENT_TYPE

_MOST_AT_ONCE = 64  # connections; more get 503
_LOOK_S = 5.0  # who has not asked anything whole at two such looks on end is let go
_PLAIN = "text/plain; charset=utf-8"

Readiness = Callable[[], Awaitable[str]]  # "" when calls are taken, else why not
Page = Callable[[], Awaitable[bytes]]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HealthAndMetrics:
    """The ASGI application."""

    def __init__(self, readiness: Readiness, metrics_page: Page) -> None:
        self._readiness = readiness
        self._metrics_page = metrics_page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = await self._answer(scope["method"], scope["path"])
        headers = [
            (b"content-type", kind.encode()),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> tuple[int, str, bytes]:
        if path not in ("/metrics", "/livez", "/readyz"):
            return 404, _PLAIN, b"not found\n"
        if method not in ("GET", "HEAD"):
            return 405, _PLAIN, b"GET only\n"
        if path == "/metrics":
            return 200, CONTENT_TYPE, await self._metrics_page()
        if path == "/livez":
            return 200, _PLAIN, b"ok\n"
        why_not = await self._readiness()
        return (503, _PLAIN, f"{why_not}\n".encode()) if why_not else (200, _PLAIN, b"ok\n")


class HttpServer(uvicorn.Server):
    """uvicorn on a socket that is bound already; signals belong to the control process."""

    def __init__(self, application: HealthAndMetrics, look_s: float = _LOOK_S) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                http=type("HttpConnection", (HttpConnection,), {"look_s": look_s}),
                lifespan="off",
                log_config=None,
                access_log=False,
                log_level="error",  # less would let whoever is out there write into our log
                server_header=False,
                limit_concurrency=_MOST_AT_ONCE,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=2,
                ws="none",
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpConnection(H11Protocol):
    """One that cannot be held for nothing: those who hold all would keep away who watches over the engine. What is
    quiet between two requests uvicorn closes by itself."""

    look_s = _LOOK_S
    _quiet = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._next_look = self.loop.call_later(self.look_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._next_look.cancel()
        super().connection_lost(exc)

    def _look(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        quiet = not answering and self.timeout_keep_alive_task is None
        if quiet and self._quiet:
            self.transport.abort()
            return
        self._quiet = quiet
        self._next_look = self.loop.call_later(self.look_s, self._look)


def bind(host: str, port: int) -> socket.socket:
    """Listen for HTTP; raises OSError."""
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen(128)
    except OSError:
        door.close()
        raise
    return door
