"""Run as a process: loads tables in children that die in the middle, and tells what each death left behind.

`python -m tests.stores.crash_points DIRECTORY` prints one JSON list; of each load: how the child ended,
and whether the table then in force was the old or the new one. A child dies at a chosen call of Python's,
or by the alarm clock wherever it then is, inside LMDB too.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path
from types import FrameType

from engine.numbering.binding import NumberBinding
from engine.stores import generations
from engine.stores.table_lmdb import BindingTable
from tests.stores.tables import SEALER, TOKENS, axb, bare, load, written

ROWS = 400


def main(data_dir: Path) -> None:
    random.seed(7)
    bindings = {
        parity: [axb(index % 40, 2 * index + parity, 2 * index + 90_000) for index in range(ROWS)]
        for parity in (0, 1)
    }
    tables = {parity: written(data_dir / f"table-{parity}.csv", rows) for parity, rows in bindings.items()}
    load(data_dir, tables[0])
    calls = count_calls(data_dir, tables[1])
    in_force = 1
    last_steps = range(max(0, calls - 160), calls, 4)  # sync, rename, switch, sweep
    points = [*random.sample(range(calls), 25), *last_steps, calls + 1000]
    deaths: list[tuple[str, float]] = [("call", point) for point in points]
    deaths += [("alarm", random.uniform(0.001, 0.06)) for _ in range(25)]
    outcome: list[list[object]] = []
    for how, point in deaths:
        new = 1 - in_force
        ended = child(data_dir, tables[new], how, point)
        found = content(data_dir)
        if found not in bindings.values():
            raise SystemExit(f"after {how} {point} neither table is in force")
        state = "new" if found == bindings[new] else "old"
        in_force = new if state == "new" else in_force
        outcome.append([how, ended, state])
    load(data_dir, tables[1 - in_force])
    files = sorted(os.listdir(generations.bindings_dir(data_dir)))
    print(
        json.dumps({"outcome": outcome, "files": files, "current": generations.current_generation(data_dir)})
    )


def content(data_dir: Path) -> list[NumberBinding]:
    table = BindingTable.open(data_dir, SEALER, TOKENS)
    rows = sorted((bare(binding) for binding in table.rows()), key=lambda one: one.b.digits if one.b else "")
    table.close()
    return rows


def child(data_dir: Path, table: Path, how: str, point: float) -> str:
    """Load in a child; "killed" or "finished"."""
    process = os.fork()
    if process == 0:
        if how == "alarm":
            signal.setitimer(signal.ITIMER_REAL, point)
        else:
            sys.setprofile(DieAt(int(point)))
        load(data_dir, table)
        sys.setprofile(None)
        os._exit(0)
    status = os.waitpid(process, 0)[1]
    if os.WIFSIGNALED(status):
        return "killed"
    if os.WEXITSTATUS(status) != 0:
        raise SystemExit(f"the load failed by itself ({how} {point})")
    return "finished"


def count_calls(data_dir: Path, table: Path) -> int:
    counter = DieAt(-1)
    sys.setprofile(counter)
    load(data_dir, table)
    sys.setprofile(None)
    return counter.calls


class DieAt:
    """A profile function that ends the process without a word when the chosen call is about to be made."""

    def __init__(self, point: int) -> None:
        self.calls = 0
        self.point = point

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event == "c_call":
            if self.calls == self.point:
                os.kill(os.getpid(), signal.SIGKILL)
            self.calls += 1


if __name__ == "__main__":
    main(Path(sys.argv[1]))
