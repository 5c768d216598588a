"""200 calls of real phones in random order of actions at 5 % loss (`python -m bench.phones`).

Two phones at a time, on and off again after four calls, which ring, answer, hold, resume, dial digits, hang up, reject
and give up at random times, while each datagram is lost with that probability. Both phones and the record must agree
on every call. Exit status 0: so it was.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from pathlib import Path

from engine.lab.relay import Conditions
from tests.pjsua.agreement import agreement
from tests.pjsua.random_calls import run_random_calls
from tests.pjsua.stage import MOST_PAIRS

_SHOWN_PROBLEMS = 10
_MOST_CALLS = 10_000


def main() -> int:
    """Print what came of the calls, and every disagreement."""
    parser = argparse.ArgumentParser(prog="python -m bench.phones", description=__doc__)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--pairs", type=int, default=8, help="of phones, at once")
    parser.add_argument("--loss", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    calls, pairs = min(asked.calls, _MOST_CALLS), min(asked.pairs, MOST_PAIRS)
    folder = Path(tempfile.mkdtemp(prefix="mask700-phones-"))
    began = time.monotonic()
    run = asyncio.run(run_random_calls(folder, calls, pairs, Conditions(asked.loss), asked.seed, _progress))
    agreed = agreement(run, calls)
    reasons = ", ".join(f"{count} {reason}" for reason, count in agreed.reasons.most_common())
    print(
        f"\r{calls} calls in {time.monotonic() - began:.0f} s: {reasons}; {run.lost} of {run.read} datagrams lost\n"
        f"{agreed.late} durations differ by more than a second for copies that were lost, "
        f"the others by {agreed.apart_s:.3f} s at most\n"
        f"{len(agreed.problems)} disagreements"
    )
    for problem in agreed.problems[:_SHOWN_PROBLEMS]:
        print(f"  {problem}")
    if agreed.problems:
        print(f"  everything of it is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{text}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
