"""The link between control and signalling process: one JSON object a line, both ways, over a socket pair.

Asked: {"id": 7, "op": "stats", …arguments} → {"id": 7, "ok": true, "result": …} or {"id": 7, "ok": false,
"error": "…"}. Unasked: {"event": "ready", …}. What signalling is asked, and what it answers:

* `metrics` → `engine.observe.tally.Snapshot`
* `stats` → {"calls_active", "transactions_active", "draining", "journal_error" (null while records are kept), …}
* `calls.list` {"limit", "after"} → {"calls": [{…}, …], "next": number or null}, in order of start; `after` is null or
  the last `next`: each call that is up all the time comes once, whatever begins or ends between two pages
* `trace.…`: see `engine.app.watching`
* `calls.show` {"call"}: one call, by record id or Call-ID, numbers masked, with `sealed`, its record for who holds the
  keys · `calls.end` {"call"}; both are refused when there is none
* `trunks.list` → [{"name", …}, …] · `trunks.set` {"name", "enabled"} → the trunk as it is then
* `settings.apply` {"settings"}: `engine.app.live_settings.LiveSettings`, taken over at once
* `bindings.switch` {"generation": file name} → anything; refused when the table cannot be opened
* `keys.take`: reads the keys again, as `settings.apply` and `bindings.switch` do → the id of the one that seals
* `log-level` {"level"} · `drain` · `stop` → anything; after `stop` the process ends by itself

It tells `ready` {"addresses": ["udp://127.0.0.1:5060", …]} once all sockets are open and the table is; or `failed`
{"why"} before it ends, when that could not be.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

import msgspec

from engine.observe.logs import get_logger

Serve = Callable[[str, dict[str, Any]], object]  # (op, arguments) → result; raises Refused
Told = Callable[[str, dict[str, Any]], None]  # (event, fields)

LONGEST_LINE = 8 * 1024 * 1024  # bytes; answers that can grow come in pages
_MOST_UNSENT = 1024 * 1024  # bytes of events that the other side has not read; more are dropped

_log = get_logger("app")
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Refused(Exception):
    """The other side will not do it; the text says why."""


class LinkLost(Exception):
    """The other process is gone, or did not answer in time."""


class Link(asyncio.Protocol):
    """One end. `serve` answers what the other end asks, at once and in its wake-up; `told` hears its events;
    `closed` is called once when it is gone."""

    def __init__(self, serve: Serve, told: Told, closed: Callable[[], None]) -> None:
        self._serve = serve
        self._told = told
        self._closed = closed
        self._transport: asyncio.WriteTransport | None = None
        self._received = bytearray()
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0

    @staticmethod
    async def open(
        end: socket.socket,
        serve: Serve | None = None,
        told: Told | None = None,
        closed: Callable[[], None] | None = None,
    ) -> Link:
        """Take over one end of a socket pair."""
        link = Link(serve or _serve_nothing, told or _ignore, closed or _do_nothing)
        end.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: link, sock=end)
        return link

    async def ask(self, op: str, within: float, **arguments: Any) -> Any:
        """The answer of the other end, in `within` seconds. Raise Refused or LinkLost."""
        if self._transport is None:
            raise LinkLost("the link is closed")
        self._last_id += 1
        number = self._last_id
        answered: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        self._send({"id": number, "op": op, **arguments})
        try:
            async with asyncio.timeout(within):
                answer = await answered
        except TimeoutError:
            raise LinkLost(f"no answer to {op} in {within:g} s") from None
        finally:
            self._waiting.pop(number, None)
        if not answer.get("ok"):
            raise Refused(str(answer.get("error", "refused")))
        return answer.get("result")

    def tell(self, event: str, **fields: Any) -> None:
        """Send an event. Never waits: when the other end does not read, the event is dropped."""
        if self._transport is not None and self._transport.get_write_buffer_size() < _MOST_UNSENT:
            self._send({"event": event, **fields})

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no asyncio class, only of their shape
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if b"\n" in data:
            *lines, self._received = self._received.split(b"\n")
            for line in lines:
                self._take(line)
        if len(self._received) > LONGEST_LINE:
            _log.error("link closed: a line is too long", bytes=len(self._received))
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(LinkLost("the other process is gone"))
        self._waiting.clear()
        self._closed()

    def _take(self, line: bytes | bytearray) -> None:
        try:
            message = _decode(line)
        except msgspec.DecodeError as error:
            _log.error("link: a line is no JSON object", error=str(error))
            return
        if "op" in message:
            self._send(self._answer(message.pop("id", None), str(message.pop("op")), message))
        elif "event" in message:
            self._told(str(message.pop("event")), message)
        else:
            answered = self._waiting.get(message.get("id", 0))
            if answered is not None and not answered.done():
                answered.set_result(message)

    def _answer(self, number: object, op: str, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"id": number, "ok": True, "result": self._serve(op, arguments)}
        except Refused as refused:
            return {"id": number, "ok": False, "error": str(refused)}
        except Exception:
            _log.exception("link: our fault", op=op)
            return {"id": number, "ok": False, "error": "internal error, see the log"}

    def _send(self, message: dict[str, Any]) -> None:
        if self._transport is not None:
            self._transport.write(_encode(message) + b"\n")


def _serve_nothing(op: str, _: dict[str, Any]) -> object:
    raise Refused(f'unknown op "{op}"')


def _ignore(_: str, __: dict[str, Any]) -> None:
    return


def _do_nothing() -> None:
    return
