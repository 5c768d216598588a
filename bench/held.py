"""10,000 calls held at once (`python -m bench.held`): all stand together, all end well, what a standing call costs.

The lab's load flow, with its checks on both sides and of every record. Exit status 0: every call passed and all of
them stood at once.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from bench.engine_state import signalling_pids, total
from engine.lab.figures import Figures
from engine.lab.flow import Flow, load_flow
from tests.flows.stage import SCENARIOS, Stage

MOST_CALLS = 100_000


@dataclass(slots=True)
class Watch:
    """Looks at the engine every time the lab reports progress."""

    control: str
    most_calls: int = 0
    memory_mib: list[float] = field(default_factory=list)

    def __call__(self, flow: Flow, figures: Figures) -> None:
        pids = signalling_pids()
        if not pids:
            return
        self.most_calls = max(self.most_calls, round(total(self.control, "mask700_calls_active")))
        self.memory_mib.append(processes.memory_mib(pids))


def main() -> int:
    """Print what was held and what it took."""
    parser = argparse.ArgumentParser(prog="python -m bench.held", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=400)
    asked = parser.parse_args()
    calls = min(asked.calls, MOST_CALLS)
    # As long as it takes to set all of them up, and half as much again for them to stand together.
    hold_s = round(1.5 * calls / asked.rate + 5)
    flow = load_flow(SCENARIOS / "load").scaled(asked.rate, calls, hold_s)
    stage = Stage()
    watch = Watch(f"{stage.host}:8700")
    with tempfile.TemporaryDirectory(prefix="mask700-held-") as folder:
        lab = stage.lab(Path(folder))
        lab.watch = watch
        (outcome,) = asyncio.run(lab.run([flow]))
    verdict, figures = outcome.verdict, outcome.figures
    before, peak = watch.memory_mib[0], max(watch.memory_mib)
    print(
        f"{calls} calls at {asked.rate:g}/s, {hold_s} s each: {calls - verdict.passed} failed, "
        f"{figures.retransmissions} retransmissions\n"
        f"most at once {watch.most_calls}; signalling process {before:.0f} MiB before, {peak:.0f} MiB at most: "
        f"{(peak - before) * 1024 / max(1, watch.most_calls):.1f} KiB a standing call; "
        f"CPU {figures.cpu_us_per_call:.0f} µs a call, all processes"
    )
    for problem in verdict.problems:
        print(f"  {problem}")
    return 0 if outcome.passed and watch.most_calls >= calls else 1


if __name__ == "__main__":
    sys.exit(main())
