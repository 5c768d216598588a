"""The control process, `mask700 serve`: starts the signalling process, loads tables, answers operators.

No call passes here. When the signalling process dies, this one says so and exits with status 1, for the service
manager to start both again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from engine.app import http, unix_door
from engine.app.child import SIGNALLING_MODULE
from engine.app.control_socket import ControlSocket, RefusedWith
from engine.app.first_table import fault_of_current_table
from engine.app.http import HealthAndMetrics, HttpServer
from engine.app.link import LinkLost, Refused
from engine.app.live_settings import LiveSettings
from engine.app.metrics_page import MetricsPage, expected_series
from engine.app.notify import Notifier
from engine.app.ownership import AlreadyRunning, DataDirectory
from engine.app.passed_on import passed_on, text_of
from engine.app.record_readers import RecordReaders
from engine.app.reloading import Reloading
from engine.app.rooms import rooms
from engine.app.signalling_child import NotStarted, SignallingChild
from engine.app.table_loader import Loaded, TableLoader, TableRefused, problem_values
from engine.observe import logs
from engine.observe.metrics import Metrics
from engine.routing.number_plan import NumberPlan
from engine.sealing.keys import KeyRing, KeysUnusable
from engine.sealing.signing import SigningKeys
from engine.settings import Settings

_log = logs.get_logger("app")

_SWITCH_SECONDS = 5.0
_DRAIN_LOOK_SECONDS = 0.25  # how often a draining engine counts the calls that are left


class CannotStart(Exception):
    """The engine did not come up; the text is for the operator."""


def serve(config: Path, overrides: list[str], settings: Settings, module: str = SIGNALLING_MODULE) -> int:
    """Run the engine until it is told to stop; the exit status. `module` is the signalling process's."""
    logs.configure(settings.log.level, settings.log.format, "control")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, overrides, settings, module))


async def _serve(config: Path, overrides: list[str], settings: Settings, module: str) -> int:
    control = Control(config, overrides, settings, module)
    try:
        return await control.run()
    except CannotStart as error:
        _log.error("cannot start", why=str(error))
        return 1


class Control:
    """Everything of the control process, composed."""

    def __init__(self, config: Path, overrides: list[str], settings: Settings, module: str) -> None:
        self._reloading = Reloading(config, overrides, settings, self, self._reload_begins, self._reload_ends)
        self._keys_dir = settings.sealing.directory(settings.data_dir)
        self._notifier = Notifier.from_environment()
        self._readers = RecordReaders(settings, self._keys_dir)
        self._metrics = Metrics(version("mask700"), expected_series(), self._readers.outlets.series)
        self._signalling = SignallingChild(config, overrides, module)
        self._page = MetricsPage(self._metrics, self._signalling, self.why_not_ready, settings.data_dir)
        self._loader = TableLoader(
            settings.data_dir,
            self._keys_dir,
            self._reloading.plan,
            settings.control.build_timeout_s,
            self._switch,
            self._metrics.reloaded,
        )
        self._started = time.time()
        self._draining = False
        self._stop_soon = asyncio.Event()  # drain, then stop
        self._stop_now = asyncio.Event()
        self._up = asyncio.Event()

    async def run(self) -> int:
        """The exit status. Raise CannotStart."""
        settings = self._settings
        try:
            directory = _bound(f"data_dir {settings.data_dir}", DataDirectory, settings.data_dir)
        except AlreadyRunning as error:
            raise CannotStart(str(error)) from None
        if directory.others_may_write:
            _log.warning("others may write into data_dir, and so change keys and records; chmod 700")
        try:
            control = settings.control
            http_door = _bound(f"control.listen {control.listen}", http.bind, *control.address())
            with http_door:
                control_door = _bound("the control socket", unix_door.bind, settings.control_socket)
                with control_door:
                    return await self._run_behind(http_door, control_door)
        finally:
            settings.control_socket.unlink(missing_ok=True)
            directory.release()

    async def _run_behind(self, http_door: Any, control_door: Any) -> int:
        self._catch_signals()
        doors = ControlSocket(self.answer)
        web = HttpServer(HealthAndMetrics(self.why_not_ready, self._page.text))
        await doors.open(control_door)
        serving = asyncio.create_task(web.serve(sockets=[http_door]), name="http")
        reloading = asyncio.create_task(self._reloading.run(self._up.wait), name="reload on SIGHUP")
        watched = asyncio.create_task(self._show_signs_of_life(), name="watchdog")
        reading = asyncio.create_task(self._readers.run(self._up.wait), name="readers of records")
        try:
            return await self._until_stopped()
        finally:
            self._notifier.stopping()
            reloading.cancel()
            watched.cancel()
            reading.cancel()
            await self._signalling.stop()
            await doors.close()
            web.should_exit = True
            await asyncio.gather(serving, reloading, watched, reading, return_exceptions=True)
            if self._up.is_set():
                await self._readers.last()
            _log.info("stopped")

    async def _start(self) -> None:
        try:
            for keys in (KeyRing, SigningKeys):
                keys.open(
                    self._keys_dir, os.environ, created=lambda path: _log.warning("key made", file=path)
                )
            await self._first_table()
        except KeysUnusable as error:
            raise CannotStart(str(error)) from None
        try:
            await self._signalling.start()
        except NotStarted as error:
            raise CannotStart(str(error)) from None
        self._metrics.signalling_started(self._signalling.pid)
        _log.info("ready", addresses=self._signalling.addresses, signalling_pid=self._signalling.pid)
        self._up.set()
        self._notifier.ready()

    async def _first_table(self) -> None:
        """Load the configured table when there is none that can be read."""
        table = self._settings.bindings.table
        fault = await self.table_fault(self._reloading.plan)
        if fault is None:
            return
        if not table:
            if fault:
                raise CannotStart(f"the binding table cannot be used and none is configured: {fault}")
            _log.warning("no binding table: every call will find its number not bound")
            return
        if fault:
            _log.warning("the binding table cannot be used and is built again", why=fault)
        try:
            await self._loader.load(Path(table))
        except TableRefused as refused:
            for problem in refused.problems:
                _log.error("bad row", table=table, **msgspec.structs.asdict(problem))
            raise CannotStart(str(refused)) from None

    async def _until_stopped(self) -> int:
        """Start, and wait for a signal, an operator or the end of the signalling process."""
        starting = asyncio.create_task(self._start(), name="start")
        stop_soon = asyncio.create_task(self._stop_soon.wait())
        stop_now = asyncio.create_task(self._stop_now.wait())
        draining = None
        try:
            await asyncio.wait((starting, stop_soon), return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return 0
            starting.result()
            exited = self._signalling.exited
            await asyncio.wait((stop_soon, stop_now, exited), return_when=asyncio.FIRST_COMPLETED)
            if stop_soon.done() and not stop_now.done():
                draining = asyncio.create_task(self._drain_until_empty(), name="drain")
                await asyncio.wait((draining, stop_now, exited), return_when=asyncio.FIRST_COMPLETED)
            if exited.done():
                _log.error("the signalling process died", status=exited.result())
                return 1
            return 0
        finally:
            for task in (starting, stop_soon, stop_now, draining):
                if task is not None:
                    task.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    async def _drain_until_empty(self) -> None:
        """Take no new call, and return when the last one has ended or the drain's time is over."""
        self._notifier.stopping()
        try:
            async with asyncio.timeout(self._settings.control.drain_timeout_s):
                await self._drain()
                while (await self._signalling.ask("stats"))["calls_active"]:
                    await asyncio.sleep(_DRAIN_LOOK_SECONDS)
        except TimeoutError:
            _log.warning("the drain's time is over: the calls that are left are ended")
        except (Refused, LinkLost) as error:
            _log.error("cannot drain", why=str(error))

    async def _drain(self) -> None:
        await self._signalling.ask("drain")
        if not self._draining:
            _log.info("draining")
        self._draining = True

    # --- what is asked over HTTP ---

    async def why_not_ready(self) -> str:
        """Nothing when calls are taken."""
        if not self._signalling.is_ready:
            return "starting" if not self._signalling.exited.done() else "signalling is gone"
        if self._draining:
            return "draining"
        try:
            stats = await self._signalling.ask("stats")
        except (Refused, LinkLost) as error:
            return f"signalling: {error}"
        if stats.get("draining"):
            return "draining"
        if stats.get("journal_error"):
            return f"records cannot be written: {stats['journal_error']}"
        return ""

    # --- what is asked over the control socket ---

    async def answer(self, op: str, arguments: dict[str, Any]) -> object:
        """One operator's wish. Raise Refused or LinkLost."""
        if op == "bindings.reload":
            if not self._settings.bindings.table:
                raise Refused("no table is configured (bindings.table)")
            return await self._load(Path(self._settings.bindings.table))
        if op == "bindings.load":
            return await self._load(Path(text_of(arguments, "path")))
        if op.startswith("outlets."):
            return await self._readers.outlets.answer(op, arguments)
        if op == "stats":
            return await self._stats()
        if op == "metrics":
            return await self._page.snapshot()
        if op == "version":
            return {"version": version("mask700"), "python": platform.python_version(), "rooms": rooms()}
        if op == "log-level":
            return await self.set_level(text_of(arguments, "level"))
        if op == "drain":
            await self._drain()
            return {"draining": True, "calls_active": (await self._signalling.ask("stats"))["calls_active"]}
        if op == "stop":
            if arguments.get("now"):
                self._stop_now.set()
            self._stop_soon.set()
            return {"stopping": True}
        return await passed_on(self._signalling.ask, op, arguments)

    async def _load(self, table: Path) -> Loaded:
        self._reload_begins()
        try:
            return await self._loader.load(table)
        except TableRefused as refused:
            raise RefusedWith(problem_values(refused)) from None
        finally:
            self._reload_ends()

    async def _switch(self, generation: str) -> None:
        """Nobody to show it to before the signalling process runs: it opens the table in force by itself."""
        if self._signalling.pid:
            await self._signalling.ask("bindings.switch", _SWITCH_SECONDS, generation=generation)

    async def _stats(self) -> dict[str, Any]:
        why_not = await self.why_not_ready()
        try:
            signalling = await self._signalling.ask("stats")
        except (Refused, LinkLost):
            signalling = None
        return {
            "version": version("mask700"),
            "node": self._settings.node,
            "pid": os.getpid(),
            "signalling_pid": self._signalling.pid,
            "addresses": self._signalling.addresses,
            "uptime_s": round(time.time() - self._started),
            "ready": not why_not,
            "why_not_ready": why_not or None,
            "log_level": logs.level_name(),
            "signalling": signalling,
        }

    # --- signals ---

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._told_to_stop)
        loop.add_signal_handler(signal.SIGINT, self._told_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reloading.want)

    def _told_to_stop(self) -> None:
        if self._stop_soon.is_set():
            _log.warning("stopping at once: told twice")
            self._stop_now.set()
        self._stop_soon.set()

    async def _show_signs_of_life(self) -> None:
        """The service manager hears of life as long as both processes show some; else it starts them again."""
        period = self._notifier.watchdog_s / 3
        if not period:
            return
        await self._up.wait()
        while True:
            with contextlib.suppress(Refused, LinkLost):
                await self._signalling.ask("stats", period)
                self._notifier.alive()
            await asyncio.sleep(period)

    # --- the steps of a reload ---

    async def load_table(self, table: Path, plan: NumberPlan) -> Loaded:
        return await self._loader.load(table, wait=True, plan=plan)

    async def table_fault(self, plan: NumberPlan) -> str | None:
        data_dir = self._settings.data_dir
        return await asyncio.to_thread(fault_of_current_table, data_dir, self._keys_dir, plan)

    async def apply(self, live: LiveSettings) -> None:
        await self._signalling.ask("settings.apply", _SWITCH_SECONDS, settings=live.for_link())

    async def set_level(self, level: str) -> dict[str, str]:
        """Of both processes or of none; raise Refused or LinkLost."""
        before = logs.level_name()
        try:
            logs.set_level(level)
        except ValueError as error:
            raise Refused(str(error)) from None
        try:
            await self._signalling.ask("log-level", level=level)
        except (Refused, LinkLost):
            logs.set_level(before)
            raise
        return {"level": level, "before": before}

    def _reload_begins(self) -> None:
        if not self._stop_soon.is_set():
            self._notifier.reloading()

    def _reload_ends(self) -> None:
        """Said while it drains too, or the service manager would wait for it; not any more once it stops."""
        if self._signalling.is_ready and not self._stop_soon.is_set():
            self._notifier.ready()

    @property
    def _settings(self) -> Settings:
        """Those that run."""
        return self._reloading.settings


def _bound(what: str, bind: Any, *arguments: Any) -> Any:
    try:
        return bind(*arguments)
    except OSError as error:
        raise CannotStart(f"{what}: {error.strerror or error}") from None
