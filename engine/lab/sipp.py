"""SIPp (3.6.1, Debian's sip-tester) as caller or callee: its command line, and what it says afterwards."""

from __future__ import annotations

import asyncio
import csv
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.lab.processes import Processes
from engine.lab.sockets import listening

TRANSPORT_MODES = {"udp": "u1", "tcp": "t1"}
RECEIVE_BUFFER = 4_194_304
_BIND_PATIENCE_S = 10.0
_LOGS = (".log", "_errors.log", "_messages.log", "_screen.log", "_statistics.csv")
_STAMP = re.compile(r"\d{4}-\d\d-\d\d\s+\d\d:\d\d:\d\d\.\d+\s+\d+\.\d+: ")


class SippMissing(RuntimeError):
    """There is no `sipp` on this machine."""


class SippFailed(RuntimeError):
    """SIPp ended before it could do anything; the text says what it said."""


@dataclass(slots=True, frozen=True)
class SippJob:
    """One run. `role` names its files; `folder` holds the scenario `<role>.xml`, and receives every log.

    `remote` "" for a callee, which waits at `local`. `local` port 0: any. `calls_file` is looked up by the
    column `index` (for a callee), None for none. `hold_ms`: the length of a <pause/>.
    """

    role: str
    folder: Path
    local: tuple[str, int]
    remote: str = ""
    transport: str = "udp"
    calls: int = 1
    rate: float = 20
    at_once: int = 0
    hold_ms: int = 0
    timeout_s: int = 20
    calls_file: str = ""
    index: int | None = None
    call_id: str = ""
    trace_messages: bool = True
    extra: tuple[str, ...] = ()

    def arguments(self, program: str) -> list[str]:
        host, port = self.local
        command = [program, *([self.remote] if self.remote else []), "-sf", f"{self.role}.xml"]
        command += ["-i", host, "-mi", "127.0.0.1", "-t", TRANSPORT_MODES[self.transport], "-nostdin"]
        command += ["-m", str(self.calls), "-d", str(self.hold_ms), "-buff_size", str(RECEIVE_BUFFER)]
        command += ["-timeout", f"{self.timeout_s}s", "-timeout_error"]
        command += ["-trace_err", "-error_file", f"{self.role}_errors.log"]
        command += ["-trace_logs", "-log_file", f"{self.role}.log"]
        command += ["-trace_stat", "-stf", f"{self.role}_statistics.csv", "-fd", "1"]
        if port:
            command += ["-p", str(port)]
        if self.remote:
            command += ["-r", f"{self.rate:g}", "-l", str(self.at_once or self.calls)]
            command += ["-trace_rtt", "-rtt_freq", "1"]
        if self.trace_messages:
            command += ["-trace_msg", "-message_file", f"{self.role}_messages.log"]
        if self.calls_file:
            command += ["-inf", self.calls_file]
            if self.index is not None:
                command += ["-infindex", self.calls_file, str(self.index)]
        if self.call_id:
            command += ["-cid_str", self.call_id]
        return [*command, *self.extra]


@dataclass(slots=True)
class SippResult:
    """What one run came to. `status`: SIPp's exit status (0: every call passed), None: it had to be ended."""

    status: int | None
    created: int = 0
    passed: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)


@dataclass(slots=True, frozen=True)
class Counts:
    """Calls and SIPp's own retransmissions so far, as of its last report (once a second)."""

    created: int = 0
    passed: int = 0
    failed: int = 0
    retransmissions: int = 0


@dataclass(slots=True)
class Standing:
    """Reads what one job has written, while it runs as well."""

    job: SippJob
    _read_bytes: dict[Path, int] = field(default_factory=dict)

    def counts(self) -> Counts:
        row = _last_line(self.job.folder / f"{self.job.role}_statistics.csv")
        return Counts(
            created=_number(row, "TotalCallCreated"),
            passed=_number(row, "SuccessfulCall(C)"),
            failed=_number(row, "FailedCall(C)"),
            retransmissions=_number(row, "Retransmissions(C)"),
        )

    def new_times(self) -> list[tuple[str, float]]:
        """The scenario's timers (`pdd`, `setup` …) that have been measured since the last time, in milliseconds."""
        times: list[tuple[str, float]] = []
        for path in sorted(self.job.folder.glob(f"{self.job.role}_[0-9]*_rtt.csv")):
            start = self._read_bytes.get(path, 0)
            with path.open("rb") as file:
                file.seek(start)
                whole = file.read().rpartition(b"\n")[0]
            self._read_bytes[path] = start + len(whole) + bool(whole)
            for line in whole.decode("ascii", errors="replace").splitlines():
                fields = line.split(";")
                if len(fields) == 3 and fields[0] != "Date_ms":
                    times.append((fields[2], float(fields[1])))
        return times


class Sipp:
    """One running SIPp."""

    def __init__(self, job: SippJob, process: asyncio.subprocess.Process, processes: Processes) -> None:
        self.job = job
        self.standing = Standing(job)
        self._process = process
        self._processes = processes

    @staticmethod
    async def start(job: SippJob, processes: Processes) -> Sipp:
        """Start it; a callee is waited for until its socket is bound. Raises SippMissing, SippFailed."""
        program = shutil.which("sipp")
        if program is None:
            raise SippMissing("sipp is not installed: apt-get install sip-tester (make setup does it)")
        for old in _files_of(job):
            old.unlink(missing_ok=True)
        screen = job.folder / f"{job.role}_screen.log"
        process = await processes.start(job.arguments(program), output=screen, folder=job.folder)
        running = Sipp(job, process, processes)
        if not job.remote:
            await running._bound()
        return running

    async def finished(self, seconds: float) -> bool:
        """Wait until it ends by itself; False when it still runs after `seconds`."""
        return await self._processes.wait(self._process, seconds) is not None

    async def result(self) -> SippResult:
        """End it if it still runs, and read what it wrote."""
        by_itself = self._process.returncode is not None
        status = await self._processes.end(self._process)
        result = read_result(self.job)
        result.status = status if by_itself else None
        return result

    async def _bound(self) -> None:
        """SIPp does not say when it listens; the kernel's socket table does."""
        host, port = self.job.local
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _BIND_PATIENCE_S
        while not listening(self.job.transport, host, port):
            if loop.time() > deadline or await self.finished(0.02):
                result = await self.result()
                said = "; ".join(result.errors) or f"exit status {result.status}"
                raise SippFailed(f"SIPp ({self.job.role}) did not begin to listen on {host}:{port}: {said}")


def read_result(job: SippJob) -> SippResult:
    """What a run of this job left in its folder; `status` is None."""
    counts = Standing(job).counts()
    return SippResult(
        status=None,
        created=counts.created,
        passed=counts.passed,
        failed=counts.failed,
        errors=_errors(job.folder / f"{job.role}_errors.log"),
        log=_lines(job.folder / f"{job.role}.log"),
    )


def _files_of(job: SippJob) -> list[Path]:
    """What an earlier run of the same role left."""
    logs = [job.folder / f"{job.role}{ending}" for ending in _LOGS]
    return [*logs, *job.folder.glob(f"{job.role}_[0-9]*_rtt.csv")]


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _errors(path: Path) -> list[str]:
    """The events of an error log, a line each: the message that an event quotes is left to the file."""
    if not path.is_file():
        return []
    # SIPp does not end its events with a line feed
    _, *events = _STAMP.split(path.read_text(encoding="utf-8", errors="replace"))
    return [_summary(event.splitlines()) for event in events if event]


def _summary(event: Sequence[str]) -> str:
    """The first line, and of what follows the regular expression that a message failed or the message's start line."""
    first = event[0].rstrip()
    for line in event[1:]:
        if line.startswith("', with regexp"):
            return f"{first} … {line}"
    if len(event) > 1 and first.endswith(":"):
        return f"{first} {event[1]}"
    return first


def _last_line(path: Path) -> dict[str, str]:
    rows = list(csv.reader(_lines(path), delimiter=";"))
    if len(rows) < 2:
        return {}
    return dict(zip(rows[0], rows[-1], strict=False))


def _number(row: dict[str, str], column: str) -> int:
    value = row.get(column, "")
    return int(value) if value.isdigit() else 0
