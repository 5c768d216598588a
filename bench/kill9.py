"""An engine that is killed under load, again and again, and what its records say afterwards (`python -m bench.kill9`).

SIPp calls through the engine without a break, while the whole engine (control and signalling process) is ended by
SIGKILL and started again at once; or by SIGTERM, after which it is awaited. Both SIPps write down every message. In the
end the journal is compared with what they saw: every call that both sides saw answered must have one record, and both
legs of each interrupted one a BYE.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from dataclasses import dataclass, fields
from pathlib import Path

from bench import processes
from bench.bindings import make_rows, write_callers, write_engine_table
from bench.sipp import SCENARIOS, SOCKET_BUFFER_BYTES
from engine.records.frames import Kind, read_segment, segment_files
from engine.records.sealed_record import RecordCodec
from engine.sealing.cipher import Sealer
from engine.sealing.keys import KeyRing
from engine.sealing.tokens import LookupTokens

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
READY_S = 30.0
DRAIN_S = 40.0
PATIENCE_S = (
    8.0  # with calls that rang when the engine died: nobody tells them anything, and SIPp waits for ever
)


@dataclass(slots=True)
class Counts:
    """What happened. The last four must be 0."""

    kills: int = 0
    slowest_restart_ms: int = 0  # from the kill until calls are taken again
    attempts: int = 0  # Call-IDs of the caller
    answered_by_both: int = 0  # the caller saw 200, and the callee sent it
    records: int = 0  # of answered and interrupted calls
    answered: int = 0
    interrupted: int = 0
    answered_unheard: int = 0  # interrupted before the caller had its 200: the record is there all the same
    byes_to_callers: int = 0  # of the interrupted calls
    byes_to_callees: int = 0
    without_record: int = 0
    doubles: int = 0
    callers_without_bye: int = 0
    callees_without_bye: int = 0

    @property
    def faults(self) -> int:
        return self.without_record + self.doubles + self.callers_without_bye + self.callees_without_bye


@dataclass(slots=True, frozen=True)
class Plan:
    """`ports`: the first of five: engine, control, caller, callee, and one that stays free."""

    kills: int = 10
    rate: int = 300
    between_s: float = 4.0
    talk_s: float = 3.0
    ports: int = 5200
    gracefully: bool = False


def run(plan: Plan, work: Path) -> Counts:
    """Everything, in files below `work`."""
    rows = make_rows(100_000)
    write_engine_table(work / "bindings.csv", rows)
    write_callers(work / "callers.csv", rows)
    engine = _Engine(plan, work)
    counts = Counts(kills=plan.kills)
    callee = caller = None
    try:
        engine.start()
        callee = _sipp(work, "callee", "uas.xml", plan, plan.ports + 3)
        processes.wait_until(5.0, lambda: processes.udp_port_is_bound(plan.ports + 3))
        wanted = round(plan.rate * plan.between_s * (plan.kills + 1))
        caller = _sipp(
            work, "caller", "uac.xml", plan, plan.ports + 2,
            *(f"{HOST}:{plan.ports}", "-inf", str(work / "callers.csv"), "-r", str(plan.rate), "-m", str(wanted)),
        )  # fmt: skip
        for _ in range(plan.kills):
            time.sleep(plan.between_s)
            began = time.monotonic()
            engine.end(gracefully=plan.gracefully)
            engine.start()
            counts.slowest_restart_ms = max(
                counts.slowest_restart_ms, round((time.monotonic() - began) * 1000)
            )
        try:
            caller.wait(plan.between_s + plan.talk_s + PATIENCE_S)
        except subprocess.TimeoutExpired:
            processes.stop(caller, 1.0)
        engine.end(gracefully=True)
    finally:
        engine.end(gracefully=False)
        for process in (caller, callee):
            if process is not None:
                processes.stop(process, 1.0)
    _compare(counts, work, engine.data)
    return counts


class _Engine:
    def __init__(self, plan: Plan, work: Path) -> None:
        self.data = work / "var"
        self._control = f"{HOST}:{plan.ports + 1}"
        self._log = work / "engine.log"
        overrides = {
            "data_dir": f'"{self.data}"',
            "sip.listen": f'["udp://{HOST}:{plan.ports}"]',
            "control.listen": f'"{self._control}"',
            "control.drain_timeout_s": f"{DRAIN_S:.0f}",
            "bindings.table": f'"{work / "bindings.csv"}"',
            "trunks.pstn.next_hops": f'["udp://{HOST}:{plan.ports + 3}"]',
            "trunks.pstn.probe_interval_s": "0",
        }
        self._command = [
            sys.executable,
            "-m",
            "engine.cli.main",
            "serve",
            "--config",
            str(ROOT / "config/lab.toml"),
        ]
        for key, value in overrides.items():
            self._command += ["--set", f"{key}={value}"]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes calls."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not processes.wait_until(READY_S, self._is_ready):
            raise RuntimeError(f"the engine did not start, see {self._log}")

    def end(self, *, gracefully: bool) -> None:
        """Of both of its processes, which are the group that `start` made."""
        process, self._process = self._process, None
        if process is None:
            return
        if gracefully:
            process.send_signal(signal.SIGTERM)
            process.wait(DRAIN_S + 15)
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self._control}/readyz", timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def _sipp(work: Path, name: str, scenario: str, plan: Plan, port: int, *more: str) -> subprocess.Popen[bytes]:
    directory = work / name
    directory.mkdir()
    text = (SCENARIOS / scenario).read_text(encoding="utf-8")
    talk = f'<pause milliseconds="{round(plan.talk_s * 1000)}"/>'
    (directory / scenario).write_text(text.replace('<pause milliseconds="1000"/>', talk), encoding="utf-8")
    command = [
        *("sipp", "-sf", scenario, "-i", HOST, "-p", str(port), "-nostdin", "-l", "30000"),
        *("-trace_shortmsg", "-shortmessage_file", "messages", "-shortmessage_overwrite", "false"),
        *("-buff_size", str(SOCKET_BUFFER_BYTES), *more),
    ]
    with (directory / "screen").open("wb") as screen:
        return subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=screen,
            stderr=screen,
            start_new_session=True,
        )


def _compare(counts: Counts, work: Path, data: Path) -> None:
    sent, received = _messages(work / "caller" / "messages")
    counts.attempts = len(sent["INVITE"])
    heard = received["200 INVITE"]
    callee_sent, callee_received = _messages(work / "callee" / "messages")
    keys = KeyRing.open(data / "keys", {}, create=False)
    codec = RecordCodec(Sealer(keys), LookupTokens(keys.lookup))
    by_caller: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    for file in segment_files([data / "records"]):
        for frame in read_segment(file.path):
            for entry in frame.entries:
                if entry.kind != Kind.END:
                    continue
                record = codec.open(codec.parse(entry.data))
                ids[str(record["record_id"])] += 1
                if record["disposition"] not in ("answered", "interrupted"):
                    continue
                counts.records += 1
                a_leg, b_leg = str(record["a_call_id"]), str(record["b_call_id"])
                by_caller[a_leg] += 1
                if a_leg in heard and b_leg in callee_sent["200 INVITE"]:
                    counts.answered_by_both += 1
                if record["disposition"] == "answered":
                    counts.answered += 1
                    continue
                counts.interrupted += 1
                counts.answered_unheard += a_leg not in heard
                counts.byes_to_callers += a_leg in received["BYE"]
                counts.byes_to_callees += b_leg in callee_received["BYE"]
    counts.without_record = len(heard - by_caller.keys())
    counts.doubles = sum(number - 1 for number in by_caller.values()) + sum(
        number - 1 for number in ids.values()
    )
    counts.callers_without_bye = counts.interrupted - counts.byes_to_callers
    counts.callees_without_bye = counts.interrupted - counts.byes_to_callees


class _Seen(dict[str, set[str]]):
    """Call-IDs by "METHOD", or "STATUS METHOD" of answers."""

    def __missing__(self, key: str) -> set[str]:
        self[key] = set()
        return self[key]


def _messages(path: Path) -> tuple[_Seen, _Seen]:
    """Sent, and received, of SIPp's short messages: time, S or R, Call-ID, CSeq, first line."""
    sent, received = _Seen(), _Seen()
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            parts = line.rstrip("\n").split("\t")
            if len(parts) < 5:
                continue
            direction, call_id, cseq, first = parts[-4:]
            method = cseq.rpartition(" ")[2]
            words = first.split()
            if not words:
                continue
            what = f"{words[1]} {method}" if words[0] == "SIP/2.0" else words[0]
            (sent if direction == "S" else received)[what].add(call_id)
    return sent, received


def main() -> int:
    """0 when nothing was lost, doubled or left talking."""
    default = Plan()
    parser = argparse.ArgumentParser(prog="python -m bench.kill9", description=__doc__)
    parser.add_argument("--kills", type=int, default=default.kills)
    parser.add_argument("--rate", type=int, default=default.rate, help="calls/s")
    parser.add_argument("--between", type=float, default=default.between_s, help="seconds between two kills")
    parser.add_argument("--talk", type=float, default=default.talk_s, help="seconds that each call lasts")
    parser.add_argument(
        "--ports", type=int, default=default.ports, help="the first of five UDP and TCP ports"
    )
    parser.add_argument(
        "--term", action="store_true", help="SIGTERM, and wait for the drain, instead of SIGKILL"
    )
    parser.add_argument("--keep", type=Path, help="a directory for all files, which stays")
    asked = parser.parse_args()
    if shutil.which("sipp") is None:
        print("there is no SIPp here", file=sys.stderr)
        return 1
    plan = Plan(asked.kills, asked.rate, asked.between, asked.talk, asked.ports, asked.term)
    if asked.keep is not None:
        asked.keep.mkdir(parents=True)
        counts = run(plan, asked.keep)
    else:
        with tempfile.TemporaryDirectory(prefix="mask700-kill9-") as work:
            counts = run(plan, Path(work))
    for field in fields(counts):
        print(f"{field.name.replace('_', ' '):22} {getattr(counts, field.name):>9,}")
    return 1 if counts.faults or (plan.gracefully and counts.interrupted) else 0


if __name__ == "__main__":
    sys.exit(main())
