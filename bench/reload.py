"""Reloads under load (`python -m bench.reload`): 100,000 rows exchanged under 300 calls/s, and an equal run without.

A pinger sends the engine an OPTIONS every few milliseconds and notes how long each answer took, so a pause of the
signalling process shows whatever else happens. The longest answer of the run with reloads may take 50 ms more than the
longest of the run without, and no call may fail. Exit status 0: so it was.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from bench import servers
from bench.bindings import Row, make_rows, write_callers, write_engine_table
from bench.pinger import Pinger
from bench.servers import Server
from bench.sipp import Load, Outcome

ROWS = 100_000
CHANGED_EVERY = 100  # every so manieth binding has another callee in the second table
CALLING_ROWS = 20_000  # whose bindings the reloads leave alone
ALLOWED_MS = 50.0
MOST_SECONDS = 600


@dataclass(slots=True)
class Reloads:
    """What became of the reloads of one run: how long each took, from the command's start to its end; what failed."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Result:
    """One run."""

    outcome: Outcome
    answers_ms: list[float]
    unanswered: int

    @property
    def longest_ms(self) -> float:
        return max(self.answers_ms)


def main() -> int:
    """Print both runs and the difference."""
    parser = argparse.ArgumentParser(prog="python -m bench.reload", description=__doc__)
    parser.add_argument("--rate", type=int, default=300, help="calls per second")
    parser.add_argument("--seconds", type=int, default=60, help="of each run")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two reloads")
    parser.add_argument("--interval", type=float, default=0.004, help="seconds between two pings")
    asked = parser.parse_args()
    seconds = min(asked.seconds, MOST_SECONDS)
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mask700-reload-")))
        rows = make_rows(ROWS)
        callers = work / "callers.csv"
        write_callers(callers, rows[:CALLING_ROWS])
        server = servers.start("engine", work, rows)
        stack.callback(server.stop)
        load = Load(work / "sipp", callers)
        load.run(server.port, asked.rate, 3)  # warm
        without = _run(server, load, asked.rate, seconds, asked.interval)
        _show("without a reload", without)
        reloads = Reloads()
        with _reloading(work, rows, asked.every, reloads):
            during = _run(server, load, asked.rate, seconds, asked.interval)
        _show("with reloads", during)
    for failure in reloads.failures:
        print(f"  a reload failed: {failure}")
    longer = during.longest_ms - without.longest_ms
    print(
        f"{len(reloads.seconds)} reloads of {ROWS} rows, {max(reloads.seconds):.1f} s at most each; "
        f"the longest pause is {longer:+.1f} ms longer (allowed {ALLOWED_MS:.0f})"
    )
    good = not reloads.failures and during.outcome.failed == 0 and longer <= ALLOWED_MS
    return 0 if good and during.unanswered == 0 else 1


def _run(server: Server, load: Load, rate: int, seconds: int, interval_s: float) -> Result:
    with Pinger(server.port, interval_s) as pinger:
        outcome = load.run(server.port, rate, seconds)
    return Result(outcome, pinger.answers_ms, pinger.unanswered)


def _show(title: str, result: Result) -> None:
    answers = sorted(result.answers_ms)
    outcome = result.outcome
    worst = ", ".join(f"{one:.1f}" for one in answers[-5:])
    print(
        f"{title}: {outcome.wanted} calls, {outcome.failed} failed, {outcome.retransmissions} retransmissions; "
        f"{len(answers)} pings, {result.unanswered} unanswered, median {answers[len(answers) // 2]:.2f} ms, "
        f"p99.9 {answers[len(answers) * 999 // 1000]:.1f} ms, longest {worst} ms",
        flush=True,
    )


@contextmanager
def _reloading(work: Path, rows: list[Row], every_s: float, reloads: Reloads) -> Iterator[None]:
    """Exchange the table again and again beside what runs inside."""
    calm = rows[:CALLING_ROWS]
    restless = [
        replace(row, b=rows[number - 1].b) if number % CHANGED_EVERY == 0 else row
        for number, row in enumerate(rows[CALLING_ROWS:], start=CALLING_ROWS)
    ]
    tables = [work / "one.csv", work / "other.csv"]
    write_engine_table(tables[0], rows)
    write_engine_table(tables[1], [*calm, *restless])
    over = threading.Event()

    def reload_until_over() -> None:
        number = 0
        while not over.wait(every_s):
            number += 1
            _reload(work / "engine", tables[number % 2], reloads)

    thread = threading.Thread(target=reload_until_over, name="reloader", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _reload(directory: Path, table: Path, reloads: Reloads) -> None:
    """As an operator does it: put the new table where the old one was, and say so."""
    fresh = directory / "bindings.csv.new"
    shutil.copyfile(table, fresh)
    os.replace(fresh, directory / "bindings.csv")
    command = [sys.executable, "-m", "engine.cli.main", "bindings", "reload"]
    command += ["--config", str(servers.ROOT / "config" / "lab.toml")]
    command += ["--set", f'data_dir="{directory / "var"}"']
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=servers.ROOT)
    reloads.seconds.append(time.monotonic() - began)
    if done.returncode != 0:
        reloads.failures.append(done.stderr.strip() or done.stdout.strip())


if __name__ == "__main__":
    sys.exit(main())
