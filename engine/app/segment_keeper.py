"""Looks after closed segments of the records: each gets its seal and its index soon, made by a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from engine.app import finish_command
from engine.observe.logs import get_logger
from engine.records.finishing import unfinished

_LOOK_SECONDS = 5.0
_AGAIN_SECONDS = 600.0  # until a segment that could not be finished is tried again
_LAST_SECONDS = 20.0  # for what is left when the engine stops; the next start goes on with it

_log = get_logger("records")


class _Outcome(msgspec.Struct):
    sealed: list[int] = []
    indexed: list[int] = []
    problems: list[str] = []
    error: str = ""


class SegmentKeeper:
    """One process at a time. A segment that cannot be finished is tried again, but not soon."""

    def __init__(
        self,
        directories: Iterable[Path],
        keys_dir: Path,
        look_seconds: float = _LOOK_SECONDS,
        command: Callable[[Path, Iterable[Path], bool], list[str]] = finish_command.command,
    ) -> None:
        """Looks every so many seconds; `command` is what finishes: (keys, directories, whether nobody writes any more)
        → argv."""
        self._directories = list(directories)
        self._keys_dir = keys_dir
        self._look_seconds = look_seconds
        self._command = command
        self._tried: dict[int, float] = {}  # segment: when
        self._from = 1  # no segment below this number is of interest

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._look(stopped=False)
            await asyncio.sleep(self._look_seconds)

    async def last(self) -> None:
        """When nobody writes any more: also the last segment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._look(stopped=True)

    async def _look(self, stopped: bool) -> None:
        try:
            found = await asyncio.to_thread(unfinished, self._directories, stopped, self._from)
        except OSError as error:
            _log.error("segments of the records cannot be listed", why=str(error))
            return
        now = asyncio.get_running_loop().time()
        numbers = [
            one.number
            for one in found
            if self._tried.get(one.number, -_AGAIN_SECONDS) + _AGAIN_SECONDS <= now
        ]
        if not numbers:
            return
        outcome = await self._finish(stopped)
        self._tried = {one.number: self._tried.get(one.number, now) for one in found}
        self._tried.update(dict.fromkeys(numbers, now))
        self._from = found[0].number
        if outcome.error:
            _log.error("segments of the records cannot be sealed", why=outcome.error)
        for problem in outcome.problems:
            _log.error("a segment of the records is not whole", why=problem)
        if outcome.sealed or outcome.indexed:
            _log.info("segments finished", sealed=outcome.sealed, indexed=outcome.indexed)

    async def _finish(self, stopped: bool) -> _Outcome:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(self._keys_dir, self._directories, stopped),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return _Outcome(error=str(error))
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        try:
            return msgspec.json.decode(output, type=_Outcome)
        except msgspec.DecodeError:
            return _Outcome(error=f"the process that seals ended with status {process.returncode}")
