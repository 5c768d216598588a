"""`data_dir/control.sock`: how the commands reach the running engine. One JSON object a line, both ways.

Asked {"op": "bindings.reload", …arguments}; answered {"ok": true, "result": …} or {"ok": false, "error": "…", …}.
The file (`engine.app.unix_door`) has mode 0600: who may open it may do what the engine's own user may.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from engine.app.link import LinkLost, Refused
from engine.observe.logs import get_logger

LONGEST_REQUEST = 64 * 1024  # bytes
MOST_CLIENTS = 32
_IDLE_SECONDS = 300.0  # between two requests
_SEND_SECONDS = 10.0

_log = get_logger("app")

Answer = Callable[[str, dict[str, Any]], Awaitable[object]]  # (op, arguments) → result; raises Refused


class RefusedWith(Refused):
    """Refused, with more to say than a text."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(str(values.get("error", "refused")))
        self.values = values


class ControlSocket:
    """Serves the socket; each client one request at a time."""

    def __init__(self, answer: Answer, send_seconds: float = _SEND_SECONDS) -> None:
        """A client that takes longer than `send_seconds` to read an answer is let go."""
        self._answer = answer
        self._send_seconds = send_seconds
        self._clients: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def open(self, door: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._serve, sock=door, limit=LONGEST_REQUEST)

    async def close(self) -> None:
        """Stop listening and let every client go."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._clients):
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= MOST_CLIENTS:
            _log.warning("control socket: too many clients")
            writer.transport.abort()
            return
        self._clients.add(writer)
        try:
            while await self._serve_one(reader, writer):
                pass
        except (OSError, TimeoutError):
            writer.transport.abort()
        finally:
            self._clients.discard(writer)
            writer.close()
            try:
                async with asyncio.timeout(self._send_seconds):
                    await writer.wait_closed()
            except (OSError, TimeoutError):
                writer.transport.abort()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; False when there will be no other."""
        try:
            async with asyncio.timeout(_IDLE_SECONDS):
                line = await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError:
            return False
        except asyncio.LimitOverrunError:
            await self._send(writer, {"ok": False, "error": f"a request has at most {LONGEST_REQUEST} bytes"})
            return False
        await self._send(writer, await self._answered(line))
        return True

    async def _send(self, writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
        writer.write(msgspec.json.encode(answer) + b"\n")
        async with asyncio.timeout(self._send_seconds):
            await writer.drain()

    async def _answered(self, line: bytes) -> dict[str, Any]:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return {"ok": False, "error": "a request is one JSON object a line"}
        op = request.pop("op", None)
        if not isinstance(op, str):
            return {"ok": False, "error": 'a request needs an "op"'}
        try:
            return {"ok": True, "result": await self._answer(op, request)}
        except RefusedWith as refused:
            return {"ok": False, **refused.values}
        except (Refused, LinkLost) as refused:
            return {"ok": False, "error": str(refused)}
        except Exception:
            _log.exception("control socket: our fault", op=op)
            return {"ok": False, "error": "internal error, see the log"}
