"""Processes that the lab starts: each in a group of its own, ended by its id, none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

_PATIENCE_S = 5.0  # between asking a process to stop and ending it


class Processes:
    """Starts processes and remembers which still run."""

    def __init__(self) -> None:
        self._running: list[asyncio.subprocess.Process] = []

    async def start(
        self,
        arguments: Sequence[str],
        *,
        output: Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> asyncio.subprocess.Process:
        """Start a program; what it prints goes to `output`. Raises FileNotFoundError."""
        with output.open("wb") as screen:
            process = await asyncio.create_subprocess_exec(
                *arguments,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=screen,
                stderr=asyncio.subprocess.STDOUT,
                cwd=folder,
                env=None if environment is None else {**os.environ, **environment},
                start_new_session=True,
            )
        self._running.append(process)
        return process

    async def wait(self, process: asyncio.subprocess.Process, seconds: float) -> int | None:
        """Its exit status, None when it still runs after `seconds`."""
        try:
            return await asyncio.wait_for(process.wait(), seconds)
        except TimeoutError:
            return None

    async def end(
        self,
        process: asyncio.subprocess.Process,
        *,
        ask: int = signal.SIGTERM,
        patience_s: float = _PATIENCE_S,
    ) -> int:
        """Ask the process to stop, end its whole group if it does not, and return its exit status."""
        if process.returncode is None:
            _signal(process, ask)
            await self.wait(process, patience_s)
        _signal_group(process, signal.SIGKILL)
        status = await process.wait()
        if process in self._running:
            self._running.remove(process)
        return status

    def end_all_now(self) -> None:
        """The last resort, without waiting: for a lab that is being torn down."""
        for process in self._running:
            _signal_group(process, signal.SIGKILL)
        self._running.clear()


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except ProcessLookupError:
        return


def _signal_group(process: asyncio.subprocess.Process, number: int) -> None:
    """The group's id is its first process's, also when only that one's children are left."""
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return
