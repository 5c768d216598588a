"""The signalling process as the control process sees it: started, asked, stopped, and gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from engine.app.child import SIGNALLING_MODULE, ChildArguments, child_command
from engine.app.link import Link, LinkLost
from engine.observe.logs import get_logger

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SOON = 1.0  # an answer that somebody waits for; a busy process answers in milliseconds

_log = get_logger("app")


class NotStarted(Exception):
    """The signalling process did not come up; the text says why, as far as it could tell."""


class SignallingChild:
    """`exited` is set with its exit status when it is gone, wanted or not."""

    def __init__(
        self,
        config: Path,
        overrides: list[str],
        module: str = SIGNALLING_MODULE,
        start_seconds: float = _START_SECONDS,
        stop_seconds: float = _STOP_SECONDS,
    ) -> None:
        """Has to be ready in `start_seconds`, and gone `stop_seconds` after it was told to stop."""
        self._config = config
        self._overrides = overrides
        self._module = module
        self._start_seconds = start_seconds
        self._stop_seconds = stop_seconds
        self._process: asyncio.subprocess.Process | None = None
        self._link: Link | None = None
        self._ready: asyncio.Future[dict[str, Any]] | None = None
        self._failure = ""
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.addresses: list[str] = []

    @property
    def pid(self) -> int:
        """0 before it runs and after it ended."""
        return 0 if self._process is None or self.exited.done() else self._process.pid

    @property
    def is_ready(self) -> bool:
        """Whether it takes messages."""
        return bool(self.pid) and self._ready is not None and self._ready.done()

    async def start(self) -> None:
        """Return when it takes messages. Raise NotStarted; then nothing of it is left."""
        self._ready = asyncio.get_running_loop().create_future()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                command = child_command(
                    ChildArguments(self._config, self._overrides, theirs.fileno()), self._module
                )
                self._process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),)
                )
        except OSError as error:
            ours.close()
            raise NotStarted(str(error)) from None
        self._watcher = asyncio.create_task(self._watch(self._process), name="signalling process")
        told_all = asyncio.Event()
        self._link = await Link.open(ours, told=self._told, closed=told_all.set)
        try:
            async with asyncio.timeout(self._start_seconds):
                await asyncio.wait((self._ready, self.exited), return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            await self._kill()
            raise NotStarted(f"the signalling process was not ready in {self._start_seconds:g} s") from None
        if self.exited.done():
            status = self.exited.result()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(told_all.wait(), _SOON)  # its last words may arrive after its status
            raise NotStarted(
                self._failure or f"the signalling process ended with status {status}, see the log"
            )
        self.addresses = [str(address) for address in self._ready.result().get("addresses", [])]

    async def ask(self, op: str, within: float = _SOON, **arguments: Any) -> Any:
        """See `engine.app.link`. Raise Refused or LinkLost."""
        if self._link is None or not self.is_ready:
            raise LinkLost("the signalling process is not running")
        return await self._link.ask(op, within, **arguments)

    async def stop(self) -> int:
        """End it, by force if it does not listen; its exit status."""
        if self._link is not None and self.pid:
            with contextlib.suppress(Exception):
                await self._link.ask("stop", _SOON)
            self._link.close()  # the end of the link means stop too
            try:
                async with asyncio.timeout(self._stop_seconds):
                    await asyncio.shield(self.exited)
            except TimeoutError:
                _log.error("the signalling process does not stop and is killed", pid=self.pid)
                await self._kill()
        return self.exited.result() if self.exited.done() else 0

    async def _kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await asyncio.shield(self.exited)

    async def _watch(self, process: asyncio.subprocess.Process) -> None:
        status = await process.wait()
        if not self.exited.done():
            self.exited.set_result(status)

    def _told(self, event: str, fields: dict[str, Any]) -> None:
        if event == "ready" and self._ready is not None and not self._ready.done():
            self._ready.set_result(fields)
        elif event == "failed":
            self._failure = str(fields.get("why", ""))
