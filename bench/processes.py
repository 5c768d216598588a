"""What the kernel says about running processes: CPU, memory, sockets. Linux's /proc only."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(slots=True, frozen=True)
class CpuTime:
    """CPU seconds that processes have used, in user space and in the kernel."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """User and system together."""
        return self.user + self.system

    def since(self, earlier: CpuTime) -> CpuTime:
        """What was used after `earlier`."""
        return CpuTime(self.user - earlier.user, self.system - earlier.system)


def with_descendants(pid: int) -> list[int]:
    """`pid` and every process below it; those that ended meanwhile are left out."""
    found: list[int] = []
    waiting = [pid]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for task in Path(f"/proc/{current}/task").glob("*/children"):
            waiting.extend(int(child) for child in _read(task).split())
    return found


def cpu_time(pids: list[int]) -> CpuTime:
    """User and system seconds of these processes with all their threads (resolution: one clock tick, 10 ms)."""
    user = system = 0
    for pid in pids:
        # The command name stands in brackets and may hold anything; what follows it is plain.
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        if fields:
            user += int(fields[11])
            system += int(fields[12])
    return CpuTime(user / TICKS_PER_SECOND, system / TICKS_PER_SECOND)


def machine_busy() -> float:
    """CPU seconds that all processors together have spent on anything, since the machine started."""
    user, nice, system, _, _, irq, softirq, steal = (
        int(part) for part in _read(Path("/proc/stat")).split()[1:9]
    )
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def own_busy() -> float:
    """CPU seconds of this process and of its children that have ended and been waited for."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def memory_mib(pids: list[int]) -> float:
    """Resident memory of these processes in MiB, pages that several of them share counted once (PSS)."""
    kib = 0
    for pid in pids:
        for line in _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


def maps_file(pids: list[int], part: str) -> bool:
    """Whether one of these processes has mapped a file with `part` in its path."""
    return any(part in _read(Path(f"/proc/{pid}/maps")) for pid in pids)


def udp_port_is_bound(port: int) -> bool:
    """Whether some process of this machine listens on this UDP port (IPv4)."""
    lines = _read(Path("/proc/net/udp")).splitlines()[1:]
    return any(line.split()[1].endswith(f":{port:04X}") for line in lines)


def stop(process: subprocess.Popen[bytes], patience_s: float = 5.0) -> None:
    """End a process that we started: SIGTERM twice (the first may mean draining), then SIGKILL for its whole group."""
    for _ in range(2):
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(patience_s)


def wait_until(deadline_s: float, condition: Callable[[], bool]) -> bool:
    """Ask `condition()` every 50 ms for at most `deadline_s` seconds; what it said last."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""
