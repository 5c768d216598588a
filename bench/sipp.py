"""SIPp on both sides of a server: one load, its outcome read from SIPp's own statistics."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from bench import processes
from bench.servers import CALLEE_PORT, CALLER_PORT, HERE

SOCKET_BUFFER_BYTES = 4 << 20
TALK_S = 1.0
# How long the caller may go on after its last call should have ended (an INVITE is repeated after 0.5, 1, 2 … s).
PATIENCE_S = 8.0
# More calls than this at once need more open files than a common limit allows; 1,500 calls/s hold about 1,500.
MOST_CALLS_AT_ONCE = 15_000
SCENARIOS = HERE / "scenarios"


@dataclass(slots=True, frozen=True)
class Outcome:
    """What SIPp says about one load."""

    wanted: int
    """calls that the caller was told to make"""
    successful: int
    """calls that ran to the end of the caller's scenario"""
    retransmissions: int
    """of both sides"""
    calls_per_s: float
    """the rate really made, from the caller's first call to its last"""

    @property
    def failed(self) -> int:
        """Calls that failed, or were still going on when patience ended."""
        return self.wanted - self.successful


class SippFailed(Exception):
    """SIPp itself could not do its work; the message says why."""


def is_installed() -> bool:
    """Whether there is a SIPp here."""
    return shutil.which("sipp") is not None


class Load:
    """SIPp in a directory of its own, one run at a time."""

    def __init__(self, directory: Path, callers: Path) -> None:
        """`callers`: the -inf file."""
        self._directory = directory
        self._callers = callers
        self._callee_directory = directory / "callee"

    def run(
        self,
        port: int,
        rate: int,
        seconds: float,
        *,
        beside: AbstractContextManager[object] | None = None,
        trace: bool = False,
    ) -> Outcome:
        """Offer `rate` calls/s for `seconds` to 127.0.0.1:`port`; returns when the last call has ended.

        `beside` is entered once the callee is up and left before it goes. `trace` writes the callee's messages to a
        file (see `callee_messages`); for a few calls only.
        """
        wanted = max(1, round(rate * seconds))
        callee = self._start_callee(trace)
        caller_directory = self._fresh("caller")
        command = [
            *("sipp", f"127.0.0.1:{port}", "-sf", str(SCENARIOS / "uac.xml"), "-inf", str(self._callers)),
            *("-i", "127.0.0.1", "-p", str(CALLER_PORT), "-r", str(rate), "-m", str(wanted)),
            *("-l", str(MOST_CALLS_AT_ONCE), *_options()),
        ]
        try:
            with beside or nullcontext():
                began = time.monotonic()
                _run(command, caller_directory, wanted / rate + TALK_S + PATIENCE_S)
                elapsed = time.monotonic() - began
        finally:
            _quit(callee)
        said, heard = _statistics(caller_directory), _statistics(self._callee_directory)
        return Outcome(
            wanted=wanted,
            successful=said["SuccessfulCall(C)"],
            retransmissions=said["Retransmissions(C)"] + heard["Retransmissions(C)"],
            calls_per_s=wanted / max(elapsed - TALK_S, 0.001),
        )

    def callee_messages(self) -> str:
        """Every message that the callee saw and sent in the last traced run."""
        return (self._callee_directory / "messages").read_text(encoding="utf-8", errors="replace")

    def _start_callee(self, trace: bool) -> subprocess.Popen[bytes]:
        directory = self._fresh("callee")
        command = [
            "sipp",
            "-sf",
            str(SCENARIOS / "uas.xml"),
            "-i",
            "127.0.0.1",
            "-p",
            str(CALLEE_PORT),
            *_options(),
        ]
        if trace:
            command += ["-trace_msg", "-message_file", str(directory / "messages")]
        callee = _launch(command, directory)
        if not processes.wait_until(5.0, lambda: processes.udp_port_is_bound(CALLEE_PORT)):
            _quit(callee)
            raise SippFailed(
                f"the callee did not start: {(directory / 'screen').read_text(errors='replace')[-500:]}"
            )
        return callee

    def _fresh(self, name: str) -> Path:
        directory = self._directory / name
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        return directory


def _options() -> tuple[str, ...]:
    return (
        *("-nostdin", "-trace_stat", "-stf", "statistics", "-fd", "1"),
        *("-buff_size", str(SOCKET_BUFFER_BYTES)),
    )


def _launch(command: list[str], directory: Path) -> subprocess.Popen[bytes]:
    with (directory / "screen").open("wb") as screen:
        return subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _run(command: list[str], directory: Path, patience_s: float) -> None:
    process = _launch(command, directory)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        _quit(process)


def _quit(process: subprocess.Popen[bytes]) -> None:
    """End a SIPp so that it still writes its last statistics: the first SIGUSR1 lets calls end, the second does not."""
    for _ in range(2):
        if process.poll() is None:
            process.send_signal(signal.SIGUSR1)
            try:
                process.wait(1.5)
            except subprocess.TimeoutExpired:
                continue
    processes.stop(process, 1.0)


def _statistics(directory: Path) -> dict[str, int]:
    """The counters that are numbers in the last line of SIPp's statistics file."""
    path = directory / "statistics"
    rows = list(csv.DictReader(path.open(encoding="utf-8"), delimiter=";")) if path.exists() else []
    if not rows:
        raise SippFailed((directory / "screen").read_text(encoding="utf-8", errors="replace")[-500:])
    return {
        name: int(value) for name, value in rows[-1].items() if isinstance(value, str) and value.isdigit()
    }
