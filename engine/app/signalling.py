"""The signalling process: builds the pure rooms and the sockets, serves the control process over the link."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import resource
import socket
import sys
import time
from time import perf_counter
from typing import Any

import msgspec
import uvloop

from engine.app.child import ChildArguments, child_arguments, leave_signals_to_control
from engine.app.figures import Figures
from engine.app.held_keys import HeldKeys
from engine.app.journal_records import JournalRecords, interrupted_calls, open_journal
from engine.app.link import Link, Refused
from engine.app.live_settings import LiveSettings
from engine.app.operations import Operations
from engine.app.trunk_password import trunk_password
from engine.app.watching import Watching
from engine.authorization.gate import Gate, Policy
from engine.calls.abandoned import AbandonedCalls
from engine.calls.board import Board
from engine.calls.ports import BindingsUnavailable
from engine.calls.probes import Probes
from engine.calls.switchboard import Switchboard
from engine.numbering.binding import Found
from engine.numbering.numbers import MaskedNumber, RealNumber
from engine.observe import logs
from engine.observe.tally import Tally
from engine.records.sealed_record import RecordCodec
from engine.routing.trunks import TrunkTable
from engine.sealing.keys import KeysUnusable
from engine.settings import Settings, SettingsError, load_settings
from engine.sip.endpoint import Endpoint
from engine.sip.flow import Outbox
from engine.sip.timers import TimerValues
from engine.stores.callers import LastCallers
from engine.stores.table_lmdb import BindingTable
from engine.transport.driver import Driver
from engine.transport.streams import Streams

_BEAT_S = 1.0
_GC_THRESHOLDS = (50_000, 50, 1000)  # new objects, young collections, and old ones between two looks

_log = logs.get_logger("signalling")


class RandomTokens:
    """Unguessable identifiers out of the kernel's randomness, fetched in large pieces."""

    def __init__(self) -> None:
        self._stock: list[str] = []

    def token(self) -> str:
        """16 hexadecimal digits."""
        if not self._stock:
            piece = os.urandom(8 * 512).hex()
            self._stock = [piece[start : start + 16] for start in range(0, len(piece), 16)]
        return self._stock.pop()


class MeasuredTable:
    """The binding table, with each look-up timed."""

    def __init__(self, table: BindingTable, tally: Tally) -> None:
        self._look_up = table.look_up
        self._observe = tally.observe_lookup

    def look_up(self, number: MaskedNumber, caller: RealNumber) -> Found:
        begun = perf_counter()
        found = self._look_up(number, caller)
        self._observe(perf_counter() - begun)
        return found


class WallClock:
    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000


class LoggedFaults:
    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def report(self, where: str, error: Exception) -> None:
        self._tally.internal_error(where)
        _log.error("our own fault", where=where, exc_info=error)


class Signalling:
    """Everything of the signalling process, composed. `start` opens the sockets, `serve` answers the link."""

    def __init__(self, settings: Settings, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._stopping = asyncio.Event()
        self._keys = HeldKeys(settings)
        sealer, lookup_tokens = self._keys.sealer, self._keys.tokens
        self._tally = Tally()
        codec, identifiers = RecordCodec(sealer, lookup_tokens), RandomTokens()
        self._codec = codec
        self._journal, self._recovered = open_journal(settings, codec, self._keys.ring, identifiers.token())
        self._abandoned: AbandonedCalls | None = None
        self._beating: asyncio.TimerHandle | None = None
        self._callers = LastCallers.open(
            settings.data_dir, sealer, settings.bindings.callback_window_s, _callers_begun_anew
        )
        self._callers_failed = ""
        self._journal_failed = False
        self._table = BindingTable.open(settings.data_dir, sealer, lookup_tokens, self._last_caller)
        faults = LoggedFaults(self._tally)
        self._loop = loop
        sent_by = _sent_by(settings)
        self._records = JournalRecords(self._journal, codec, self._tally, settings.records.durable == "fsync")
        self._board = Board(
            settings.calls, settings.node, _in_uri(settings.sip.advertise), sent_by, identifiers, WallClock(),
            self._records, self._callers, self._tally, faults,
        )  # fmt: skip
        live, no_trunks = LiveSettings.of(settings), TrunkTable(())
        table = MeasuredTable(self._table, self._tally)
        self._switchboard = Switchboard(
            self._board, table, Gate(Policy(), no_trunks), no_trunks, live.limits()
        )
        outbox: Outbox = []
        sip = settings.sip
        timers = TimerValues(sip.t1_ms / 1000, sip.t2_ms / 1000, sip.t4_ms / 1000)
        self._endpoint = Endpoint(self._switchboard, timers, identifiers, self._tally, outbox, sent_by)
        self._endpoint.datagrams = any(address.transport == "udp" for address in sip.listen_addresses())
        self._board.endpoint = self._endpoint
        self._driver = Driver(
            self._endpoint, self._keep, self._trunk_of, faults.report, self._tally, loop, sip.batch_ms / 1000
        )
        self._driver.streams = self._streams = Streams(
            self._driver, self._trunk_of, self._tally.malformed, sip.tcp_max_connections, sip.tcp_idle_s,
            sip.tcp_message_timeout_s, loop, ping_s=sip.tcp_ping_s,
        )  # fmt: skip
        self._watching = Watching(
            settings, self._driver, self._board, sealer, faults, self._tally.captured, loop
        )
        self._operations = Operations(self._switchboard, codec.encode, time.monotonic, self._driver.settle)
        self._probes = Probes(self._board, self._operations.hop_changed)
        self._figures = Figures(self._tally, self._switchboard, self._journal, self._table, self._driver)
        self._apply(live)

    async def start(self) -> list[str]:
        """Opens the sockets; returns their addresses. Raises OSError, which names the one that cannot be had."""
        for address in self._settings.sip.listen_addresses():
            try:
                if address.transport == "udp":
                    self._driver.listen_udp(
                        address.host, address.port, self._settings.sip.receive_buffer_bytes
                    )
                else:
                    await self._streams.listen(address.host, address.port)
            except OSError as error:
                raise OSError(f"{address}: {_said(error)}") from None
        self._abandoned = AbandonedCalls(
            self._endpoint, self._records, self._tally, interrupted_calls(self._recovered, self._codec),
            self._settings.calls.farewells_per_s, time.monotonic(),
        )  # fmt: skip
        self._journal.told = lambda: self._loop.call_soon_threadsafe(self._driver.settle)
        self._beat()
        self._driver.start()
        await self._watching.start()
        return [str(address) for address in self._settings.sip.listen_addresses()]

    async def run_until_stopped(self) -> None:
        """Ends what still runs, with a BYE to each side and a record of each, and closes everything."""
        await self._stopping.wait()
        if self._beating is not None:
            self._beating.cancel()
        if self._abandoned is not None:
            self._abandoned.hurry(time.monotonic())
        self._switchboard.close(time.monotonic())
        self._driver.settle()
        if self._abandoned is not None:
            self._abandoned.wake(time.monotonic())  # their BYEs have left
        await self._watching.close()
        self._driver.close()
        self._callers.close(time.time())
        self._table.close()
        self._journal.told = lambda: None
        if not self._journal.close():
            _log.error("records were lost", why=self._journal.failed, lost=self._journal.lost)

    def stop(self) -> None:
        self._stopping.set()

    # --- the link ---

    def serve(self, op: str, arguments: dict[str, Any]) -> object:
        """What the control process asks (engine.app.link lists it). Raises Refused."""
        if op == "metrics":
            self._figures.take()
            return self._tally.snapshot()
        if op.startswith("trace."):
            return self._watching.serve(op, arguments)
        if op == "stats":
            return self._stats()
        operations = self._operations
        if op == "calls.list":
            return operations.list_calls(int(arguments["limit"]), int(arguments["after"] or 0))
        if op == "calls.show":
            return operations.show_call(str(arguments["call"]))
        if op == "calls.end":
            return operations.end_call(str(arguments["call"]))
        if op == "trunks.list":
            return operations.list_trunks()
        if op == "trunks.set":
            return operations.set_trunk(str(arguments["name"]), bool(arguments["enabled"]))
        if op == "keys.take":
            return self._take_keys()
        if op == "settings.apply":
            self._take_keys()
            try:
                self._apply(LiveSettings.from_link(arguments["settings"]))
            except OSError as error:
                raise Refused(f"{error.filename}: {error.strerror}") from None
        elif op == "bindings.switch":
            self._switch(str(arguments["generation"]))
        elif op == "log-level":
            logs.set_level(str(arguments["level"]))
        elif op == "drain":
            self._switchboard.drain()
        elif op == "stop":
            self.stop()
        else:
            raise Refused(f'unknown op "{op}"')
        return None

    def _stats(self) -> dict[str, object]:
        return {
            "calls_active": len(self._board.calls),
            "transactions_active": self._endpoint.transactions_active,
            "legs": len(self._board.legs),
            "bindings": self._table.stats().rows,
            "draining": self._switchboard.draining,
            "journal_error": self._journal.failed or None,
            "records_written": self._journal.written,
            "records_unsynced": self._journal.unsynced,
        }

    def _take_keys(self) -> int:
        key = self._keys.take()
        self._journal.header = msgspec.structs.replace(self._journal.header, sealing_key=key)
        return key

    def _switch(self, generation: str) -> None:
        self._take_keys()  # the builder may have sealed with a new one
        try:
            self._table.switch(generation)
        except BindingsUnavailable as error:
            raise Refused(str(error)) from None

    # --- of the rooms ---

    def _beat(self) -> None:
        """Once a second: how long calls were up is known to the second whatever happens."""
        self._beating = self._loop.call_later(_BEAT_S, self._beat)
        self._journal.beat()

    def _apply(self, live: LiveSettings) -> None:
        """Takes a configuration over, the first and every later one. Calls that are up go on as they began. Raises
        OSError, before anything has changed, where a trunk's password cannot be read."""
        switchboard, board = self._switchboard, self._board
        passwords = [trunk_password(trunk, os.environ) for trunk in live.trunks]
        trunks = switchboard.trunks.configured(live.trunks)
        for trunk, password in zip(trunks.trunks, passwords, strict=True):
            trunk.password = password
        switchboard.trunks = trunks
        switchboard.gate = Gate(Policy(live.strangers, tuple(live.own_prefixes)), trunks)
        switchboard.limits = live.limits()
        board.settings = live.calls
        board.retry_after_s = live.retry_after_s
        self._endpoint.symmetric = frozenset([trunk.name for trunk in trunks.trunks if trunk.symmetric])
        self._endpoint.large_over_tcp = frozenset(
            [trunk.name for trunk in trunks.trunks if trunk.settings.large_requests == "tcp"]
        )
        self._driver.forget_trunks()
        hops = [hop for trunk in trunks.trunks for hop in trunk.next_hops if hop.transport == "tcp"]
        self._streams.hold(frozenset([(hop.host, hop.port) for hop in hops]))
        self._probes.watch(trunks.trunks, time.monotonic())

    def _last_caller(self, binding_id: str) -> RealNumber | None:
        return self._callers.get(binding_id, time.time())

    def _trunk_of(self, host: str) -> str:
        trunk = self._switchboard.trunks.by_source(host)
        return "unknown" if trunk is None else trunk.name

    def _keep(self) -> None:
        """Before anything is sent: records and last callers go to the kernel."""
        self._records.keep(self._endpoint.outbox)
        failed = self._journal.failed
        if (failed != "") != self._journal_failed:
            self._journal_failed = failed != ""
            if failed:
                _log.error("records do not reach the disk", why=failed)
            else:
                _log.warning("records reach the disk again")
        if not self._callers.flush(time.time()) and self._callers.failed != self._callers_failed:
            _log.error("last callers cannot be kept", why=self._callers.failed)
        self._callers_failed = self._callers.failed


def main() -> int:
    """`python -m engine.app.signalling …`, started by the control process only. The exit status."""
    arguments = child_arguments(sys.argv[1:])
    leave_signals_to_control()
    allow_many_connections()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(arguments))


def allow_many_connections() -> None:
    """Raises the soft limit of open files to the hard one: the usual 1,024 are fewer than `tcp_max_connections`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def _run(arguments: ChildArguments) -> int:
    end = socket.socket(fileno=arguments.link)
    try:
        settings = load_settings(arguments.config, arguments.overrides)
        logs.configure(settings.log.level, settings.log.format, "signalling")
        signalling = Signalling(settings, asyncio.get_running_loop())
        addresses = await signalling.start()
    except SettingsError as error:
        return await _failed(end, "; ".join(str(problem) for problem in error.problems))
    except OSError as error:
        return await _failed(end, f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (BindingsUnavailable, KeysUnusable) as error:
        return await _failed(end, str(error))
    link = await Link.open(end, serve=signalling.serve, closed=signalling.stop)
    # What lives from here on is calls, and they leave nothing circular behind: the collector has to look rarely,
    # and at what they are only. With its usual thresholds it takes a sixth of the time of a call.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    link.tell("ready", addresses=addresses)
    await signalling.run_until_stopped()
    link.close()
    return 0


async def _failed(end: socket.socket, why: str) -> int:
    """Leaves it to the control process to say why there is no engine."""
    told = asyncio.Event()
    link = await Link.open(end, closed=told.set)
    link.tell("failed", why=why)
    link.close()
    await told.wait()
    return 1


def _said(error: OSError) -> str:
    """The system's own words; asyncio puts some around them, and a resolver's errors have none there."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def _sent_by(settings: Settings) -> dict[str, str]:
    """host:port of Via and Contact for each transport: the first socket that listens on it."""
    host = _in_uri(settings.sip.advertise)
    sent_by: dict[str, str] = {}
    for address in settings.sip.listen_addresses():
        sent_by.setdefault(address.transport, f"{host}:{address.port}")
    first = next(iter(sent_by.values()))
    for transport in ("udp", "tcp"):
        sent_by.setdefault(transport, first)
    return sent_by


def _in_uri(host: str) -> str:
    bare = host.strip("[]")
    return f"[{bare}]" if ":" in bare else bare


def _callers_begun_anew(why: str) -> None:
    _log.error("the last callers were lost; call-backs reach the default until somebody calls", why=why)


if __name__ == "__main__":
    sys.exit(main())
