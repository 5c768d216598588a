"""Seeing calls: capture for a collector and the trace of chosen numbers, put together and attached to the signalling.

Both look at every message, so they stand in the driver's and the board's way only while somebody wants them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import time
from base64 import b64encode
from typing import Any

import msgspec

from engine.app.capture_process import CaptureProcess
from engine.app.link import Refused
from engine.calls.board import Board
from engine.numbering.numbers import parse_dialled, parse_real
from engine.observe import logs
from engine.observe.capture import Capture
from engine.observe.capture_sender import Orders
from engine.observe.ladder import told
from engine.observe.masking import masked
from engine.observe.trace import Bounds, NoRoom, Trace
from engine.observe.watch import Faults, Watch
from engine.sealing.cipher import Sealer
from engine.settings import Settings
from engine.sip.settings import ListenAddress
from engine.transport.driver import Driver

_SWEEP_S = 1.0

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
        self._sending: CaptureProcess | None = None
        if self._capture is not None:
            buffer = settings.capture.buffer_megabytes * 1_048_576
            self._sending = CaptureProcess(self._capture, _orders(settings), buffer)
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Begins to capture, if that is configured."""
        if self._sending is not None:
            self._attach()
            await self._sending.start()

    async def close(self) -> None:
        """What has been captured still leaves, if the collector takes it soon."""
        self._detach()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._sending is not None:
            await self._sending.close()

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
    """None while it is off."""
    part = settings.capture
    if part.collector() is None:
        return None
    if not part.mask_numbers:
        _log.warning("real numbers go to the collector in clear (capture.mask_numbers)", collector=part.hep)
    return Capture(
        sum(one.transport == "udp" for one in settings.sip.listen_addresses()),
        _microseconds,
        sample=part.sample,
        most_calls=2 * settings.sip.max_calls,
        linger_s=2 * 64 * settings.sip.t1_ms / 1000,
        counted=captured,
    )


def _orders(settings: Settings) -> Orders:
    """Raises OSError when the password cannot be read."""
    part = settings.capture
    collector = part.collector()
    assert collector is not None, "it is on"
    addresses = settings.sip.listen_addresses()
    ends = {
        transport: [_own(one, settings) for one in addresses if one.transport == transport]
        for transport in ("udp", "tcp")
    }
    own = (ends["udp"] or ends["tcp"]) + (ends["tcp"] or ends["udp"])[:1]
    password = part.password(os.environ)
    return Orders(collector, own, part.capture_id, part.node or settings.node, password, part.mask_numbers)


def _own(address: ListenAddress, settings: Settings) -> tuple[str, int]:
    """The address itself; where the engine listens on all, the one that it tells others, if that is one."""
    told = settings.sip.advertise.strip("[]")
    if ipaddress.ip_address(address.host).is_unspecified:
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(told)), address.port
    return address.host, address.port


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
