"""Calls of the simulated wire as a driver's tap sees them, with the watcher on their board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.observe.trace import Bounds, Trace
from engine.observe.watch import Watch
from engine.sip.flow import Flow
from tests.simulation.engine import EPOCH_MS
from tests.simulation.scene import Scene
from tests.simulation.world import ENGINE

START = 1000.0  # seconds: where the world's time begins


@dataclass
class Clock:
    """Microseconds since the epoch, set by hand."""

    at: int = EPOCH_MS * 1000

    def __call__(self) -> int:
        return self.at

    def pass_(self, seconds: float) -> None:
        self.at += round(seconds * 1_000_000)


class NoFaults:
    def report(self, where: str, error: Exception) -> None:
        raise AssertionError(where) from error


def traced(number: str, play: Callable[[Scene], object], scene: Scene, bounds: Bounds | None = None) -> Trace:
    """The trace after a scene was played with that number chosen."""
    clock = Clock()
    trace = Trace(bounds or Bounds(), clock)
    trace.choose(number, 3600)
    scene.engine.board.watcher = watch = Watch(None, trace, clock, NoFaults())
    play(scene)
    show_all(scene, watch, clock)
    return trace


def show_all(scene: Scene, watch: Watch, clock: Clock) -> None:
    """What passed on the wire, in the order in which it came to the engine and left it."""
    delay = scene.world.conditions.delay
    seen = [
        (passed.time + (delay if passed.target == ENGINE else 0.0), place, passed)
        for place, passed in enumerate(scene.world.log)
        if ENGINE in (passed.source, passed.target) and not (passed.lost and passed.target == ENGINE)
    ]
    for time, _, passed in sorted(seen, key=lambda one: one[:2]):
        clock.at = EPOCH_MS * 1000 + round((time - START) * 1_000_000)
        far = passed.source if passed.target == ENGINE else passed.target
        flow = Flow("udp", *far, 1)
        if passed.target == ENGINE:
            watch.received([(passed.data, flow)])
        else:
            watch.sent([(flow, passed.data)])
