"""`python -m bench`: the engine beside its peers, one load, one run, one table."""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from bench import servers, sipp
from bench.bindings import make_rows, write_callers
from bench.measure import NotMasked, measure_all, prove
from bench.report import BASELINE, as_json, lines_of, notes_of, table_of
from bench.servers import HERE, NAMES, NotAvailable, Server

BINDINGS = 20_000
# Beyond these a run is no bench any more.
MOST_RATE, MOST_SECONDS, MOST_ROUNDS = 5_000, 120.0, 20


def main() -> int:
    """Exit status 0: everything asked for was measured (and within --max-ratio); 1: not; 2: bad usage."""
    asked = _arguments()
    # Ended from outside, the servers must not stay.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    screen = Console(stderr=asked.json, width=None if sys.stdout.isatty() else 170)
    if not sipp.is_installed():
        screen.print("SIPp is not installed (Debian package sip-tester).")
        return 1
    work = Path(tempfile.mkdtemp(prefix="mask700-bench-"))
    try:
        return _bench(asked, work, screen)
    finally:
        if asked.keep:
            screen.print(f"Logs, tables and records are in {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def _bench(asked: argparse.Namespace, work: Path, screen: Console) -> int:
    rows = make_rows(BINDINGS)
    callers = work / "callers.csv"
    # The last rows are the prober's.
    write_callers(callers, rows[:-200])
    load = sipp.Load(work / "sipp", callers)
    running: list[Server] = []
    missing: dict[str, str] = {}
    try:
        with screen.status("starting") as status:
            for name in asked.servers:
                status.update(f"starting and trying {name}")
                try:
                    server = servers.start(name, work, rows)
                    running.append(server)
                    prove(server, load, rows)
                except (NotAvailable, NotMasked) as problem:
                    missing[name] = str(problem)
                    running = [server for server in running if not _stopped(server, name)]
            if not running:
                run = None
            else:
                run = measure_all(
                    running, load, rows, asked.rates, asked.seconds, asked.rounds, asked.settle, status.update
                )
    finally:
        for server in running:
            server.stop()
    if run is None:
        for name, why in missing.items():
            screen.print(f"Not measured: {name}: {why}", markup=False)
        return 1
    titles = {server.name: server.title for server in running}
    screen.print(table_of(run, titles))
    for note in notes_of(run, titles, missing):
        screen.print(f"• {note}", markup=False)
    said = as_json(run, titles, missing, _plain(asked))
    if asked.json:
        print(json.dumps(said))
    if asked.save:
        _save(asked.save, said, screen)
    engine = [line for line in lines_of(run) if line.server == "engine" and line.to_kamailio is not None]
    too_slow = asked.max_ratio is not None and any(
        (line.to_kamailio or 0.0) > asked.max_ratio for line in engine
    )
    return 1 if missing or too_slow else 0


def _stopped(server: Server, name: str) -> bool:
    if server.name == name:
        server.stop()
    return server.name == name


def _save(name: str, said: dict[str, object], screen: Console) -> None:
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    path = results / f"{name}.json"
    path.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    screen.print(f"Saved in {path}")


def _plain(asked: argparse.Namespace) -> dict[str, object]:
    return {
        key: value for key, value in vars(asked).items() if key in {"rates", "seconds", "rounds", "servers"}
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rates", default="300,1000,1500", type=_rates, help="calls/s, comma-separated")
    parser.add_argument("--seconds", default=6.0, type=float, help="length of one load")
    parser.add_argument("--rounds", default=3, type=int, help="how often each server gets each load")
    parser.add_argument("--servers", default=",".join(NAMES), type=_servers, help=f"of {', '.join(NAMES)}")
    parser.add_argument(
        "--max-ratio", type=float, help=f"exit 1 if the engine's CPU is more than this × {BASELINE}'s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON value on stdout, the table on stderr")
    parser.add_argument("--save", metavar="NAME", help="also write bench/results/NAME.json")
    parser.add_argument("--keep", action="store_true", help="keep the servers' logs and tables")
    parser.add_argument(
        "--no-settle",
        dest="settle",
        action="store_false",
        help="do not wait for the timers after the last load",
    )
    asked = parser.parse_args()
    if not (1 <= asked.seconds <= MOST_SECONDS and 1 <= asked.rounds <= MOST_ROUNDS):
        parser.error(f"--seconds is 1 to {MOST_SECONDS:.0f}, --rounds 1 to {MOST_ROUNDS}")
    return asked


def _rates(text: str) -> list[int]:
    rates = [int(part) for part in text.split(",")]
    if not all(50 <= rate <= MOST_RATE for rate in rates):
        raise argparse.ArgumentTypeError(f"a rate is 50 to {MOST_RATE} calls/s")
    return rates


def _servers(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no server {unknown[0]!r}; there are {', '.join(NAMES)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
