"""Outlets (`python -m bench.outlets`): how many records a second they give out, and what that costs signalling.

First the records of a journal go through one outlet, in each form. Then two engines take the same calls in turns, one
of them with two outlets whose files last a second, and the processor time of their signalling processes per call is
compared: outlets read the journal in a process of their own, so the two should not differ by more than the rounds do.
Exit status 0: every answered call was given out once by each outlet, and signalling costs at most a tenth more.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from bench import processes
from bench.bindings import make_rows, write_callers, write_engine_table
from bench.sipp import SCENARIOS, SOCKET_BUFFER_BYTES
from engine.app.outlets_process import KeysOfTheMoment
from engine.calls.record import CallRecord, EntryKind
from engine.observe import logs
from engine.records.disk import Disk
from engine.records.frames import Header
from engine.records.journal import Journal
from engine.records.open_segment import Beginning
from engine.records.outlet_disk import OutletDisk
from engine.records.outlets import Outlet
from engine.records.sealed_record import RecordCodec
from engine.records.settings import OutletSettings, RecordSettings
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.signing import SigningKeys
from engine.sealing.tokens import LookupTokens

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
FIRST_MS = 1_790_000_000_000
ALLOWED = 1.1
READY_S = 30.0
TALK_S, PATIENCE_S = 1.0, 10.0
MOST_SECONDS = 120


def main() -> int:
    """The exit status."""
    options = argparse.ArgumentParser(prog="python -m bench.outlets", description=__doc__)
    options.add_argument("--records", type=int, default=200_000, help="of the first part")
    options.add_argument("--rate", type=int, default=300, help="calls/s of the second part; 0 leaves it out")
    options.add_argument("--seconds", type=int, default=15, help="of each load")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--ports", type=int, default=5220, help="the first of six UDP and TCP ports")
    asked = options.parse_args()
    logs.configure("warning", "console", "bench")
    with tempfile.TemporaryDirectory(prefix="mask700-outlets-") as work:
        _speed(Path(work) / "speed", asked.records)
        if not asked.rate:
            return 0
        if shutil.which("sipp") is None:
            print("there is no SIPp here", file=sys.stderr)
            return 1
        seconds = min(asked.seconds, MOST_SECONDS)
        return _cost(Path(work) / "cost", asked.ports, asked.rate, seconds, asked.rounds)


# --- how many records a second ---


def _speed(root: Path, count: int) -> None:
    keys = root / "keys"
    ring = KeyRing.open(keys, {})
    SigningKeys.open(keys, {})
    _make(root / "records", RecordCodec(Sealer(ring), LookupTokens(ring.lookup)), count)
    for settings in (
        OutletSettings("csv", format="csv"),
        OutletSettings("csv-clear", format="csv", numbers="clear"),
        OutletSettings("jsonl-clear", format="jsonl", numbers="clear"),
    ):
        outlet = Outlet(
            settings, "bench", root, root / "outlets", [root / "records"], KeysOfTheMoment(keys), OutletDisk()
        )
        began, cpu = time.perf_counter(), time.process_time()
        outlet.last()
        took, cpu = time.perf_counter() - began, time.process_time() - cpu
        status = outlet.status()
        if status.delivered != count:
            raise SystemExit(f"{status}: not all of {count} records")
        size = sum(path.stat().st_size for path in settings.drop(root).glob(f"*.{settings.format}"))
        print(
            f"{settings.format:5} {settings.numbers:6} {count / took:9,.0f} records/s "
            f"{cpu / count * 1e6:6.1f} µs of CPU and {size / count:.0f} bytes each",
            flush=True,
        )


def _make(directory: Path, codec: RecordCodec, count: int) -> None:
    journal = Journal([directory], RecordSettings(), Header(0, "bench", "bench", 1, 1), Beginning(), Disk())
    like = CallRecord(
        node="bench", tenant="default", binding_id="ab" * 12, model="AXB", direction="a_to_b", ring_ms=900,
        talk_ms=61_000, disposition="answered", reason="normal", released_by="caller", sip_status=200, q850_cause=16,
        in_trunk="pstn", out_trunk="pstn", source="127.0.0.1:5080",
    )  # fmt: skip
    for number in range(count):
        caller, setup = number % 20_000, FIRST_MS + 5 * number
        record = replace(
            like, record_id=f"{number:024x}", order_id=f"order-{number}", caller=f"+86138{caller:08d}",
            dialled=f"70010{caller:010d}", shown=f"70010{caller:010d}", callee=f"+86139{caller:08d}",
            setup_time=setup, ringing_time=setup + 100, answer_time=setup + 1000, release_time=setup + 62_000,
            a_call_id=f"{number}-4711@127.0.0.1", b_call_id=f"{number:016x}",
        )  # fmt: skip
        for kind in EntryKind:
            journal.append(kind, codec.encode(kind, record), record.record_id)
        if number % 2:
            journal.flush()
    if not journal.close():
        raise SystemExit(f"the records cannot be written: {journal.failed}")


# --- what it costs signalling ---


class _Engine:
    """One engine and its data."""

    def __init__(self, work: Path, port: int, callee: int, outlets: tuple[str, ...]) -> None:
        self.data = work / "var"
        self.port = port
        self.outlets = outlets
        self._control = f"{HOST}:{port + 1}"
        self._log = work / "log"
        overrides = {
            "data_dir": f'"{self.data}"',
            "sip.listen": f'["udp://{HOST}:{port}"]',
            "control.listen": f'"{self._control}"',
            "bindings.table": f'"{work.parent / "bindings.csv"}"',
            "trunks.pstn.next_hops": f'["udp://{HOST}:{callee}"]',
            **{f"outlets.{name}.rotate_s": "1" for name in outlets},
        }
        command = [
            sys.executable,
            "-m",
            "engine.cli.main",
            "serve",
            "--config",
            str(ROOT / "config/lab.toml"),
        ]
        for key, value in overrides.items():
            command += ["--set", f"{key}={value}"]
        work.mkdir(parents=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )

    def wait(self) -> None:
        """Until it takes calls."""
        if not processes.wait_until(READY_S, self._is_ready):
            raise SystemExit(f"the engine did not start: {self._log.read_text()[-2000:]}")

    def pids(self, module: str) -> list[int]:
        """Those of its processes that run this module."""
        return [
            pid
            for pid in processes.with_descendants(self._process.pid)
            if module.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        ]

    def stop(self) -> None:
        processes.stop(self._process, 30.0)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._control}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _cost(work: Path, ports: int, rate: int, seconds: int, rounds: int) -> int:
    rows = make_rows(20_000)
    work.mkdir()
    write_engine_table(work / "bindings.csv", rows)
    write_callers(work / "callers.csv", rows)
    callee, caller = ports + 4, ports + 5
    costs: dict[str, list[float]] = {"without": [], "with": []}
    given_out: list[float] = []
    made: Counter[str] = Counter()
    with ExitStack() as stack:
        engines = {
            "without": _Engine(work / "without", ports, callee, ()),
            "with": _Engine(work / "with", ports + 2, callee, ("one", "two")),
        }
        for engine in engines.values():
            stack.callback(engine.stop)
        for engine in engines.values():
            engine.wait()
        sipp = _sipp(work, "uas.xml", callee)
        stack.callback(processes.stop, sipp, 1.0)
        for round_ in range(rounds + 1):
            order = list(engines) if round_ % 2 else list(engines)[::-1]
            for name in order:
                engine = engines[name]
                signalling = engine.pids("engine.app.signalling")
                readers = engine.pids("engine.app.outlets_process")
                before, read = processes.cpu_time(signalling), processes.cpu_time(readers)
                calls = rate * (seconds if round_ else 3)
                _call(work, engine.port, caller, rate, calls)
                time.sleep(1.5)  # the last second's files
                made[name] += calls
                if round_:  # the first one only warms up
                    costs[name].append(processes.cpu_time(signalling).since(before).total / calls * 1e6)
                    if readers:
                        given_out.append(processes.cpu_time(readers).since(read).total / calls * 1e6)
    return _told(engines["with"], costs, given_out, made["with"])


def _told(engine: _Engine, costs: dict[str, list[float]], given_out: list[float], calls: int) -> int:
    """What came of it; the exit status."""
    good = True
    for name in engine.outlets:
        ids: Counter[str] = Counter()
        files = sorted((engine.data / "outlets" / name).glob("*.csv"))
        for path in files:
            with path.open(newline="", encoding="utf-8") as text:
                ids.update(
                    row["record_id"] for row in csv.DictReader(text) if row["disposition"] == "answered"
                )
        fits = len(ids) == calls and set(ids.values()) == {1}
        good &= fits
        print(
            f"outlet {name}: {len(ids)} of {calls} calls, each once, in {len(files)} files{'' if fits else ': NO'}"
        )
    for name, values in costs.items():
        print(f"signalling {name} outlets: {_spread(values)} µs of CPU a call")
    print(f"two outlets: {_spread(given_out)} µs of CPU a call, in a process of their own")
    ratio = statistics.median(
        loaded / alone for alone, loaded in zip(costs["without"], costs["with"], strict=True)
    )
    print(f"with ÷ without: {ratio:.3f} (allowed {ALLOWED})")
    return 0 if good and ratio <= ALLOWED else 1


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def _call(work: Path, port: int, own: int, rate: int, calls: int) -> None:
    sipp = _sipp(
        work,
        "uac.xml",
        own,
        f"{HOST}:{port}",
        "-inf",
        str(work / "callers.csv"),
        "-r",
        str(rate),
        "-m",
        str(calls),
    )
    try:
        if sipp.wait(calls / rate + TALK_S + PATIENCE_S):
            raise SystemExit("calls failed")
    finally:
        processes.stop(sipp, 1.0)


def _sipp(work: Path, scenario: str, port: int, *more: str) -> subprocess.Popen[bytes]:
    command = [
        *("sipp", "-sf", str(SCENARIOS / scenario), "-i", HOST, "-p", str(port), "-nostdin", "-l", "15000"),
        *("-buff_size", str(SOCKET_BUFFER_BYTES), *more),
    ]
    return subprocess.Popen(
        command, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "TERM": "dumb"},
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
