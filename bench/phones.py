"""200 calls of real phones in random order of actions at 5 % loss (`python -m bench.phones`).

Pairs of phones, switched off after four calls each, ring, answer, hold, resume, dial digits, hang up, reject and give
up at random times, while each datagram is lost with that probability. Both phones and the record must agree on every
call. Then calls stand until their phones have refreshed the session, which PJSIP does after 45 s and never earlier.
Exit status 0: all of it was so.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from engine.lab.relay import Conditions
from tests.pjsua.agreement import agreement
from tests.pjsua.conversation import switched_on
from tests.pjsua.random_calls import run_random_calls
from tests.pjsua.stage import MOST_PAIRS, Pair, Stage

_SHOWN_PROBLEMS = 10
_MOST_CALLS = 10_000
_REFRESHED_AFTER_S = 50


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
    problems = _random(folder / "random", calls, pairs, asked.loss, asked.seed)
    problems += asyncio.run(_refreshed(folder / "refreshed"))
    for problem in problems[:_SHOWN_PROBLEMS]:
        print(f"  {problem}")
    if problems:
        print(f"  everything of it is in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


def _random(folder: Path, calls: int, pairs: int, loss: float, seed: int) -> list[str]:
    """Random calls; everything that was wrong with them."""
    began = time.monotonic()
    run = asyncio.run(run_random_calls(folder, calls, pairs, Conditions(loss), seed, _progress))
    agreed = agreement(run, calls)
    reasons = ", ".join(f"{count} {reason}" for reason, count in agreed.reasons.most_common())
    print(
        f"\r{calls} calls in {time.monotonic() - began:.0f} s: {reasons}; {run.lost} of {run.read} datagrams lost\n"
        f"{agreed.late} durations differ by more than a second for copies that were lost, "
        f"the others by {agreed.apart_s:.3f} s at most\n"
        f"{len(agreed.problems)} disagreements"
    )
    return agreed.problems


async def _refreshed(folder: Path) -> list[str]:
    """Calls over UDP and TCP, in both directions, between phones that want their session refreshed every 90 s."""
    pairs = (Pair(0, "udp"), Pair(1, "tcp"))
    stage = Stage(folder, pairs, overrides=("calls.session_expires_s=90",))
    problems: list[str] = []
    asked = Counter[str]()
    async with switched_on(stage, timer="always") as two:
        talks = [await two[pair].ringing(reverse) for pair in pairs for reverse in (False, True)]
        for talk in talks:
            await talk.answer()
        await asyncio.sleep(_REFRESHED_AFTER_S)
        for talk in talks:
            record = await talk.hang_up()
            if record["reason"] != "normal":
                problems.append(f"a standing call ended as {record}")
            for phone, view in ((talk.caller, talk.out), (talk.callee, talk.in_)):
                refreshes = [one for one in await phone.messages(view.call_id) if one.method == "UPDATE"]
                asked.update("phone" if one.sent else "engine" for one in refreshes if not one.status)
                if {one.status for one in refreshes} != {0, 200}:
                    problems.append(f"{phone.settings.name}: a session was not refreshed: {refreshes}")
    print(
        f"{len(talks)} calls of {_REFRESHED_AFTER_S} s: their sessions were refreshed "
        f"{asked['phone']} times by a phone, {asked['engine']} times by the engine"
    )
    if not asked["phone"]:
        problems.append("no phone refreshed its session")
    return problems


def _progress(text: str) -> None:
    if sys.stdout.isatty():
        print(f"\r{text}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
