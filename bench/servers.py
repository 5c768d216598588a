"""The servers that are measured: how each is started, on which ports, and how its work is proved.

Every server takes calls on a UDP port of its own, sends them on to the one callee, and keeps running for the whole
bench, so that all of them are warm. The ports keep clear of the lab's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bench import compiled, processes
from bench.bindings import Row, write_engine_table, write_kamailio_table
from bench.processes import CpuTime
from engine.records.frames import Kind, read_segment, segment_files

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CALLEE_PORT = 5190
CALLER_PORT = 5170
PROBER_PORT = 5171
RELAY_PORT, RELAY_PROBER_PORT = 5160, 5165
START_TIMEOUT_S = 20.0
# Kamailio's pools: of its defaults (64 MiB, 8 MiB) the first is full after 1,400 calls within a few seconds.
KAMAILIO_SHARED_MIB, KAMAILIO_PRIVATE_MIB = 1024, 32

NAMES = ("relay", "kamailio", "kamailio-fm", "engine", "compiled")


class NotAvailable(Exception):
    """This server cannot be measured here; the message says why."""


@dataclass(slots=True)
class Server:
    """A running server."""

    name: str
    title: str
    port: int
    """Where SIPp sends to."""
    prober_port: int
    """Where the prober sends to; the same but for the relay, which cannot tell two callers on one socket apart."""
    masks: bool
    """Whether the callee must see the 700 number."""
    process: subprocess.Popen[bytes]
    log: Path
    count_records: Callable[[], int] | None = None
    """How many records of calls lie on disk; two for each answered call."""
    pids: list[int] = field(default_factory=list)

    def cpu(self) -> CpuTime:
        """CPU of all its processes since they started."""
        return processes.cpu_time(self.pids)

    def memory_mib(self) -> float:
        """Memory of all its processes."""
        return processes.memory_mib(self.pids)

    def stop(self) -> None:
        """End it."""
        processes.stop(self.process)


def start(name: str, work: Path, rows: list[Row]) -> Server:
    """Start the server called `name` with its files below `work`; raises NotAvailable."""
    directory = work / name
    directory.mkdir(parents=True)
    starters: dict[str, Callable[[], Server]] = {
        "relay": lambda: _relay(directory),
        "kamailio": lambda: _kamailio(directory, rows, name, "Kamailio 5.6, Debian's defaults", 5161, ()),
        "kamailio-fm": lambda: _kamailio(directory, rows, name, "Kamailio 5.6, -x fm", 5162, ("-x", "fm")),
        "engine": lambda: _engine(directory, rows, name, "engine", 5163, 5180, Path(sys.executable), {}),
        "compiled": lambda: _compiled_engine(directory, rows, name),
    }
    return starters[name]()


def _relay(directory: Path) -> Server:
    compiler = shutil.which("cc")
    arguments = [str(port) for port in (CALLEE_PORT, RELAY_PORT, RELAY_PROBER_PORT)]
    if compiler:
        binary = directory / "relay"
        subprocess.run([compiler, "-O2", "-o", str(binary), str(HERE / "relay.c")], check=True)
        title, command = "relay floor, C", [str(binary), *arguments]
    else:
        title, command = (
            "relay floor, Python (no cc here)",
            [sys.executable, str(HERE / "relay.py"), *arguments],
        )
    server = _launch("relay", title, RELAY_PORT, False, command, directory, {})
    server.prober_port = RELAY_PROBER_PORT
    _await_port(server)
    return server


def _kamailio(
    directory: Path, rows: list[Row], name: str, title: str, port: int, options: tuple[str, ...]
) -> Server:
    binary = shutil.which("kamailio", path=os.environ.get("PATH", "") + ":/usr/sbin")
    if binary is None:
        raise NotAvailable("kamailio is not installed (Debian packages kamailio and kamailio-extra-modules)")
    table, records = directory / "table", directory / "records"
    write_kamailio_table(table, rows)
    records.mkdir()
    defines = {
        "LISTEN": f"udp:127.0.0.1:{port}",
        "NEXT_HOP": f'"127.0.0.1:{CALLEE_PORT}"',
        "TABLE_URL": f'"text://{table}"',
        "RECORDS_URL": f'"flatstore:{records}"',
    }
    command = [binary, "-DD", "-E", "-m", str(KAMAILIO_SHARED_MIB), "-M", str(KAMAILIO_PRIVATE_MIB), *options]
    command += ["-f", str(HERE / "kamailio.cfg"), "-Y", str(directory)]
    for define, value in defines.items():
        command += ["-A", f"{define}={value}"]
    server = _launch(name, title, port, True, command, directory, {})
    server.count_records = lambda: _lines_below(records)
    _await_port(server)
    return server


def _engine(
    directory: Path,
    rows: list[Row],
    name: str,
    title: str,
    port: int,
    control_port: int,
    python: Path,
    environment: dict[str, str],
) -> Server:
    config = ROOT / "config" / "lab.toml"
    table, data = directory / "bindings.csv", directory / "var"
    write_engine_table(table, rows)
    overrides = {
        "data_dir": f'"{data}"',
        "sip.listen": f'["udp://127.0.0.1:{port}"]',
        "control.listen": f'"127.0.0.1:{control_port}"',
        "bindings.table": f'"{table}"',
        "trunks.pstn.next_hops": f'["udp://127.0.0.1:{CALLEE_PORT}"]',
    }
    main = "import sys; from engine.cli.main import main; sys.exit(main())"
    command = [str(python), "-c", main, "serve", "--config", str(config)]
    for key, value in overrides.items():
        command += ["--set", f"{key}={value}"]
    # PYTHONSAFEPATH: the working directory must never decide which copy of the package runs.
    server = _launch(name, title, port, True, command, directory, {"PYTHONSAFEPATH": "1", **environment})
    server.count_records = lambda: _entries_below(data / "records")
    _await_port(server)
    if not processes.wait_until(START_TIMEOUT_S, lambda: _is_ready(control_port)):
        server.stop()
        raise NotAvailable(f"the engine did not become ready: {last_words(server.log)}")
    server.pids = processes.with_descendants(server.process.pid)
    return server


def _compiled_engine(directory: Path, rows: list[Row], name: str) -> Server:
    try:
        built = compiled.build()
    except compiled.CannotCompile as problem:
        raise NotAvailable(str(problem)) from problem
    title = f"engine, {len(built.compiled)} of {len(built.compiled) + len(built.interpreted)} pure modules compiled"
    server = _engine(directory, rows, name, title, 5164, 5181, built.python, {})
    if not processes.maps_file(server.pids, str(built.package)):
        server.stop()
        raise NotAvailable(f"the processes do not run the modules compiled in {built.package}")
    return server


def _launch(
    name: str,
    title: str,
    port: int,
    masks: bool,
    command: list[str],
    directory: Path,
    environment: dict[str, str],
) -> Server:
    if processes.udp_port_is_bound(port):
        raise NotAvailable(f"UDP port {port} is in use")
    log = directory / "log"
    with log.open("wb") as output:
        # A session of its own, so that its whole group can be ended and no Ctrl-C reaches it.
        process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    return Server(name, title, port, port, masks, process, log)


def _await_port(server: Server) -> None:
    ended = server.process.poll
    up = processes.wait_until(
        START_TIMEOUT_S, lambda: ended() is not None or processes.udp_port_is_bound(server.port)
    )
    if not up or ended() is not None:
        server.stop()
        raise NotAvailable(f"{server.title} did not start: {last_words(server.log)}")
    server.pids = processes.with_descendants(server.process.pid)


def _is_ready(control_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{control_port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def last_words(log: Path) -> str:
    """The end of a server's log, for an error message."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    return " | ".join(line for line in lines if line.strip())[-600:] or "it said nothing"


def _entries_below(directory: Path) -> int:
    return sum(
        entry.kind in (Kind.START, Kind.END)
        for file in segment_files([directory])
        for frame in read_segment(file.path)
        for entry in frame.entries
    )


def _lines_below(directory: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in directory.rglob("*") if path.is_file())
