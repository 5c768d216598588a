"""A lab of its own for a test: an engine on a loopback address that no other test uses."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.lab.figures import Figures
from engine.lab.flow import Flow
from engine.lab.lab import Lab
from engine.lab.place import Place
from engine.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parent.parent.parent
SCENARIOS = ROOT / "sipp_scenarios"
CONFIG = ROOT / "config" / "lab.toml"

ENGINE_PORT = 5060
CALLEE_PORT = 5090  # the scenarios look for it as a canary


def _own_host() -> str:
    """A loopback address of this process's, so that test runs beside one another do not meet."""
    pid = os.getpid()
    return f"127.{64 + (pid >> 16) % 64}.{(pid >> 8) % 256}.{pid % 256}"


@dataclass(slots=True, frozen=True)
class Stage:
    """`host`: the engine's and the callee's address. `callee_hop`: where the engine reaches the callee's side."""

    host: str = field(default_factory=_own_host)
    callee_hop: int = CALLEE_PORT

    def overrides(self, *more: str) -> list[str]:
        """`--set` values that put the engine there."""
        values = {
            "sip.listen": [f"udp://{self.host}:{ENGINE_PORT}", f"tcp://{self.host}:{ENGINE_PORT}"],
            "sip.advertise": self.host,
            "control.listen": f"{self.host}:8700",
            "bindings.table": str(ROOT / "config" / "bindings.csv"),
            "trunks.pstn.next_hops": [f"udp://{self.host}:{self.callee_hop}"],
        }
        return [*(f"{key}={json.dumps(value)}" for key, value in values.items()), *more]

    def settings(self, *more: str) -> Settings:
        return load_settings(CONFIG, self.overrides(*more))

    def lab(self, folder: Path, place: Place | None = None, overrides: Sequence[str] = ()) -> Lab:
        """Its lab, with everything that it writes in `folder`."""
        settings = self.settings(*overrides)
        return Lab(
            CONFIG,
            self.overrides(*overrides),
            settings,
            Place.of(settings) if place is None else place,
            folder / "lab",
            (SCENARIOS,),
            _unwatched,
        )


def _unwatched(flow: Flow, figures: Figures) -> None:
    """Nobody looks on."""
