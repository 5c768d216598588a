"""The HTTP door of the control process: /metrics for Prometheus, /livez and /readyz for who watches over it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn

from engine.observe.metrics import CONTENT_TYPE

_MOST_AT_ONCE = 64  # connections; more get 503
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

    def __init__(self, application: HealthAndMetrics) -> None:
        super().__init__(
            uvicorn.Config(
                application,
                lifespan="off",
                log_config=None,
                access_log=False,
                log_level="warning",
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
