"""Loading the binding table: built by a process of its own, put in force, shown to the signalling process.

Whatever goes wrong, the table before stays in force: in the store, and for the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from engine.app import build_command
from engine.app.link import LinkLost, Refused
from engine.calls.ports import BindingsUnavailable
from engine.observe.logs import get_logger
from engine.routing.number_plan import NumberPlan
from engine.stores import generations

MOST_PROBLEMS = 1000  # told at once; the rest is counted

_LONGEST_REPORT = 256 * 1024 * 1024  # bytes: a table whose every row is bad
_LONGEST_OUTPUT = 64 * 1024  # bytes of what a builder that failed said on stderr

_log = get_logger("app")

Switch = Callable[[str], Awaitable[None]]  # a generation's name; raises Refused or LinkLost


class Loaded(msgspec.Struct):
    """What a load did; `previous` says why the table before could not be compared, "" when it could."""

    generation: str
    rows: int
    expired: int
    added: int
    changed: int
    removed: int
    previous: str = ""


class RowProblem(msgspec.Struct):
    """`line` from 1, 0 for the file as a whole; `column` "" for the row as a whole."""

    line: int
    column: str
    reason: str


class TableRefused(Exception):
    """Nothing has changed. `problems` are those of the rows, at most MOST_PROBLEMS of `count`."""

    def __init__(self, why: str, problems: list[RowProblem] | None = None, count: int = 0) -> None:
        super().__init__(why)
        self.problems = problems or []
        self.count = count


class _Report(msgspec.Struct):
    ok: bool
    result: Loaded | None = None
    problems: list[RowProblem] = []
    error: str = ""


class TableLoader:
    """One load at a time."""

    def __init__(
        self,
        data_dir: Path,
        keys_dir: Path,
        plan: NumberPlan,
        build_seconds: float,
        switch: Switch,
        counted: Callable[[str], None],
        command: Callable[[Path, Path, Path, NumberPlan], list[str]] = build_command.command,
    ) -> None:
        """`plan` is the one that calls are decided by; `switch` makes the signalling process read a generation;
        `counted` hears "loaded", "rejected" or "failed"; `command` is what builds: (data, keys, table, plan) →
        argv."""
        self._data_dir = data_dir
        self._keys_dir = keys_dir
        self._plan = plan
        self._build_seconds = build_seconds
        self._switch = switch
        self._counted = counted
        self._command = command
        self._one_at_a_time = asyncio.Lock()

    async def load(self, table: Path, *, wait: bool = False, plan: NumberPlan | None = None) -> Loaded:
        """Make this file the table in force. Raise TableRefused. `plan`: the one that calls will be decided by
        from now on, where it changes.

        While another load runs, this one is refused, for its result would surprise who asked; or waits.
        """
        if self._one_at_a_time.locked() and not wait:
            raise TableRefused("a table is being loaded already")
        async with self._one_at_a_time:
            loaded = await self._load_and_tell(table, plan or self._plan)
            self._plan = plan or self._plan
            return loaded

    async def _load_and_tell(self, table: Path, plan: NumberPlan) -> Loaded:
        try:
            loaded = await self._load(table, plan)
        except TableRefused as refused:
            self._counted("rejected" if refused.problems else "failed")
            _log.warning("table refused", table=str(table), why=str(refused), problems=refused.count)
            raise
        finally:
            await asyncio.to_thread(_sweep, self._data_dir)
        self._counted("loaded")
        _log.info("table loaded", table=str(table), **msgspec.structs.asdict(loaded))
        return loaded

    async def _load(self, table: Path, plan: NumberPlan) -> Loaded:
        report = await self._build(table, plan)
        if report.problems:
            count = len(report.problems)
            raise TableRefused(
                f"{table} has {count} problem{'' if count == 1 else 's'}",
                report.problems[:MOST_PROBLEMS],
                count,
            )
        if not report.ok or report.result is None:
            raise TableRefused(report.error or "the table was not built")
        await self._put_in_force(report.result.generation)
        return report.result

    async def _put_in_force(self, generation: str) -> None:
        """First on disk, so that a restart between the two steps answers from the new table; back when the
        signalling process cannot read it."""
        before = await asyncio.to_thread(_current, self._data_dir)
        try:
            await asyncio.to_thread(generations.switch_current, self._data_dir, generation)
        except OSError as error:
            raise TableRefused(f"the table cannot be put in force: {error}") from None
        try:
            await self._switch(generation)
        except (Refused, LinkLost) as error:
            await self._put_back(before)
            raise TableRefused(f"the signalling process did not take the table: {error}") from None

    async def _put_back(self, before: str) -> None:
        if not before:
            return
        try:
            await asyncio.to_thread(generations.switch_current, self._data_dir, before)
            await self._switch(before)  # it may have switched and only been too slow to say so
        except (OSError, Refused, LinkLost) as error:
            _log.error("the table before cannot be put back", generation=before, error=str(error))

    async def _build(self, table: Path, plan: NumberPlan) -> _Report:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command(self._data_dir, self._keys_dir, table, plan),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise TableRefused(f"the builder cannot be started: {error}") from None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            async with asyncio.timeout(self._build_seconds):
                output, said = await asyncio.gather(
                    _read(process.stdout, _LONGEST_REPORT), _read(process.stderr, _LONGEST_OUTPUT)
                )
                status = await process.wait()
        except TimeoutError:
            raise TableRefused(f"the table was not built in {self._build_seconds:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        try:
            # a thread, because the problems of a whole file take a while to read
            return await asyncio.to_thread(msgspec.json.decode, output, type=_Report)
        except msgspec.DecodeError:
            _log.error("the builder failed", status=status, said=said.decode("utf-8", "replace"))
            raise TableRefused(f"the builder ended with status {status}, see the log") from None


async def _read(stream: asyncio.StreamReader, most: int) -> bytes:
    """Everything, of which the first `most` bytes are kept."""
    kept = bytearray()
    while chunk := await stream.read(1 << 16):
        kept += chunk[: max(0, most - len(kept))]
    return bytes(kept)


def _current(data_dir: Path) -> str:
    with contextlib.suppress(BindingsUnavailable):
        return generations.current_generation(data_dir)
    return ""


def _sweep(data_dir: Path) -> None:
    try:
        generations.sweep(data_dir)
    except (OSError, BindingsUnavailable) as error:
        _log.warning("old tables cannot be removed", error=str(error))


def problem_values(refused: TableRefused) -> dict[str, Any]:
    """For an answer over the control socket."""
    return {
        "error": str(refused),
        "problems": [msgspec.structs.asdict(problem) for problem in refused.problems],
        "problem_count": refused.count,
    }
