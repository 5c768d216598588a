"""Seeing calls: capture for a collector and the trace of chosen numbers, put together and attached to the signalling.

Both look at every message, so they stand in the driver's and the board's way only while somebody wants them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from base64 import b64encode
from typing import Any

import msgspec

from engine.app.link import Refused
from engine.calls.board import Board
from engine.numbering.numbers import parse_dialled, parse_real
from engine.observe import logs
from engine.observe.capture import Capture, OwnEnds
from engine.observe.hep import Address, Agent
from engine.observe.ladder import told
from engine.observe.masking import masked
from engine.observe.trace import Bounds, NoRoom, Trace
from engine.observe.watch import Faults, Watch
from engine.sealing.cipher import Sealer
from engine.settings import Settings
from engine.transport.driver import Driver

_SWEEP_S = 1.0
_LAST_WORDS_S = 1.0  # how long a stopping engine goes on sending to the collector

_log = logs.get_logger("watching")


def sealed_context(name: str) -> bytes:
    """What a call shown in clear is sealed for, between engine and command; `name` as it was asked for."""
    return b"trace " + name.encode("utf-8", "surrogateescape")


class Watching:
    """Of the signalling process. `captured` takes the capture's counters."""

    def __init__(
        self,
        settings: Settings,
        driver: Driver,
        board: Board,
        sealer: Sealer,
        faults: Faults,
        captured: dict[str, int],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._driver = driver
        self._board = board
        self._sealer = sealer
        self._loop = loop
        self._longest_s = settings.trace.longest_s
        self._mask_key = os.urandom(32)
        bounds = settings.trace
        self._trace = Trace(
            Bounds(
                bounds.numbers,
                bounds.calls,
                bounds.messages_per_call,
                bounds.megabytes * 1_048_576,
                bounds.keep_s,
            ),
            _microseconds,
        )
        self._capture = _capture(settings, captured)
        self._watch = Watch(self._capture, self._trace, _microseconds, faults)
        self._sending: asyncio.Task[None] | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begins to capture, if that is configured."""
        if self._capture is not None:
            self._attach()
            self._sending = self._loop.create_task(self._capture.run(), name="capture")

    async def close(self) -> None:
        """What has been captured still leaves, if the collector takes it soon."""
        self._detach()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._sending is not None and self._capture is not None:
            until = self._loop.time() + _LAST_WORDS_S
            while self._capture.waiting and self._loop.time() < until:
                await asyncio.sleep(0.01)
            self._sending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._sending

    # --- the link ---

    def serve(self, op: str, arguments: dict[str, Any]) -> object:
        """`trace.add` {"number", "seconds"} and `trace.remove` {"number"} → {"number"}; `trace.list` → {"numbers":
        [{"number", "seconds_left"}], "calls": […], "octets"}; `trace.show` {"call", "clear"} → the call, or
        {"sealed"} of it. Real numbers are masked in every answer. Raises Refused."""
        if op == "trace.add":
            return self._add(str(arguments.get("number") or ""), arguments.get("seconds"))
        if op == "trace.remove":
            number = _number(str(arguments.get("number") or ""))
            if not self._trace.drop(number):
                raise Refused(f"{masked(number)} is not traced")
            return {"number": masked(number)}
        if op == "trace.list":
            return self._list()
        if op == "trace.show":
            return self._show(str(arguments.get("call") or ""), bool(arguments.get("clear")))
        raise Refused(f'unknown op "{op}"')

    def _add(self, text: str, seconds: object) -> object:
        number = _number(text)
        if seconds is None:
            seconds = min(600, self._longest_s)
        if not isinstance(seconds, int) or not 1 <= seconds <= self._longest_s:
            raise Refused(f"a number is traced for 1 to {self._longest_s} s (trace.longest_s)")
        try:
            self._trace.choose(number, seconds)
        except NoRoom as error:
            raise Refused(str(error)) from None
        self._attach()
        if self._sweeper is None:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)
        return {"number": masked(number), "seconds": seconds}

    def _list(self) -> object:
        return {
            "numbers": [
                {"number": masked(number), "seconds_left": round(left)}
                for number, left in self._trace.chosen()
            ],
            "calls": [
                {
                    "record_id": call.record.record_id,
                    "caller": masked(call.record.caller or ""),
                    "dialled": masked(call.record.dialled or ""),
                    "callee": masked(call.record.callee or ""),
                    "disposition": call.record.disposition,
                    "messages": len(call.messages),
                }
                for call in self._trace.calls()
            ],
            "octets": self._trace.octets,
        }

    def _show(self, name: str, clear: bool) -> object:
        call = self._trace.call(name)
        if call is None:
            raise Refused(
                "no messages are kept of that call: choose its number with `trace add` before it begins"
            )
        if not clear:
            return told(call, self._mask_key)
        # Who may see it in clear is who holds the key: it leaves this process sealed, like everything that holds
        # real numbers.
        _log.warning("a call was shown in clear to an operator", record_id=call.record.record_id)
        plain = msgspec.json.encode(told(call, None))
        return {"sealed": b64encode(self._sealer.seal(plain, sealed_context(name))).decode()}

    # --- within ---

    def _attach(self) -> None:
        self._driver.tap = self._watch
        self._board.watcher = self._watch

    def _detach(self) -> None:
        self._driver.tap = None
        self._board.watcher = None

    def _sweep(self) -> None:
        self._trace.sweep()
        if self._trace.idle and self._capture is None:
            self._detach()
        if self._trace.idle and not any(self._trace.calls()):
            self._sweeper = None
        else:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)


def _capture(settings: Settings, captured: dict[str, int]) -> Capture | None:
    """None while it is off. Raises OSError when its password cannot be read."""
    part = settings.capture
    collector = part.collector()
    if collector is None:
        return None
    if not part.mask_numbers:
        _log.warning("real numbers go to the collector in clear (capture.mask_numbers)", collector=part.hep)
    addresses = settings.sip.listen_addresses()
    return Capture(
        collector,
        OwnEnds(
            *(
                [_own(one.host, one.port, settings) for one in addresses if one.transport == transport]
                for transport in ("udp", "tcp")
            )
        ),
        Agent(part.capture_id, part.node or settings.node, part.password(os.environ)),
        _microseconds,
        mask=part.mask_numbers,
        sample=part.sample,
        most_queued=part.queue,
        most_calls=2 * settings.sip.max_calls,
        linger_s=2 * 64 * settings.sip.t1_ms / 1000,
        cpu_percent=part.cpu_percent,
        counted=captured,
    )


def _own(host: str, port: int, settings: Settings) -> Address:
    """The address itself; where the engine listens on all, the one that it tells others."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - compared with, not bound
        with contextlib.suppress(OSError):
            return Address.of(settings.sip.advertise.strip("[]"), port)
    return Address.of(host, port)


def _number(text: str) -> str:
    """As it stands in records. Raises Refused, which does not repeat it."""
    real = parse_real(text)
    if real is not None:
        return real.e164
    dialled = parse_dialled(text)
    if dialled.number is None:
        raise Refused("that is neither a 700 number nor a real number")
    return dialled.number.digits


def _microseconds() -> int:
    return time.time_ns() // 1000
