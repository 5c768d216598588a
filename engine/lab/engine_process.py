"""The engine of a lab: `mask700 serve` as a process of its own, until it is ready and until it is gone."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.lab.processes import Processes

_READY_PATIENCE_S = 30.0
_PROBE_S = 0.05
_STOP_PATIENCE_S = 5.0
_ANSWER_PATIENCE_S = 5.0
_SENT_AGAIN = re.compile(r'^mask700_sip_retransmissions_total\{direction="out"\} (\S+)', re.MULTILINE)
_LOG_LINES = 15
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class EngineFailed(RuntimeError):
    """The engine did not become ready, or died; the text has the last lines of its log."""


@dataclass(slots=True, frozen=True)
class Usage:
    """What all processes of the engine have used together: CPU in seconds, resident memory in bytes."""

    cpu_s: float
    memory: int


class Engine:
    """One running engine. `data_dir` is all that it writes to; `log` is what it printed."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        processes: Processes,
        control: tuple[str, int],
        data_dir: Path,
        log: Path,
    ) -> None:
        self.data_dir = data_dir
        self.log = log
        self._process = process
        self._processes = processes
        self._control = control

    @staticmethod
    async def start(
        config: Path,
        overrides: Sequence[str],
        control: tuple[str, int],
        *,
        data_dir: Path,
        log: Path,
        processes: Processes,
        environment: Mapping[str, str] | None = None,
    ) -> Engine:
        """Start it and wait until /readyz at `control` says yes. Raises EngineFailed."""
        command = [sys.executable, "-m", "engine.cli.main", "serve", "--config", str(config)]
        for override in (*overrides, f"data_dir={json.dumps(str(data_dir))}"):
            command += ["--set", override]
        process = await processes.start(command, output=log, environment=environment)
        engine = Engine(process, processes, control, data_dir, log)
        try:
            await asyncio.wait_for(engine._ready(), _READY_PATIENCE_S)
        except TimeoutError:
            await engine.stop()
            raise EngineFailed(
                f"the engine was not ready within {_READY_PATIENCE_S:.0f} s\n{engine.last_words()}"
            ) from None
        return engine

    def check_alive(self) -> None:
        """Raises EngineFailed when it has ended by itself."""
        if self._process.returncode is not None:
            raise EngineFailed(f"the engine ended, status {self._process.returncode}\n{self.last_words()}")

    async def ended_within(self, seconds: float) -> bool:
        """Wait, but no longer than the engine lives."""
        return await self._processes.wait(self._process, seconds) is not None

    def last_words(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:] or ["(it printed nothing)"])

    def usage(self) -> Usage:
        """CPU and memory of its processes so far."""
        cpu_s, memory = 0.0, 0
        for pid in _family(self._process.pid):
            try:
                fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
            except OSError:
                continue
            cpu_s += (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
            memory += int(fields[21]) * _PAGE_BYTES
        return Usage(cpu_s, memory)

    async def retransmissions(self) -> int:
        """Messages that it has sent again so far, as /metrics says; 0 when that says nothing."""
        _, body = await _answer(*self._control, "/metrics")
        return sum(int(float(number)) for number in _SENT_AGAIN.findall(body))

    async def stop(self) -> int:
        """Ask it to drain and stop, then to stop at once, then end it; its exit status."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGTERM)
            await self._processes.wait(self._process, _STOP_PATIENCE_S)
        return await self._processes.end(self._process)

    async def _ready(self) -> None:
        while (await _answer(*self._control, "/readyz"))[0] != 200:
            if await self.ended_within(_PROBE_S):
                self.check_alive()


async def _answer(host: str, port: int, path: str) -> tuple[int, str]:
    """Status and text of an HTTP GET; status 0 where nobody answers."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return 0, ""
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), _ANSWER_PATIENCE_S)).partition(b"\r\n\r\n")
        status = head.split(b" ", 2)[1:2]
        return int(status[0]) if status and status[0].isdigit() else 0, body.decode(errors="replace")
    except (OSError, TimeoutError):
        return 0, ""
    finally:
        writer.close()


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    family = [pid]
    for parent in family:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
        except OSError:
            continue
        family.extend(int(child) for child in children.split())
    return family
