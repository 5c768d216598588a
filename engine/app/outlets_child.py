"""The process of the outlets as the control process sees it: started, asked, and started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.app.link import Refused
from engine.app.outlets_process import Orders, Report, Wish
from engine.observe import catalogue
from engine.observe.logs import get_logger
from engine.records.outlets import OutletStatus
from engine.settings import Settings

_COMMAND = (sys.executable, "-m", "engine.app.outlets_process")
_AGAIN_SECONDS = 5.0
_ANSWER_SECONDS = 15.0
_LAST_SECONDS = 20.0  # for what is left when the engine stops; the next start goes on with it
_LONGEST_REPORT = 1 << 20

_Series = dict[str, dict[tuple[str, ...], float]]

_log = get_logger("outlets")


class OutletsChild:
    """Without outlets there is no process."""

    def __init__(
        self, settings: Settings, again_seconds: float = _AGAIN_SECONDS, command: Sequence[str] = _COMMAND
    ) -> None:
        """`again_seconds`: until one that died is started again."""
        self._settings = settings
        self._again_seconds = again_seconds
        self._command = command
        self._process: asyncio.subprocess.Process | None = None
        self._standing = [OutletStatus(one.name, one.kind, "") for one in settings.outlets]
        self._not_running = "starting"
        self._answer: asyncio.Future[str] | None = None
        self._asking = asyncio.Lock()

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return 0 if self._process is None or self._process.returncode is not None else self._process.pid

    @property
    def statuses(self) -> list[OutletStatus]:
        """As it last said, and whether it runs."""
        if not self._not_running:
            return self._standing
        return [msgspec.structs.replace(one, error=self._not_running) for one in self._standing]

    async def run(self) -> None:
        """Until cancelled, which leaves it to `last`."""
        while self._settings.outlets:
            try:
                await self._start()
                status = await self._hear()
                self._not_running = f"the process of the outlets ended with status {status}"
                _log.error("the process of the outlets died and is started again", status=status)
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                self._not_running = f"the process of the outlets does not work: {error}"
                _log.error("the process of the outlets does not work and is started again", why=str(error))
                await self._kill()
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(self._not_running)
            await asyncio.sleep(self._again_seconds)

    async def last(self) -> None:
        """When nobody writes any more: lets it give out what is left, and ends it."""
        if not self.pid:
            return
        try:
            async with asyncio.timeout(_LAST_SECONDS):
                self._tell(Wish("stop"))
                await self._hear()
        except (TimeoutError, OSError, ValueError, msgspec.MsgspecError):
            await self._kill()

    async def answer(self, op: str, arguments: dict[str, Any]) -> object:
        """One operator's wish. Raises Refused."""
        if op == "outlets.list":
            return [msgspec.structs.asdict(status) for status in self.statuses]
        if op != "outlets.reset":
            raise Refused(f'unknown op "{op}"')
        name, to = arguments.get("name"), arguments.get("to")
        if not isinstance(name, str) or not isinstance(to, str):
            raise Refused('"name" or "to" is missing')
        async with self._asking:
            if self._not_running:
                raise Refused(self._not_running if self._settings.outlets else "no outlet is configured")
            self._answer = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    self._tell(Wish("reset", name, to))
                    why_not = await self._answer
            except (TimeoutError, OSError):
                raise Refused("the process of the outlets does not answer") from None
            finally:
                self._answer = None
        if why_not:
            raise Refused(why_not)
        return next(msgspec.structs.asdict(status) for status in self._standing if status.name == name)

    def series(self) -> _Series:
        """Metrics by name and labels."""
        series: _Series = {
            name: {}
            for name in (
                catalogue.OUTLET_UP,
                catalogue.OUTLET_LAG_RECORDS,
                catalogue.OUTLET_LAG,
                catalogue.OUTLET_RECORDS,
                catalogue.OUTLET_FAILURES,
            )
        }
        for status in self.statuses:
            labels = (status.name,)
            series[catalogue.OUTLET_UP][labels] = not status.error
            series[catalogue.OUTLET_LAG_RECORDS][labels] = status.lag_records
            series[catalogue.OUTLET_LAG][labels] = status.lag_s
            series[catalogue.OUTLET_RECORDS][labels] = status.delivered
            series[catalogue.OUTLET_FAILURES][labels] = status.failures
        return series

    # --- the process ---

    async def _start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LONGEST_REPORT,
        )
        self._tell(Orders.of(self._settings))

    async def _kill(self) -> None:
        process = self._process
        if process is not None and self.pid:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _tell(self, what: Orders | Wish) -> None:
        """Raises OSError."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(msgspec.json.encode(what) + b"\n")

    async def _hear(self) -> int:
        """What it says, to its end; its exit status."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        async for line in process.stdout:
            report = msgspec.json.decode(line, type=Report)
            self._standing, self._not_running = report.outlets, ""
            if report.answer is not None and self._answer is not None and not self._answer.done():
                self._answer.set_result(report.answer)
        return await process.wait()
