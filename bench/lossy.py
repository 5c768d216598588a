"""10,000 calls at 50/s over a network that loses and doubles a tenth on both sides (`python -m bench.lossy`).

In batches, each with an engine and seeds of its own. At least 99.9 % must complete, and every record must agree with
what both sides saw. Exit status 0: so it was.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from engine.lab.flow import load_flow
from engine.lab.relay import Conditions
from tests.flows.bad_network import run_over_bad_network

ROOT = Path(__file__).resolve().parent.parent
FLOW = ROOT / "sipp_scenarios" / "lossy"
WANTED = 0.999
MOST_CALLS = 100_000


def main() -> int:
    """Print a line for each batch and one for all."""
    parser = argparse.ArgumentParser(prog="python -m bench.lossy", description=__doc__)
    parser.add_argument("--calls", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=1_000)
    parser.add_argument("--loss", type=float, default=0.1)
    parser.add_argument("--duplication", type=float, default=0.1)
    parser.add_argument("--delay", type=float, default=0.02, help="the longest, seconds")
    asked = parser.parse_args()
    conditions = Conditions(asked.loss, asked.duplication, asked.delay)
    calls = passed = 0
    for number in range(-(-min(asked.calls, MOST_CALLS) // asked.batch)):
        count, good = asyncio.run(_batch(number, asked.batch, conditions))
        calls, passed = calls + count, passed + good
    share = passed / calls
    print(
        f"{passed} of {calls} calls complete on both sides and in the records: {share:.3%} (wanted {WANTED:.1%})"
    )
    return 0 if share >= WANTED else 1


async def _batch(number: int, calls: int, conditions: Conditions) -> tuple[int, int]:
    flow = load_flow(FLOW)
    flow = flow.scaled(50, calls, 2.0)
    folder = Path(tempfile.mkdtemp(prefix="mask700-lossy-"))
    run = await run_over_bad_network(flow, folder, conditions, seed=1000 + 2 * number)
    if run.outcome.passed:
        shutil.rmtree(folder)
    verdict, sides = run.outcome.verdict, (run.callers_side, run.callees_side)
    lost, doubled, read = (sum(getattr(side, name) for side in sides) for name in ("lost", "doubled", "read"))
    print(
        f"batch {number + 1}: {verdict.passed} of {calls} complete; "
        f"of {read} datagrams {lost} lost, {doubled} doubled; "
        f"SIPp retransmitted {run.outcome.figures.retransmissions}",
        flush=True,
    )
    for problem in verdict.problems:
        print(f"  {problem}", flush=True)
    if not run.outcome.passed:
        print(f"  everything of it is in {folder}", flush=True)
    return calls, verdict.passed


if __name__ == "__main__":
    sys.exit(main())
