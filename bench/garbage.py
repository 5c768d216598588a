"""Rubbish at as much as one core sends (`python -m bench.garbage`), while calls of another peer go on.

A process of its own sends everything of bench.rubbish from an address that no trunk knows; beside it callers and
callees that repeat what gets lost (the flow sipp_scenarios/lossy) go on calling, with all of the lab's checks. Exit
status 0: every call passed, the engine lived, and it grew by less than what is allowed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from bench import processes
from bench.engine_state import by_label, signalling_pids, total
from bench.rubbish import SOURCE
from engine.lab.figures import Figures
from engine.lab.flow import Flow, load_flow
from engine.lab.sides import CALLERS_HOST
from tests.flows.stage import ENGINE_PORT, ROOT, Stage

LOSSY = ROOT / "sipp_scenarios" / "lossy"
ALLOWED_MIB = 64.0
MOST_SECONDS = 300.0


@dataclass(slots=True)
class Watch:
    """Looks at the engine whenever the lab reports progress; the last look is what counts."""

    control: str
    memory_mib: list[float] = field(default_factory=list)
    malformed: dict[str, float] = field(default_factory=dict)
    requests: float = 0.0

    def __call__(self, flow: Flow, figures: Figures) -> None:
        pids = signalling_pids()
        if not pids:
            return
        self.memory_mib.append(processes.memory_mib(pids))
        self.malformed = by_label(self.control, "mask700_sip_malformed_total")
        self.requests = total(self.control, "mask700_sip_requests_total")


def main() -> int:
    """Print what was sent, what the engine made of it, and what became of the calls."""
    parser = argparse.ArgumentParser(prog="python -m bench.garbage", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rate", type=float, default=20.0, help="good calls per second")
    parser.add_argument("--trusted", action="store_true", help="the rubbish comes from a known peer")
    asked = parser.parse_args()
    return asyncio.run(_run(min(asked.seconds, MOST_SECONDS), asked.rate, asked.trusted))


async def _run(seconds: float, rate: float, trusted: bool) -> int:
    stage = Stage()
    peers = [f"{CALLERS_HOST}/32", f"{stage.host}/32", *([f"{SOURCE}/32"] if trusted else [])]
    flow = load_flow(LOSSY).on_a_good_network().scaled(rate, round(rate * (seconds + 6)), 1.0)
    watch = Watch(f"{stage.host}:8700")
    rubbish: asyncio.Task[dict[str, int]] | None = None

    def watching(flow: Flow, figures: Figures) -> None:
        nonlocal rubbish
        watch(flow, figures)
        if rubbish is None and figures.ended > 0:  # the calls are under way
            rubbish = asyncio.create_task(_send(stage.host, seconds))

    with tempfile.TemporaryDirectory(prefix="mask700-garbage-") as folder:
        lab = stage.lab(Path(folder), overrides=[f"trunks.pstn.peers={json.dumps(peers)}"])
        lab.watch = watching
        (outcome,) = await lab.run([flow])
    assert rubbish is not None
    sent = await rubbish
    verdict = outcome.verdict
    before, most, after = watch.memory_mib[0], max(watch.memory_mib), watch.memory_mib[-1]
    print(f"sent in {seconds:g} s, {sum(sent.values()) / seconds:.0f}/s: {_listed(sent)}")
    print(f"malformed, by kind: {_listed(watch.malformed)}; requests read {watch.requests:.0f}")
    print(f"signalling process: {before:.0f} MiB before, {most:.0f} at most, {after:.0f} at the end")
    print(
        f"calls of another peer: {verdict.calls} at {rate:g}/s, {verdict.calls - verdict.passed} failed, "
        f"{outcome.figures.retransmissions} retransmissions, PDD p99 {_p99(outcome.figures.pdd_ms):.0f} ms"
    )
    for problem in verdict.problems:
        print(f"  {problem}")
    return 0 if outcome.passed and most - before <= ALLOWED_MIB else 1


async def _send(host: str, seconds: float) -> dict[str, int]:
    sender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.rubbish", host, str(ENGINE_PORT), str(seconds)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await sender.communicate()
    counts = json.loads(said)
    assert isinstance(counts, dict)
    return counts


def _listed(counts: dict[str, int] | dict[str, float]) -> str:
    return ", ".join(f"{name} {count:.0f}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _p99(times: tuple[float, ...]) -> float:
    return times[len(times) * 99 // 100] if times else 0.0


if __name__ == "__main__":
    sys.exit(main())
