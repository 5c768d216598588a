"""SIGHUP: configuration and binding table are read again, and what can change while calls run is taken over.

All or nothing: a mistake anywhere, in the configuration or in one row of the table, leaves everything as it was, and
every mistake is logged. Calls in progress are untouched either way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from engine.app.link import LinkLost, Refused
from engine.app.live_settings import LiveSettings, is_live, taken_over
from engine.app.table_loader import TableRefused
from engine.app.trunk_password import trunk_password
from engine.observe import logs
from engine.routing.number_plan import NumberPlan
from engine.settings import Settings, SettingsError, changed_keys, load_settings

_log = logs.get_logger("app")


class Steps(Protocol):
    """What a reload does to the running engine."""

    async def load_table(self, table: Path, plan: NumberPlan) -> object:
        """Puts a table in force whose numbers are ours by `plan`. Raises TableRefused."""
        ...

    async def table_fault(self, plan: NumberPlan) -> str | None:
        """What keeps the table in force from being used under `plan`; None or "" for nothing."""
        ...

    async def apply(self, live: LiveSettings) -> None:
        """The signalling process takes the rest over. Raises Refused or LinkLost."""
        ...

    async def set_level(self, level: str) -> object:
        """Of both processes. Raises Refused or LinkLost."""
        ...


class Reloading:
    """`settings` are those that run. `began` and `ended` frame each reload, for the service manager."""

    def __init__(
        self,
        config: Path,
        overrides: list[str],
        settings: Settings,
        steps: Steps,
        began: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._config = config
        self._overrides = overrides
        self._steps = steps
        self._began = began
        self._ended = ended
        self._wanted = asyncio.Event()
        self.settings = settings
        self.plan = settings.number_plan()

    def want(self) -> None:
        """Reload soon. What is wanted during a reload makes one more of it, so that the last state of the files
        counts."""
        self._wanted.set()

    async def run(self, up: Callable[[], Awaitable[object]]) -> None:
        """Reloads whenever that is wanted, once the engine is `up`."""
        await up()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            self._began()
            try:
                await self.reload()
            except Exception:
                _log.exception("reload: our fault")
            finally:
                self._ended()

    async def reload(self) -> bool:
        """True when everything was taken over that can be."""
        fresh = await self._checked()
        if fresh is None:
            return False
        changed = changed_keys(self.settings, fresh)
        settings = taken_over(self.settings, fresh)
        misfits = [f"{key}: {what}" for key, what in settings.check()] + list(_unreadable_passwords(settings))
        for misfit in misfits:
            _log.error("configuration: not reloaded", problem=misfit)
        if misfits:
            return False
        plan = settings.number_plan()
        if not await self._take_table(settings, plan):
            return False
        try:
            await self._steps.apply(LiveSettings.of(settings))
            self.settings, self.plan = settings, plan
            await self._steps.set_level(settings.log.level)
        except (Refused, LinkLost) as error:
            _log.error("the signalling process did not take the configuration", why=str(error))
            return False
        needs_restart = [key for key in changed if not is_live(key)]
        if needs_restart:
            _log.warning("these changes need a restart", keys=needs_restart)
        _log.info("configuration reloaded", changed=[key for key in changed if is_live(key)])
        return True

    async def _checked(self) -> Settings | None:
        try:
            return await asyncio.to_thread(load_settings, self._config, self._overrides)
        except SettingsError as error:
            for problem in error.problems:
                _log.error("configuration: not reloaded", problem=str(problem))
            return None

    async def _take_table(self, settings: Settings, plan: NumberPlan) -> bool:
        """First of all, since it is what takes long and what is most likely to be wrong."""
        table = settings.bindings.table
        try:
            if table:
                await self._steps.load_table(Path(table), plan)
                return True
            fault = await self._steps.table_fault(plan)
        except TableRefused as refused:
            for problem in refused.problems:
                _log.error("bad row", table=table, **msgspec.structs.asdict(problem))
            fault = str(refused)
        if fault:
            _log.error("everything stays as it was", why=fault)
        return not fault


def _unreadable_passwords(settings: Settings) -> Iterator[str]:
    """The signalling process reads them when it takes over, and could only refuse after the table has changed."""
    for trunk in settings.trunks:
        try:
            trunk_password(trunk, os.environ)
        except OSError as error:
            yield f"trunks.{trunk.name}.password_file: {error.filename}: {error.strerror}"
